//! A small domain under the strictest lints, in a crate that depends on recount alone.

#![deny(missing_docs, warnings, clippy::all, clippy::pedantic)]
#![deny(unreachable_pub, unused_qualifications, single_use_lifetimes, trivial_casts, unused_results)]
#![forbid(unsafe_code)]

extern crate recount_core as recount;

pub mod process;

use std::error::Error;
use std::fmt;

use recount::{Aggregate, Apply, Command, Event, Handle, Id};

/// Names an account.
#[derive(Id, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountId(String);

/// Names a branch.
#[derive(Id, Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BranchId(u32);

/// An amount of money.
#[derive(Id, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cents(i64);

/// The events of an account.
#[derive(Event, Clone, Debug, PartialEq, Eq)]
#[event(name = "account")]
pub enum AccountEvent {
    /// The account was opened.
    Opened {
        /// The owner.
        #[event(tag)]
        owner: String,
    },
    /// Money came in.
    #[event(version = 2, upcast(deposited_v1), alias = "account.paid_in")]
    Deposited {
        /// How much.
        amount: Cents,
        /// Where.
        #[event(tag)]
        branch: Option<BranchId>,
    },
    /// Nothing more can happen.
    Closed,
    /// It used to be frozen at times.
    #[event(retired)]
    Frozen(#[event(tag = "branch")] BranchId, String),
}

fn deposited_v1(amount: i64) -> AccountEvent {
    AccountEvent::Deposited { amount: Cents(amount), branch: None }
}

/// Why an account refuses.
#[derive(Debug, PartialEq, Eq)]
pub struct Refused;

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not now")
    }
}

impl Error for Refused {}

/// An account.
#[derive(Aggregate, Clone, Debug, Default, PartialEq, Eq)]
#[aggregate(name = "account", id = AccountId, event = AccountEvent, error = Refused,
            commands(Open, Deposit), snapshot(every = 500, version = 1))]
pub struct Account {
    open: bool,
    #[serde(rename = "cents")]
    balance: Cents,
}

impl Apply for Account {
    fn apply(&mut self, event: &AccountEvent) {
        match event {
            AccountEvent::Opened { .. } => self.open = true,
            AccountEvent::Deposited { amount, .. } => self.balance.0 += amount.0,
            AccountEvent::Closed | AccountEvent::Frozen(..) => self.open = false,
        }
    }
}

/// Opens an account.
#[derive(Command, Clone, Debug, PartialEq, Eq)]
#[command(aggregate = Account, create)]
pub struct Open {
    /// Which.
    #[command(id)]
    pub account: AccountId,
    /// The owner.
    pub owner: String,
}

/// Pays money in.
#[derive(Command, Clone, Debug, PartialEq, Eq)]
#[command(aggregate = Account, name = "pay_in")]
pub struct Deposit {
    /// Where to.
    #[command(id)]
    pub account: AccountId,
    /// How much.
    #[serde(default)]
    pub amount: Cents,
}

impl Handle<Open> for Account {
    fn handle(&self, command: Open) -> Result<Vec<AccountEvent>, Refused> {
        if self.open { Err(Refused) } else { Ok(vec![AccountEvent::Opened { owner: command.owner }]) }
    }
}

impl Handle<Deposit> for Account {
    fn handle(&self, command: Deposit) -> Result<Vec<AccountEvent>, Refused> {
        Ok(vec![AccountEvent::Deposited { amount: command.amount, branch: None }])
    }
}

/// An order was placed.
#[derive(Event, Clone, Debug, PartialEq, Eq)]
#[event(name = "order.placed")]
pub struct OrderPlaced {
    /// For which account.
    #[event(tag = "account")]
    pub account: AccountId,
}

/// The events that a listener hears.
#[derive(Event, Clone, Debug, PartialEq, Eq)]
#[event(union)]
pub enum Heard {
    /// Of accounts.
    #[event(only(Opened, Closed))]
    Account(AccountEvent),
    /// Of orders.
    Order(OrderPlaced),
}

//! A bank: the domain that the tests of dispatching share.
#![allow(dead_code, unreachable_pub, reason = "each test file uses a part")]

pub mod saving;
pub mod script;

use recount_core::{
    Aggregate, Append, Apply, Command, Context, Event, EventStore, ExpectedVersion, Handle, HandleWith, Id, Recount,
    StreamId,
};
use recount_store_memory::MemoryStore;

#[derive(Id, Clone, Debug, PartialEq, Eq, Hash)]
pub struct AccountId(String);

pub fn account(name: &str) -> AccountId {
    AccountId::from(name.to_owned())
}

#[derive(Event, Clone, Debug, PartialEq)]
#[event(name = "account")]
pub enum AccountEvent {
    Opened { owner: String },
    Deposited { cents: u64 },
    Withdrawn { cents: u64 },
}

#[derive(Command, Clone, Debug)]
#[command(aggregate = Account, create)]
pub struct Open {
    #[command(id)]
    pub account: AccountId,
    pub owner: String,
}

#[derive(Command, Clone, Debug)]
#[command(aggregate = Account)]
pub struct Deposit {
    #[command(id)]
    pub account: AccountId,
    pub cents: u64,
}

#[derive(Command, Clone, Debug)]
#[command(aggregate = Account)]
pub struct Withdraw {
    #[command(id)]
    pub account: AccountId,
    pub cents: u64,
}

/// Deposits the number of the state's version: shows what a handler sees of its circumstances.
#[derive(Command, Clone, Debug)]
#[command(aggregate = Account)]
pub struct DepositVersion {
    #[command(id)]
    pub account: AccountId,
}

/// Asks for nothing.
#[derive(Command, Clone, Debug)]
#[command(aggregate = Account)]
pub struct Look {
    #[command(id)]
    pub account: AccountId,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLittle {
    pub balance: u64,
}

impl std::fmt::Display for TooLittle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "there are only {} cents", self.balance)
    }
}

impl std::error::Error for TooLittle {}

#[derive(Aggregate, Clone, Debug, Default, PartialEq)]
#[aggregate(name = "account", id = AccountId, event = AccountEvent, error = TooLittle,
            commands(Open, Deposit, Withdraw, DepositVersion, Look), snapshot(every = 10, version = 1))]
pub struct Account {
    pub owner: String,
    pub balance: u64,
}

impl Apply for Account {
    fn apply(&mut self, event: &AccountEvent) {
        match event {
            AccountEvent::Opened { owner } => self.owner.clone_from(owner),
            AccountEvent::Deposited { cents } => self.balance += cents,
            AccountEvent::Withdrawn { cents } => self.balance -= cents,
        }
    }
}

impl Handle<Open> for Account {
    fn handle(&self, Open { owner, .. }: Open) -> Result<Vec<AccountEvent>, TooLittle> {
        Ok(vec![AccountEvent::Opened { owner }])
    }
}

impl Handle<Deposit> for Account {
    fn handle(&self, Deposit { cents, .. }: Deposit) -> Result<Vec<AccountEvent>, TooLittle> {
        Ok(vec![AccountEvent::Deposited { cents }])
    }
}

impl Handle<Withdraw> for Account {
    fn handle(&self, Withdraw { cents, .. }: Withdraw) -> Result<Vec<AccountEvent>, TooLittle> {
        if cents > self.balance {
            return Err(TooLittle { balance: self.balance });
        }
        Ok(vec![AccountEvent::Withdrawn { cents }])
    }
}

impl HandleWith<DepositVersion> for Account {
    fn handle_with(&self, _: DepositVersion, context: &Context<'_>) -> Result<Vec<AccountEvent>, TooLittle> {
        Ok(vec![AccountEvent::Deposited { cents: context.version.get() }])
    }
}

impl Handle<Look> for Account {
    fn handle(&self, _: Look) -> Result<Vec<AccountEvent>, TooLittle> {
        Ok(Vec::new())
    }
}

pub fn stream(name: &str) -> StreamId {
    StreamId::new("account", name).unwrap()
}

/// Appends behind the dispatcher's back, as another process would.
pub async fn elsewhere(store: &impl EventStore, name: &str, events: &[AccountEvent]) {
    let events = events.iter().map(|event| event.encode().unwrap()).collect();
    store.append(Append::to(stream(name), ExpectedVersion::Any, events)).await.unwrap();
}

/// A handle on a fresh memory store, and the store.
pub fn bank() -> (Recount, MemoryStore) {
    let store = MemoryStore::new();
    (Recount::new(store.clone()), store)
}

pub fn deposit(name: &str, cents: u64) -> Deposit {
    Deposit { account: account(name), cents }
}

pub fn withdraw(name: &str, cents: u64) -> Withdraw {
    Withdraw { account: account(name), cents }
}

//! A process over the events of orders, under the same lints.

use std::time::Duration;

use recount::{Event, Moment, Process, Route, Routed, Step, Timer};

use crate::{AccountId, Cents, Deposit, Open};

/// The events of an order.
#[derive(Event, Clone, Debug, PartialEq, Eq)]
#[event(name = "order")]
pub enum OrderEvent {
    /// A customer ordered.
    Placed {
        /// The account that pays.
        account: AccountId,
        /// Its owner.
        owner: String,
    },
    /// The customer called it off.
    Cancelled {
        /// The account that would have paid.
        account: AccountId,
    },
    /// It is forgotten.
    Archived,
}

/// Money came in.
#[derive(Event, Clone, Debug, PartialEq, Eq)]
#[event(name = "payment.captured")]
pub struct Captured {
    /// From which account.
    pub account: AccountId,
    /// How much.
    pub cents: i64,
}

/// Some orders are handled together.
#[derive(Event, Clone, Debug, PartialEq, Eq)]
#[event(name = "wave")]
pub enum WaveEvent {
    /// It begins.
    Released {
        /// Of these accounts.
        accounts: Vec<AccountId>,
    },
    /// It is over.
    Ended,
}

/// The inputs of the process.
#[derive(Event, Route, Clone, Debug, PartialEq, Eq)]
#[event(union)]
#[route(to = AccountId)]
pub enum Input {
    /// Of orders.
    #[event(only(Placed, Cancelled))]
    #[route(start(Placed), by = account)]
    Order(OrderEvent),
    /// Of payments.
    #[route(by = account)]
    Captured(Captured),
    /// Of waves.
    #[route(with = accounts_of)]
    Wave(WaveEvent),
}

/// Each account of the wave.
pub fn accounts_of(wave: &WaveEvent, routed: &mut Routed<AccountId>) {
    if let WaveEvent::Released { accounts } = wave {
        for account in accounts {
            routed.to(account.clone());
        }
    }
}

/// The facts of the process.
#[derive(Event, Clone, Copy, Debug, PartialEq, Eq)]
#[event(name = "fulfilment")]
pub enum Fact {
    /// It was paid.
    Paid,
    /// The owner was asked to pay.
    Reminded,
}

/// The timers of the process.
#[derive(Timer, Clone, Debug, PartialEq, Eq)]
pub enum OrderTimer {
    /// The payment.
    Overdue,
    /// The next reminder.
    Remind {
        /// How many came before.
        count: u8,
    },
}

/// The process.
#[derive(Process, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[process(name = "fulfilment", id = AccountId, input = Input, fact = Fact, timer = OrderTimer,
          commands(Open, Deposit), unknown = hold)]
pub struct Fulfilment {
    paid: bool,
    reminded: u8,
}

impl Process for Fulfilment {
    fn apply(&mut self, fact: &Fact) {
        match fact {
            Fact::Paid => self.paid = true,
            Fact::Reminded => self.reminded += 1,
        }
    }

    fn on(&self, input: &Input, at: &Moment) -> Step<Self> {
        match input {
            Input::Order(OrderEvent::Placed { account, owner }) => {
                let open = Open { account: account.clone(), owner: owner.clone() };
                let refund = Deposit { account: account.clone(), amount: Cents::default() };
                Step::new().run(open, refund).timer(OrderTimer::Overdue, at.after(Duration::from_secs(90)))
            }
            Input::Captured(_) => Step::new().fact(Fact::Paid).cancel(OrderTimer::Overdue).end(),
            Input::Order(OrderEvent::Cancelled { .. }) => Step::new().compensate(),
            Input::Wave(_) => Step::ignore(),
            Input::Order(OrderEvent::Archived) => Step::unexpected(),
        }
    }

    fn due(&self, timer: &OrderTimer, at: &Moment) -> Step<Self> {
        match timer {
            OrderTimer::Overdue => {
                Step::new().timer(OrderTimer::Remind { count: 0 }, at.after(Duration::from_secs(90)))
            }
            OrderTimer::Remind { .. } => Step::new().fact(Fact::Reminded),
        }
    }
}

//! The domain: everything a bank account can be asked, can answer, and can remember. No I/O, no framework calls.

use recount::prelude::*;

// 1. What can happen. Each variant is stored as `account.<variant>`, with a version of its own.
#[derive(Event, Clone, Debug, PartialEq)]
#[event(name = "account")]
pub enum AccountEvent {
    Deposited { cents: u64 },
    Withdrawn { cents: u64 },
}

// 2. What can be asked for. The field marked `id` says of which account.
#[derive(Command, Clone)]
#[command(aggregate = Account)]
pub struct Deposit(#[command(id)] pub String, pub u64);

#[derive(Command, Clone)]
#[command(aggregate = Account)]
pub struct Withdraw(#[command(id)] pub String, pub u64);

// 3. What can be refused.
#[derive(Debug, PartialEq, thiserror::Error)]
#[error("there are only {0} cents")]
pub struct TooLittle(pub u64);

// 4. The state that decides. It is never stored as truth: the events are.
#[derive(Aggregate, Clone, Debug, Default, PartialEq)]
#[aggregate(name = "account", id = String, event = AccountEvent, error = TooLittle, commands(Deposit, Withdraw))]
pub struct Account {
    pub balance: u64,
}

// 5. How the state follows from the events. The compiler asks for an arm for each new variant.
impl Apply for Account {
    fn apply(&mut self, event: &AccountEvent) {
        match event {
            AccountEvent::Deposited { cents } => self.balance += cents,
            AccountEvent::Withdrawn { cents } => self.balance -= cents,
        }
    }
}

// 6. The decisions: pure functions from state and command to events.
impl Handle<Deposit> for Account {
    fn handle(&self, Deposit(_, cents): Deposit) -> Result<Vec<AccountEvent>, TooLittle> {
        Ok(vec![AccountEvent::Deposited { cents }])
    }
}

impl Handle<Withdraw> for Account {
    fn handle(&self, Withdraw(_, cents): Withdraw) -> Result<Vec<AccountEvent>, TooLittle> {
        if cents > self.balance { Err(TooLittle(self.balance)) } else { Ok(vec![AccountEvent::Withdrawn { cents }]) }
    }
}

#[cfg(test)]
mod tests {
    use recount_testing::given;

    use super::*;

    #[test]
    fn what_is_there_can_be_withdrawn() {
        given::<Account>([AccountEvent::Deposited { cents: 500 }])
            .when(Withdraw("ada".into(), 200))
            .then([AccountEvent::Withdrawn { cents: 200 }]);
    }

    #[test]
    fn more_than_is_there_is_refused() {
        given::<Account>([AccountEvent::Deposited { cents: 500 }, AccountEvent::Withdrawn { cents: 200 }])
            .when(Withdraw("ada".into(), 301))
            .then_error(TooLittle(300));
    }
}

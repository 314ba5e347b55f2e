//! The domain: everything a bank account can be asked, can answer, and can remember. No I/O, no framework calls.

use recount::prelude::*;

// 1. The events. Each variant is stored as `account.<variant>`, with a version of its own.
#[derive(Event, Clone, Debug, PartialEq)]
#[event(name = "account")]
pub enum AccountEvent {
    Deposited { cents: i64 },
    Withdrawn { cents: i64 },
}

// 2. The command. The field marked `id` names its account.
#[derive(Command, Clone)]
#[command(aggregate = Account)]
pub struct Book {
    #[command(id)]
    pub account: String,
    pub cents: i64,
}

// 3. The reason for a refusal.
#[derive(Debug, PartialEq, thiserror::Error)]
#[error("there are only {0} cents")]
pub struct TooLittle(pub i64);

// 4. The state that decides. It is never stored as truth: the events are.
#[derive(Aggregate, Clone, Debug, Default, PartialEq)]
#[aggregate(name = "account", id = String, event = AccountEvent, error = TooLittle, commands(Book))]
pub struct Account {
    pub balance: i64,
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

// 6. The decision: a pure function from state and command to events, or to a refusal.
impl Handle<Book> for Account {
    fn handle(&self, Book { cents, .. }: Book) -> Result<Vec<AccountEvent>, TooLittle> {
        match cents {
            0.. => Ok(vec![AccountEvent::Deposited { cents }]),
            _ if self.balance + cents < 0 => Err(TooLittle(self.balance)),
            _ => Ok(vec![AccountEvent::Withdrawn { cents: -cents }]),
        }
    }
}

#[cfg(test)]
mod tests {
    use recount_testing::given;

    use super::*;

    fn book(cents: i64) -> Book {
        Book { account: "ada".to_owned(), cents }
    }

    #[test]
    fn what_is_there_can_be_withdrawn() {
        given::<Account>([AccountEvent::Deposited { cents: 500 }])
            .when(book(-200))
            .then([AccountEvent::Withdrawn { cents: 200 }]);
    }

    #[test]
    fn more_than_is_there_is_refused() {
        given::<Account>([AccountEvent::Deposited { cents: 500 }, AccountEvent::Withdrawn { cents: 200 }])
            .when(book(-301))
            .then_error(TooLittle(300));
    }
}

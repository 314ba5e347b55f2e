//! A process with inputs that may come before the one that starts it.

use recount_core::{Event, Moment, NoTimer, Process, Route, Step};

use super::{Capture, OrderEvent, StockEvent, is_mended};

/// The order with notes that fail until it is [mended](super::mend).
pub const UNWELCOME: u64 = 404;

/// Welcomes an order when its stock was filled, and remembers the notes, early ones too.
#[derive(Clone, Debug, Default, Process)]
#[process(name = "suite_welcome", id = u64, input = WelcomeInput, fact = WelcomeFact, timer = NoTimer,
          commands(Capture), unknown = hold)]
pub struct Welcome {
    notes: u32,
}

#[derive(Clone, Debug, PartialEq, Event)]
#[event(name = "suite_welcome", unlocked)]
pub enum WelcomeFact {
    Welcomed,
    Noted { number: u32 },
}

#[derive(Event, Route)]
#[event(union)]
#[route(to = u64)]
pub enum WelcomeInput {
    #[event(only(Noted))]
    #[route(by = order)]
    Order(OrderEvent),
    #[event(only(Filled))]
    #[route(start(Filled), by = order)]
    Stock(StockEvent),
}

impl Process for Welcome {
    fn apply(&mut self, fact: &WelcomeFact) {
        if let WelcomeFact::Noted { number } = fact {
            self.notes = *number;
        }
    }

    fn on(&self, input: &WelcomeInput, _: &Moment) -> Step<Self> {
        match input {
            WelcomeInput::Stock(_) => Step::new().fact(WelcomeFact::Welcomed),
            WelcomeInput::Order(OrderEvent::Noted { order }) if *order == UNWELCOME && !is_mended(*order) => {
                panic!("out of luck")
            }
            WelcomeInput::Order(_) => Step::new().fact(WelcomeFact::Noted { number: self.notes + 1 }),
        }
    }

    fn due(&self, timer: &NoTimer, _: &Moment) -> Step<Self> {
        match *timer {}
    }
}

//! Later versions of the process, as they are deployed while instances run.

use recount_core::{Aggregate, Apply, Command, Event, Handle, Moment, Process, Step, Timer};
use serde::Deserialize;

use super::{
    Fact, FulfilmentTimer, Input, OrderEvent, PaymentError, PaymentEvent, Release, Reserve, Ship, ShipmentEvent,
    StockEvent,
};

/// The command with a field more.
#[derive(Clone, Debug, Command)]
#[command(aggregate = Payment)]
pub struct Capture {
    #[command(id)]
    pub order: u64,
    pub pieces: u32,
    #[serde(default)]
    pub urgent: bool,
}

#[derive(Clone, Debug, Default, Aggregate)]
#[aggregate(name = "suite_payment", id = u64, event = PaymentEvent, error = PaymentError, commands(Capture))]
pub struct Payment;

impl Apply for Payment {
    fn apply(&mut self, _: &PaymentEvent) {}
}

impl Handle<Capture> for Payment {
    fn handle(&self, command: Capture) -> Result<Vec<PaymentEvent>, PaymentError> {
        Ok(vec![PaymentEvent::Captured { order: command.order }])
    }
}

/// The process with a command and a fact that have a field more.
#[derive(Clone, Debug, Default, Process)]
#[process(name = "suite_fulfilment", id = u64, input = Input, fact = NextFact, timer = FulfilmentTimer,
          commands(Reserve, Release, Capture, Ship))]
pub struct Next {
    order: u64,
    pieces: u32,
    gift: bool,
}

#[derive(Clone, Debug, PartialEq, Event)]
#[event(name = "suite_fulfilment", unlocked)]
pub enum NextFact {
    #[event(version = 2, upcast(started_v1))]
    Started {
        order: u64,
        pieces: u32,
        gift: bool,
    },
    Restocking,
    StockReserved,
    Paid,
    Shipped,
    Noted,
}

#[derive(Deserialize)]
struct StartedV1 {
    order: u64,
    pieces: u32,
}

fn started_v1(old: StartedV1) -> NextFact {
    NextFact::Started { order: old.order, pieces: old.pieces, gift: true }
}

impl Process for Next {
    fn apply(&mut self, fact: &NextFact) {
        if let NextFact::Started { order, pieces, gift } = fact {
            (self.order, self.pieces, self.gift) = (*order, *pieces, *gift);
        }
    }

    fn on(&self, input: &Input, _: &Moment) -> Step<Self> {
        let Self { order, pieces, gift } = *self;
        match input {
            Input::Order(OrderEvent::Noted { .. }) => Step::new().fact(NextFact::Noted),
            Input::Stock(StockEvent::Reserved { .. }) => {
                Step::new().fact(NextFact::StockReserved).send(Capture { order, pieces, urgent: gift })
            }
            Input::Payment(PaymentEvent::Captured { .. }) => {
                Step::new().fact(NextFact::Paid).cancel(FulfilmentTimer::PaymentOverdue).send(Ship { order, pieces })
            }
            Input::Shipment(ShipmentEvent::Shipped { .. }) if gift => Step::new().fact(NextFact::Shipped).end(),
            _ => Step::unexpected(),
        }
    }

    fn due(&self, _: &FulfilmentTimer, _: &Moment) -> Step<Self> {
        Step::new().compensate()
    }
}

/// The process without one of its commands.
#[derive(Clone, Debug, Default, Process)]
#[process(name = "suite_fulfilment", id = u64, input = Input, fact = Fact, timer = FulfilmentTimer,
          commands(Reserve, Release))]
pub struct Reduced;

impl Process for Reduced {
    fn apply(&mut self, _: &Fact) {}

    fn on(&self, _: &Input, _: &Moment) -> Step<Self> {
        Step::new().fact(Fact::Noted)
    }

    fn due(&self, _: &FulfilmentTimer, _: &Moment) -> Step<Self> {
        Step::new().compensate()
    }
}

/// The process with a timer renamed, without the old name as an alias.
#[derive(Clone, Debug, Default, Process)]
#[process(name = "suite_fulfilment", id = u64, input = Input, fact = Fact, timer = RenamedTimer,
          commands(Reserve, Release, super::Capture, super::Refund))]
pub struct Renamed;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Timer)]
pub enum RenamedTimer {
    Overdue,
}

impl Process for Renamed {
    fn apply(&mut self, _: &Fact) {}

    fn on(&self, _: &Input, _: &Moment) -> Step<Self> {
        Step::new().fact(Fact::Noted)
    }

    fn due(&self, _: &RenamedTimer, _: &Moment) -> Step<Self> {
        Step::new().compensate()
    }
}

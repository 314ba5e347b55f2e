//! The two services: orders are placed in one, and entered into ledgers in the other.

use std::collections::HashMap;
use std::sync::Mutex;

use recount_core::{Aggregate, Apply, BoxError, Command, Commands, Event, Handle};
use recount_messaging::{Incoming, MessageHandler, PermanentError};

/// An event of the service that has orders.
#[derive(Event, Clone, Debug)]
#[event(name = "order", unlocked)]
pub(super) enum OrderEvent {
    Placed { order: String, n: u32 },
}

/// The event that the other service hears of.
#[derive(Event, Clone, Debug)]
#[event(name = "orders", published, unlocked)]
pub(super) enum OrderMessage {
    Placed { order: String, n: u32 },
}

#[derive(Command, Clone)]
#[command(aggregate = Order)]
pub(super) struct Place {
    #[command(id)]
    pub(super) order: String,
    pub(super) n: u32,
}

#[derive(Aggregate, Clone, Default)]
#[aggregate(name = "order", id = String, event = OrderEvent, error = std::convert::Infallible, commands(Place))]
pub(super) struct Order;

impl Apply for Order {
    fn apply(&mut self, _: &OrderEvent) {}
}

impl Handle<Place> for Order {
    fn handle(&self, Place { order, n }: Place) -> Result<Vec<OrderEvent>, std::convert::Infallible> {
        Ok(vec![OrderEvent::Placed { order, n }])
    }
}

#[derive(Event, Clone, Debug)]
#[event(name = "ledger", unlocked)]
pub(super) enum LedgerEvent {
    Entered { n: u32 },
}

#[derive(Command, Clone)]
#[command(aggregate = Ledger)]
pub(super) struct Enter {
    #[command(id)]
    order: String,
    n: u32,
}

/// The numbers of an order, as they were entered. It takes any number at any time: only the inbox keeps it from entering one
/// twice or out of turn.
#[derive(Aggregate, Clone, Default, Debug)]
#[aggregate(name = "ledger", id = String, event = LedgerEvent, error = std::convert::Infallible, commands(Enter))]
pub(super) struct Ledger {
    pub(super) entered: Vec<u32>,
}

impl Apply for Ledger {
    fn apply(&mut self, LedgerEvent::Entered { n }: &LedgerEvent) {
        self.entered.push(*n);
    }
}

impl Handle<Enter> for Ledger {
    fn handle(&self, Enter { n, .. }: Enter) -> Result<Vec<LedgerEvent>, std::convert::Infallible> {
        Ok(vec![LedgerEvent::Entered { n }])
    }
}

/// The failures of the handler, and its calls. It outlives the programs.
pub(super) struct Failures {
    seed: u64,
    calls: Mutex<HashMap<(String, u32), u32>>,
}

/// The failures of a message before it succeeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fails {
    Never,
    /// So often.
    Times(u32),
    /// Once, for good: it becomes a dead letter.
    Permanently,
}

impl Failures {
    pub(super) fn new(seed: u64) -> Self {
        Self { seed, calls: Mutex::default() }
    }

    /// Of a hundred messages eight fail for once, three until they have waited in the store, and one becomes a dead letter.
    fn of(&self, order: &str, n: u32) -> Fails {
        let place = order.bytes().fold(u64::from(n), |hash, byte| hash.wrapping_mul(31).wrapping_add(byte.into()));
        match fastrand::Rng::with_seed(self.seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ place).u32(0..100) {
            0 => Fails::Permanently,
            1..=3 => Fails::Times(3),
            4..=11 => Fails::Times(1),
            _ => Fails::Never,
        }
    }

    fn next(&self, order: &str, n: u32) -> Fails {
        let mut calls = self.calls.lock().expect("no panic holds it");
        let call = calls.entry((order.to_owned(), n)).or_default();
        *call += 1;
        match self.of(order, n) {
            Fails::Times(times) if *call > times => Fails::Never,
            Fails::Permanently if *call > 1 => Fails::Never,
            fails => fails,
        }
    }

    /// How often the handler was called.
    pub(super) fn calls(&self) -> u32 {
        self.calls.lock().expect("no panic holds it").values().sum()
    }

    /// How often it was called for a message beyond the calls that its failures explain.
    pub(super) fn repeats(&self) -> u32 {
        let calls = self.calls.lock().expect("no panic holds it");
        let beyond = calls.iter().map(|((order, n), calls)| {
            let explained = match self.of(order, *n) {
                Fails::Never => 1,
                Fails::Times(times) => times + 1,
                Fails::Permanently => 2,
            };
            calls.saturating_sub(explained)
        });
        beyond.sum()
    }
}

/// Enters orders into ledgers.
pub(super) struct Enters(pub(super) std::sync::Arc<Failures>);

impl MessageHandler for Enters {
    type Message = OrderMessage;

    async fn handle(
        &self,
        OrderMessage::Placed { order, n }: &OrderMessage,
        _: &Incoming<'_>,
    ) -> Result<Commands, BoxError> {
        match self.0.next(order, *n) {
            Fails::Never => Ok(Commands::send(Enter { order: order.clone(), n: *n })),
            Fails::Times(_) => Err("not now".into()),
            Fails::Permanently => Err(PermanentError::new("not before an operator has seen it").into()),
        }
    }
}

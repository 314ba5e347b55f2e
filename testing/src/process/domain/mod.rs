//! The world of the suite: orders that are placed and cancelled, stock, payments and shipments, and the process between them.
//!
//! The number of pieces of an order decides its fate.

use std::collections::BTreeSet;
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

mod fulfilment;
pub mod next;
mod order;
mod payment;
mod shipment;
mod stock;
mod welcome;

pub use fulfilment::{Fact, Fulfilment, FulfilmentTimer, Input};
pub use order::{Cancel, Extend, Note, Order, OrderEvent, Place};
pub use payment::{Capture, Pay, Payment, PaymentError, PaymentEvent, PermitRefund, Refund};
pub use shipment::{NoCarrier, Ship, Shipment, ShipmentEvent};
pub use stock::{Fill, Release, Reserve, Stock, StockError, StockEvent};
pub use welcome::{UNWELCOME, Welcome, WelcomeFact, WelcomeInput};

/// Pieces that are not paid for: the payment is declined.
pub const DECLINED: u32 = 13;
/// Pieces that the customer pays for without being asked.
pub const PAID_BY_HAND: u32 = 44;
/// Pieces that no carrier takes.
pub const UNSHIPPABLE: u32 = 55;
/// Pieces that make the process panic once they are paid.
pub const PANICS: u32 = 66;
/// Pieces that no carrier takes. Their payment is not given back unless that is permitted.
pub const UNREFUNDABLE: u32 = 88;
/// Pieces with a payment that is never answered: nothing happens, until the time is over.
pub const UNANSWERED: u32 = 99;
/// Pieces that can't be put back: the shelf is jammed. The payment for them is never answered, so that they are to be put back.
pub const JAMMED: u32 = 177;

/// The order with reservations that panic while [`BROKEN`].
pub const FRAGILE: u64 = 666;
pub static BROKEN: AtomicBool = AtomicBool::new(false);

/// When an order with an unanswered payment is given up.
pub const PAYMENT_TIME: Duration = Duration::from_millis(500);
/// When stock is asked for again.
pub const RESTOCK_TIME: Duration = Duration::from_millis(300);

/// When an order is given up: late, if it will be paid.
pub const fn payment_time(pieces: u32) -> Duration {
    match pieces {
        UNANSWERED | JAMMED => PAYMENT_TIME,
        _ => Duration::from_secs(60),
    }
}

/// The orders for which the defect of the process is mended.
static MENDED: Mutex<BTreeSet<u64>> = Mutex::new(BTreeSet::new());

/// Mends the process for an order: it no longer panics. Other tests of the same program use other orders.
pub fn mend(order: u64) {
    MENDED.lock().unwrap_or_else(PoisonError::into_inner).insert(order);
}

fn is_mended(order: u64) -> bool {
    MENDED.lock().unwrap_or_else(PoisonError::into_inner).contains(&order)
}

//! Stories of one order.

use recount_core::InstanceState::{self, Compensated, Ended, Stuck};

use super::domain::{DECLINED, JAMMED, PAID_BY_HAND, UNANSWERED, UNREFUNDABLE, UNSHIPPABLE};
use super::world::World;

/// A story of one order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scenario {
    /// Reserved, paid, shipped.
    Fulfilled,
    /// The stock arrives late.
    Restocked,
    /// The stock never arrives.
    OutOfStock,
    /// The payment is declined.
    Declined,
    /// The payment is never answered.
    Overdue,
    /// The payment is never answered, and the customer is given more time.
    Extended,
    /// The customer cancels while the payment is open.
    Cancelled,
    /// The customer pays without being asked.
    PaidByHand,
    /// No carrier takes the order: the payment is given back, then the stock.
    Unshippable,
    /// The undo of the reservation is refused, and redriven.
    Stuck,
    /// The undo of the payment is refused, and redriven.
    Unrefundable,
}

impl Scenario {
    pub const ALL: [Self; 11] = [
        Self::Fulfilled,
        Self::Restocked,
        Self::OutOfStock,
        Self::Declined,
        Self::Overdue,
        Self::Extended,
        Self::Cancelled,
        Self::PaidByHand,
        Self::Unshippable,
        Self::Stuck,
        Self::Unrefundable,
    ];

    /// How the story ends.
    pub const fn end(self) -> InstanceState {
        match self {
            Self::Fulfilled | Self::Restocked | Self::PaidByHand => Ended,
            _ => Compensated,
        }
    }

    pub const fn pieces(self) -> u32 {
        match self {
            Self::Fulfilled | Self::Restocked | Self::OutOfStock => 2,
            Self::Declined => DECLINED,
            Self::Overdue | Self::Extended | Self::Cancelled => UNANSWERED,
            Self::PaidByHand => PAID_BY_HAND,
            Self::Unshippable => UNSHIPPABLE,
            Self::Stuck => JAMMED,
            Self::Unrefundable => UNREFUNDABLE,
        }
    }

    /// The part of customers and operators, beside the program that runs the process.
    pub async fn play(self, world: &World, order: u64) {
        if !matches!(self, Self::Restocked | Self::OutOfStock) {
            world.fill(order, 1000).await;
        }
        world.place(order, self.pieces()).await;
        match self {
            Self::Restocked => {
                world.until_log(order, "restocking", 1).await;
                world.fill(order, 1000).await;
            }
            Self::Extended => {
                world.until_log(order, "stock_reserved", 1).await;
                world.extend(order).await;
            }
            Self::PaidByHand => {
                world.until_log(order, "stock_reserved", 1).await;
                world.pay(order).await;
            }
            Self::Cancelled => {
                world.until_log(order, "stock_reserved", 1).await;
                world.cancel(order).await;
            }
            Self::Stuck => {
                world.reaches(order, Stuck).await;
                world.fill(order, 0).await;
                world.redrive(order).await;
            }
            Self::Unrefundable => {
                world.reaches(order, Stuck).await;
                let log = world.log(order).await;
                assert!(!log.contains("suite_stock.released"), "the stock went back before the payment:\n{log}");
                world.permit_refund(order).await;
                world.redrive(order).await;
            }
            _ => {}
        }
    }
}

//! The rule that decides the outcome of an order. It stands in for the people and machines around the shop: customers at
//! their desks, the bank, the shelves, the supplier. It asks for nothing but an order's line, customer and number of CDs,
//! so that SQL finds the same orders: the statement is in the README.

use crate::values::{CustomerId, OrderId, PaymentMethod};

/// One order in so many is paid by invoice: those on the lines of the file that are divisible by it.
const INVOICE_EVERY: u64 = 20;
/// One customer in so many has a card that the bank declines: those with numbers that are divisible by it.
const DECLINED_EVERY: u64 = 50;
/// The most CDs of one order that are on the shelves of a warehouse. More are out of stock, and must be delivered.
pub const ON_THE_SHELF: u32 = 12;
/// The most CDs that the supplier delivers for one order. More are sold out.
pub const FROM_THE_SUPPLIER: u32 = 20;

/// The answers of customers to their invoices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    Pays,
    /// The customer cancels the order instead.
    Cancels,
    /// The invoice is forgotten.
    Silent,
}

/// How the order on this line of the file is paid.
pub fn payment_method(line: u64) -> PaymentMethod {
    if line.is_multiple_of(INVOICE_EVERY) { PaymentMethod::Invoice } else { PaymentMethod::Card }
}

/// Whether the bank declines the customer's card.
pub fn card_is_declined(customer: &CustomerId) -> bool {
    customer.number().is_some_and(|number| number.is_multiple_of(DECLINED_EVERY))
}

/// The customer's answer to the invoice for an order: of four invoices one is answered by a cancellation, one is
/// forgotten, and two are paid.
pub fn answer_to_invoice(order: &OrderId) -> Answer {
    match order.line().map(|line| line / INVOICE_EVERY % 4) {
        Some(0) => Answer::Cancels,
        Some(1) => Answer::Silent,
        _ => Answer::Pays,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_order_in_twenty_is_paid_by_invoice() {
        let invoices: Vec<u64> = (1..=60).filter(|line| payment_method(*line) == PaymentMethod::Invoice).collect();
        assert_eq!(invoices, [20, 40, 60]);
    }

    #[test]
    fn invoices_are_answered_in_turn() {
        let answer = |line: u64| answer_to_invoice(&OrderId::from(format!("f1-{line}")));
        assert_eq!([20, 40, 60, 80].map(answer), [Answer::Silent, Answer::Pays, Answer::Pays, Answer::Cancels]);
    }

    #[test]
    fn the_card_of_one_customer_in_fifty_is_declined() {
        let declined = |customer: &str| card_is_declined(&CustomerId::from(customer.to_owned()));
        assert!(declined("f1-50") && declined("f1-100"));
        assert!(!declined("f1-51") && !declined("guest"));
    }
}

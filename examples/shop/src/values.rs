//! The words that all parts of the shop share: ids, days, money. They travel in events; nothing else does.

use std::fmt;

use jiff::civil::Date;
use recount::{Id, Shape};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A customer, as `<source>-<number>`.
#[derive(Id, Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct CustomerId(String);

/// An order, as `<source>-<line>`: the data has no order ids and 255 rows that equal others, so the line is the id.
#[derive(Id, Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct OrderId(String);

impl CustomerId {
    /// The number in the file.
    pub fn number(&self) -> Option<u64> {
        number_of(&self.0)
    }
}

impl OrderId {
    /// The line in the file.
    pub fn line(&self) -> Option<u64> {
        number_of(&self.0)
    }
}

fn number_of(id: &str) -> Option<u64> {
    id.rsplit_once('-')?.1.parse().ok()
}

/// One of the shop's warehouses.
#[derive(Id, Clone, Debug, PartialEq, Eq, Hash)]
pub struct WarehouseId(String);

/// How an order is paid.
#[derive(Shape, Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum PaymentMethod {
    /// The bank answers at once.
    Card,
    /// The customer is sent an invoice.
    Invoice,
}

/// Money, in cents of a US dollar.
#[derive(Id, Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cents(i64);

impl Cents {
    /// The amount as a number of cents.
    pub fn get(self) -> i64 {
        self.0
    }

    /// Whether nothing is to be paid.
    pub fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// The amount as dollars and cents, such as `2500315.63`.
    pub fn dollars(self) -> Dollars {
        Dollars(self.0)
    }
}

/// An amount in a currency. The shop takes dollars so far.
#[derive(Shape, Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub struct Money {
    pub cents: Cents,
    pub currency: Currency,
}

/// What is paid with.
#[derive(Shape, Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "UPPERCASE")]
pub enum Currency {
    Usd,
}

impl From<Cents> for Money {
    fn from(cents: Cents) -> Self {
        Self { cents, currency: Currency::Usd }
    }
}

/// Such as `11.77 USD`.
impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cents, currency: Currency::Usd } = self;
        write!(f, "{} USD", cents.dollars())
    }
}

/// Shows cents as dollars.
pub struct Dollars(i64);

impl fmt::Display for Dollars {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let cents = self.0.unsigned_abs();
        write!(f, "{sign}{}.{:02}", cents / 100, cents % 100)
    }
}

/// A number with its thousands set apart, such as `2,500,315.63`, for people.
pub fn grouped(number: impl fmt::Display) -> String {
    let text = number.to_string();
    let whole = text.find('.').unwrap_or(text.len());
    let mut grouped = String::new();
    for (at, character) in text.char_indices() {
        if at > 0 && at < whole && (whole - at).is_multiple_of(3) && !grouped.ends_with('-') {
            grouped.push(',');
        }
        grouped.push(character);
    }
    grouped
}

/// The day as `yyyy-mm-dd`, which sorts as text.
pub fn day_text(day: Date) -> String {
    day.to_string()
}

/// The warehouses; each customer is served by one of them.
pub const WAREHOUSES: u32 = 16;

/// The warehouse that serves the customer.
pub fn warehouse_of(customer: &CustomerId) -> WarehouseId {
    let number: u32 =
        customer.to_string().bytes().fold(0, |hash: u32, byte| hash.wrapping_mul(31).wrapping_add(byte.into()));
    WarehouseId::from(format!("w{:02}", number % WAREHOUSES))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_set_apart() {
        let of = |cents| grouped(Cents::from(cents).dollars());
        assert_eq!(
            (of(250_031_563), of(99_999), of(-100_000)),
            ("2,500,315.63".into(), "999.99".into(), "-1,000.00".into())
        );
        assert_eq!(
            (grouped(0), grouped(999), grouped(1000), grouped(-123)),
            ("0".into(), "999".into(), "1,000".into(), "-123".into())
        );
    }
}

//! Dynamic prices: what was displayed is what is paid, if that price is valid, or was until a few minutes ago.

use std::collections::HashMap;

use recount_core::{Context, Decision, Event, EventType, NameError, Query, QueryItem, Tag};
use recount_testing::given_events;

use super::{minute, minutes};

const GRACE: i64 = 10;

#[derive(Event, Clone, Debug, PartialEq)]
#[event(name = "product")]
pub(crate) enum ProductEvent {
    Defined {
        #[event(tag)]
        product: String,
        price: u32,
        at: i64,
    },
    PriceChanged {
        #[event(tag)]
        product: String,
        price: u32,
        at: i64,
    },
    Ordered {
        #[event(tag = "product")]
        products: Vec<String>,
        prices: Vec<u32>,
    },
}

#[derive(Debug, PartialEq, thiserror::Error)]
#[error("{price} is not a valid price of {product}")]
pub(crate) struct InvalidPrice {
    product: &'static str,
    price: u32,
}

/// A cart: products and the prices that were displayed for them.
struct Order(Vec<(&'static str, u32)>);

impl Decision for Order {
    type Event = ProductEvent;
    /// The prices of each product and since when they are valid.
    type State = HashMap<String, Vec<(u32, i64)>>;
    type Error = InvalidPrice;

    fn boundary(&self) -> Result<Query, NameError> {
        let mut items = Vec::new();
        for (product, _) in &self.0 {
            // Prices matter; orders of the same product don't.
            let item = QueryItem::default().tag(Tag::pair("product", product)?);
            let item = item.event_type(EventType::new("product.defined")?);
            items.push(item.event_type(EventType::new("product.price_changed")?));
        }
        Ok(Query { items })
    }
    fn apply(&self, prices: &mut Self::State, event: &ProductEvent) {
        match event {
            ProductEvent::Defined { product, price, at } | ProductEvent::PriceChanged { product, price, at } => {
                prices.entry(product.clone()).or_default().push((*price, *at));
            }
            ProductEvent::Ordered { .. } => unreachable!("the boundary does not select orders"),
        }
    }
    fn decide(&self, prices: &Self::State, context: &Context<'_>) -> Result<Vec<ProductEvent>, InvalidPrice> {
        let now = minutes(context.now);
        for &(product, displayed) in &self.0 {
            let prices = prices.get(product).map_or(&[][..], Vec::as_slice);
            let replaced = |n: usize| prices.get(n + 1).map(|(_, at)| *at);
            let valid = |n: usize| replaced(n).is_none_or(|at| now <= at + GRACE);
            if !prices.iter().enumerate().any(|(n, (price, _))| *price == displayed && valid(n)) {
                return Err(InvalidPrice { product, price: displayed });
            }
        }
        Ok(vec![ordered(&self.0)])
    }
}

fn defined(product: &str, price: u32, at: i64) -> ProductEvent {
    ProductEvent::Defined { product: product.into(), price, at }
}

fn changed(product: &str, price: u32, at: i64) -> ProductEvent {
    ProductEvent::PriceChanged { product: product.into(), price, at }
}

fn ordered(items: &[(&str, u32)]) -> ProductEvent {
    let (products, prices) = items.iter().map(|(product, price)| ((*product).to_owned(), *price)).unzip();
    ProductEvent::Ordered { products, prices }
}

/// Now, and so many minutes before.
const NOW: i64 = 1000;

#[test]
fn cases_28_to_31_the_displayed_price_must_be_the_price() {
    let given = given_events([defined("p1", 123, NOW)]).at(minute(NOW));
    given.clone().when(Order(vec![("p1", 100)])).then_error(InvalidPrice { product: "p1", price: 100 });
    given.when(Order(vec![("p1", 123)])).then([ordered(&[("p1", 123)])]);
}

#[test]
fn case_32_a_price_that_never_was_valid_is_refused() {
    let given = given_events([defined("p1", 123, 0), changed("p1", 134, NOW - 5)]).at(minute(NOW));
    given.when(Order(vec![("p1", 100)])).then_error(InvalidPrice { product: "p1", price: 100 });
}

#[test]
fn case_33_a_price_that_was_changed_long_ago_is_refused() {
    let given = given_events([defined("p1", 123, 0), changed("p1", 134, NOW - 20)]).at(minute(NOW));
    given.when(Order(vec![("p1", 123)])).then_error(InvalidPrice { product: "p1", price: 123 });
}

#[test]
fn case_34_a_first_price_stays_valid() {
    let given = given_events([defined("p1", 123, NOW - 20)]).at(minute(NOW));
    given.when(Order(vec![("p1", 123)])).then([ordered(&[("p1", 123)])]);
}

#[test]
fn cases_35_and_36_after_a_change_both_prices_are_valid_for_a_while() {
    let given = given_events([defined("p1", 123, 0), changed("p1", 134, NOW - 9)]).at(minute(NOW));
    given.clone().when(Order(vec![("p1", 123)])).then([ordered(&[("p1", 123)])]);
    given.when(Order(vec![("p1", 134)])).then([ordered(&[("p1", 134)])]);
}

#[test]
fn cases_37_to_40_hold_for_a_cart_as_a_whole() {
    let long_ago = given_events([defined("p1", 123, 0), defined("p2", 50, 0), changed("p1", 134, NOW - 20)]);
    let recently = given_events([defined("p1", 123, 0), defined("p2", 50, 0), changed("p1", 134, NOW - 9)]);
    let cart = |price| Order(vec![("p2", 50), ("p1", price)]);
    let accepted = |price| [ordered(&[("p2", 50), ("p1", price)])];
    let refused = |price| InvalidPrice { product: "p1", price };
    long_ago.clone().at(minute(NOW)).when(cart(100)).then_error(refused(100));
    long_ago.clone().at(minute(NOW)).when(cart(123)).then_error(refused(123));
    long_ago.at(minute(NOW)).when(cart(134)).then(accepted(134));
    recently.clone().at(minute(NOW)).when(cart(123)).then(accepted(123));
    let first = given_events([defined("p1", 123, 0), defined("p2", 50, 0)]).at(minute(NOW));
    first.when(cart(123)).then(accepted(123));
}

#[test]
fn case_41_two_products_are_ordered_in_one_event() {
    given_events([
        defined("p1", 123, 0),
        defined("p2", 321, 0),
        changed("p1", 100, NOW - 20),
        changed("p2", 330, NOW - 9),
    ])
    .at(minute(NOW))
    .when(Order(vec![("p1", 100), ("p2", 321)]))
    .then([ordered(&[("p1", 100), ("p2", 321)])]);
}

//! Events that are locked, and then changed in every way.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use recount::{Event, Id, Shape};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use values::Money;

/// An order.
#[derive(Id)]
pub struct OrderId(String);

#[derive(Event)]
#[event(name = "order")]
pub enum OrderEvent {
    /// Somebody ordered.
    Placed {
        order: OrderId,
        lines: Vec<Line>,
        sent_to: Address,
        paid: Payment,
        total: Money,
        note: Option<String>,
        #[serde(default)]
        gift: bool,
        cell: (i32, String),
        labels: BTreeMap<String, String>,
        #[serde(flatten)]
        source: Source,
        #[serde(alias = "colour")]
        color: [u8; 3],
    },
    Packed(Parcel),
    Moved(u32, u32),
    #[event(version = 2, upcast(cancelled_v1))]
    Cancelled { reason: String },
    Returned {},
}

pub fn cancelled_v1(reason: String) -> OrderEvent {
    OrderEvent::Cancelled { reason }
}

#[derive(Shape, Serialize, Deserialize, JsonSchema)]
pub struct Line {
    sku: String,
    count: u32,
}

#[derive(Shape, Serialize, Deserialize, JsonSchema)]
pub struct Address {
    street_name: String,
    zip: Option<String>,
    place: Place,
}

#[derive(Shape, Serialize, Deserialize, JsonSchema)]
pub struct Place {
    point: Point,
}

#[derive(Shape, Serialize, Deserialize, JsonSchema)]
pub struct Point {
    lat: f64,
    lon: f64,
}

#[derive(Shape, Serialize, Deserialize, JsonSchema)]
pub enum Payment {
    Cash,
    Card { number: String },
    Transfer(String),
}

#[derive(Shape, Serialize, Deserialize, JsonSchema)]
pub struct Source {
    channel: String,
}

#[derive(Shape, Serialize, Deserialize, JsonSchema)]
pub struct Parcel(u32, String);

pub type Unused = (BTreeSet<u8>, VecDeque<u8>);

extern crate recount_core as recount;

use std::collections::{BTreeMap, HashMap};

use recount::{Event, Shape};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Shape, Serialize, Deserialize, JsonSchema, PartialEq, Eq, Hash)]
struct Place {
    row: u8,
    column: u8,
}

#[derive(Shape, Serialize, Deserialize, JsonSchema, PartialEq, Eq, PartialOrd, Ord)]
enum Day {
    Monday,
}

#[derive(Event)]
#[event(name = "a")]
struct A {
    pairs: Vec<BTreeMap<(u8, u8), String>>,
    places: HashMap<Place, String>,
    fine: BTreeMap<Day, BTreeMap<u8, String>>,
}

fn main() {}

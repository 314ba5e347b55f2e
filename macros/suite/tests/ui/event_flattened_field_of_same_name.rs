extern crate recount_core as recount;

use recount::{Event, Shape};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Shape, Serialize, Deserialize, JsonSchema)]
struct Named {
    id: u8,
    name: String,
}

#[derive(Shape, Serialize, Deserialize, JsonSchema)]
struct Outer {
    #[serde(flatten)]
    named: Named,
}

#[derive(Event)]
#[event(name = "a")]
struct A {
    id: u8,
    #[serde(flatten)]
    outer: Outer,
}

#[derive(Event)]
#[event(name = "b")]
struct Fine {
    #[serde(rename = "own_id")]
    id: u8,
    #[serde(flatten)]
    outer: Outer,
}

fn main() {}

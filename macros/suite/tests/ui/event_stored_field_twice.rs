extern crate recount_core as recount;

use recount::{Event, Shape};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Event)]
#[event(name = "a")]
enum A {
    B {
        id: u8,
        #[serde(rename = "id")]
        other: u8,
        #[serde(alias = "id")]
        third: u8,
    },
    C {
        #[serde(rename(serialize = "w", deserialize = "r"))]
        both: u8,
        #[serde(rename(serialize = "x", deserialize = "y"), alias = "x")]
        fine: u8,
    },
}

#[derive(Shape, Serialize, Deserialize, JsonSchema)]
enum D {
    #[serde(rename(serialize = "e"))]
    E,
    F,
    #[serde(rename = "F")]
    G,
}

fn main() {}

extern crate recount_core as recount;

use recount::{Event, Shape};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Event)]
#[event(name = "a")]
enum A {
    B {
        #[serde(skip_serializing_if = "Vec::is_empty")]
        list: Vec<u8>,
        #[serde(skip_serializing)]
        dropped: u8,
        #[serde(skip_serializing_if = "Option::is_none")]
        fine: Option<u8>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        fine_too: Vec<u8>,
    },
}

#[derive(Shape, Serialize, Deserialize, JsonSchema)]
struct C {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    list: Vec<u8>,
}

fn main() {}

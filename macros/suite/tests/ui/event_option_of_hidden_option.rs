extern crate recount_core as recount;

use recount::{Event, Shape};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Shape, Serialize, Deserialize, JsonSchema)]
struct Maybe(Option<u8>);

#[derive(Shape, Serialize, Deserialize, JsonSchema)]
struct Nothing;

#[derive(Event)]
#[event(name = "a")]
struct A {
    hidden: Vec<Option<Maybe>>,
    fine: Vec<Maybe>,
}

#[derive(Shape, Serialize, Deserialize, JsonSchema)]
struct B(Option<Nothing>);

fn main() {}

extern crate recount_core as recount;

use recount::{Event, Shape};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use std::collections::BTreeMap;

#[derive(Shape, Serialize, Deserialize, JsonSchema)]
struct Rates {
    by_year: BTreeMap<u16, String>,
}

#[derive(Shape, Serialize, Deserialize, JsonSchema)]
struct Wide {
    supply: Option<u128>,
}

#[derive(Event)]
#[event(name = "a")]
enum A {
    B {
        #[serde(flatten)]
        rates: Rates,
    },
    C {
        #[serde(flatten)]
        wide: Wide,
    },
    Fine {
        rates: Rates,
        #[serde(flatten)]
        rest: BTreeMap<String, u64>,
    },
}

fn main() {}

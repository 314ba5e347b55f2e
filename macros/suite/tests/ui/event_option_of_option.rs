extern crate recount_core as recount;

use recount::{Event, Shape};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Event)]
#[event(name = "a")]
struct A {
    twice: Option<Option<u8>>,
    listed: Vec<(u8, Option<()>)>,
    fine: Option<Vec<Option<u8>>>,
    #[serde(default, with = "told_apart")]
    #[schemars(with = "Option<u8>")]
    fine_too: Option<Option<u8>>,
}

#[derive(Shape, Serialize, Deserialize, JsonSchema)]
enum C {
    D(Option<Option<u8>>),
}

mod told_apart {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<S: Serializer>(value: &Option<Option<u8>>, serializer: S) -> Result<S::Ok, S::Error> {
        value.serialize(serializer)
    }
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<u8>>, D::Error> {
        Option::deserialize(deserializer).map(Some)
    }
}

fn main() {}

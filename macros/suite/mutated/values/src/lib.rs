//! Value types of another crate.

use recount::Shape;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An amount.
#[derive(Shape, Serialize, Deserialize, JsonSchema)]
#[schemars(crate = "schemars")]
pub struct Money {
    pub cents: i64,
    pub currency: Currency,
}

#[derive(Shape, Serialize, Deserialize, JsonSchema)]
pub enum Currency {
    Usd,
    Eur,
}

//! What the shop records and can be asked for: `cargo run -p shop -- catalogue DIR`.

use recount::catalogue::{Catalogue, CatalogueError};

use crate::analytics::Sales;
use crate::inventory::{StockLevels, Warehouse};
use crate::notification::Notifications;
use crate::order::{Order, OrderEvent};
use crate::payment::{Payment, PaymentEvent};
use crate::user::Customer;

/// All of it.
pub fn of_the_shop() -> Result<Catalogue, CatalogueError> {
    let lock = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/schemas/lock.json"));
    Ok(Catalogue::new("The shop")
        .lock(lock)?
        .aggregate::<Customer>()
        .aggregate::<Order>()
        .aggregate::<Payment>()
        .aggregate::<Warehouse>()
        .listener::<OrderEvent>("payments")
        .listener::<PaymentEvent>("shipping")
        .projection::<Sales>()
        .projection::<StockLevels>()
        .projection::<Notifications>())
}

//! The catalogue of the shop's events and commands, and of the messages between its services:
//! `cargo run -p shop -- catalogue DIR`.

use recount::catalogue::{Catalogue, CatalogueError};
use recount::{BoxError, InMemory, ProcessDefinition};

use crate::analytics::Sales;
use crate::customers::Customers;
use crate::fulfilment::{Fulfilment, FulfilmentFact, Input};
use crate::inventory::{StockLevels, Warehouse};
use crate::notification::{Notification, Notifications};
use crate::order::Order;
use crate::payment::Payment;
use crate::services::manifests;
use crate::tables::{Tables, Value};
use crate::user::Customer;

/// All of it.
pub fn of_the_shop() -> anyhow::Result<Catalogue> {
    let manifests = manifests("shop", &Nowhere, &InMemory::new())?;
    let messages = messages()?.channel_binding("amqp", recount::rabbitmq::channel_binding);
    #[cfg(feature = "kafka")]
    let messages = messages.channel_binding("kafka", recount::kafka::channel_binding);
    #[cfg(feature = "aws")]
    let messages = messages.channel_binding("sns", recount::aws::channel_binding);
    Ok(manifests.iter().fold(messages, Catalogue::service))
}

fn messages() -> Result<Catalogue, CatalogueError> {
    let lock = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/schemas/lock.json"));
    Ok(Catalogue::new("The shop")
        .version(env!("CARGO_PKG_VERSION"))
        .lock(lock)?
        .aggregate::<Customer>()
        .aggregate::<Order>()
        .aggregate::<Payment>()
        .aggregate::<Warehouse>()
        .aggregate::<Notification>()
        .listener::<Input>(Fulfilment::NAME)
        .listener::<FulfilmentFact>(Fulfilment::NAME)
        .reaction(&Customers::Answering)
        .projection(&Sales(Nowhere))
        .projection(&StockLevels(Nowhere))
        .projection(&Notifications(Nowhere)))
}

/// The catalogue describes projections that write nothing.
#[derive(Clone)]
struct Nowhere;

impl Tables for Nowhere {
    type ReadModel = InMemory;

    async fn run<const N: usize>(&self, (): &mut (), sql: &str, _: [Value; N]) -> Result<(), BoxError> {
        Err(format!("there are no tables for {sql:?}").into())
    }
}

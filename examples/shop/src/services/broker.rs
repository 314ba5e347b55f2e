//! The connection to the broker.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use recount::messaging::{Broker, Plan};
use recount::redacted;

/// The address of the broker in this process.
pub const IN_PROCESS: &str = "inprocess://";
/// How long a service waits for the broker before it says so again.
const PAUSE: Duration = Duration::from_secs(1);

/// Connects to the broker at this address. Until it can be reached, it is tried again.
pub async fn connect(url: &str) -> Result<Arc<dyn Broker>> {
    loop {
        match recount::broker::connect(url).await {
            Ok(broker) => return Ok(broker),
            Err(error) if error.is_transient() => tracing::warn!(%error, "can't connect to the broker; trying again"),
            Err(error) => return Err(error).with_context(|| cannot_connect(url)),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Fails if no service can ever connect to the broker at this address, such as one with a wrong parameter.
pub async fn check(url: &str) -> Result<()> {
    match recount::broker::connect(url).await {
        Ok(broker) => broker.close(PAUSE).await,
        // The services try again.
        Err(error) if error.is_transient() => {}
        Err(error) => return Err(error).with_context(|| cannot_connect(url)),
    }
    Ok(())
}

fn cannot_connect(url: &str) -> String {
    format!("can't connect to the broker {}", redacted(url))
}

/// Declares the topics and groups of a plan. Until the broker can be reached, it is tried again.
pub async fn declare(broker: &dyn Broker, plan: &Plan) -> Result<()> {
    loop {
        match broker.ensure(plan, false).await {
            Ok(changes) => {
                changes.iter().for_each(|change| tracing::info!("{change}"));
                return Ok(());
            }
            Err(error) if error.is_transient() => tracing::warn!(%error, "can't declare the topics; trying again"),
            Err(error) => return Err(error).context("can't declare the topics of the shop"),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

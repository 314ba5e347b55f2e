//! The connection to the broker.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use recount::nats::NatsBroker;
use recount::redacted;
use recount_messaging::{Broker, BrokerError, InProcess, Plan};

/// The address of the broker in this process.
pub const IN_PROCESS: &str = "inprocess://";
/// How long a service waits for the broker before it says so again.
const PAUSE: Duration = Duration::from_secs(1);

/// Connects to the broker at this address. Until it can be reached, it is tried again.
pub async fn connect(url: &str) -> Result<Arc<dyn Broker>> {
    loop {
        match connected(url).await {
            Ok(broker) => return Ok(broker),
            Err(error) => match error.downcast_ref::<BrokerError>() {
                Some(cause) if cause.is_transient() => tracing::warn!("{error:#}; trying again"),
                _ => return Err(error),
            },
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn connected(url: &str) -> Result<Arc<dyn Broker>> {
    let context = || format!("can't connect to the broker {}", redacted(url));
    Ok(match url.split_once("://").map(|(scheme, _)| scheme) {
        Some("inprocess") => Arc::new(InProcess::new()),
        Some("nats" | "tls") => Arc::new(NatsBroker::connect(url).await.with_context(context)?),
        _ => bail!("{} is no broker: write nats://HOST, amqp://HOST/VHOST, or {IN_PROCESS}", context()),
    })
}

/// Declares what the shop needs. Until the broker can be reached, it is tried again.
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

//! Connecting to a message broker by its address.

use std::sync::Arc;

use recount_messaging::{Broker, BrokerError, InProcess};

use crate::{ConnectError, redacted};

/// Connects to the broker at this address. For other settings connect by the broker's own type.
///
/// | address | broker |
/// |---|---|
/// | `inprocess://` | in this process, in memory: its messages are gone with the process |
/// | `inprocess://STORE` | in this process, as durable as the store at this [`Address`](crate::Address), such as `inprocess://sqlite://broker.db` ([`InProcess::durable`]) |
/// | `nats://[USER:PASSWORD@]HOST[:PORT]` | NATS `JetStream`, with the feature `nats` |
/// | `pulsar://[TOKEN@]HOST[:PORT][/TENANT/NAMESPACE][?admin=http://HOST:PORT]`, `pulsar+ssl://…` | Apache Pulsar, with the feature `pulsar` |
/// | `amqp://[USER:PASSWORD@]HOST[:PORT]/VHOST` | `RabbitMQ`, with the feature `rabbitmq` |
/// | `sqs://[ACCESS_KEY:SECRET@]REGION/ACCOUNT` | Amazon SQS and SNS, with the feature `aws` |
/// | `pubsub://PROJECT[?credentials=FILE]` | Google Cloud Pub/Sub, with the feature `google` |
/// | `kafka://[USER:PASSWORD@]HOST[:PORT]` | Kafka, with the feature `kafka` |
///
/// # Errors
/// [`BrokerError::Invalid`] if the address is none, or of a broker or store that this build leaves out; otherwise the
/// broker's. It never shows a password.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// let broker = recount::broker::connect("inprocess://").await?;
/// broker.health().await?;
/// # #[cfg(feature = "sqlite")] {
/// # let directory = tempfile::TempDir::new()?;
/// # let file = directory.path().join("broker.db").display().to_string();
/// let durable = recount::broker::connect(&format!("inprocess://sqlite://{file}")).await?;
/// durable.health().await?;
/// # durable.close(std::time::Duration::from_secs(5)).await;
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(()) })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub async fn connect(url: &str) -> Result<Arc<dyn Broker>, BrokerError> {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", ""));
    match scheme {
        "inprocess" if rest.is_empty() => Ok(Arc::new(InProcess::new())),
        "inprocess" => durable(rest).await,
        #[cfg(feature = "aws")]
        "sqs" => Ok(Arc::new(crate::aws::AwsBroker::connect(url).await?)),
        #[cfg(feature = "nats")]
        "nats" | "tls" => Ok(Arc::new(crate::nats::NatsBroker::connect(url).await?)),
        #[cfg(feature = "pulsar")]
        "pulsar" | "pulsar+ssl" => Ok(Arc::new(crate::pulsar::PulsarBroker::connect(url).await?)),
        #[cfg(feature = "rabbitmq")]
        "amqp" | "amqps" => Ok(Arc::new(crate::rabbitmq::RabbitBroker::connect(url).await?)),
        #[cfg(feature = "google")]
        "pubsub" => Ok(Arc::new(crate::google::GoogleBroker::connect(url).await?)),
        #[cfg(feature = "kafka")]
        "kafka" => Ok(Arc::new(crate::kafka::KafkaBroker::connect(url).await?)),
        #[cfg(not(feature = "aws"))]
        "sqs" => Err(left_out(scheme, "aws")),
        #[cfg(not(feature = "nats"))]
        "nats" | "tls" => Err(left_out(scheme, "nats")),
        #[cfg(not(feature = "pulsar"))]
        "pulsar" | "pulsar+ssl" => Err(left_out(scheme, "pulsar")),
        #[cfg(not(feature = "rabbitmq"))]
        "amqp" | "amqps" => Err(left_out(scheme, "rabbitmq")),
        #[cfg(not(feature = "google"))]
        "pubsub" => Err(left_out(scheme, "google")),
        #[cfg(not(feature = "kafka"))]
        "kafka" => Err(left_out(scheme, "kafka")),
        _ => Err(invalid(
            scheme,
            "write inprocess://, nats://, amqp://, kafka://, pulsar://, sqs:// or pubsub://".to_owned(),
        )),
    }
}

/// The broker in the store at this address.
async fn durable(store: &str) -> Result<Arc<dyn Broker>, BrokerError> {
    let recount = crate::connect(store).await.map_err(|error| match error {
        ConnectError::Store(error) if !error.is_transient() => {
            BrokerError::Failed { operation: "connect", source: error.into() }
        }
        ConnectError::Store(error) => BrokerError::Unavailable { operation: "connect", source: error.into() },
        address => BrokerError::Invalid {
            kind: "address of a broker's store",
            value: redacted(store),
            cure: format!("{address}; write inprocess://sqlite://FILE, or inprocess:// without a store"),
        },
    })?;
    Ok(Arc::new(InProcess::durable(recount.store().clone()).await?))
}

#[cfg(not(all(
    feature = "aws",
    feature = "google",
    feature = "kafka",
    feature = "nats",
    feature = "pulsar",
    feature = "rabbitmq"
)))]
fn left_out(scheme: &str, feature: &str) -> BrokerError {
    invalid(scheme, format!("this build has no such broker: add the feature `{feature}` to the dependency on recount"))
}

/// Shows the scheme alone: the rest may hold a password.
fn invalid(scheme: &str, cure: String) -> BrokerError {
    let value = scheme.chars().take(32).collect();
    BrokerError::Invalid { kind: "scheme of a broker's address", value, cure }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_wrong_address_is_refused_without_its_secrets() {
        for url in ["redis://ada:s3cret@host", "ada:s3cret@host", "", "inprocess://nats://ada:s3cret@host"] {
            let Err(error) = connect(url).await else { panic!("{url} is an address") };
            let text = format!("{error} {error:?}");
            assert!(!text.contains("s3cret") && text.contains("inprocess://"), "{text}");
        }
    }
}

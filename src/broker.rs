//! Connecting to a message broker by its address.

use std::sync::Arc;

use recount_messaging::{Broker, BrokerError};

/// Connects to the broker at this address: `inprocess://`, or with the features `nats` and `rabbitmq`
/// `nats://user:password@host:4222` and `amqp://user:password@host:5672/vhost`. For other settings connect by the broker's
/// own type.
///
/// # Errors
/// [`BrokerError::Invalid`] if the address is none, or of a broker that this build leaves out; otherwise the broker's. It
/// never shows a password.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// let broker = recount::broker::connect("inprocess://").await?;
/// broker.health().await?;
/// # Ok::<(), Box<dyn std::error::Error>>(()) })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub async fn connect(url: &str) -> Result<Arc<dyn Broker>, BrokerError> {
    let scheme = url.split_once("://").map_or("", |(scheme, _)| scheme);
    match scheme {
        "inprocess" => Ok(Arc::new(recount_messaging::InProcess::new())),
        #[cfg(feature = "nats")]
        "nats" | "tls" => Ok(Arc::new(crate::nats::NatsBroker::connect(url).await?)),
        #[cfg(feature = "rabbitmq")]
        "amqp" | "amqps" => Ok(Arc::new(crate::rabbitmq::RabbitBroker::connect(url).await?)),
        #[cfg(not(feature = "nats"))]
        "nats" | "tls" => Err(left_out(scheme, "nats")),
        #[cfg(not(feature = "rabbitmq"))]
        "amqp" | "amqps" => Err(left_out(scheme, "rabbitmq")),
        _ => Err(invalid(scheme, "write inprocess://, nats://HOST:PORT or amqp://HOST:PORT".to_owned())),
    }
}

#[cfg(not(all(feature = "nats", feature = "rabbitmq")))]
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
        for url in ["redis://ada:s3cret@host", "ada:s3cret@host", ""] {
            let Err(error) = connect(url).await else { panic!("{url} is an address") };
            let text = format!("{error} {error:?}");
            assert!(!text.contains("s3cret") && text.contains("nats://"), "{text}");
        }
    }
}

//! The address of a server and the settings of the adapter.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use lapin::tcp::OwnedTLSConfig;
use lapin::uri::{AMQPAuthority, AMQPQueryString, AMQPScheme, AMQPUri, AMQPUserInfo};
use percent_encoding::percent_decode_str;
use recount_core::redacted;
use recount_messaging::{BrokerError, MAX_CALL_TIMEOUT, address, read_certificates};

use crate::RabbitBroker;

/// How to write an address.
const CURE: &str = "write amqp://user:password@host:port/vhost, with %XX for special characters";

/// The address of a server and the settings of the adapter. `Debug` shows no user, password or parameter.
#[derive(Clone)]
#[must_use]
pub struct RabbitOptions {
    pub(crate) uri: AMQPUri,
    pub(crate) tls: OwnedTLSConfig,
    root_certificates: Option<PathBuf>,
    /// The address without secrets.
    pub(crate) shown: Arc<str>,
    pub(crate) call_timeout: Duration,
    pub(crate) prefetch: u16,
    pub(crate) delivery_limit: u32,
    /// `None`: the smallest default of the servers' versions.
    pub(crate) max_message: Option<usize>,
}

impl RabbitOptions {
    /// The options for an address: `amqp://user:password@host:port/vhost`, or `amqps://` for TLS. Without a user it is
    /// `guest`, without a virtual host `/`. The parameters `heartbeat` and `timeout` in seconds, `prefetch`,
    /// `delivery-limit` and `max-message` do the same as the methods of these names, and `ca` as
    /// [`root_certificates`](Self::root_certificates).
    ///
    /// # Errors
    /// [`BrokerError::Invalid`] if it is no address.
    pub fn new(url: &str) -> Result<Self, BrokerError> {
        let invalid = |cure: &str| BrokerError::Invalid {
            kind: "address of a RabbitMQ",
            value: redacted(url),
            cure: cure.into(),
        };
        let (address, parameters) = url.split_once('?').unwrap_or((url, ""));
        let uri = parse(address).ok_or_else(|| invalid(CURE))?;
        let mut this = Self {
            uri,
            tls: OwnedTLSConfig::default(),
            root_certificates: None,
            shown: redacted(url).into(),
            call_timeout: Duration::from_secs(10),
            prefetch: 100,
            delivery_limit: 100_000,
            max_message: None,
        }
        .heartbeat(Duration::from_secs(5));
        for parameter in address::parameters(parameters) {
            let (name, value) = parameter.map_err(|cure| invalid(&cure))?;
            if name == "ca" {
                this = this.root_certificates(value);
                continue;
            }
            let number: u32 = value.parse().map_err(|_| invalid("a parameter's value is a whole number"))?;
            this = this.parameter(name, number).ok_or_else(|| {
                invalid("the parameters are ca, heartbeat, timeout, prefetch, delivery-limit and max-message; numbers are above 0")
            })?;
        }
        Ok(this)
    }

    fn parameter(self, name: &str, number: u32) -> Option<Self> {
        let seconds = Duration::from_secs(number.into());
        match name {
            _ if number == 0 => None,
            "heartbeat" => Some(self.heartbeat(seconds)),
            "timeout" => Some(self.call_timeout(seconds)),
            "prefetch" => Some(self.prefetch(u16::try_from(number).ok()?)),
            "delivery-limit" => Some(self.delivery_limit(number)),
            "max-message" => Some(self.max_message(usize::try_from(number).ok()?)),
            _ => None,
        }
    }

    /// Sets how long the server may take to answer one request, an hour at most. 10 seconds unless set.
    pub fn call_timeout(self, limit: Duration) -> Self {
        Self { call_timeout: limit.min(MAX_CALL_TIMEOUT), ..self }
    }

    /// Sets after how long without a sign of the server a connection is lost, in whole seconds. 5 seconds unless set.
    pub fn heartbeat(mut self, interval: Duration) -> Self {
        self.uri.query.heartbeat = Some(u16::try_from(interval.as_secs()).unwrap_or(u16::MAX).max(1));
        self
    }

    /// Sets how many messages of a lane are fetched and not settled at most. 100 unless set. A release and a lost connection
    /// count as a delivery of all of them.
    pub fn prefetch(self, messages: u16) -> Self {
        Self { prefetch: messages.max(1), ..self }
    }

    /// Sets after how many deliveries the server moves a message to the dead letters. 100,000 unless set; it must be far
    /// above the attempts of handlers, since releases and lost connections count for messages that were only fetched. All services that declare a group must agree on it.
    pub fn delivery_limit(self, deliveries: u32) -> Self {
        Self { delivery_limit: deliveries.max(1), ..self }
    }

    /// Sets the greatest body of a message in bytes, as `max_message_size` of the server. 16 MiB unless set.
    pub fn max_message(self, bytes: usize) -> Self {
        Self { max_message: Some(bytes), ..self }
    }

    /// Trusts the certificates of this PEM file instead of the system's, for an `amqps` server.
    pub fn root_certificates(self, file: impl Into<PathBuf>) -> Self {
        Self { root_certificates: Some(file.into()), ..self }
    }

    /// Connects.
    ///
    /// # Errors
    /// [`BrokerError::Invalid`] if the file of certificates has none; [`BrokerError`] if the server can't be reached or refuses
    /// the credentials.
    pub async fn connect(mut self) -> Result<RabbitBroker, BrokerError> {
        if let Some(file) = &self.root_certificates {
            let pem = read_certificates(file)?;
            self.tls.cert_chain = Some(String::from_utf8_lossy(&pem).into_owned());
        }
        RabbitBroker::open(self).await
    }
}

impl fmt::Debug for RabbitOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RabbitOptions")
            .field("address", &self.shown)
            .field("call_timeout", &self.call_timeout)
            .field("prefetch", &self.prefetch)
            .field("delivery_limit", &self.delivery_limit)
            .finish_non_exhaustive()
    }
}

/// The parts of an address without its parameters.
fn parse(url: &str) -> Option<AMQPUri> {
    let (scheme, rest) = url.split_once("://")?;
    let scheme = match scheme {
        "amqp" => AMQPScheme::AMQP,
        "amqps" => AMQPScheme::AMQPS,
        _ => return None,
    };
    let (authority, vhost) = rest.split_once('/').unwrap_or((rest, ""));
    let (credentials, place) = authority.rsplit_once('@').unwrap_or(("guest:guest", authority));
    let (username, password) = credentials.split_once(':').unwrap_or((credentials, ""));
    let (host, port) = address::server(place).filter(|_| !vhost.contains('/'))?;
    let (host, port) = (host.trim_matches(['[', ']']).to_owned(), port.unwrap_or(scheme.default_port()));
    let userinfo = AMQPUserInfo { username: decode(username)?, password: decode(password)? };
    let authority = AMQPAuthority { userinfo, host, port };
    let vhost = if vhost.is_empty() { "/".to_owned() } else { decode(vhost)? };
    // The name travels as a short string, and the driver panics on a longer one.
    (vhost.len() <= 255).then_some(AMQPUri { scheme, authority, vhost, query: AMQPQueryString::default() })
}

fn decode(text: &str) -> Option<String> {
    percent_decode_str(text).decode_utf8().ok().map(|text| text.into_owned())
}

#[cfg(test)]
mod tests {
    use super::RabbitOptions;

    #[test]
    fn an_address_is_read_with_its_parts() {
        let options = RabbitOptions::new("amqp://a%40b:p%2Fw@[::1]:5673/%2f?heartbeat=7&prefetch=3").unwrap();
        assert_eq!(options.uri.authority.userinfo.username, "a@b");
        assert_eq!(options.uri.authority.userinfo.password, "p/w");
        assert_eq!((options.uri.authority.host.as_str(), options.uri.authority.port), ("::1", 5673));
        assert_eq!((options.uri.vhost.as_str(), options.uri.query.heartbeat, options.prefetch), ("/", Some(7), 3));
        let plain = RabbitOptions::new("amqps://host").unwrap();
        assert_eq!((plain.uri.authority.port, plain.uri.vhost.as_str()), (5671, "/"));
        assert_eq!(plain.uri.authority.userinfo.username, "guest");
    }

    #[test]
    fn what_is_no_address_is_refused_without_its_secrets() {
        for url in [
            "http://app:hunter2@host/",
            "amqp://app:hunter2@:1/",
            "amqp://app:hunter2@host:port/",
            "amqp://app:hunter2@host:0/",
            "amqp://app:hunter2@-host/",
            "amqp://app:hunter2@host..example/",
            "amqp://app:hunter2@host/a/b",
            "amqp://app:hunter2@host?prefetch=hunter2",
            "amqp://app:hunter2@host?colour=1",
            "amqp://app:hunt/er2@host:1/x",
            "amqp://app:hunter2@host?timeout=0",
        ] {
            let error = RabbitOptions::new(url).unwrap_err();
            let text = format!("{error} {error:?}");
            assert!(!text.contains("hunt") && !text.contains("er2") && text.contains("host"), "{text}");
        }
        assert!(!format!("{:?}", RabbitOptions::new("amqp://app:hunter2@host").unwrap()).contains("hunter2"));
    }
}

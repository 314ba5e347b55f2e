//! Clients of the library. Their calls block, and their end may take minutes while a server is frozen, so both happen on threads
//! of their own.

use std::num::NonZeroU16;
use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::config::{ClientConfig, FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::metadata::Metadata;
use recount_messaging::{BrokerError, Topic, TopicPattern, read_certificates};
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::error::{is_refusal, meaning};
use crate::options::{KafkaOptions, Mechanism};

/// How long one request for metadata may take before errors of the connection are looked at.
const ATTEMPT: Duration = Duration::from_millis(500);
/// After so long a server that can't be reached is down.
const DOWN: Duration = Duration::from_secs(3);
/// A topic that every server has or answers for.
const ANY_TOPIC: &str = "__consumer_offsets";

/// Runs a blocking call on a thread of its own, and waits this long for it. Afterwards the call goes on, and is forgotten.
pub(crate) async fn blocking<T: Send + 'static>(
    operation: &'static str,
    limit: Duration,
    call: impl FnOnce() -> T + Send + 'static,
) -> Result<T, BrokerError> {
    let answer = spawn(operation, call)?;
    match timeout(limit, answer).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(_)) => Err(BrokerError::Failed { operation, source: "the thread of the call has panicked".into() }),
        Err(_) => Err(BrokerError::TimedOut { operation, limit }),
    }
}

/// Runs a blocking call on a thread of its own.
pub(crate) fn spawn<T: Send + 'static>(
    operation: &'static str,
    call: impl FnOnce() -> T + Send + 'static,
) -> Result<oneshot::Receiver<T>, BrokerError> {
    let (answer, answered) = oneshot::channel();
    let thread = std::thread::Builder::new().name("kafka".to_owned()).spawn(move || drop(answer.send(call())));
    thread.map_err(|error| BrokerError::Failed { operation, source: error.into() })?;
    Ok(answered)
}

/// A value that is dropped on a thread of its own.
#[derive(Debug)]
pub(crate) struct DropElsewhere<T: Send + 'static>(Option<T>);

impl<T: Send + 'static> DropElsewhere<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(Some(value))
    }
}

impl<T: Send + 'static> Deref for DropElsewhere<T> {
    type Target = T;

    #[allow(clippy::expect_used, reason = "only `drop` takes the value")]
    fn deref(&self) -> &T {
        self.0.as_ref().expect("it is there until the drop")
    }
}

impl<T: Send + 'static> Drop for DropElsewhere<T> {
    fn drop(&mut self) {
        if let Some(value) = self.0.take() {
            // Without a thread the value is dropped here: the closure is dropped with it.
            let _ = spawn("disconnecting", move || drop(value));
        }
    }
}

/// Keeps the last error of a client, and its log out of the log of the program unless that asks for it.
#[derive(Debug, Default)]
pub(crate) struct Quiet(Mutex<Option<Code>>);

impl Quiet {
    fn note(&self, error: &KafkaError) {
        let code = error.rdkafka_error_code();
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A refusal is the reason for the errors that follow.
        if !last.is_some_and(is_final) {
            *last = code.or(*last);
        }
    }

    /// Takes the last error.
    pub(crate) fn take(&self) -> Option<Code> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Whether it will not be better at the next attempt.
fn is_final(code: Code) -> bool {
    is_refusal(code) || code == Code::SSL
}

impl ClientContext for Quiet {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "the Kafka client reports");
        self.note(&error);
    }
}

impl ConsumerContext for Quiet {}

/// Writes a line of the library's log.
pub(crate) fn log(level: RDKafkaLogLevel, facility: &str, message: &str) {
    tracing::debug!(?level, facility, message, "the Kafka client reports");
}

/// The settings of every client.
pub(crate) fn config(options: &KafkaOptions) -> Result<ClientConfig, BrokerError> {
    let mut config = ClientConfig::new();
    config.set_log_level(RDKafkaLogLevel::Warning);
    let mut set = |name: &str, value: &str| {
        config.set(name, value);
    };
    set("bootstrap.servers", &options.hosts.join(","));
    set("client.id", "recount");
    set("socket.keepalive.enable", "true");
    set("socket.nagle.disable", "true");
    set("socket.timeout.ms", "15000");
    // After an outage all go on within a second.
    set("reconnect.backoff.ms", "50");
    set("reconnect.backoff.max.ms", "1000");
    let protocol = match (options.tls, options.login.is_some()) {
        (false, false) => "plaintext",
        (true, false) => "ssl",
        (false, true) => "sasl_plaintext",
        (true, true) => "sasl_ssl",
    };
    set("security.protocol", protocol);
    let scram = options.login.is_some() && options.mechanism != Mechanism::Plain;
    if (options.tls || scram) && !cfg!(feature = "tls") {
        let ability = "encrypt or use SCRAM without the feature `tls`";
        return Err(BrokerError::Unsupported { system: "kafka", ability });
    }
    if let Some(login) = &options.login {
        let mechanism = match options.mechanism {
            Mechanism::Plain => "PLAIN",
            Mechanism::ScramSha256 => "SCRAM-SHA-256",
            Mechanism::ScramSha512 => "SCRAM-SHA-512",
        };
        set("sasl.mechanisms", mechanism);
        set("sasl.username", &login.user);
        set("sasl.password", &login.password);
    }
    if let Some(file) = &options.root_certificates {
        read_certificates(file)?;
        set("ssl.ca.location", &file.display().to_string());
    }
    if let Some((file, key)) = &options.client_certificate {
        set("ssl.certificate.location", &file.display().to_string());
        set("ssl.key.location", &key.display().to_string());
    }
    Ok(config)
}

/// Makes a client. Its settings are none of the error's.
pub(crate) fn create<C: ClientContext, T: FromClientConfigAndContext<C>>(
    config: &ClientConfig,
    context: C,
) -> Result<T, BrokerError> {
    config.create_with_context(context).map_err(|error| {
        // The texts about a setting may hold its value.
        let source = match error {
            KafkaError::ClientConfig(_, _, name, _) => format!("the setting {name} is refused").into(),
            error => error.into(),
        };
        BrokerError::Failed { operation: "connecting", source }
    })
}

/// A client for questions about the servers and topics, which creates none.
pub(crate) struct Probe {
    client: Arc<DropElsewhere<BaseConsumer<Quiet>>>,
    limit: Duration,
}

impl Probe {
    pub(crate) fn open(options: &KafkaOptions) -> Result<Self, BrokerError> {
        let client = create(&config(options)?, Quiet::default())?;
        Ok(Self { client: Arc::new(DropElsewhere::new(client)), limit: options.call_timeout })
    }

    /// Waits for an answer of a server.
    pub(crate) async fn round_trip(&self, operation: &'static str) -> Result<(), BrokerError> {
        self.ask(operation, Some(ANY_TOPIC.to_owned())).await.map(drop)
    }

    /// The number of partitions of a topic, if it exists.
    pub(crate) async fn partitions(&self, operation: &'static str, topic: &str) -> Result<Option<usize>, BrokerError> {
        let metadata = self.ask(operation, Some(topic.to_owned())).await?;
        let found = metadata.topics().first().filter(|found| found.error().is_none());
        Ok(found.map(|found| found.partitions().len()).filter(|count| *count > 0))
    }

    /// The topics that match a pattern, sorted by name.
    pub(crate) async fn topics(
        &self,
        operation: &'static str,
        pattern: &TopicPattern,
    ) -> Result<Vec<Topic>, BrokerError> {
        let metadata = self.ask(operation, None).await?;
        let topics = metadata.topics().iter().filter(|found| found.error().is_none()).filter_map(|found| {
            let lanes = NonZeroU16::new(u16::try_from(found.partitions().len()).ok()?)?;
            Some(Topic::new(found.name()).ok()?.with_lanes(lanes))
        });
        // Those of the server and of its tools.
        let is_internal = |topic: &Topic| topic.name().starts_with("__");
        let mut topics: Vec<Topic> = topics.filter(|topic| !is_internal(topic) && pattern.matches(topic)).collect();
        topics.sort_by(|a, b| a.name().cmp(b.name()));
        Ok(topics)
    }

    /// Asks about a topic, or about all.
    async fn ask(&self, operation: &'static str, topic: Option<String>) -> Result<Metadata, BrokerError> {
        let (client, limit) = (Arc::clone(&self.client), self.limit);
        // The call ends by itself a moment before.
        let grace = limit + ATTEMPT * 2;
        blocking(operation, grace, move || metadata(&client, operation, limit, topic.as_deref())).await?
    }
}

/// Asks about a topic, or about all, until an answer comes or the reason is known why none does.
pub(crate) fn metadata(
    client: &BaseConsumer<Quiet>,
    operation: &'static str,
    limit: Duration,
    topic: Option<&str>,
) -> Result<Metadata, BrokerError> {
    let started = Instant::now();
    let (until, mut down) = (started + limit, false);
    client.context().take();
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let error = match client.fetch_metadata(topic, left.min(ATTEMPT)) {
            Ok(metadata) => return Ok(metadata),
            Err(error) => error,
        };
        // Errors of the connection are told by the queue of events.
        for _ in 0..8 {
            let _ = client.poll(Duration::ZERO);
        }
        let told = client.context().take();
        down |= told == Some(Code::AllBrokersDown);
        // The first address of a server's name may be a wrong one.
        let down = (down && started.elapsed() > DOWN).then_some(Code::AllBrokersDown);
        if let Some(code) = told.filter(|code| is_final(*code)).or(down) {
            return Err(meaning(operation, limit, KafkaError::Global(code)));
        }
        if Instant::now() >= until {
            return Err(meaning(operation, limit, error));
        }
    }
}

//! How to reach the servers, and the settings of topics and consumers.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use recount_messaging::{BrokerError, MAX_CALL_TIMEOUT};

use crate::{KafkaBroker, address};

/// A user and a password.
#[derive(Clone)]
pub(crate) struct Login {
    pub(crate) user: String,
    pub(crate) password: String,
}

/// How a login is proved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mechanism {
    Plain,
    ScramSha256,
    ScramSha512,
}

/// How to reach the servers, and the settings of topics and consumers. [`KafkaBroker::options`] makes one from a URL.
#[derive(Clone)]
pub struct KafkaOptions {
    pub(crate) hosts: Vec<String>,
    pub(crate) login: Option<Login>,
    pub(crate) mechanism: Mechanism,
    pub(crate) tls: bool,
    pub(crate) root_certificates: Option<PathBuf>,
    pub(crate) client_certificate: Option<(PathBuf, PathBuf)>,
    /// `None`: as the server sets.
    pub(crate) replicas: Option<u16>,
    pub(crate) max_age: Option<Duration>,
    pub(crate) max_message: usize,
    pub(crate) max_gap: u32,
    pub(crate) max_poll: Duration,
    pub(crate) session_timeout: Duration,
    pub(crate) call_timeout: Duration,
}

impl KafkaOptions {
    pub(crate) fn new(url: &str) -> Result<Self, BrokerError> {
        let options = Self {
            hosts: Vec::new(),
            login: None,
            mechanism: Mechanism::Plain,
            tls: false,
            root_certificates: None,
            client_certificate: None,
            replicas: None,
            max_age: None,
            max_message: 1_000_000,
            max_gap: 10_000,
            max_poll: Duration::from_secs(300),
            session_timeout: Duration::from_secs(10),
            call_timeout: Duration::from_secs(10),
        };
        address::read(url, options)
    }

    /// Connects.
    ///
    /// # Errors
    /// [`BrokerError::Unavailable`] or [`BrokerError::TimedOut`] if no server answers, [`BrokerError::NotAllowed`] if it refuses the
    /// credentials, [`BrokerError::Unsupported`] if encrypted connections are left out of the build.
    pub async fn connect(self) -> Result<KafkaBroker, BrokerError> {
        KafkaBroker::open(self).await
    }

    /// Sets the user and the password.
    #[must_use]
    pub fn password(self, user: impl Into<String>, password: impl Into<String>) -> Self {
        Self { login: Some(Login { user: user.into(), password: password.into() }), ..self }
    }

    /// Proves the login by SCRAM with SHA-512, which does not send the password. By PLAIN unless set. Needs the feature `tls`.
    #[must_use]
    pub fn scram(self) -> Self {
        self.mechanism(Mechanism::ScramSha512)
    }

    pub(crate) fn mechanism(self, mechanism: Mechanism) -> Self {
        Self { mechanism, ..self }
    }

    /// Takes encrypted connections only. Needs the feature `tls`.
    #[must_use]
    pub fn tls(self) -> Self {
        Self { tls: true, ..self }
    }

    /// Trusts the certificates of this PEM file instead of the system's, and takes encrypted connections only.
    #[must_use]
    pub fn root_certificates(self, file: impl Into<PathBuf>) -> Self {
        Self { root_certificates: Some(file.into()), tls: true, ..self }
    }

    /// Shows the server the certificate of a PEM file with the key of another, and takes encrypted connections only.
    #[must_use]
    pub fn client_certificate(self, file: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        Self { client_certificate: Some((file.into(), key.into())), tls: true, ..self }
    }

    /// Sets how many servers keep a new topic. As the server says (`default.replication.factor`) unless set.
    #[must_use]
    pub fn replicas(self, replicas: u16) -> Self {
        Self { replicas: Some(replicas), ..self }
    }

    /// Sets the time after which a new topic forgets messages, handled or not. Never unless set.
    #[must_use]
    pub fn max_age(self, max_age: Duration) -> Self {
        Self { max_age: Some(max_age), ..self }
    }

    /// Sets the greatest message with its key and headers, in bytes. 1,000,000 unless set.
    #[must_use]
    pub fn max_message(self, bytes: usize) -> Self {
        Self { max_message: bytes, ..self }
    }

    /// Sets how many messages of a partition may be delivered behind an open one, at least one. 10,000 unless set.
    #[must_use]
    pub fn max_gap(self, messages: u32) -> Self {
        Self { max_gap: messages.max(1), ..self }
    }

    /// Sets after how long without a call of `next` a consumer loses its partitions. 5 minutes unless set; not below the
    /// [session timeout](Self::session_timeout).
    #[must_use]
    pub fn max_poll(self, time: Duration) -> Self {
        Self { max_poll: time, ..self }
    }

    /// Sets after how long without a sign of life the server gives the partitions of a consumer to others. 10 seconds unless set;
    /// the server takes 6 seconds to 30 minutes (`group.min.session.timeout.ms`, `group.max.session.timeout.ms`), and refuses other times
    /// when the consumer joins.
    #[must_use]
    pub fn session_timeout(self, time: Duration) -> Self {
        Self { session_timeout: time, ..self }
    }

    /// Sets how long a call may take, an hour at most. 10 seconds unless set. A publish that takes longer may store messages twice when it is
    /// repeated, so the time should be longer than the election of a partition's leader.
    #[must_use]
    pub fn call_timeout(self, call_timeout: Duration) -> Self {
        Self { call_timeout: call_timeout.min(MAX_CALL_TIMEOUT), ..self }
    }
}

impl fmt::Debug for KafkaOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaOptions")
            .field("hosts", &self.hosts)
            .field("login", &self.login.as_ref().map(|_| "***"))
            .field("mechanism", &self.mechanism)
            .field("tls", &self.tls)
            .field("replicas", &self.replicas)
            .field("max_age", &self.max_age)
            .field("call_timeout", &self.call_timeout)
            .finish_non_exhaustive()
    }
}

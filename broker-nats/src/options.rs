//! How to reach the servers, and the settings of new streams.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use async_nats::ConnectOptions;
use recount_messaging::{BrokerError, MAX_CALL_TIMEOUT};

use crate::{NatsBroker, address};

/// How long a call may take unless set.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);
/// The window of deduplication of new streams unless set.
const DUPLICATE_WINDOW: Duration = Duration::from_secs(600);
/// The client asks the server for a sign of life so often. It reconnects after two that are missing.
const PING_INTERVAL: Duration = Duration::from_secs(2);
/// The longest pause between attempts to reconnect.
const MAX_RECONNECT_PAUSE: Duration = Duration::from_secs(1);

/// The proof of identity.
#[derive(Clone)]
pub(crate) enum Login {
    Password { user: String, password: String },
    Token(String),
}

/// How to reach the servers, and the settings of streams that [`ensure`](recount_messaging::Broker::ensure) declares.
/// [`NatsBroker::options`] makes one from a URL.
#[derive(Clone)]
pub struct NatsOptions {
    pub(crate) hosts: Vec<String>,
    pub(crate) login: Option<Login>,
    pub(crate) tls: bool,
    pub(crate) root_certificates: Option<PathBuf>,
    pub(crate) client_certificate: Option<(PathBuf, PathBuf)>,
    pub(crate) replicas: usize,
    pub(crate) duplicate_window: Duration,
    pub(crate) max_age: Option<Duration>,
    pub(crate) call_timeout: Duration,
}

impl NatsOptions {
    pub(crate) fn new(url: &str) -> Result<Self, BrokerError> {
        let options = Self {
            hosts: Vec::new(),
            login: None,
            tls: false,
            root_certificates: None,
            client_certificate: None,
            replicas: 1,
            duplicate_window: DUPLICATE_WINDOW,
            max_age: None,
            call_timeout: CALL_TIMEOUT,
        };
        address::read(url, options)
    }

    /// Connects.
    ///
    /// # Errors
    /// [`BrokerError::Unavailable`] or [`BrokerError::TimedOut`] if no server with JetStream answers,
    /// [`BrokerError::NotAllowed`] if it refuses the credentials.
    pub async fn connect(self) -> Result<NatsBroker, BrokerError> {
        NatsBroker::open(self).await
    }

    /// Sets the user and the password.
    #[must_use]
    pub fn password(self, user: impl Into<String>, password: impl Into<String>) -> Self {
        Self { login: Some(Login::Password { user: user.into(), password: password.into() }), ..self }
    }

    /// Sets the token.
    #[must_use]
    pub fn token(self, token: impl Into<String>) -> Self {
        Self { login: Some(Login::Token(token.into())), ..self }
    }

    /// Takes encrypted connections only. A URL that begins with `tls://` does the same.
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

    /// Sets how many servers keep a new stream. 1 unless set.
    #[must_use]
    pub fn replicas(self, replicas: usize) -> Self {
        Self { replicas, ..self }
    }

    /// Sets how long a new stream remembers the ids of messages: longer than the longest outage together with the relay's
    /// delay. 10 minutes unless set.
    #[must_use]
    pub fn duplicate_window(self, duplicate_window: Duration) -> Self {
        Self { duplicate_window, ..self }
    }

    /// Sets the time after which a new stream forgets messages, handled or not. Never unless set.
    #[must_use]
    pub fn max_age(self, max_age: Duration) -> Self {
        Self { max_age: Some(max_age), ..self }
    }

    /// Sets how long a call may take, an hour at most. 5 seconds unless set.
    #[must_use]
    pub fn call_timeout(self, call_timeout: Duration) -> Self {
        Self { call_timeout: call_timeout.min(MAX_CALL_TIMEOUT), ..self }
    }

    /// The options of the client library. It gets the credentials by them, never in an address, which it would log.
    pub(crate) fn client(&self) -> ConnectOptions {
        let mut client = ConnectOptions::new()
            .name("recount")
            .ping_interval(PING_INTERVAL)
            .connection_timeout(self.call_timeout)
            .require_tls(self.tls)
            .max_reconnects(None)
            .reconnect_delay_callback(|attempts| {
                let doubled = Duration::from_millis(20) * 2_u32.pow(u32::try_from(attempts.min(10)).unwrap_or(10));
                doubled.min(MAX_RECONNECT_PAUSE)
            });
        client = match self.login.clone() {
            Some(Login::Password { user, password }) => client.user_and_password(user, password),
            Some(Login::Token(token)) => client.token(token),
            None => client,
        };
        if let Some(file) = &self.root_certificates {
            client = client.add_root_certificates(file.clone());
        }
        if let Some((file, key)) = &self.client_certificate {
            client = client.add_client_certificate(file.clone(), key.clone());
        }
        client
    }
}

impl fmt::Debug for NatsOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NatsOptions")
            .field("hosts", &self.hosts)
            .field("login", &self.login.as_ref().map(|_| "***"))
            .field("tls", &self.tls)
            .field("replicas", &self.replicas)
            .field("duplicate_window", &self.duplicate_window)
            .field("max_age", &self.max_age)
            .field("call_timeout", &self.call_timeout)
            .finish_non_exhaustive()
    }
}

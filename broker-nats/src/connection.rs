//! The connection: requests with a time of ours.

use std::fmt;
use std::time::Duration;

use async_nats::connection::State;
use async_nats::{Client, Event, HeaderMap, Message, Request, RequestErrorKind};
use bytes::Bytes;
use recount_messaging::{BrokerError, read_certificates};
use serde_json::Value;
use tokio::sync::{Semaphore, SemaphorePermit, watch};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::NatsOptions;
use crate::error::{Answer, ApiError, CallError, connecting, unavailable};

/// How often the state of the connection is looked at while it is not there.
const LOOK: Duration = Duration::from_millis(20);
/// How many publishes can be under way: more than any program has.
const PUBLISHES: u32 = 1 << 20;

/// A connection, which the client library makes anew when it is lost.
pub(crate) struct Connection {
    pub(crate) client: Client,
    pub(crate) options: NatsOptions,
    /// The limit of the server, for headers and body together.
    pub(crate) max_payload: usize,
    /// How often the connection was lost.
    losses: watch::Receiver<u32>,
    publishes: Semaphore,
}

impl Connection {
    pub(crate) async fn open(options: NatsOptions) -> Result<Self, BrokerError> {
        if let Some(file) = &options.root_certificates {
            read_certificates(file)?;
        }
        let (lost, losses) = watch::channel(0_u32);
        let client = options.client().event_callback(move |event| {
            match event {
                Event::Disconnected => lost.send_modify(|count| *count = count.wrapping_add(1)),
                Event::Connected => {}
                event => tracing::debug!(%event, "the NATS client reports"),
            }
            std::future::ready(())
        });
        let scheme = if options.tls { "tls" } else { "nats" };
        let hosts: Vec<String> = options.hosts.iter().map(|host| format!("{scheme}://{host}")).collect();
        let (operation, limit) = ("connecting", options.call_timeout);
        let client = timeout(limit, client.connect(hosts)).await;
        let client = client.map_err(|_| BrokerError::TimedOut { operation, limit })?.map_err(connecting)?;
        let max_payload = client.max_payload();
        let this = Self { client, options, max_payload, losses, publishes: Semaphore::new(PUBLISHES as usize) };
        this.api(operation, "INFO", &Value::Null)
            .await
            .map_err(|error| error.about(operation, || "JetStream".into()))?;
        Ok(this)
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.client.connection_state() == State::Connected
    }

    /// How often the connection was lost, to be compared and awaited.
    pub(crate) fn losses(&self) -> watch::Receiver<u32> {
        self.losses.clone()
    }

    pub(crate) fn check_open(&self) -> Result<(), BrokerError> {
        if self.publishes.is_closed() { Err(BrokerError::Closed) } else { Ok(()) }
    }

    /// Registers a publish, for which [`close`](Self::close) waits.
    pub(crate) async fn publishing(&self) -> Result<SemaphorePermit<'_>, BrokerError> {
        self.publishes.acquire().await.map_err(|_| BrokerError::Closed)
    }

    /// Waits for the publishes under way, at most this long, and disconnects.
    pub(crate) async fn close(&self, within: Duration) {
        // The remaining tasks learn that the connection is closed, so the wait may end before they do.
        let _ = timeout(within, self.publishes.acquire_many(PUBLISHES)).await;
        self.publishes.close();
        let _ = timeout(self.options.call_timeout, self.client.drain()).await;
    }

    /// Waits until the client is connected.
    pub(crate) async fn connected(&self, operation: &'static str, until: Instant) -> Result<(), BrokerError> {
        loop {
            self.check_open()?;
            if self.is_connected() {
                return Ok(());
            }
            if Instant::now() >= until {
                return Err(unavailable(operation, "the connection is lost, and the client reconnects"));
            }
            sleep(LOOK).await;
        }
    }

    /// Sends a request and waits for its answer.
    pub(crate) async fn request(
        &self,
        operation: &'static str,
        subject: String,
        headers: Option<HeaderMap>,
        payload: Bytes,
    ) -> Result<Message, CallError> {
        let limit = self.options.call_timeout;
        let until = Instant::now() + limit;
        self.connected(operation, until).await.map_err(CallError::NotSent)?;
        let mut losses = self.losses();
        losses.mark_unchanged();
        let request = Request { payload: Some(payload), headers, timeout: Some(None), inbox: None };
        let answer = tokio::select! {
            biased;
            answer = timeout_at(until, self.client.send_request(subject, request)) => answer,
            _ = losses.changed() => {
                return Err(CallError::Unknown(unavailable(operation, "the connection was lost before the answer")));
            }
        };
        match answer {
            Err(_) => Err(CallError::Unknown(BrokerError::TimedOut { operation, limit })),
            Ok(Ok(message)) => Ok(message),
            Ok(Err(error)) => Err(match error.kind() {
                RequestErrorKind::NoResponders => CallError::NoResponders,
                RequestErrorKind::InvalidSubject | RequestErrorKind::MaxPayloadExceeded => {
                    CallError::NotSent(BrokerError::Failed { operation, source: error.into() })
                }
                _ if self.check_open().is_err() => CallError::Unknown(BrokerError::Closed),
                _ => CallError::Unknown(BrokerError::Unavailable { operation, source: error.into() }),
            }),
        }
    }

    /// Sends without an answer. It waits only for room in the client's queue.
    pub(crate) async fn send(
        &self,
        operation: &'static str,
        subject: String,
        reply: Option<String>,
        payload: Bytes,
    ) -> Result<(), BrokerError> {
        let limit = self.options.call_timeout;
        let sent = async {
            match reply {
                Some(reply) => self.client.publish_with_reply(subject, reply, payload).await,
                None => self.client.publish(subject, payload).await,
            }
        };
        let sent = timeout(limit, sent).await.map_err(|_| BrokerError::TimedOut { operation, limit })?;
        sent.map_err(|error| BrokerError::Unavailable { operation, source: error.into() })
    }

    /// Returns when the server has answered, and so has read all earlier messages of this connection.
    pub(crate) async fn round_trip(&self, operation: &'static str) -> Result<(), BrokerError> {
        let answer = self.api(operation, "INFO", &Value::Null).await;
        answer.map(drop).map_err(|error| error.about(operation, || "JetStream".to_owned()))
    }

    /// Calls the JetStream API.
    pub(crate) async fn api(&self, operation: &'static str, subject: &str, body: &Value) -> Result<Value, ApiError> {
        let body = if body.is_null() { Bytes::new() } else { body.to_string().into() };
        let answer = self.request(operation, format!("$JS.API.{subject}"), None, body).await;
        let answer = answer.map_err(|error| {
            ApiError::Call(match error {
                CallError::NotSent(error) | CallError::Unknown(error) => error,
                CallError::NoResponders => {
                    unavailable(operation, "JetStream does not answer: it starts, or is not enabled")
                }
            })
        })?;
        let failed = |error: serde_json::Error| ApiError::Call(BrokerError::Failed { operation, source: error.into() });
        let answer: Value = serde_json::from_slice(&answer.payload).map_err(failed)?;
        Answer::read(&answer).map_or(Ok(answer), |error| Err(ApiError::Answer(error)))
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("options", &self.options).finish_non_exhaustive()
    }
}

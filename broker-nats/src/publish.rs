//! Publishing: one message of a key at a time, many keys at once.

use std::borrow::Cow;
use std::collections::HashMap;

use async_nats::header::{HeaderName, HeaderValue};
use async_nats::{HeaderMap, Message as Answered};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use recount_messaging::envelope::{HeaderForm, NATIVE_TYPE, to_headers};
use recount_messaging::{BrokerError, BrokerPosition, Fate, Message, MessageId, Outgoing, Refusal, Topic};
use serde::Deserialize;
use tokio::sync::OnceCell;

use crate::capabilities::{MAX_HEADER_BYTES, MAX_HEADERS};
use crate::connection::Connection;
use crate::ensure;
use crate::error::{Answer, CallError, unavailable};
use crate::names;

const OPERATION: &str = "publishing";
/// How many messages wait for their confirmation at once.
const PARALLEL: usize = 1024;
/// The start of the names of the server's own headers, which cause effects such as deleting.
pub(crate) const SERVERS: &str = "nats-";
/// The header by which the server recognises a message that is published again.
const DEDUPE: &str = "Nats-Msg-Id";
/// The header by which the server refuses a message for another stream.
const EXPECTED_STREAM: &str = "Nats-Expected-Stream";

/// Publishes a batch. The fates are in the order of the messages.
pub(crate) async fn publish(connection: &Connection, topic: &Topic, batch: Vec<Outgoing>) -> Vec<Fate> {
    let mut fates: Vec<Fate> = batch.iter().map(|_| Fate::NotSent(None)).collect();
    let Ok(_registered) = connection.publishing().await else {
        fates.fill_with(|| Fate::NotSent(Some(BrokerError::Closed)));
        return fates;
    };
    let stream = names::stream(topic);
    let target = Target { connection, topic, stream: &stream, exists: OnceCell::new() };
    let mut places: HashMap<String, usize> = HashMap::new();
    let mut of_keys: Vec<Vec<(usize, Outgoing)>> = Vec::new();
    for (index, outgoing) in batch.into_iter().enumerate() {
        let place = places.get(outgoing.lane_key()).copied().unwrap_or_else(|| {
            places.insert(outgoing.lane_key().to_owned(), of_keys.len());
            of_keys.push(Vec::new());
            of_keys.len() - 1
        });
        of_keys[place].push((index, outgoing));
    }
    let mut done = stream::iter(of_keys).map(|messages| target.publish_key(messages)).buffer_unordered(PARALLEL);
    while let Some(of_key) = done.next().await {
        for (index, fate) in of_key {
            fates[index] = fate;
        }
    }
    fates
}

/// The answer of a stream to a message.
#[derive(Deserialize)]
struct PublishAnswer {
    error: Option<Answer>,
    /// The message's number in the stream.
    seq: Option<u64>,
    #[serde(default)]
    duplicate: bool,
}

/// Where a batch goes.
struct Target<'p> {
    connection: &'p Connection,
    topic: &'p Topic,
    stream: &'p str,
    /// Whether the stream exists, once it was asked.
    exists: OnceCell<bool>,
}

impl Target<'_> {
    /// Publishes the messages of one key, each after the one before it. The first that is not stored ends it.
    async fn publish_key(&self, messages: Vec<(usize, Outgoing)>) -> Vec<(usize, Fate)> {
        let mut fates = Vec::with_capacity(messages.len());
        for (index, outgoing) in messages {
            let fate = self.publish_one(outgoing).await;
            let stored = fate.is_stored();
            fates.push((index, fate));
            if !stored {
                break;
            }
        }
        fates
    }

    async fn publish_one(&self, outgoing: Outgoing) -> Fate {
        let subject = names::subject(self.topic, self.topic.lane_of(outgoing.lane_key()));
        let headers = match encode(&outgoing, Some(self.stream), self.connection.max_payload) {
            Ok(headers) => headers,
            Err(refusal) => return Fate::Refused(refusal),
        };
        let Message { id, data, .. } = outgoing.message;
        match self.connection.request(OPERATION, subject, Some(headers), data).await {
            Ok(answer) => fate(&id, &answer),
            Err(CallError::NotSent(error)) => Fate::NotSent(Some(error)),
            Err(CallError::Unknown(error)) => Fate::Unknown(error),
            Err(CallError::NoResponders) => Fate::NotSent(Some(self.no_stream().await)),
        }
    }

    /// Why no stream has taken a message: there is none, or the server is about to load it.
    async fn no_stream(&self) -> BrokerError {
        let exists = self.exists.get_or_try_init(|| ensure::has_stream(self.connection, self.topic)).await;
        match exists {
            Ok(false) => BrokerError::Missing { object: ensure::stream_name(self.topic) },
            Ok(true) => unavailable(OPERATION, "the stream does not take messages yet"),
            Err(error) => error,
        }
    }
}

/// The fate that an answer of the stream tells.
fn fate(id: &MessageId, answer: &Answered) -> Fate {
    let failed = |source| BrokerError::Failed { operation: OPERATION, source };
    let Ok(answer) = serde_json::from_slice::<PublishAnswer>(&answer.payload) else {
        let source = "another subscriber of the subject has answered in place of the stream";
        return Fate::Unknown(failed(source.into()));
    };
    match (answer.error, answer.seq) {
        (Some(error), _) if error.code == Answer::MESSAGE_TOO_LARGE => {
            Fate::Refused(Refusal::Broker { id: id.to_string(), reason: error.to_string() })
        }
        (Some(error), _) if error.code == Answer::HEADERS_TOO_LARGE => Fate::Refused(Refusal::Headers {
            id: id.to_string(),
            reason: format!("are refused by the server: {error}"),
        }),
        (Some(error), _) => Fate::NotSent(Some(failed(error.into()))),
        (None, Some(_)) if answer.duplicate => Fate::Duplicate,
        (None, Some(sequence)) => Fate::Stored(Some(BrokerPosition(sequence, 0))),
        (None, None) => Fate::Unknown(failed("the answer names no sequence number".into())),
    }
}

/// The headers of a message. Messages that the server or the client library would answer by closing the connection are
/// refused here.
///
/// A message without a stream has no headers of JetStream.
pub(crate) fn encode(outgoing: &Outgoing, stream: Option<&str>, max_payload: usize) -> Result<HeaderMap, Refusal> {
    let message = &outgoing.message;
    let id = || message.id.to_string();
    let invalid = |reason: String| Refusal::Invalid { id: id(), reason };
    if let Some(name) = message.metadata.headers.keys().find(|name| is_reserved(name)) {
        return Err(invalid(format!("the header name {name:?} is reserved for NATS")));
    }
    let mut headers = to_headers(message, HeaderForm::NATS).map_err(invalid)?;
    let media = &*message.content_type;
    if media.is_empty() || media.trim() != media || !media.bytes().all(|b| (b' '..=b'~').contains(&b)) {
        let media: String = media.chars().take(64).collect();
        return Err(invalid(format!("the content type {media:?} is not printable ASCII")));
    }
    headers.push((NATIVE_TYPE.into(), media.into()));
    if headers.len() > MAX_HEADERS {
        let reason = format!("are {}, the limit is {MAX_HEADERS}", headers.len());
        return Err(Refusal::Headers { id: id(), reason });
    }
    if let Some(stream) = stream {
        headers.push((DEDUPE.into(), HeaderForm::NATS.written(message.identity().into())));
        headers.push((EXPECTED_STREAM.into(), stream.into()));
    }
    // `NATS/1.0`, a line for each header, and an empty line.
    let bytes = 12 + headers.iter().map(|(name, value)| name.len() + value.len() + 4).sum::<usize>();
    if bytes > MAX_HEADER_BYTES {
        return Err(Refusal::Headers {
            id: id(),
            reason: format!("have {bytes} bytes, the limit is {MAX_HEADER_BYTES}"),
        });
    }
    let size = bytes + Bytes::len(&message.data);
    if size > max_payload {
        return Err(Refusal::TooLarge { id: id(), size, limit: max_payload });
    }
    let headers = headers.into_iter().map(|(name, value)| Ok((header_name(name)?, header_value(&value)?)));
    headers.collect::<Result<_, String>>().map_err(invalid)
}

fn header_name(name: Cow<'static, str>) -> Result<HeaderName, String> {
    match name {
        Cow::Borrowed(name) => Ok(HeaderName::from_static(name)),
        Cow::Owned(name) => name.parse().map_err(|_| format!("the header name {name:?} is none of NATS")),
    }
}

fn header_value(value: &str) -> Result<HeaderValue, String> {
    value.parse().map_err(|_| format!("the header value {value:?} has a line break"))
}

/// Whether a header is not the application's.
pub(crate) fn is_reserved(name: &str) -> bool {
    name.get(..SERVERS.len()).is_some_and(|start| start.eq_ignore_ascii_case(SERVERS))
}

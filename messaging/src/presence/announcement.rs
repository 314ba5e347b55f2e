//! Announcements: a service's manifest and health as a message.

use std::num::NonZeroU16;
use std::time::Duration;

use recount_core::{Check, Condition, EventId, Health, NameError, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::manifest::{FORMAT, Manifest};
use crate::{Message, MessageId, Topic};

/// The topic of all announcements.
const TOPIC: &str = "recount-presence";
/// The type of announcements.
const ANNOUNCEMENT: &str = "recount.presence";
/// The type of the messages by which an observer finds the end of the history.
const PROBE: &str = "recount.presence_probe";
/// How long brokers with history keep announcements. All services must agree on it, since it is declared at the broker.
const KEPT_FOR: Duration = Duration::from_secs(600);
/// The least and the greatest interval: three of them are less than announcements are kept.
const INTERVALS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(180));
/// After so many intervals an announcement expires.
const MISSED: u32 = 3;
/// The greatest announcement that is read, in bytes.
pub(super) const MAX_BYTES: usize = 256 * 1024;
/// How many checks that are not ok an announcement has, and how many characters of each one's message.
const MAX_CHECKS: usize = 32;
const MAX_TEXT: usize = 300;

/// A service's manifest and health at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Announcement {
    /// The service.
    pub manifest: Manifest,
    /// Its health: the condition, and the checks that are not ok.
    pub health: Health,
    /// Counts the announcements of an instance.
    pub sequence: u64,
    /// When it was made, by the clock of the service.
    pub announced_at: Timestamp,
    /// The time until the next one, in milliseconds. It expires after three of them.
    pub interval_ms: u64,
    /// Whether it is the last one: the service was shut down.
    #[serde(default)]
    pub goodbye: bool,
}

/// A message of the topic of announcements.
pub(crate) enum Heard {
    Announcement(Box<Announcement>),
    /// The probe with this id.
    Probe(MessageId),
    /// Something else.
    Unreadable,
}

impl Announcement {
    pub(crate) fn new(manifest: Manifest, health: Health, sequence: u64, interval: Duration, goodbye: bool) -> Self {
        let interval_ms = u64::try_from(interval.as_millis()).unwrap_or(u64::MAX);
        let health = shortened(health);
        Self { manifest, health, sequence, announced_at: Timestamp::now(), interval_ms, goodbye }
    }

    /// After this time without another one it has expired.
    #[must_use]
    pub fn expires_after(&self) -> Duration {
        clamped(Duration::from_millis(self.interval_ms)) * MISSED
    }

    pub(crate) fn message(&self) -> Result<Message, serde_json::Error> {
        let id = MessageId::from(EventId::new());
        let mut message = Message::new(id, &self.manifest.service, ANNOUNCEMENT, serde_json::to_vec(self)?);
        message.key = Some(self.manifest.instance.as_str().into());
        message.time = Some(self.announced_at);
        message.expires = self.announced_at.checked_add(self.expires_after()).ok();
        Ok(message)
    }
}

impl Heard {
    /// Reads a message, which anyone may have published: it is bounded, and its texts have no control characters.
    pub(crate) fn read(message: &Message) -> Self {
        match &*message.message_type {
            PROBE => Self::Probe(message.id.clone()),
            ANNOUNCEMENT if message.data.len() <= MAX_BYTES => {
                announcement(message).map_or(Self::Unreadable, |read| Self::Announcement(Box::new(read)))
            }
            _ => Self::Unreadable,
        }
    }
}

fn announcement(message: &Message) -> Option<Announcement> {
    let mut json: Value = serde_json::from_slice(&message.data).ok()?;
    if json["manifest"]["format"].as_u64()? > FORMAT.into() {
        return None;
    }
    clean(&mut json);
    let announcement: Announcement = serde_json::from_value(json).ok()?;
    let manifest = &announcement.manifest;
    // A service speaks for itself.
    let named = Topic::new(&manifest.service).is_ok() && is_instance(&manifest.instance);
    (named && manifest.service == *message.source).then_some(announcement)
}

/// Whether a text names an instance: 1 to 64 ASCII letters, digits, `-` and `_`.
fn is_instance(text: &str) -> bool {
    check_instance(text).is_ok()
}

/// # Errors
/// [`NameError`] if the text names no instance.
pub(crate) fn check_instance(text: &str) -> Result<(), NameError> {
    Topic::new(text).map(drop)
}

/// Replaces control characters in all texts: they would steer the terminal of an operator.
fn clean(json: &mut Value) {
    match json {
        Value::String(text) if text.chars().any(char::is_control) => *text = text.replace(char::is_control, " "),
        Value::Array(items) => items.iter_mut().for_each(clean),
        Value::Object(fields) => fields.values_mut().for_each(clean),
        _ => {}
    }
}

/// The health without the checks that are ok, so that announcements stay small.
fn shortened(Health { status, checks }: Health) -> Health {
    let bad = checks.into_iter().filter(|check| check.status != Condition::Ok).take(MAX_CHECKS);
    let cut = |text: String| text.chars().take(MAX_TEXT).collect();
    let checks = bad.map(|check| Check { message: check.message.map(cut), ..check }).collect();
    Health { status, checks }
}

/// The nearest interval that is allowed.
pub(crate) fn clamped(interval: Duration) -> Duration {
    interval.clamp(INTERVALS.0, INTERVALS.1)
}

/// The topic of announcements: one lane, and no history beyond some minutes.
///
/// # Errors
/// None: the name is one.
pub(crate) fn topic() -> Result<Topic, NameError> {
    Ok(Topic::new(TOPIC)?.with_lanes(NonZeroU16::MIN).keep_for(KEPT_FOR))
}

/// A message by which the observer of this name finds the end of the history.
pub(crate) fn probe(observer: &str) -> Message {
    Message::new(MessageId::from(EventId::new()), observer, PROBE, "{}")
}

//! The names of entries in the store.
//!
//! Names of topics and groups have no slash, so the parts of a name can't be mistaken.

use recount_core::{NameError, Namespace, StateKey};

/// The start of the names of all topics. The rest is the name of the topic.
pub(super) const TOPICS: &str = "topic/";
/// The start of the names of all groups: `TOPIC/GROUP`.
pub(super) const GROUPS: &str = "group/";
/// The start of the names of all parts of the progress of groups: `TOPIC/GROUP/CHUNK`.
pub(super) const SETTLED: &str = "settled/";
/// The start of the names of all dead letters: `TOPIC/GROUP/SEQUENCE`.
pub(super) const DEAD: &str = "dead/";
/// The start of the names of all delays: `TOPIC/GROUP/SEQUENCE`.
pub(super) const DELAYED: &str = "delayed/";
/// The start of the names of all messages: `TOPIC/SEQUENCE`.
pub(super) const MESSAGES: &str = "message/";

/// The broker that may write.
pub(super) fn owner() -> Result<StateKey, NameError> {
    Namespace::BROKER.key("owner")
}

/// The lease of the owner: another broker may take over when it has expired.
pub(super) fn lease() -> Result<StateKey, NameError> {
    Namespace::LEASE.key("broker/in-process")
}

pub(super) fn topic(topic: &str) -> Result<StateKey, NameError> {
    Namespace::BROKER.key(format_args!("{TOPICS}{topic}"))
}

pub(super) fn group(topic: &str, group: &str) -> Result<StateKey, NameError> {
    Namespace::BROKER.key(format_args!("{GROUPS}{topic}/{group}"))
}

/// An entry about a group and a number: one of [`SETTLED`], [`DEAD`] and [`DELAYED`].
pub(super) fn of_group(kind: &str, topic: &str, group: &str, number: u64) -> Result<StateKey, NameError> {
    Namespace::BROKER.key(format_args!("{kind}{topic}/{group}/{number:020}"))
}

pub(super) fn message(topic: &str, sequence: u64) -> Result<StateKey, NameError> {
    Namespace::BROKER.key(format_args!("{MESSAGES}{topic}/{sequence:020}"))
}

//! Warnings: likely defects in the ways of messages.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;

use super::directory::{Directory, Presence};
use super::explain::{Explanation, TakenIn, Treatment};
use super::index::Index;

/// A likely defect in the ways of messages. Services that don't announce themselves may be the reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Warning {
    /// A type is published to a topic, and no group of the topic takes it.
    NotTaken {
        /// The type.
        message_type: String,
        /// The topic.
        topic: String,
    },
    /// A group takes a type that is not published to its topic.
    NotPublished {
        /// The type.
        message_type: String,
        /// The topic.
        topic: String,
        /// The group.
        group: String,
        /// The service that the group belongs to.
        service: String,
    },
    /// A type is published at a newer version than a group reads: its messages become dead letters.
    TooNew {
        /// The type.
        message_type: String,
        /// The service that publishes it.
        publisher: String,
        /// The published version.
        version: u32,
        /// The group.
        group: String,
        /// The service that the group belongs to.
        service: String,
        /// The newest version that it reads.
        up_to: u32,
    },
    /// A group makes dead letters of a type that is published to its topic.
    DeadLetters {
        /// The type.
        message_type: String,
        /// The topic.
        topic: String,
        /// The group.
        group: String,
        /// The service that the group belongs to.
        service: String,
    },
    /// Commands to an aggregate are sent to a topic of which no group takes commands to it.
    NoReceiver {
        /// The aggregate.
        aggregate: String,
        /// The topic.
        topic: String,
        /// The service that sends them.
        service: String,
    },
    /// Services have a topic with different numbers of lanes.
    Lanes {
        /// The topic.
        topic: String,
        /// The numbers.
        lanes: BTreeSet<u16>,
    },
    /// No instance of a service is present, and one was not shut down.
    Missing {
        /// The service.
        service: String,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotTaken { message_type, topic } => {
                write!(f, "{message_type} is published to {topic}, and no group takes it there")
            }
            Self::NotPublished { message_type, topic, group, service } => write!(
                f,
                "group {group} of {service} takes {message_type} from {topic}, and no service publishes it there"
            ),
            Self::TooNew { message_type, publisher, version, group, service, up_to } => write!(
                f,
                "{publisher} publishes {message_type} at version {version}, and group {group} of {service} reads up to \
                 version {up_to}: the messages become dead letters; update {service}"
            ),
            Self::DeadLetters { message_type, topic, group, service } => write!(
                f,
                "group {group} of {service} makes dead letters of {message_type} from {topic}: add a handler, or let it \
                 ignore unknown types"
            ),
            Self::NoReceiver { aggregate, topic, service } => write!(
                f,
                "{service} sends commands to {aggregate} at {topic}, and no group takes them there: start the service \
                 that has the aggregate, or correct the topic"
            ),
            Self::Lanes { topic, lanes } => {
                let lanes = lanes.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ");
                write!(f, "services have topic {topic} with {lanes} lanes: give it the same number everywhere")
            }
            Self::Missing { service } => {
                write!(f, "no instance of {service} is present, and none was shut down: start it again")
            }
        }
    }
}

impl Directory {
    /// The warnings about all services and types.
    #[must_use]
    pub fn warnings(&self) -> Vec<Warning> {
        let index = Index::of(self);
        let types = index.types().iter().filter_map(|message_type| Explanation::of(message_type, &index));
        let mut warnings: Vec<Warning> = types.flat_map(|explanation| explanation.warnings).collect();
        warnings.extend(self.without_receiver(&index));
        let disagreed = self.topics().into_iter().filter(|topic| topic.lanes.len() > 1);
        warnings.extend(disagreed.map(|topic| Warning::Lanes { topic: topic.topic, lanes: topic.lanes }));
        let expired = self.counted().filter(|instance| instance.state == Presence::Expired);
        let missing: BTreeSet<_> = expired.map(|instance| &instance.manifest.service).collect();
        warnings.extend(missing.into_iter().map(|service| Warning::Missing { service: service.clone() }));
        warnings
    }

    fn without_receiver(&self, index: &Index<'_>) -> Vec<Warning> {
        let mut warned = BTreeSet::new();
        let mut warnings = Vec::new();
        for manifest in self.counted().map(|it| &it.manifest) {
            for route in &manifest.gateway {
                let missed = !index.takes_commands(&route.topic, &route.aggregate);
                if missed && warned.insert((&manifest.service, &route.aggregate, &route.topic)) {
                    let (aggregate, topic) = (route.aggregate.clone(), route.topic.clone());
                    warnings.push(Warning::NoReceiver { aggregate, topic, service: manifest.service.clone() });
                }
            }
        }
        warnings
    }
}

/// The warnings about one type of message.
pub(super) fn of_type(index: &Index<'_>, explanation: &Explanation) -> Vec<Warning> {
    let message_type = &explanation.message_type;
    let published: BTreeSet<&str> = explanation.published.iter().map(|by| &*by.topic).collect();
    let sent: BTreeSet<&str> = explanation.sent.iter().map(|by| &*by.topic).collect();
    let taking = explanation.groups.iter().filter(|group| group.treatment.takes());
    let taking: BTreeSet<&str> = taking.map(|group| &*group.topic).collect();
    let not_taken = |topics: BTreeSet<&str>| {
        let topics: Vec<String> = topics.difference(&taking).map(|topic| (*topic).to_owned()).collect();
        topics.into_iter().map(|topic| Warning::NotTaken { message_type: message_type.clone(), topic })
    };
    let mut warnings: Vec<Warning> = not_taken(published).collect();
    warnings.extend(of_groups(index, explanation));
    warnings.extend(too_new(explanation));
    warnings.extend(not_taken(sent));
    warnings
}

/// The warnings about groups that make dead letters of the type, or take it from a topic without a publisher.
fn of_groups(index: &Index<'_>, explanation: &Explanation) -> Vec<Warning> {
    let published = explanation.published.iter().map(|by| &by.topic);
    let sources: BTreeSet<&String> = published.chain(explanation.routed.iter().map(|by| &by.topic)).collect();
    let mut warnings = Vec::new();
    for TakenIn { topic, group, service, treatment } in &explanation.groups {
        let message_type = explanation.message_type.clone();
        let names = || (topic.clone(), group.clone(), service.clone());
        match treatment {
            Treatment::DeadLetter => {
                let (topic, group, service) = names();
                warnings.push(Warning::DeadLetters { message_type, topic, group, service });
            }
            // The services that ask a question do not announce it.
            Treatment::Answered { .. } => {}
            taken if taken.up_to().is_some() && !sources.contains(topic) && !index.is_former(topic, &message_type) => {
                let (topic, group, service) = names();
                warnings.push(Warning::NotPublished { message_type, topic, group, service });
            }
            _ => {}
        }
    }
    warnings
}

/// The warnings about versions that are newer than a group of their topic reads.
fn too_new(explanation: &Explanation) -> Vec<Warning> {
    let mut readers: BTreeMap<&str, Vec<(&TakenIn, u32)>> = BTreeMap::new();
    for group in &explanation.groups {
        let Some(up_to) = group.treatment.up_to() else { continue };
        readers.entry(&group.topic).or_default().push((group, up_to));
    }
    let mut warnings = Vec::new();
    for by in &explanation.published {
        for (group, up_to) in readers.get(&*by.topic).into_iter().flatten() {
            let too_new = by.versions.iter().filter(|version| **version > *up_to);
            warnings.extend(too_new.map(|version| Warning::TooNew {
                message_type: explanation.message_type.clone(),
                publisher: by.service.clone(),
                version: *version,
                group: group.group.clone(),
                service: group.service.clone(),
                up_to: *up_to,
            }));
        }
    }
    warnings
}

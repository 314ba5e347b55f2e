//! Warnings: likely defects in the ways of messages.

use std::collections::BTreeSet;
use std::fmt;

use serde::Serialize;

use super::directory::{Directory, Presence};
use super::explain::{Explanation, Treatment};

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
        let types = self.message_types().into_iter().filter_map(|message_type| self.explain(message_type));
        let mut warnings: Vec<Warning> = types.flat_map(|explanation| explanation.warnings).collect();
        warnings.extend(self.without_receiver());
        let disagreed = self.topics().into_iter().filter(|topic| topic.lanes.len() > 1);
        warnings.extend(disagreed.map(|topic| Warning::Lanes { topic: topic.topic, lanes: topic.lanes }));
        let expired = self.counted().filter(|instance| instance.state == Presence::Expired);
        let missing: BTreeSet<_> = expired.map(|instance| &instance.manifest.service).collect();
        warnings.extend(missing.into_iter().map(|service| Warning::Missing { service: service.clone() }));
        warnings
    }

    fn without_receiver(&self) -> Vec<Warning> {
        let mut warnings = Vec::new();
        for manifest in self.counted().map(|it| &it.manifest) {
            for route in &manifest.gateway {
                if !self.commands_at(&route.topic, &route.aggregate).is_empty() {
                    continue;
                }
                let (aggregate, topic) = (route.aggregate.clone(), route.topic.clone());
                let warning = Warning::NoReceiver { aggregate, topic, service: manifest.service.clone() };
                if !warnings.contains(&warning) {
                    warnings.push(warning);
                }
            }
        }
        warnings
    }
}

/// The warnings about one type of message.
pub(super) fn of_type(directory: &Directory, explanation: &Explanation) -> Vec<Warning> {
    let message_type = &explanation.message_type;
    let mut warnings = Vec::new();
    let topics: BTreeSet<&str> = explanation.published.iter().map(|by| &*by.topic).collect();
    let sent: BTreeSet<&str> = explanation.sent.iter().map(|by| &*by.topic).collect();
    for topic in &topics {
        if !explanation.groups.iter().any(|group| group.topic == *topic && group.treatment.takes()) {
            warnings.push(Warning::NotTaken { message_type: message_type.clone(), topic: (*topic).to_owned() });
        }
    }
    for group in &explanation.groups {
        let (topic, name, service) = (group.topic.clone(), group.group.clone(), group.service.clone());
        let message_type = message_type.clone();
        match group.treatment {
            Treatment::DeadLetter => {
                warnings.push(Warning::DeadLetters { message_type, topic, group: name, service });
            }
            treatment
                // The services that ask a question do not announce it.
                if treatment.up_to().is_some()
                    && !matches!(treatment, Treatment::Answered { .. })
                    && !topics.contains(&*topic)
                    && !explanation.routed.iter().any(|by| by.topic == topic)
                    && !is_former(directory, &topic, &message_type) =>
            {
                warnings.push(Warning::NotPublished { message_type, topic, group: name, service });
            }
            _ => {}
        }
    }
    for by in &explanation.published {
        for group in explanation.groups.iter().filter(|group| group.topic == by.topic) {
            let Some(up_to) = group.treatment.up_to() else { continue };
            let too_new = by.versions.iter().filter(|version| **version > up_to);
            warnings.extend(too_new.map(|version| Warning::TooNew {
                message_type: message_type.clone(),
                publisher: by.service.clone(),
                version: *version,
                group: group.group.clone(),
                service: group.service.clone(),
                up_to,
            }));
        }
    }
    let commanded = |topic: &str| explanation.groups.iter().any(|it| it.topic == topic && it.treatment.takes());
    warnings.extend(
        sent.into_iter()
            .filter(|topic| !commanded(topic))
            .map(|topic| Warning::NotTaken { message_type: message_type.clone(), topic: topic.to_owned() }),
    );
    warnings
}

/// Whether all groups of a topic take the type as an earlier name only.
fn is_former(directory: &Directory, topic: &str, message_type: &str) -> bool {
    let entries = directory.subscriptions().filter(|(_, entry)| entry.topic == topic);
    let mut taken = entries.flat_map(|(_, entry)| &entry.types).filter(|taken| taken.name == message_type);
    taken.all(|taken| taken.former)
}

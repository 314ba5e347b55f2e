//! The way of a type of message: from its publishers over topics to groups.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::directory::Directory;
use super::manifest::SubscriptionEntry;
use super::warning::{self, Warning};
use crate::UnknownType;
use crate::handler::TakenBy;

/// Where a type of message comes from and goes to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Explanation {
    /// The type.
    pub message_type: String,
    /// The services that publish it.
    pub published: Vec<PublishedBy>,
    /// The services that may send it, if it is a command.
    pub sent: Vec<SentBy>,
    /// The services that may publish it, because a mapping chooses the types of their messages by route: to topics of which a
    /// group takes it.
    pub routed: Vec<SentBy>,
    /// The groups of the topics that it goes to, and groups elsewhere that would take it.
    pub groups: Vec<TakenIn>,
    /// The likely defects.
    pub warnings: Vec<Warning>,
}

/// A service that publishes a type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PublishedBy {
    /// The service.
    pub service: String,
    /// Its publication.
    pub publication: String,
    /// The topic.
    pub topic: String,
    /// The number of lanes of the topic.
    pub lanes: u16,
    /// The versions: one, unless its instances differ.
    pub versions: BTreeSet<u32>,
}

/// A service that may send a type of message.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[non_exhaustive]
pub struct SentBy {
    /// The service.
    pub service: String,
    /// The topic.
    pub topic: String,
}

/// A group, and its treatment of a type.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[non_exhaustive]
pub struct TakenIn {
    /// The topic.
    pub topic: String,
    /// The group.
    pub group: String,
    /// The service that the group belongs to.
    pub service: String,
    /// The treatment.
    #[serde(flatten)]
    pub treatment: Treatment,
}

/// The treatment of a type of message by a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(tag = "treatment", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Treatment {
    /// A handler takes it.
    Handled {
        /// Up to this version.
        up_to: u32,
    },
    /// It is recorded as an event.
    Recorded {
        /// Up to this version.
        up_to: u32,
    },
    /// Another message follows from it, which is published.
    Forwarded {
        /// Up to this version.
        up_to: u32,
    },
    /// It is a question, and is answered.
    Answered {
        /// Up to this version.
        up_to: u32,
    },
    /// It is carried out as a command.
    Command,
    /// It is acknowledged without effect.
    Ignored,
    /// It becomes a dead letter.
    DeadLetter,
}

impl Treatment {
    fn of(subscription: &SubscriptionEntry, message_type: &str) -> Self {
        if let Some(taken) = subscription.types.iter().find(|taken| taken.name == message_type) {
            let up_to = taken.up_to;
            return match taken.by {
                TakenBy::Handler => Self::Handled { up_to },
                TakenBy::Record => Self::Recorded { up_to },
                TakenBy::Forward => Self::Forwarded { up_to },
                TakenBy::Answer => Self::Answered { up_to },
            };
        }
        match subscription.unknown {
            _ if subscription.commands.iter().any(|command| command == message_type) => Self::Command,
            UnknownType::Ignore => Self::Ignored,
            UnknownType::DeadLetter => Self::DeadLetter,
        }
    }

    /// Whether the group has a use for the message.
    #[must_use]
    pub fn takes(self) -> bool {
        self.up_to().is_some() || self == Self::Command
    }

    /// The newest version that is read. `None` for commands, and for messages that are not taken.
    #[must_use]
    pub fn up_to(self) -> Option<u32> {
        match self {
            Self::Handled { up_to }
            | Self::Recorded { up_to }
            | Self::Forwarded { up_to }
            | Self::Answered { up_to } => Some(up_to),
            Self::Command | Self::Ignored | Self::DeadLetter => None,
        }
    }
}

impl Directory {
    /// Explains where a type of message comes from and goes to. `None` if no service publishes, sends or takes it.
    #[must_use]
    pub fn explain(&self, message_type: &str) -> Option<Explanation> {
        let (published, sent) = (self.published(message_type), self.sent(message_type));
        let topics: BTreeSet<&str> =
            published.iter().map(|by| &*by.topic).chain(sent.iter().map(|by| &*by.topic)).collect();
        let groups: BTreeSet<TakenIn> = self
            .subscriptions()
            .map(|(service, subscription)| TakenIn {
                topic: subscription.topic.clone(),
                group: subscription.group.clone(),
                service: service.to_owned(),
                treatment: Treatment::of(subscription, message_type),
            })
            .filter(|group| group.treatment.takes() || topics.contains(&*group.topic))
            .collect();
        if published.is_empty() && sent.is_empty() && groups.is_empty() {
            return None;
        }
        let routed = self.routed(&groups);
        let message_type = message_type.to_owned();
        let groups = groups.into_iter().collect();
        let mut explanation = Explanation { message_type, published, sent, routed, groups, warnings: Vec::new() };
        explanation.warnings = warning::of_type(self, &explanation);
        Some(explanation)
    }

    fn published(&self, message_type: &str) -> Vec<PublishedBy> {
        let mut found: BTreeMap<_, BTreeSet<u32>> = BTreeMap::new();
        for (service, entry) in self.publications() {
            let versions = entry.types.iter().filter(|of| of.name == message_type).map(|of| of.version);
            for version in versions {
                let key = (service, &*entry.name, &*entry.topic, entry.lanes);
                found.entry(key).or_default().insert(version);
            }
        }
        let published = found.into_iter().map(|((service, publication, topic, lanes), versions)| PublishedBy {
            service: service.to_owned(),
            publication: publication.to_owned(),
            topic: topic.to_owned(),
            lanes,
            versions,
        });
        published.collect()
    }

    /// The services with routes to topics of which one of these groups takes the type.
    fn routed(&self, groups: &BTreeSet<TakenIn>) -> Vec<SentBy> {
        let taken = |topic: &str| groups.iter().any(|group| group.treatment.takes() && group.topic == topic);
        let routed = self.publications().filter(|(_, entry)| entry.routed && taken(&entry.topic));
        let routed: BTreeSet<SentBy> =
            routed.map(|(service, entry)| SentBy { service: service.to_owned(), topic: entry.topic.clone() }).collect();
        routed.into_iter().collect()
    }

    /// The services that may send the type as a command. A gateway knows aggregates only, and events of an aggregate have
    /// names like its commands: the type must be a command of a group at the topic. Without such a group it may be one.
    fn sent(&self, message_type: &str) -> Vec<SentBy> {
        let Some((aggregate, _)) = message_type.split_once('.') else { return Vec::new() };
        let is_event = self.message_types().contains(message_type);
        let mut sent = BTreeSet::new();
        for manifest in self.counted().map(|instance| &instance.manifest) {
            let routes = manifest.gateway.iter().filter(|route| route.aggregate == aggregate);
            let routes = routes.filter(|route| match self.commands_at(&route.topic, aggregate) {
                commands if commands.is_empty() => !is_event,
                commands => commands.contains(message_type),
            });
            sent.extend(routes.map(|route| SentBy { service: manifest.service.clone(), topic: route.topic.clone() }));
        }
        sent.into_iter().collect()
    }

    /// The commands to an aggregate that groups of a topic take.
    pub(super) fn commands_at(&self, topic: &str, aggregate: &str) -> BTreeSet<&str> {
        let groups = self.subscriptions().filter(|(_, entry)| entry.topic == topic);
        let commands = groups.flat_map(|(_, entry)| &entry.commands).map(String::as_str);
        commands.filter(|command| command.split_once('.').is_some_and(|(of, _)| of == aggregate)).collect()
    }
}

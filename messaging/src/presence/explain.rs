//! The way of a type of message: from its publishers over topics to groups.

use std::collections::BTreeSet;

use serde::Serialize;

use super::directory::Directory;
use super::index::Index;
use super::manifest::{SubscriptionEntry, TypeTaken};
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
    /// The treatment of a type that the group takes.
    pub(super) fn of(taken: &TypeTaken) -> Self {
        let up_to = taken.up_to;
        match taken.by {
            TakenBy::Handler => Self::Handled { up_to },
            TakenBy::Record => Self::Recorded { up_to },
            TakenBy::Forward => Self::Forwarded { up_to },
            TakenBy::Answer => Self::Answered { up_to },
        }
    }

    /// The treatment of the types that the group does not take.
    pub(super) fn rest(subscription: &SubscriptionEntry) -> Self {
        match subscription.unknown {
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
        Explanation::of(message_type, &Index::of(self))
    }

    /// Explains all [types](Self::message_types) that services publish or take, in order. Faster than one after the other.
    #[must_use]
    pub fn explain_all(&self) -> Vec<Explanation> {
        let index = Index::of(self);
        index.types().iter().filter_map(|message_type| Explanation::of(message_type, &index)).collect()
    }
}

impl Explanation {
    pub(super) fn of(message_type: &str, index: &Index<'_>) -> Option<Self> {
        let (published, sent) = (index.published(message_type), index.sent(message_type));
        let topics: BTreeSet<&str> =
            published.iter().map(|by| &*by.topic).chain(sent.iter().map(|by| &*by.topic)).collect();
        let groups = index.groups(message_type, &topics);
        if published.is_empty() && sent.is_empty() && groups.is_empty() {
            return None;
        }
        let routed = index.routed(&groups);
        let message_type = message_type.to_owned();
        let groups = groups.into_iter().collect();
        let mut explanation = Self { message_type, published, sent, routed, groups, warnings: Vec::new() };
        explanation.warnings = warning::of_type(index, &explanation);
        Some(explanation)
    }
}

//! The manifest of a service: its publications and subscriptions as data.

use recount_core::{Event, EventVariant, Recount};
use serde::{Deserialize, Serialize};

use crate::handler::{Handlers, TakenBy};
use crate::{Binding, Order, Topic, UnknownType};

/// The version of the JSON form of manifests and announcements. A reader ignores fields that it does not know, and refuses
/// a greater version.
pub(crate) const FORMAT: u32 = 1;

/// The description of a service: its publications, its subscriptions, and the services that it sends commands to.
///
/// [`Service::manifest`](crate::Service::manifest) makes one without a broker. It is serialisable, so that it can be kept
/// beside a deployment and compared with others, see [`Directory::of`](crate::Directory::of).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Manifest {
    /// The version of this form: 1.
    pub format: u32,
    /// The name of the service.
    pub service: String,
    /// The version of the program, if it was [set](crate::Service::version).
    #[serde(default)]
    pub version: Option<String>,
    /// Tells the instances of a service that run at once apart. A new one at each start unless it was
    /// [set](crate::Service::instance).
    pub instance: String,
    /// The messages that it publishes, from its events or from messages that it forwards.
    #[serde(default)]
    pub publications: Vec<PublicationEntry>,
    /// The topics that it takes messages of.
    #[serde(default)]
    pub subscriptions: Vec<SubscriptionEntry>,
    /// The aggregates of other services that it sends commands to.
    #[serde(default)]
    pub gateway: Vec<GatewayEntry>,
}

/// A publication of a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PublicationEntry {
    /// The name of the publication.
    pub name: String,
    /// The topic.
    pub topic: String,
    /// The number of lanes of the topic.
    pub lanes: u16,
    /// The types of its messages, each at the version that is written.
    #[serde(default)]
    pub types: Vec<MessageType>,
    /// Whether a mapping chooses the types by route, so that they are not known.
    #[serde(default)]
    pub routed: bool,
}

/// A type of message at a version.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[non_exhaustive]
pub struct MessageType {
    /// The name, such as `orders.placed`.
    pub name: String,
    /// The version of the data's shape, from 1.
    pub version: u32,
}

/// A group of a service, and the messages that it takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SubscriptionEntry {
    /// The topic.
    pub topic: String,
    /// The number of lanes of the topic.
    pub lanes: u16,
    /// The group.
    pub group: String,
    /// Whether messages come in the order of their keys.
    pub ordered: bool,
    /// The types that are handled or recorded.
    #[serde(default)]
    pub types: Vec<TypeTaken>,
    /// The commands of registered aggregates that are taken, as types of messages: `AGGREGATE.COMMAND`.
    #[serde(default)]
    pub commands: Vec<String>,
    /// Whether it takes replies to requests of this service.
    #[serde(default)]
    pub replies: bool,
    /// The treatment of all other types.
    pub unknown: UnknownType,
}

/// A type of message that a group takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TypeTaken {
    /// The name of the type.
    pub name: String,
    /// The newest version that is read.
    pub up_to: u32,
    /// How it is taken.
    pub by: TakenBy,
    /// Whether the name is an earlier one, or that of a type that is not written any more.
    #[serde(default)]
    pub former: bool,
    /// The types of the replies, if it is a question.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replies: Vec<MessageType>,
}

/// An aggregate of another service, and the topic at which that takes its commands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[non_exhaustive]
pub struct GatewayEntry {
    /// The name of the aggregate.
    pub aggregate: String,
    /// The topic.
    pub topic: String,
    /// The number of lanes of the topic.
    pub lanes: u16,
}

impl TypeTaken {
    /// The types of `E`, under all their names.
    pub(crate) fn all<E: Event>(by: TakenBy) -> impl Iterator<Item = Self> {
        E::variants().into_iter().flat_map(move |variant| {
            let names = std::iter::once(variant.event_type).chain(variant.aliases.iter().copied());
            let former = move |name| variant.retired || name != variant.event_type;
            let up_to = variant.schema_version;
            let taken: Vec<_> = names
                .map(|name| Self { name: name.to_owned(), up_to, by, former: former(name), replies: Vec::new() })
                .collect();
            taken
        })
    }
}

impl Manifest {
    pub(crate) fn new(service: &str, instance: String) -> Self {
        let service = service.to_owned();
        Self {
            format: FORMAT,
            service,
            version: None,
            instance,
            publications: Vec::new(),
            subscriptions: Vec::new(),
            gateway: Vec::new(),
        }
    }

    /// Adds a publication. Without types its mapping chooses them by route.
    pub(crate) fn publishes(&mut self, name: &str, topics: &[Topic], types: Option<&[MessageType]>) {
        self.publications.extend(topics.iter().map(|topic| PublicationEntry {
            name: name.to_owned(),
            topic: topic.name().to_owned(),
            lanes: topic.lanes().get(),
            types: types.unwrap_or_default().to_vec(),
            routed: types.is_none(),
        }));
    }

    pub(crate) fn subscribes(&mut self, binding: &Binding, handlers: &Handlers, recount: &Recount) {
        let mut commands = Vec::new();
        if handlers.takes_commands() {
            commands.extend(recount.commands().map(|(aggregate, command, _)| format!("{aggregate}.{command}")));
            commands.sort_unstable();
        }
        self.subscriptions.push(SubscriptionEntry {
            topic: binding.topic.name().to_owned(),
            lanes: binding.topic.lanes().get(),
            group: binding.group.name().to_owned(),
            ordered: binding.order == Order::PerKey,
            types: handlers.taken(),
            commands,
            replies: handlers.takes_replies(),
            unknown: handlers.unknown(),
        });
    }

    /// Adds the questions that the service answers without a group at the broker.
    pub(crate) fn answers(&mut self, topic: &Topic, types: &[TypeTaken]) {
        self.subscriptions.push(SubscriptionEntry {
            topic: topic.name().to_owned(),
            lanes: topic.lanes().get(),
            group: self.service.clone(),
            ordered: false,
            types: types.to_vec(),
            commands: Vec::new(),
            replies: false,
            unknown: UnknownType::Ignore,
        });
    }

    pub(crate) fn sends<'a>(&mut self, routes: impl Iterator<Item = (&'a String, &'a Topic)>) {
        self.gateway.extend(routes.map(|(aggregate, topic)| GatewayEntry {
            aggregate: aggregate.clone(),
            topic: topic.name().to_owned(),
            lanes: topic.lanes().get(),
        }));
        self.gateway.sort_unstable();
    }
}

/// The types of these variants that are written.
pub(crate) fn written(variants: Vec<EventVariant>) -> Vec<MessageType> {
    let written = variants.into_iter().filter(|variant| !variant.retired);
    let mut types: Vec<_> = written
        .map(|variant| MessageType { name: variant.event_type.to_owned(), version: variant.schema_version })
        .collect();
    types.sort_unstable();
    types
}

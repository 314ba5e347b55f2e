//! The directory: services, their topics, and their types of messages.

use std::collections::{BTreeMap, BTreeSet};

use recount_core::Health;
use serde::Serialize;

use super::manifest::{Manifest, PublicationEntry, SubscriptionEntry};

/// Whether an instance of a service is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Presence {
    /// It was heard in time.
    Present,
    /// It was not heard for three intervals: it was killed, hangs, or can't reach the broker.
    Expired,
    /// It was shut down, and said so.
    Gone,
}

/// An instance of a service.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Instance {
    /// Its publications and subscriptions.
    pub manifest: Manifest,
    /// Its last health: the condition, and the checks that are not ok.
    pub health: Health,
    /// Whether it is there.
    pub state: Presence,
    /// How long ago it was heard, in milliseconds.
    pub heard_ms_ago: u64,
    /// After so long without an announcement it expires, in milliseconds.
    pub expires_after_ms: u64,
}

/// The services at a broker: the instances that were heard, and the ways of their messages.
///
/// ```
/// # use recount_messaging::{Directory, Manifest};
/// # fn f(manifests: Vec<Manifest>) {
/// let directory = Directory::of(manifests);
/// if let Some(explanation) = directory.explain("orders.placed") {
///     for warning in explanation.warnings {
///         println!("{warning}");
///     }
/// }
/// # }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Directory {
    /// The instances, by service; present ones come first.
    pub instances: Vec<Instance>,
    /// How many messages were no announcements that this program can read.
    pub ignored: u64,
}

/// A topic, and the services that use it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct TopicUse {
    /// The topic.
    pub topic: String,
    /// Its numbers of lanes: one, unless services disagree.
    pub lanes: BTreeSet<u16>,
    /// The services that publish events to it.
    pub publishers: BTreeSet<String>,
    /// The services that send commands to it.
    pub senders: BTreeSet<String>,
    /// The groups that take its messages, each with the services that it belongs to.
    pub groups: BTreeMap<String, BTreeSet<String>>,
}

impl Directory {
    pub(crate) fn new(mut instances: Vec<Instance>, ignored: u64) -> Self {
        let order = |it: &Instance| (it.manifest.service.clone(), it.state, it.manifest.instance.clone());
        instances.sort_by_cached_key(order);
        Self { instances, ignored }
    }

    /// The directory of services with these manifests, without a broker.
    #[must_use]
    pub fn of(manifests: impl IntoIterator<Item = Manifest>) -> Self {
        let present = |manifest| {
            let health = Health::of(Vec::new());
            Instance { manifest, health, state: Presence::Present, heard_ms_ago: 0, expires_after_ms: 0 }
        };
        Self::new(manifests.into_iter().map(present).collect(), 0)
    }

    /// The instances that count for the ways of messages: of each service the present ones, or else the expired ones, unless
    /// a later instance was shut down. Instances that are gone do not count.
    pub fn counted(&self) -> impl Iterator<Item = &Instance> {
        let present: BTreeSet<&str> = self.in_state(Presence::Present).map(|it| &*it.manifest.service).collect();
        // When the last instance of each service was shut down.
        let mut ended: BTreeMap<&str, u64> = BTreeMap::new();
        for instance in self.in_state(Presence::Gone) {
            let last = ended.entry(&instance.manifest.service).or_insert(u64::MAX);
            *last = instance.heard_ms_ago.min(*last);
        }
        self.instances.iter().filter(move |it| match it.state {
            Presence::Present => true,
            Presence::Expired => {
                let service = &*it.manifest.service;
                let expired_ms_ago = it.heard_ms_ago.saturating_sub(it.expires_after_ms);
                !present.contains(service) && ended.get(service).is_none_or(|ended| *ended >= expired_ms_ago)
            }
            Presence::Gone => false,
        })
    }

    /// The instances in this state.
    pub fn in_state(&self, state: Presence) -> impl Iterator<Item = &Instance> {
        self.instances.iter().filter(move |it| it.state == state)
    }

    /// The topics that services use, by name.
    #[must_use]
    pub fn topics(&self) -> Vec<TopicUse> {
        let mut topics = BTreeMap::new();
        for (service, publication) in self.publications() {
            let used = of_topic(&mut topics, &publication.topic, publication.lanes);
            used.publishers.insert(service.to_owned());
        }
        for (service, subscription) in self.subscriptions() {
            let used = of_topic(&mut topics, &subscription.topic, subscription.lanes);
            used.groups.entry(subscription.group.clone()).or_default().insert(service.to_owned());
        }
        for instance in self.counted() {
            for route in &instance.manifest.gateway {
                let used = of_topic(&mut topics, &route.topic, route.lanes);
                used.senders.insert(instance.manifest.service.clone());
            }
        }
        topics.into_values().collect()
    }

    /// The types of messages that services publish or take, in order. Earlier names, which are only read, are left out.
    #[must_use]
    pub fn message_types(&self) -> BTreeSet<&str> {
        let published = self.publications().flat_map(|(_, publication)| &publication.types).map(|of| &*of.name);
        let taken = self.subscriptions().flat_map(|(_, subscription)| &subscription.types);
        let taken = taken.filter(|taken| !taken.former).map(|taken| &*taken.name);
        published.chain(taken).collect()
    }

    /// The publications, each with its service.
    pub(super) fn publications(&self) -> impl Iterator<Item = (&str, &PublicationEntry)> {
        self.counted().map(|it| &it.manifest).flat_map(|it| it.publications.iter().map(|entry| (&*it.service, entry)))
    }

    /// The subscriptions, each with its service.
    pub(super) fn subscriptions(&self) -> impl Iterator<Item = (&str, &SubscriptionEntry)> {
        self.counted().map(|it| &it.manifest).flat_map(|it| it.subscriptions.iter().map(|entry| (&*it.service, entry)))
    }
}

fn of_topic<'t>(topics: &'t mut BTreeMap<String, TopicUse>, topic: &str, lanes: u16) -> &'t mut TopicUse {
    let new = || TopicUse {
        topic: topic.to_owned(),
        lanes: BTreeSet::new(),
        publishers: BTreeSet::new(),
        senders: BTreeSet::new(),
        groups: BTreeMap::new(),
    };
    let used = topics.entry(topic.to_owned()).or_insert_with(new);
    used.lanes.insert(lanes);
    used
}

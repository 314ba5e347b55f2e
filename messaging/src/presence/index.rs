//! The index of a directory: its publications and subscriptions by type of message, topic and aggregate.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::directory::Directory;
use super::explain::{PublishedBy, SentBy, TakenIn, Treatment};
use super::manifest::{PublicationEntry, SubscriptionEntry};

/// A name of a type, a topic or an aggregate.
type Name<'d> = &'d str;

/// The entries of a [`Directory`], found by name. Built once for all types, so that each is explained without a look at the
/// entries of others.
#[derive(Default)]
pub(super) struct Index<'d> {
    /// The published types, each with its services, publications and versions.
    published: HashMap<Name<'d>, Vec<(Name<'d>, &'d PublicationEntry, u32)>>,
    /// The services with a route to a topic.
    routed: HashMap<Name<'d>, BTreeSet<Name<'d>>>,
    /// The groups, in the order of the announcements.
    groups: Vec<Group<'d>>,
    /// The groups of a topic, as places in `groups`.
    by_topic: HashMap<Name<'d>, Vec<usize>>,
    /// The groups that take a type, as places in `groups`, with their treatment of it.
    taken: HashMap<Name<'d>, Vec<(usize, Treatment)>>,
    /// The topics and types that a group takes under a name that is not a former one.
    current: HashSet<(Name<'d>, Name<'d>)>,
    /// The topics at which services send commands to an aggregate.
    gateways: HashMap<Name<'d>, BTreeSet<(Name<'d>, Name<'d>)>>,
    /// The commands that groups of a topic take, by aggregate.
    commands: HashMap<(Name<'d>, Name<'d>), BTreeSet<Name<'d>>>,
    /// The types that are published or taken, without former names.
    types: BTreeSet<Name<'d>>,
}

/// A subscription, with its service.
struct Group<'d> {
    service: Name<'d>,
    entry: &'d SubscriptionEntry,
}

impl Group<'_> {
    fn takes_as(&self, treatment: Treatment) -> TakenIn {
        TakenIn {
            topic: self.entry.topic.clone(),
            group: self.entry.group.clone(),
            service: self.service.to_owned(),
            treatment,
        }
    }
}

impl<'d> Index<'d> {
    pub(super) fn of(directory: &'d Directory) -> Self {
        let mut index = Self { types: directory.message_types(), ..Self::default() };
        for (service, entry) in directory.publications() {
            index.add_publication(service, entry);
        }
        for (service, entry) in directory.subscriptions() {
            index.add_subscription(Group { service, entry });
        }
        for manifest in directory.counted().map(|instance| &instance.manifest) {
            for route in &manifest.gateway {
                index.gateways.entry(&route.aggregate).or_default().insert((&manifest.service, &route.topic));
            }
        }
        index
    }

    fn add_publication(&mut self, service: Name<'d>, entry: &'d PublicationEntry) {
        for of in &entry.types {
            self.published.entry(&of.name).or_default().push((service, entry, of.version));
        }
        if entry.routed {
            self.routed.entry(&entry.topic).or_default().insert(service);
        }
    }

    fn add_subscription(&mut self, group: Group<'d>) {
        let (place, entry) = (self.groups.len(), group.entry);
        // The first entry of a name counts, and a type before a command.
        let mut names = HashSet::new();
        for of in &entry.types {
            if names.insert(&*of.name) {
                self.taken.entry(&of.name).or_default().push((place, Treatment::of(of)));
            }
            if !of.former {
                self.current.insert((&entry.topic, &of.name));
            }
        }
        for command in &entry.commands {
            if names.insert(command) {
                self.taken.entry(command).or_default().push((place, Treatment::Command));
            }
            if let Some((aggregate, _)) = command.split_once('.') {
                self.commands.entry((&entry.topic, aggregate)).or_default().insert(command);
            }
        }
        self.by_topic.entry(&entry.topic).or_default().push(place);
        self.groups.push(group);
    }

    /// The types that services publish or take, in order.
    pub(super) fn types(&self) -> &BTreeSet<Name<'d>> {
        &self.types
    }

    pub(super) fn published(&self, message_type: &str) -> Vec<PublishedBy> {
        let mut found: BTreeMap<_, BTreeSet<u32>> = BTreeMap::new();
        for (service, entry, version) in self.published.get(message_type).into_iter().flatten() {
            let key = (*service, &*entry.name, &*entry.topic, entry.lanes);
            found.entry(key).or_default().insert(*version);
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

    /// The services that may send the type as a command. A gateway knows aggregates only, and events of an aggregate have
    /// names like its commands: the type must be a command of a group at the topic. Without such a group it may be one.
    pub(super) fn sent(&self, message_type: &str) -> Vec<SentBy> {
        let Some((aggregate, _)) = message_type.split_once('.') else { return Vec::new() };
        let routes = self.gateways.get(aggregate).into_iter().flatten();
        let routes = routes.filter(|(_, topic)| match self.commands.get(&(*topic, aggregate)) {
            None => !self.types.contains(message_type),
            Some(commands) => commands.contains(message_type),
        });
        routes.map(|(service, topic)| SentBy { service: (*service).into(), topic: (*topic).into() }).collect()
    }

    /// The groups of these topics, and the groups of others that take the type.
    pub(super) fn groups(&self, message_type: &str, topics: &BTreeSet<&str>) -> BTreeSet<TakenIn> {
        let taken: BTreeMap<_, _> = self.taken.get(message_type).into_iter().flatten().copied().collect();
        let here = topics.iter().filter_map(|topic| self.by_topic.get(topic)).flatten().copied();
        let others = here.filter(|place| !taken.contains_key(place));
        let others = others.filter_map(|place| self.groups.get(place)).map(|it| it.takes_as(Treatment::rest(it.entry)));
        let taken = taken.iter().filter_map(|(place, treatment)| Some(self.groups.get(*place)?.takes_as(*treatment)));
        taken.chain(others).collect()
    }

    /// The services with routes to topics of which one of these groups takes the type.
    pub(super) fn routed(&self, groups: &BTreeSet<TakenIn>) -> Vec<SentBy> {
        let taking = groups.iter().filter(|group| group.treatment.takes()).map(|group| &*group.topic);
        let topics: BTreeSet<&str> = taking.collect();
        let routes = topics.iter().filter_map(|topic| Some((topic, self.routed.get(topic)?)));
        let routes = routes.flat_map(|(topic, services)| services.iter().map(move |service| (service, topic)));
        let routed: BTreeSet<SentBy> =
            routes.map(|(service, topic)| SentBy { service: (*service).into(), topic: (*topic).into() }).collect();
        routed.into_iter().collect()
    }

    /// Whether a group of the topic takes commands to the aggregate.
    pub(super) fn takes_commands(&self, topic: &str, aggregate: &str) -> bool {
        self.commands.contains_key(&(topic, aggregate))
    }

    /// Whether all groups of a topic that take the type as an event take it as an earlier name only.
    pub(super) fn is_former(&self, topic: &str, message_type: &str) -> bool {
        !self.current.contains(&(topic, message_type))
    }
}

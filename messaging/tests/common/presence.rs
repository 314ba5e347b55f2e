//! Helpers for the tests of presence: services that announce themselves, and an observer.

use std::sync::Arc;
use std::time::Duration;

use recount_core::{Consumers, Recount};
use recount_messaging::{Binding, Directory, Group, InProcess, Observer, Presence, Service, Topic};

use super::profiles::in_each_profile_within;
use super::{World, live, publication};

/// Longer than an interval.
pub(crate) const WHILE: Duration = Duration::from_secs(12);

pub(crate) fn in_each_profile(test: impl AsyncFn(World, InProcess)) {
    in_each_profile_within(Duration::from_secs(20_000), test);
}

pub(crate) fn service(world: &World, recount: &Recount) -> Service {
    Service::new(recount.clone(), Arc::clone(&world.broker), "orders").unwrap().version("1.2.3").publish(publication())
}

pub(crate) async fn started(service: Service) -> Consumers {
    let consumers = service.start();
    live(&consumers).await;
    consumers
}

pub(crate) async fn observer(broker: &InProcess) -> Observer {
    Observer::open(Arc::new(broker.connect())).await.unwrap()
}

/// The services as an observer hears them that comes now.
pub(crate) async fn heard(broker: &InProcess) -> Directory {
    let mut observer = observer(broker).await;
    observer.observe(WHILE).await.unwrap();
    let directory = observer.directory();
    observer.close().await;
    directory
}

pub(crate) fn states(directory: &Directory) -> Vec<Presence> {
    directory.instances.iter().map(|instance| instance.state).collect()
}

/// The binding of a group to the topic of announcements.
pub(crate) fn binding(group: &str) -> Binding {
    let topic = Topic::new("recount-presence").unwrap().with_lanes(std::num::NonZeroU16::MIN);
    Binding::new(topic.keep_for(Duration::from_secs(600)), Group::new(group).unwrap())
}

//! Services announce themselves, and an observer tells whether they are present, over the in-process broker in all its
//! profiles.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that panics has failed")]

extern crate recount_core as recount;

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::presence::{WHILE, binding, heard, in_each_profile, observer, service, started, states};
use common::{World, publication};
use recount_core::Condition;
use recount_messaging::{Broker, InProcess, Plan, Presence, Profile, Service, Settings};

#[test]
fn a_running_service_is_present_with_its_manifest_and_health() {
    in_each_profile(async |world, broker| {
        let recount = world.orders();
        let service = service(&world, &recount);
        let manifest = service.manifest().clone();
        let running = started(service).await;
        let directory = heard(&broker).await;
        assert_eq!((states(&directory), directory.ignored), (vec![Presence::Present], 0));
        let instance = &directory.instances[0];
        assert_eq!((&instance.manifest, instance.health.status), (&manifest, Condition::Ok));
        assert_eq!((&*manifest.service, manifest.version.as_deref()), ("orders", Some("1.2.3")));
        assert_eq!((&*manifest.publications[0].types[0].name, manifest.publications[0].lanes), ("orders.placed", 8));
        running.shutdown().await;
    });
}

#[test]
fn a_service_that_was_shut_down_is_gone_and_a_killed_one_expires() {
    in_each_profile(async |world, broker| {
        let mut observer = observer(&broker).await;
        let (one, two) = (world.orders(), world.orders());
        let ended = started(service(&world, &one).instance("ended").unwrap()).await;
        let killed = service(&world, &two).instance("killed").unwrap().start();
        observer.observe(WHILE).await.unwrap();
        observer.observe(WHILE).await.unwrap();
        assert_eq!(states(&observer.directory()), [Presence::Present, Presence::Present]);
        ended.shutdown().await;
        drop(killed);
        observer.observe(Duration::from_secs(15)).await.unwrap();
        assert_eq!(
            states(&observer.directory()),
            [Presence::Present, Presence::Gone],
            "two intervals are missed at most"
        );
        observer.observe(Duration::from_secs(20)).await.unwrap();
        let directory = observer.directory();
        let of = |presence| directory.in_state(presence).map(|it| &*it.manifest.instance).collect::<Vec<_>>();
        assert_eq!((of(Presence::Gone), of(Presence::Expired)), (vec!["ended"], vec!["killed"]));
        let warnings: Vec<_> = directory.warnings().iter().map(ToString::to_string).collect();
        assert!(warnings.iter().any(|text| text.starts_with("no instance of orders is present")), "{warnings:?}");
    });
}

#[test]
fn a_late_observer_learns_of_an_expired_service_where_the_broker_has_history() {
    in_each_profile(async |world, broker| {
        let history = broker.capabilities(&binding("late")).late_group_gets_history;
        let running = started(service(&world, &world.orders())).await;
        tokio::time::sleep(WHILE).await;
        drop(running);
        tokio::time::sleep(Duration::from_secs(40)).await;
        assert_eq!(states(&heard(&broker).await), if history { vec![Presence::Expired] } else { vec![] });
        // It is forgotten with the history.
        tokio::time::sleep(Duration::from_secs(600)).await;
        assert_eq!(states(&heard(&broker).await), []);
    });
}

#[test]
fn while_one_instance_is_present_its_service_is_not_missing() {
    in_each_profile(async |world, broker| {
        let mut observer = observer(&broker).await;
        let first = started(service(&world, &world.orders())).await;
        let second = service(&world, &world.orders()).start();
        tokio::time::sleep(WHILE).await;
        drop(first);
        for _ in 0..5 {
            observer.observe(WHILE).await.unwrap();
        }
        let directory = observer.directory();
        assert_eq!(states(&directory), [Presence::Present, Presence::Expired]);
        assert_eq!(directory.counted().count(), 1);
        let missing = |text: &String| text.contains("no instance");
        assert!(!directory.warnings().iter().map(ToString::to_string).any(|text| missing(&text)));
        drop(second);
    });
}

#[test]
fn a_killed_instance_does_not_count_after_its_successor_was_shut_down() {
    in_each_profile(async |world, broker| {
        let mut observer = observer(&broker).await;
        let killed = started(service(&world, &world.orders())).await;
        observer.observe(WHILE).await.unwrap();
        drop(killed);
        let next = service(&world, &world.orders()).start();
        for _ in 0..5 {
            observer.observe(WHILE).await.unwrap();
        }
        next.shutdown().await;
        observer.observe(Duration::from_secs(2)).await.unwrap();
        let directory = observer.directory();
        assert_eq!(states(&directory), [Presence::Expired, Presence::Gone]);
        assert_eq!((directory.counted().count(), directory.warnings()), (0, vec![]));
    });
}

#[tokio::test(start_paused = true)]
async fn several_services_of_one_name_on_one_recount_are_all_announced() {
    let broker = InProcess::new();
    let world = World::new(broker.connect());
    let recount = world.orders();
    let named = || Service::new(recount.clone(), Arc::clone(&world.broker), "orders").unwrap();
    let running = (started(named().publish(publication())).await, started(named()).await);
    tokio::time::sleep(WHILE).await;
    assert_eq!(states(&heard(&broker).await), [Presence::Present, Presence::Present]);
    assert_eq!(recount.health().await.status, Condition::Ok);
    drop(running);
}

#[tokio::test(start_paused = true)]
async fn an_unannounced_service_is_not_heard() {
    let broker = InProcess::new();
    let world = World::new(broker.connect());
    let running = started(service(&world, &world.orders()).unannounced()).await;
    tokio::time::sleep(WHILE).await;
    assert_eq!(states(&heard(&broker).await), []);
    drop(running);
}

#[test]
fn announcements_do_not_pile_up_at_the_broker() {
    in_each_profile(async |world, broker| {
        let running = service(&world, &world.orders()).start();
        // An observer that is dropped leaves a group behind.
        tokio::time::sleep(WHILE).await;
        drop(observer(&broker).await);
        tokio::time::sleep(Duration::from_secs(2 * 3600)).await;
        let late = binding("late");
        broker.ensure(&Plan { topics: vec![], bindings: vec![late.clone()] }, false).await.unwrap();
        let kept = broker.faults().backlog(&late).unwrap();
        assert!(kept <= 61, "{kept} announcements are kept");
        drop(running);
    });
}

#[test]
fn the_group_of_an_observer_that_is_gone_does_not_hold_up_announcements() {
    for profile in Profile::ALL {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async {
            // A group that does not settle so many messages blocks the topic.
            let settings = Settings::new(profile).retain(100, 1024 * 1024);
            let broker = InProcess::with_settings(settings);
            let world = World::new(broker.connect());
            let running = service(&world, &world.orders()).start();
            drop(observer(&broker).await);
            tokio::time::sleep(Duration::from_secs(3600)).await;
            assert_eq!(states(&heard(&broker).await), [Presence::Present], "{profile:?}");
            drop(running);
        });
    }
}

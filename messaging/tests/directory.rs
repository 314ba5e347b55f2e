//! The directory: where a type of message comes from and goes to, and the likely defects.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that panics has failed")]

extern crate recount_core as recount;

mod common;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use common::{World, binding, publication, topic};
use recount_messaging::{
    Directory, GatewayBuilder, InProcess, Manifest, Order, Publication, Service, Subscriber, TakenBy, Topic, Treatment,
    UnknownType, Warning,
};
use serde_json::{Value, json};

fn world() -> World {
    World::new(InProcess::new())
}

fn service(world: &World, name: &str) -> Service {
    Service::new(world.ledgers(), Arc::clone(&world.broker), name).unwrap()
}

/// The manifests of a service that publishes, and of one that handles.
fn manifests() -> [Manifest; 2] {
    let world = world();
    let orders = service(&world, "orders").publish(publication()).manifest().clone();
    let ledgers = service(&world, "ledgers").subscribe(world.subscriber()).manifest().clone();
    [orders, ledgers]
}

/// A manifest from its JSON, changed at one place.
fn with(manifest: &Manifest, path: &str, value: Value) -> Manifest {
    let mut json = serde_json::to_value(manifest).unwrap();
    *json.pointer_mut(path).unwrap() = value;
    serde_json::from_value(json).unwrap()
}

fn warnings(directory: &Directory) -> Vec<String> {
    directory.warnings().iter().map(ToString::to_string).collect()
}

#[test]
fn a_manifest_has_a_stable_form_and_is_read_again() {
    let world = world();
    let recorded = Subscriber::new(binding()).record::<common::OrderMessage>("received").unwrap();
    let commands = recount_messaging::Binding::new(Topic::new("commands").unwrap(), binding().group);
    let commands = Subscriber::new(commands.order(Order::Unordered)).commands().on_unknown(UnknownType::DeadLetter);
    let gateway = GatewayBuilder::new().aggregate::<common::Ledger>(Topic::new("ledger-commands").unwrap());
    let service = service(&world, "orders").version("1.0.0").instance("one").unwrap();
    let service = service.publish(publication()).subscribe(recorded).subscribe(commands);
    let (service, _) = service.gateway(gateway).unwrap();
    let json = serde_json::to_value(service.manifest()).unwrap();
    let expected = json!({
        "format": 1, "service": "orders", "version": "1.0.0", "instance": "one",
        "publications": [{"name": "orders", "topic": "orders", "lanes": 8,
            "types": [{"name": "orders.placed", "version": 1}], "routed": false}],
        "subscriptions": [
            {"topic": "orders", "lanes": 8, "group": "ledgers", "ordered": true,
             "types": [{"name": "orders.placed", "up_to": 1, "by": "record", "former": false}],
             "commands": [], "replies": false, "unknown": "ignore"},
            {"topic": "commands", "lanes": 8, "group": "ledgers", "ordered": false, "types": [],
             "commands": ["ledger.enter"], "replies": false, "unknown": "dead_letter"},
            {"topic": "replies-orders", "lanes": 1, "group": "orders", "ordered": false, "types": [],
             "commands": [], "replies": true, "unknown": "ignore"},
        ],
        "gateway": [{"aggregate": "ledger", "topic": "ledger-commands", "lanes": 8}],
    });
    assert_eq!(json, expected);
    assert_eq!(&serde_json::from_value::<Manifest>(json).unwrap(), service.manifest());
}

#[test]
fn a_type_is_explained_from_its_publisher_to_its_groups() {
    let world = world();
    let [orders, ledgers] = manifests();
    let mut archive = binding();
    archive.group = recount_messaging::Group::new("archive").unwrap();
    let recorded = Subscriber::new(archive.clone()).record::<common::OrderMessage>("received").unwrap();
    archive.group = recount_messaging::Group::new("audit").unwrap();
    let audit = Subscriber::new(archive).on_unknown(UnknownType::DeadLetter);
    let archive = service(&world, "archive").subscribe(recorded).subscribe(audit).manifest().clone();
    let directory = Directory::of([orders, ledgers, archive]);
    let explained = directory.explain("orders.placed").unwrap();
    let [by] = &explained.published[..] else { panic!("{explained:?}") };
    assert_eq!((&*by.service, &*by.topic, by.lanes, &by.versions), ("orders", "orders", 8, &BTreeSet::from([1])));
    let groups: Vec<_> = explained.groups.iter().map(|it| (&*it.group, &*it.service, it.treatment)).collect();
    let expected = [
        ("archive", "archive", Treatment::Recorded { up_to: 1 }),
        ("audit", "archive", Treatment::DeadLetter),
        ("ledgers", "ledgers", Treatment::Handled { up_to: 1 }),
    ];
    assert_eq!(groups, expected);
    let warnings = warnings(&directory);
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].starts_with("group audit of archive makes dead letters of orders.placed"), "{warnings:?}");
    assert!(directory.explain("orders.unheard_of").is_none());
    assert_eq!(directory.explain_all(), [explained]);
}

#[test]
fn services_that_fit_give_no_warning() {
    assert_eq!(warnings(&Directory::of(manifests())), Vec::<String>::new());
}

#[test]
fn a_type_that_no_group_takes_is_a_warning() {
    let [orders, _] = manifests();
    let warnings = warnings(&Directory::of([orders]));
    assert_eq!(warnings, ["orders.placed is published to orders, and no group takes it there"]);
}

#[test]
fn a_type_that_no_service_publishes_is_a_warning_unless_its_name_is_a_former_one() {
    let [orders, ledgers] = manifests();
    let elsewhere = with(&orders, "/publications/0/topic", json!("elsewhere"));
    for directory in [Directory::of([ledgers.clone()]), Directory::of([ledgers.clone(), elsewhere])] {
        let warnings = warnings(&directory);
        let text = "group ledgers of ledgers takes orders.placed from orders, and no service publishes it there";
        assert!(warnings.iter().any(|warning| warning == text), "{warnings:?}");
    }
    let former = with(&ledgers, "/subscriptions/0/types/0/former", json!(true));
    assert_eq!(warnings(&Directory::of([former])), Vec::<String>::new());
}

#[test]
fn a_published_version_that_a_group_cannot_read_is_a_warning() {
    let [orders, ledgers] = manifests();
    let newer = with(&orders, "/publications/0/types/0/version", json!(2));
    // While instances of both versions run.
    let directory = Directory::of([orders.clone(), newer, ledgers.clone()]);
    assert_eq!(directory.explain("orders.placed").unwrap().published[0].versions, BTreeSet::from([1, 2]));
    let too_new = warnings(&directory);
    assert_eq!(too_new.len(), 1, "{too_new:?}");
    assert!(too_new[0].contains("at version 2") && too_new[0].contains("reads up to version 1"), "{too_new:?}");
    let ahead = with(&ledgers, "/subscriptions/0/types/0/up_to", json!(3));
    assert_eq!(warnings(&Directory::of([orders, ahead])), Vec::<String>::new(), "earlier versions are read");
}

#[test]
fn a_topic_with_different_numbers_of_lanes_is_a_warning() {
    let [orders, ledgers] = manifests();
    let other = with(&ledgers, "/subscriptions/0/lanes", json!(4));
    assert_eq!(
        warnings(&Directory::of([orders, other])),
        ["services have topic orders with 4 and 8 lanes: give it the same number everywhere"]
    );
}

#[test]
fn commands_are_explained_and_missed() {
    let world = world();
    let gateway = || GatewayBuilder::new().aggregate::<common::Ledger>(topic());
    let sender = service(&world, "orders").gateway(gateway()).unwrap().0.manifest().clone();
    let taker = Subscriber::new(binding().order(Order::Unordered)).commands();
    let taker = service(&world, "ledgers").subscribe(taker).manifest().clone();
    let both = Directory::of([sender.clone(), taker]);
    let explained = both.explain("ledger.enter").unwrap();
    assert_eq!((&*explained.sent[0].service, &*explained.sent[0].topic), ("orders", "orders"));
    let taken = explained.groups.iter().find(|it| it.group == "ledgers").unwrap();
    assert_eq!(taken.treatment, Treatment::Command);
    assert_eq!(warnings(&both), Vec::<String>::new());
    assert!(both.explain("ledger.remove").is_none(), "the aggregate has no such command");
    // An event may be named like a command of the aggregate.
    let entered =
        json!({"name": "ledger", "topic": "entries", "lanes": 8, "types": [{"name": "ledger.entered", "version": 1}]});
    let [orders, _] = manifests();
    let publishes = with(&orders, "/publications/0", entered);
    let event = Directory::of([sender.clone(), publishes]).explain("ledger.entered").unwrap();
    assert_eq!((event.sent.len(), event.published.len()), (0, 1));
    let alone = warnings(&Directory::of([sender]));
    assert_eq!(alone.len(), 1, "{alone:?}");
    assert!(alone[0].starts_with("orders sends commands to ledger at orders, and no group takes them"), "{alone:?}");
}

#[test]
fn topics_have_their_publishers_senders_and_groups() {
    let topics = Directory::of(manifests()).topics();
    let [orders] = &topics[..] else { panic!("{topics:?}") };
    assert_eq!((&*orders.topic, &orders.lanes), ("orders", &BTreeSet::from([8])));
    assert_eq!(orders.publishers, BTreeSet::from(["orders".to_owned()]));
    assert_eq!(orders.groups["ledgers"], BTreeSet::from(["ledgers".to_owned()]));
    assert_eq!(manifests()[1].subscriptions[0].types[0].by, TakenBy::Handler);
}

#[test]
fn a_mapping_that_chooses_types_by_route_may_publish_any_type_that_is_taken_there() {
    let world = world();
    let [_, ledgers] = manifests();
    let routed = Publication::to("orders", [topic(), Topic::new("abroad").unwrap()])
        .route(|event: &common::OrderMessage, _, [inland, _]| Some(inland.event(event)));
    let orders = service(&world, "orders").publish(routed).manifest().clone();
    let directory = Directory::of([orders, ledgers.clone()]);
    let explained = directory.explain("orders.placed").unwrap();
    let routes: Vec<_> = explained.routed.iter().map(|by| (&*by.service, &*by.topic)).collect();
    assert_eq!((routes, explained.published.len()), (vec![("orders", "orders")], 0));
    assert_eq!(warnings(&directory), Vec::<String>::new());

    let forwarding = Subscriber::new(binding())
        .forward([topic()], |event: &common::OrderMessage, _, [orders]| Some(orders.event(event)))
        .unwrap();
    let forwarder = service(&world, "forwarder").subscribe(forwarding).manifest().clone();
    let explained = Directory::of([forwarder]).explain("orders.placed").unwrap();
    assert_eq!(explained.groups[0].treatment, Treatment::Forwarded { up_to: 1 });
    assert_eq!(explained.routed[0].service, "forwarder");
}

#[test]
fn a_publication_of_commands_names_their_type() {
    let world = world();
    let commands = Publication::new("entries", Topic::new("commands").unwrap())
        .commands(|_: &common::OrderMessage, _| None::<common::Enter>);
    let orders = service(&world, "orders").publish(commands).manifest().clone();
    let at = recount_messaging::Binding::new(Topic::new("commands").unwrap(), binding().group);
    let ledgers = service(&world, "ledgers").subscribe(Subscriber::new(at).commands()).manifest().clone();
    let directory = Directory::of([orders, ledgers]);
    let explained = directory.explain("ledger.enter").unwrap();
    assert_eq!(explained.published[0].topic, "commands");
    assert_eq!(explained.groups[0].treatment, Treatment::Command);
    assert_eq!(warnings(&directory), Vec::<String>::new());
}

/// A service that publishes a type of its own to each topic, takes a type of another service from each, and sends commands to
/// an aggregate at each.
fn busy(service: usize, services: usize, topics: usize) -> Manifest {
    let topic = |number: usize| format!("topic-{number}");
    let publications = (0..topics).map(|number| {
        let types = [json!({"name": format!("events-{service}.happened-{number}"), "version": 1})];
        json!({"name": format!("publication-{number}"), "topic": topic(number), "lanes": 8, "types": types})
    });
    let subscriptions = (0..topics).map(|number| {
        let name = format!("events-{}.happened-{number}", (service + 1) % services);
        let types = [json!({"name": name, "up_to": 1, "by": "handler"})];
        json!({"topic": topic(number), "lanes": 8, "group": format!("group-{service}"), "ordered": true, "types": types,
            "commands": [], "unknown": "ignore"})
    });
    let gateway = (0..topics).map(|number| json!({"aggregate": "ledger", "topic": topic(number), "lanes": 8}));
    let json = json!({"format": 1, "service": format!("service-{service}"), "instance": "one",
        "publications": publications.collect::<Vec<_>>(), "subscriptions": subscriptions.collect::<Vec<_>>(),
        "gateway": gateway.collect::<Vec<_>>()});
    serde_json::from_value(json).unwrap()
}

#[test]
fn the_warnings_of_many_services_with_many_topics_take_no_longer_than_their_announcements() {
    let (services, topics) = (50, 200);
    let directory = Directory::of((0..services).map(|service| busy(service, services, topics)));
    let started = std::time::Instant::now();
    let warnings = directory.warnings();
    let taken = started.elapsed();
    let without_receiver = |warning: &Warning| matches!(warning, Warning::NoReceiver { .. });
    assert!(warnings.iter().all(without_receiver), "{:?}", warnings.first());
    assert_eq!(warnings.len(), services * topics);
    assert!(taken < Duration::from_secs(2), "{taken:?}");
}

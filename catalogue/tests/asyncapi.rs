//! The AsyncAPI document says what services send and receive. The shop's tests give its document to AsyncAPI's own parser.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, dead_code, reason = "a test")]

extern crate recount_core as recount;

use std::sync::Arc;

use recount_catalogue::{Catalogue, CatalogueError};
use recount_core::{Aggregate, Apply, BoxError, Command, Event, Handle, Recount};
use recount_messaging::{
    Asked, Binding, Broker, GatewayBuilder, Group, InProcess, Manifest, Publication, Question, QuestionHandler,
    ReplySender, Responder, Service, Subscriber, Topic,
};
use recount_store_memory::MemoryStore;
use serde_json::{Value, json};

#[derive(Event, Clone)]
#[event(name = "door", published, unlocked)]
enum DoorEvent {
    Opened {
        by: guests::Person,
        at: (u32, String),
    },
    Closed,
    #[event(retired)]
    Painted,
}

/// Two types that are called `Person`.
mod guests {
    use recount_core::Shape;

    #[derive(Shape, serde::Serialize, serde::Deserialize, schemars::JsonSchema, Clone)]
    pub(crate) struct Person {
        pub(crate) name: String,
    }
}

mod staff {
    use recount_core::Shape;

    #[derive(Shape, serde::Serialize, serde::Deserialize, schemars::JsonSchema, Clone)]
    pub(crate) struct Person {
        pub(crate) badge: u32,
        pub(crate) deputy: Option<Box<Person>>,
    }
}

#[derive(Command, Clone)]
#[command(aggregate = Door)]
struct Open {
    #[command(id)]
    door: u32,
}

#[derive(Aggregate, Clone, Default)]
#[aggregate(name = "door", id = u32, event = DoorEvent, error = std::convert::Infallible, commands(Open))]
struct Door;

impl Apply for Door {
    fn apply(&mut self, _: &DoorEvent) {}
}

impl Handle<Open> for Door {
    fn handle(&self, _: Open) -> Result<Vec<DoorEvent>, std::convert::Infallible> {
        Ok(vec![])
    }
}

#[derive(Event, Clone)]
#[event(name = "watch", published, unlocked)]
enum WatchQuestion {
    Who { guest: guests::Person },
}

#[derive(Event, Clone)]
#[event(name = "watch_reply", published, unlocked)]
enum WatchReply {
    Here { person: staff::Person },
}

impl Question for WatchQuestion {
    type Reply = WatchReply;
}

struct Desk;

impl QuestionHandler for Desk {
    type Question = WatchQuestion;

    async fn answer(
        &self,
        _: &WatchQuestion,
        _: &Asked<'_>,
        _: &mut ReplySender<'_, WatchReply>,
    ) -> Result<(), BoxError> {
        Ok(())
    }
}

fn service(name: &str) -> Service {
    let broker: Arc<dyn Broker> = Arc::new(InProcess::new());
    Service::new(Recount::builder(MemoryStore::new()).register::<Door>().build(), broker, name).unwrap()
}

fn topic(name: &str) -> Topic {
    Topic::new(name).unwrap()
}

/// Doors publish their events, take commands, and answer questions.
fn doors() -> Manifest {
    let commands = Binding::new(topic("door-commands"), Group::new("doors").unwrap());
    let service = service("doors")
        .publish(Publication::new("doors", topic("doors")).events::<DoorEvent>())
        .subscribe(Subscriber::new(commands).commands())
        .respond(Responder::new(topic("watch")).answer(Desk).unwrap());
    service.manifest().clone()
}

/// The porter records the events of doors, and sends commands to them.
fn porter() -> Manifest {
    let reads = Subscriber::new(Binding::new(topic("doors"), Group::new("porter").unwrap()));
    let service = service("porter").subscribe(reads.record::<DoorEvent>("doors").unwrap());
    let gateway = GatewayBuilder::new().aggregate::<Door>(topic("door-commands"));
    service.gateway(gateway).unwrap().0.manifest().clone()
}

fn catalogue() -> Catalogue {
    let known = Catalogue::new("Doors").version("1.2.3").aggregate::<Door>();
    known.listener::<WatchQuestion>("doors").listener::<WatchReply>("porter").service(&doors()).service(&porter())
}

/// The value at a reference.
fn follow<'d>(document: &'d Value, reference: &Value) -> &'d Value {
    let pointer = reference["$ref"].as_str().unwrap_or_else(|| panic!("{reference} is no reference"));
    document.pointer(pointer.trim_start_matches('#')).unwrap_or_else(|| panic!("{pointer} is nowhere"))
}

/// The names of the messages of an operation or a reply, through all references.
fn messages(document: &Value, of: &Value) -> Vec<String> {
    let listed = of["messages"].as_array().unwrap_or_else(|| panic!("{of} lists no messages"));
    listed.iter().map(|one| follow(document, follow(document, one))["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn each_service_has_an_operation_for_what_it_sends_and_receives() {
    let document = catalogue().asyncapi().unwrap();
    assert_eq!(document["info"]["version"], "1.2.3");
    let operation = |name: &str| &document["operations"][name];
    let published = operation("doors.publishes.doors.doors");
    assert_eq!(published["action"], "send");
    assert_eq!(follow(&document, &published["channel"])["address"], "doors");
    // A type that is not written any more is not sent.
    assert_eq!(messages(&document, published), ["door.closed", "door.opened"]);
    let recorded = operation("porter.receives.doors.porter");
    assert_eq!((&recorded["action"], &recorded["tags"]), (&json!("receive"), &json!([{ "name": "porter" }])));
    assert_eq!(messages(&document, recorded), ["door.closed", "door.opened"]);
    let carried_out = operation("doors.carries_out.door-commands.doors");
    assert_eq!(messages(&document, carried_out), ["door.open"]);
    assert_eq!(messages(&document, &carried_out["reply"]), ["recount.reply"]);
    let sent = operation("porter.sends.door-commands.door");
    assert_eq!((&sent["action"], messages(&document, sent)), (&json!("send"), vec!["door.open".to_owned()]));
    assert_eq!(follow(&document, &sent["reply"]["channel"])["address"], "replies-porter");
    let answered = operation("doors.answers.watch.watch.who");
    assert_eq!(messages(&document, answered), ["watch.who"]);
    assert_eq!(messages(&document, &answered["reply"]), ["watch_reply.here"]);
    assert_eq!(document["operations"].as_object().unwrap().len(), 5);
}

/// AsyncAPI 3.0, Operation Reply Object: with an `address` of the reply, that of its channel must be null or not defined.
#[test]
fn a_reply_has_an_address_of_its_own_or_that_of_its_channel() {
    let document = catalogue().asyncapi().unwrap();
    let replies =
        document["operations"].as_object().unwrap().iter().filter_map(|(name, it)| Some((name, it.get("reply")?)));
    let mut seen = Vec::new();
    for (name, reply) in replies {
        let channel = follow(&document, &reply["channel"])["address"].is_string();
        assert_ne!(channel, reply.get("address").is_some(), "{name}: {reply}");
        seen.push(channel);
    }
    assert!(seen.contains(&true) && seen.contains(&false), "{seen:?}");
}

#[test]
fn a_payload_accepts_the_data_of_the_message_and_nothing_else() {
    let document = catalogue().asyncapi().unwrap();
    let payload = |name: &str| {
        let mut schema = document["components"]["messages"][name]["payload"].clone();
        schema["components"] = document["components"].clone();
        jsonschema::draft7::new(&schema).unwrap()
    };
    let opened = payload("door.opened.v1");
    let event = DoorEvent::Opened { by: guests::Person { name: "Ada".to_owned() }, at: (7, "noon".to_owned()) };
    let data = serde_json::from_slice(&event.encode().unwrap().payload).unwrap();
    opened.validate(&data).unwrap_or_else(|error| panic!("{data}: {error}"));
    // The tuple keeps the types of its parts, which draft 7 writes otherwise.
    assert!(!opened.is_valid(&json!({ "by": { "name": "Ada" }, "at": ["noon", 7] })));
    // Of two types with the same name each message has its own.
    assert!(!opened.is_valid(&json!({ "by": { "badge": 7 }, "at": [7, "noon"] })));
    let here = payload("watch_reply.here.v1");
    assert!(here.is_valid(&json!({ "person": { "badge": 7, "deputy": { "badge": 8, "deputy": null } } })));
    assert!(!here.is_valid(&json!({ "person": { "badge": 7, "deputy": { "badge": "8" } } })));
    assert!(!here.is_valid(&json!({ "person": { "name": "Ada" } })));
    let schemas: Vec<&String> = document["components"]["schemas"].as_object().unwrap().keys().collect();
    assert_eq!(schemas.len(), 2, "two messages share the person of the same form: {schemas:?}");
}

#[test]
fn a_channel_has_the_bindings_of_the_brokers() {
    let binding = |topic: &Topic| json!({ "topic": topic.name(), "partitions": topic.lanes() });
    let document = catalogue().channel_binding("kafka", binding).asyncapi().unwrap();
    let bound = &document["channels"]["doors"]["bindings"]["kafka"];
    assert_eq!(*bound, json!({ "topic": "doors", "partitions": topic("doors").lanes() }));
}

#[test]
fn a_message_that_the_catalogue_does_not_know_is_refused() {
    let catalogue = Catalogue::new("Doors").aggregate::<Door>().service(&doors());
    let error = catalogue.asyncapi().unwrap_err();
    assert!(matches!(error, CatalogueError::UnknownMessage { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains("doors") && text.contains("watch.who") && text.contains("listener"), "{text}");
    let directory = std::env::temp_dir().join("recount-catalogue-of-an-unknown-message");
    assert!(catalogue.write(&directory).is_err() && !directory.exists());
}

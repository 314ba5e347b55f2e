use std::sync::Arc;

use clap::Parser;
use recount::memory::MemoryStore;
use recount::messaging::{
    Binding, Group, InProcess, Incoming, MessageHandler, Publication, Service, Subscriber, Topic,
};
use recount::{BoxError, Commands, Consumers, Event, Recount};

use super::*;

#[derive(Event, Clone)]
#[event(name = "parcels", published, unlocked)]
enum ParcelMessage {
    Weighed { grams: i64 },
}

struct Scale;

impl MessageHandler for Scale {
    type Message = ParcelMessage;

    async fn handle(&self, _: &ParcelMessage, _: &Incoming<'_>) -> Result<Commands, BoxError> {
        Ok(Commands::none())
    }
}

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    task: Task,
}

fn task(arguments: &[&str]) -> Task {
    Line::parse_from([&["describe", "--broker", "inprocess://"], arguments].concat()).task
}

fn service(broker: &InProcess, name: &str) -> Service {
    Service::new(Recount::new(MemoryStore::new()), Arc::new(broker.connect()), name).unwrap()
}

/// A service that publishes, and one that handles.
fn started(broker: &InProcess) -> [Consumers; 2] {
    let topic = Topic::new("parcels").unwrap();
    let depot = service(broker, "depot").version("1.2.3");
    let depot = depot.publish(Publication::new("parcels", topic.clone()).events::<ParcelMessage>()).start();
    let subscriber = Subscriber::new(Binding::new(topic, Group::new("scale").unwrap())).handle(Scale).unwrap();
    [depot, service(broker, "scale").subscribe(subscriber).start()]
}

async fn described(broker: &InProcess, arguments: &[&str]) -> Result<(Value, String), Failure> {
    let (task, broker): (_, Arc<dyn Broker>) = (task(arguments), Arc::new(broker.connect()));
    // The services are announced when they start.
    tokio::time::sleep(Duration::from_secs(11)).await;
    let directory = observe(&task, &broker).await?;
    answer(&task, &directory)
}

fn refused(outcome: Result<(Value, String), Failure>) -> String {
    match outcome {
        Err(Failure::No(text)) => text,
        Err(Failure::Unable(text)) => panic!("unable: {text}"),
        Ok((json, _)) => panic!("{json}"),
    }
}

#[tokio::test(start_paused = true)]
async fn services_topics_and_types_are_described() {
    let broker = InProcess::new();
    let running = started(&broker);
    let (json, text) = described(&broker, &[]).await.unwrap_or_else(|_| panic!("no answer"));
    let instance = &json["instances"][0];
    assert_eq!((&instance["manifest"]["service"], &instance["state"]), (&json!("depot"), &json!("present")));
    assert_eq!((&json["v"], &json["warnings"], &json["ignored"]), (&json!(1), &json!([]), &json!(0)));
    assert_eq!((&json["types"][0]["groups"][0]["group"], &json["topics"][0]["lanes"]), (&json!("scale"), &json!([8])));
    let has = |words: &[&str]| {
        let mut lines = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
        lines.any(|line| words.iter().all(|word| line.contains(word)))
    };
    assert!(has(&["depot 1.2.3", "present ok"]) && has(&["scale -", "present ok"]), "{text}");
    assert!(has(&["parcels 8 depot scale"]), "{text}");
    assert!(has(&["parcels.weighed 1 depot parcels scale (handled)"]), "{text}");
    drop(running);
}

#[tokio::test(start_paused = true)]
async fn a_type_is_explained_and_an_unknown_one_is_refused() {
    let broker = InProcess::new();
    let [depot, scale] = started(&broker);
    let (json, text) = described(&broker, &["--type", "parcels.weighed"]).await.unwrap_or_else(|_| panic!("no answer"));
    assert_eq!(json["type"]["groups"][0]["treatment"], "handled");
    assert!(text.contains("published by depot to parcels with 8 lanes, at version 1"), "{text}");
    assert!(text.contains("handled by group scale of scale, from parcels up to version 1"), "{text}");
    let unknown = refused(described(&broker, &["--type", "parcels.lost"]).await);
    assert!(unknown.contains("\"parcels.lost\"") && unknown.contains("the types: parcels.weighed"), "{unknown}");
    scale.shutdown().await;
    let (json, text) = described(&broker, &["--type", "parcels.weighed"]).await.unwrap_or_else(|_| panic!("no answer"));
    assert_eq!(json["type"]["warnings"][0]["kind"], "not_taken");
    assert!(text.contains("warning: parcels.weighed is published to parcels, and no group takes it there"), "{text}");
    drop(depot);
}

#[tokio::test(start_paused = true)]
async fn one_service_is_described_and_an_unknown_one_is_refused() {
    let broker = InProcess::new();
    let running = started(&broker);
    let (json, text) = described(&broker, &["--service", "scale"]).await.unwrap_or_else(|_| panic!("no answer"));
    assert_eq!(json["instances"].as_array().map(Vec::len), Some(1));
    assert!(!text.contains("1.2.3") && text.contains("parcels.weighed"), "{text}");
    let unknown = refused(described(&broker, &["--service", "scales"]).await);
    assert!(unknown.contains("the services: depot, scale"), "{unknown}");
    drop(running);
}

#[tokio::test(start_paused = true)]
async fn where_no_service_answers_the_answer_is_no() {
    let none = refused(described(&InProcess::new(), &[]).await);
    assert!(none.starts_with("no service has announced itself within 12 s"), "{none}");
    let broker = InProcess::new();
    let [depot, scale] = started(&broker);
    tokio::time::sleep(Duration::from_secs(1)).await;
    depot.shutdown().await;
    scale.shutdown().await;
    let gone = refused(described(&broker, &[]).await);
    assert_eq!(gone, "all 2 instances were shut down");
}

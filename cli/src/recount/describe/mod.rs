//! `recount describe`

mod text;

use std::collections::BTreeSet;
use std::time::Duration;

use clap::Args;
use recount::messaging::{Broker, Directory, Explanation, Instance, Observer, Presence, Warning};
use serde_json::{Value, json};

use crate::Failure;
use crate::report::{VERSION, print};

/// The longest wait, in seconds.
const MAX_WAIT: u64 = 3600;
/// How long the connection to the broker may take to end.
const CLOSE: Duration = Duration::from_secs(2);

#[derive(Args)]
pub(crate) struct Task {
    /// The broker: nats://USER:PASSWORD@HOST:PORT or amqp://USER:PASSWORD@HOST:PORT/VHOST; with a feature of its name also
    /// Kafka, Pulsar, SQS (aws) and Pub/Sub (google)
    #[arg(long, value_name = "URL")]
    broker: String,
    /// Explains where messages of this type come from and go to
    #[arg(long = "type", value_name = "TYPE", conflicts_with = "service")]
    message_type: Option<String>,
    /// Only this service, with its topics and its types of messages
    #[arg(long, value_name = "NAME")]
    service: Option<String>,
    /// How long to listen; services announce themselves each 10 seconds unless set. Brokers that keep announcements answer
    /// at once
    #[arg(long, value_name = "SECONDS", default_value_t = 12, value_parser = clap::value_parser!(u64).range(1..=MAX_WAIT))]
    wait: u64,
    /// Prints JSON instead of text
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(task: &Task) -> Result<(), Failure> {
    let broker = recount::broker::connect(&task.broker).await?;
    let heard = observe(task, &broker).await;
    broker.close(CLOSE).await;
    let (json, text) = answer(task, &heard?)?;
    Ok(print(task.json, &json, &text)?)
}

async fn observe(task: &Task, broker: &std::sync::Arc<dyn Broker>) -> Result<Directory, Failure> {
    let mut observer = Observer::open(std::sync::Arc::clone(broker)).await?;
    let observed = observer.observe(Duration::from_secs(task.wait)).await;
    let directory = observer.directory();
    observer.close().await;
    observed?;
    Ok(directory)
}

/// The answer as JSON and as text.
fn answer(task: &Task, directory: &Directory) -> Result<(Value, String), Failure> {
    if directory.instances.is_empty() {
        return Err(Failure::No(format!(
            "no service has announced itself within {} s{}; a longer --wait hears services with a longer interval",
            task.wait,
            ignored(directory)
        )));
    }
    if directory.in_state(Presence::Gone).count() == directory.instances.len() {
        return Err(Failure::No(format!(
            "all {} instances were shut down{}",
            directory.instances.len(),
            ignored(directory)
        )));
    }
    match (&task.message_type, &task.service) {
        (Some(message_type), _) => of_type(directory, message_type),
        (None, Some(service)) => of_service(directory, service),
        (None, None) => Ok(of_all(directory)),
    }
}

fn of_all(directory: &Directory) -> (Value, String) {
    let (topics, types, warnings) = (directory.topics(), directory.explain_all(), directory.warnings());
    let json = json!({
        "v": VERSION,
        "instances": directory.instances,
        "topics": topics,
        "types": types,
        "warnings": texts(&warnings),
        "ignored": directory.ignored,
    });
    let mut text = text::instances(&directory.instances);
    text.push_str(&text::topics(&topics));
    text.push_str(&text::types(&types));
    text.push_str(&text::warnings(&warnings));
    if directory.ignored > 0 {
        text.push_str(&format!("\n{} messages were no announcements that this program can read\n", directory.ignored));
    }
    (json, text)
}

fn of_type(directory: &Directory, message_type: &str) -> Result<(Value, String), Failure> {
    let Some(explanation) = directory.explain(message_type) else {
        let known: Vec<_> = directory.message_types().into_iter().collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        return Err(Failure::No(format!(
            "no service publishes or takes messages of type {message_type:?}; the types: {known}{}",
            ignored(directory)
        )));
    };
    let mut json = json!({"v": VERSION, "type": explanation, "ignored": directory.ignored});
    json["type"]["warnings"] = texts(&explanation.warnings);
    Ok((json, text::explanation(&explanation)))
}

fn of_service(directory: &Directory, service: &str) -> Result<(Value, String), Failure> {
    let instances: Vec<Instance> =
        directory.instances.iter().filter(|it| it.manifest.service == service).cloned().collect();
    if instances.is_empty() {
        let known: BTreeSet<_> = directory.instances.iter().map(|it| &*it.manifest.service).collect();
        let known = known.into_iter().collect::<Vec<_>>().join(", ");
        let ignored = ignored(directory);
        return Err(Failure::No(format!(
            "no service {service:?} has announced itself; the services: {known}{ignored}"
        )));
    }
    let own = |explanation: &Explanation| {
        let publishes = explanation.published.iter().any(|by| by.service == service);
        publishes || explanation.groups.iter().any(|group| group.service == service && group.treatment.takes())
    };
    let mut types = directory.explain_all();
    types.retain(own);
    let mut topics = directory.topics();
    topics.retain(|topic| {
        let mut groups = topic.groups.values();
        topic.publishers.contains(service)
            || topic.senders.contains(service)
            || groups.any(|services| services.contains(service))
    });
    let mut warnings = directory.warnings();
    let names: BTreeSet<&str> = types.iter().map(|explanation| &*explanation.message_type).collect();
    warnings.retain(|warning| concerns(warning, service, &names));
    let json = json!({
        "v": VERSION,
        "instances": instances,
        "topics": topics,
        "types": types,
        "warnings": texts(&warnings),
        "ignored": directory.ignored,
    });
    let mut text = text::instances(&instances);
    text.push_str(&text::topics(&topics));
    text.push_str(&text::types(&types));
    text.push_str(&text::warnings(&warnings));
    Ok((json, text))
}

/// Whether a warning names the service, or one of these types, which it publishes or takes.
fn concerns(warning: &Warning, service: &str, types: &BTreeSet<&str>) -> bool {
    let json = serde_json::to_value(warning).unwrap_or_default();
    let named = |field: &str| json[field].as_str();
    named("service") == Some(service)
        || named("publisher") == Some(service)
        || named("message_type").is_some_and(|message_type| types.contains(message_type))
}

/// Warnings as JSON, each with its text.
fn texts(warnings: &[Warning]) -> Value {
    let json = warnings.iter().map(|warning| {
        let mut json = serde_json::to_value(warning).unwrap_or_default();
        json["text"] = warning.to_string().into();
        json
    });
    json.collect()
}

fn ignored(directory: &Directory) -> String {
    match directory.ignored {
        0 => String::new(),
        count => format!(" ({count} messages were no announcements that this program can read)"),
    }
}

#[cfg(test)]
mod tests;

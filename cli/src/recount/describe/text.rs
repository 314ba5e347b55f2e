//! The directory of services as text.

use std::collections::BTreeSet;

use recount::Condition;
use recount::messaging::{Explanation, Instance, Presence, TakenIn, TopicUse, Treatment, Warning};

use crate::report::columns;

/// The instances that are not gone, and the checks that are not ok.
pub(super) fn instances(instances: &[Instance]) -> String {
    let shown: Vec<_> = instances.iter().filter(|it| it.state != Presence::Gone).collect();
    let rows = shown.iter().map(|instance| {
        vec![
            instance.manifest.service.clone(),
            instance.manifest.version.clone().unwrap_or_else(|| "-".to_owned()),
            instance.manifest.instance.clone(),
            state(instance.state).to_owned(),
            condition(instance.health.status).to_owned(),
            format!("{} s ago", instance.heard_ms_ago / 1000),
        ]
    });
    let mut text = columns(&["SERVICE", "VERSION", "INSTANCE", "STATE", "HEALTH", "HEARD"], rows.collect());
    for instance in &shown {
        for check in &instance.health.checks {
            let message = check.message.as_deref().unwrap_or("no reason given");
            let (service, status) = (&instance.manifest.service, condition(check.status));
            text.push_str(&format!("  {service}: {} is {status}: {message}\n", check.name));
        }
    }
    let gone = instances.len() - shown.len();
    if gone > 0 {
        text.push_str(&format!("  {gone} instances were shut down\n"));
    }
    text
}

fn state(state: Presence) -> &'static str {
    match state {
        Presence::Present => "present",
        Presence::Expired => "expired",
        Presence::Gone => "gone",
    }
}

fn condition(condition: Condition) -> &'static str {
    match condition {
        Condition::Ok => "ok",
        Condition::Degraded => "degraded",
        Condition::Starting => "starting",
        Condition::Failing => "failing",
    }
}

/// The topics, with the services that publish and send to each, and its groups.
pub(super) fn topics(topics: &[TopicUse]) -> String {
    let rows = topics.iter().map(|topic| {
        let from: BTreeSet<&str> = topic.publishers.iter().chain(&topic.senders).map(String::as_str).collect();
        let groups = topic.groups.iter().map(|(group, services)| match services.len() {
            1 if services.contains(group) => group.clone(),
            _ => format!("{group} ({})", services.iter().map(String::as_str).collect::<Vec<_>>().join(", ")),
        });
        let lanes: Vec<_> = topic.lanes.iter().map(ToString::to_string).collect();
        vec![topic.topic.clone(), lanes.join("/"), joined(from), joined(groups.collect::<Vec<_>>())]
    });
    table(&["TOPIC", "LANES", "FROM", "GROUPS"], rows.collect())
}

/// The types of messages: from which service over which topic to which group.
pub(super) fn types(types: &[Explanation]) -> String {
    let rows = types.iter().map(|explanation| {
        let versions: BTreeSet<_> = explanation.published.iter().flat_map(|by| &by.versions).collect();
        let versions: Vec<_> = versions.into_iter().map(ToString::to_string).collect();
        let from: BTreeSet<_> = explanation.published.iter().map(|by| &*by.service).collect();
        let topics: BTreeSet<_> = explanation.published.iter().map(|by| &*by.topic).collect();
        let taken = explanation.groups.iter().filter(|group| group.treatment.takes());
        let taken: Vec<_> = taken.map(|group| format!("{} ({})", group.group, verb(group.treatment))).collect();
        vec![explanation.message_type.clone(), joined(versions), joined(from), joined(topics), joined(taken)]
    });
    table(&["TYPE", "VERSION", "FROM", "TOPIC", "TAKEN BY"], rows.collect())
}

/// Where one type comes from and goes to.
pub(super) fn explanation(explanation: &Explanation) -> String {
    let mut text = format!("{}\n", explanation.message_type);
    let mut line = |what: String| text.push_str(&format!("  {what}\n"));
    for by in &explanation.published {
        let versions = by.versions.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ");
        let (service, topic, lanes) = (&by.service, &by.topic, by.lanes);
        line(format!("published by {service} to {topic} with {lanes} lanes, at version {versions}"));
    }
    for by in &explanation.sent {
        line(format!("sent by {} to {}", by.service, by.topic));
    }
    for by in &explanation.routed {
        line(format!("perhaps published by {} to {}, which chooses types by route", by.service, by.topic));
    }
    if explanation.published.is_empty() && explanation.sent.is_empty() && explanation.routed.is_empty() {
        line("published by no service".to_owned());
    }
    for group in &explanation.groups {
        line(treated(group));
    }
    text.push_str(&warnings(&explanation.warnings));
    text
}

fn treated(TakenIn { topic, group, service, treatment, .. }: &TakenIn) -> String {
    let version = treatment.up_to().map(|up_to| format!(" up to version {up_to}")).unwrap_or_default();
    format!("{} by group {group} of {service}, from {topic}{version}", verb(*treatment))
}

fn verb(treatment: Treatment) -> &'static str {
    match treatment {
        Treatment::Handled { .. } => "handled",
        Treatment::Recorded { .. } => "recorded",
        Treatment::Forwarded { .. } => "forwarded",
        Treatment::Answered { .. } => "answered",
        Treatment::Command => "carried out",
        Treatment::Ignored => "ignored",
        Treatment::DeadLetter => "made a dead letter",
        _ => "treated otherwise",
    }
}

pub(super) fn warnings(warnings: &[Warning]) -> String {
    let lines = warnings.iter().map(|warning| format!("warning: {warning}\n"));
    if warnings.is_empty() { String::new() } else { format!("\n{}", lines.collect::<String>()) }
}

/// A table behind an empty line, unless it is empty.
fn table(head: &[&str], rows: Vec<Vec<String>>) -> String {
    if rows.is_empty() { String::new() } else { format!("\n{}", columns(head, rows)) }
}

fn joined<T: Into<String>>(texts: impl IntoIterator<Item = T>) -> String {
    let texts: Vec<String> = texts.into_iter().map(Into::into).collect();
    if texts.is_empty() { "-".to_owned() } else { texts.join(", ") }
}

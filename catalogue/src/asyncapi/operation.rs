//! The operations: the messages that a service sends and receives.

use std::collections::BTreeMap;

use recount_messaging::{Manifest, PublicationEntry, SubscriptionEntry, TakenBy, TypeTaken};
use serde_json::{Map, Value};

use super::channel::Channel;
use super::messages::Messages;
use crate::CatalogueError;

type Channels = BTreeMap<String, Channel>;

/// Adds the operations of a service, and their channels and messages.
pub(super) fn of_service(
    manifest: &Manifest,
    messages: &mut Messages<'_>,
    channels: &mut Channels,
    operations: &mut Map<String, Value>,
) -> Result<(), CatalogueError> {
    let service = &*manifest.service;
    for publication in &manifest.publications {
        let operation = publishes(service, publication, messages, channels)?;
        operations.insert(format!("{service}.publishes.{}.{}", publication.topic, publication.name), operation);
    }
    for subscription in &manifest.subscriptions {
        of_subscription(service, subscription, messages, channels, operations)?;
    }
    let replies = manifest.subscriptions.iter().find(|subscription| subscription.replies);
    for entry in &manifest.gateway {
        let sent = messages.commands(service, &entry.aggregate)?;
        let description = format!("Sends commands to the aggregate {}, and takes their outcomes.", entry.aggregate);
        let channel = Channel::of(channels, &entry.topic, entry.lanes);
        let mut sends = channel.operation("send", service, &description, &sent);
        if let Some(replies) = replies {
            let reply = messages.reply();
            sends["reply"] = Channel::of(channels, &replies.topic, replies.lanes).reply(&[reply]);
        }
        operations.insert(format!("{service}.sends.{}.{}", entry.topic, entry.aggregate), sends);
    }
    Ok(())
}

fn publishes(
    service: &str,
    publication: &PublicationEntry,
    messages: &mut Messages<'_>,
    channels: &mut Channels,
) -> Result<Value, CatalogueError> {
    let mut sent = Vec::new();
    for published in &publication.types {
        // A publication of commands names them as types.
        let event = messages.event(service, &published.name, published.version);
        sent.push(event.or_else(|unknown| messages.command(service, &published.name).map_err(|_| unknown))?);
    }
    let name = &publication.name;
    let chosen = if publication.routed { ": a mapping chooses the types of its messages" } else { "" };
    let channel = Channel::of(channels, &publication.topic, publication.lanes);
    Ok(channel.operation("send", service, &format!("Publication {name}{chosen}."), &sent))
}

/// The operations of a group: one for the messages that it handles or records, one for commands, and one for each question.
fn of_subscription(
    service: &str,
    subscription: &SubscriptionEntry,
    messages: &mut Messages<'_>,
    channels: &mut Channels,
    operations: &mut Map<String, Value>,
) -> Result<(), CatalogueError> {
    let SubscriptionEntry { topic, lanes, group, .. } = subscription;
    let current = subscription.types.iter().filter(|taken| !taken.former);
    let (questions, taken): (Vec<&TypeTaken>, Vec<_>) = current.partition(|taken| taken.by == TakenBy::Answer);
    let mut handled = Vec::new();
    for taken in taken {
        handled.push(messages.event(service, &taken.name, taken.up_to)?);
    }
    if !handled.is_empty() {
        let order = if subscription.ordered { "in the order of their keys" } else { "in any order" };
        let description = format!("Takes messages for the group {group}, {order}.");
        let receives = Channel::of(channels, topic, *lanes).operation("receive", service, &description, &handled);
        operations.insert(format!("{service}.receives.{topic}.{group}"), receives);
    }
    let mut commands = Vec::new();
    for command in &subscription.commands {
        commands.push(messages.command(service, command)?);
    }
    if !commands.is_empty() {
        let description = format!("Carries out commands, for the group {group}. The sender may ask for the outcome.");
        let channel = Channel::of(channels, topic, *lanes);
        let mut carries_out = channel.operation("receive", service, &description, &commands);
        let reply = messages.reply();
        carries_out["reply"] = Channel::anywhere(channels, topic, "outcomes").reply(&[reply]);
        operations.insert(format!("{service}.carries_out.{topic}.{group}"), carries_out);
    }
    for question in questions {
        let asked = messages.event(service, &question.name, question.up_to)?;
        let mut replies = Vec::new();
        for reply in &question.replies {
            replies.push(messages.event(service, &reply.name, reply.version)?);
        }
        let channel = Channel::of(channels, topic, *lanes);
        let mut answers = channel.operation("receive", service, "Answers a question.", &[asked]);
        answers["reply"] = Channel::anywhere(channels, topic, "replies").reply(&replies);
        operations.insert(format!("{service}.answers.{topic}.{}", question.name), answers);
    }
    Ok(())
}

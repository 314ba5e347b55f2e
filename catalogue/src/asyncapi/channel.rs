//! The channels: one for each topic.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::{ChannelBinding, reference, topic};
use crate::CatalogueError;

/// The place of the address to which a reply goes.
const REPLY_TO: &str = "$message.header#/replyto";

/// The messages that services send to a topic or take from it.
#[derive(Debug)]
pub(super) struct Channel {
    name: String,
    /// The number of lanes; `None` for replies that go to an address of the asker.
    lanes: Option<u16>,
    /// The names of the messages in the document.
    messages: BTreeSet<String>,
}

impl Channel {
    /// The channel of this topic, which is added if it is a new one.
    pub(super) fn of<'c>(channels: &'c mut BTreeMap<String, Self>, name: &str, lanes: u16) -> &'c mut Self {
        Self::get(channels, name, Some(lanes))
    }

    /// The channel of the replies to messages of a topic: each goes to the address that its asker names.
    pub(super) fn anywhere<'c>(channels: &'c mut BTreeMap<String, Self>, topic: &str, replies: &str) -> &'c mut Self {
        Self::get(channels, &format!("{topic}.{replies}"), None)
    }

    fn get<'c>(channels: &'c mut BTreeMap<String, Self>, name: &str, lanes: Option<u16>) -> &'c mut Self {
        let new = || Self { name: name.to_owned(), lanes, messages: BTreeSet::new() };
        channels.entry(name.to_owned()).or_insert_with(new)
    }

    /// An operation of a service on the channel. Without messages any of the channel may be meant.
    pub(super) fn operation(&mut self, action: &str, service: &str, description: &str, messages: &[String]) -> Value {
        let mut operation = json!({
            "action": action,
            "channel": reference(&["channels", &self.name]),
            "description": description,
            "tags": [{ "name": service }],
        });
        if !messages.is_empty() {
            operation["messages"] = self.take(messages);
        }
        operation
    }

    /// The reply of an operation, with these messages. It names the place of its address unless the channel has an address:
    /// AsyncAPI allows only one of them.
    pub(super) fn reply(&mut self, messages: &[String]) -> Value {
        let mut reply = json!({
            "channel": reference(&["channels", &self.name]),
            "messages": self.take(messages),
        });
        if self.lanes.is_none() {
            reply["address"] = json!({ "location": REPLY_TO });
        }
        reply
    }

    /// Adds messages. Returns references to them.
    fn take(&mut self, messages: &[String]) -> Value {
        self.messages.extend(messages.iter().cloned());
        messages.iter().map(|name| reference(&["channels", &self.name, "messages", name])).collect()
    }

    pub(super) fn describe(&self, bindings: &BTreeMap<String, ChannelBinding>) -> Result<Value, CatalogueError> {
        let messages: Map<String, Value> =
            self.messages.iter().map(|name| (name.clone(), reference(&["components", "messages", name]))).collect();
        let Some(lanes) = self.lanes else {
            let description = "Replies: each goes to the address that the asker names.";
            return Ok(json!({ "address": null, "description": description, "messages": messages }));
        };
        let topic = topic(&self.name, lanes)?;
        let lanes = if lanes == 1 { "one lane".to_owned() } else { format!("{lanes} lanes") };
        let mut described = json!({
            "address": self.name,
            "description": format!("A topic of {lanes}. Messages of one key keep their order."),
            "messages": messages,
        });
        if !bindings.is_empty() {
            let of_protocols = bindings.iter().map(|(protocol, binding)| (protocol.clone(), binding(&topic)));
            described["bindings"] = of_protocols.collect::<Map<String, Value>>().into();
        }
        Ok(described)
    }
}

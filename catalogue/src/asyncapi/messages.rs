//! The messages of the document: events and commands of the catalogue that services send or receive.

use std::collections::BTreeMap;

use recount_messaging::envelope::attributes_schema;
use recount_messaging::{reply_schema, reply_type};
use serde_json::{Map, Value, json};

use super::schema::Schemas;
use crate::model::{Command, EventEntry};
use crate::{Catalogue, CatalogueError};

/// The media type of data.
pub(super) const JSON: &str = "application/json";
/// The name of the trait that all messages have.
const ENVELOPE: &str = "envelope";

/// The messages and schemas that the document needs.
pub(super) struct Messages<'c> {
    catalogue: &'c Catalogue,
    messages: BTreeMap<String, Value>,
    schemas: Schemas,
}

impl<'c> Messages<'c> {
    pub(super) fn new(catalogue: &'c Catalogue) -> Self {
        Self { catalogue, messages: BTreeMap::new(), schemas: Schemas::default() }
    }

    /// The message of an event at this version, or at the newest that the catalogue has, if that is older. Returns its name in
    /// the document.
    pub(super) fn event(&mut self, service: &str, event_type: &str, version: u32) -> Result<String, CatalogueError> {
        let entry = self.entry(event_type).ok_or_else(|| unknown(service, event_type))?;
        let versions = entry.versions(&self.catalogue.lock);
        let of_then = versions.into_iter().rfind(|known| known.number <= version);
        let found = of_then.ok_or_else(|| unknown(service, &format!("{event_type} of version {version}")))?;
        let name = format!("{event_type}.v{}", found.number);
        let title = format!("{event_type}, version {}", found.number);
        let constants = json!({ "type": event_type, "schemaversion": found.number.to_string() });
        let examples = found.examples.iter().filter_map(|example| serde_json::from_str(example).ok()).collect();
        self.add(&name, &title, event_type, &constants, (found.schema, examples));
        Ok(name)
    }

    fn entry(&self, event_type: &str) -> Option<&'c EventEntry> {
        let events = &self.catalogue.events;
        let by_alias = || events.values().find(|entry| entry.aliases.iter().any(|alias| alias == event_type));
        events.get(event_type).or_else(by_alias)
    }

    /// The message of a command, by its type `AGGREGATE.COMMAND`.
    pub(super) fn command(&mut self, service: &str, message_type: &str) -> Result<String, CatalogueError> {
        let commands = &self.catalogue.commands;
        let found = commands.iter().find(|command| command.message_type() == message_type);
        let command = found.ok_or_else(|| unknown(service, message_type))?;
        Ok(self.add_command(command))
    }

    /// The messages of all commands of an aggregate.
    pub(super) fn commands(&mut self, service: &str, aggregate: &str) -> Result<Vec<String>, CatalogueError> {
        let commands = &self.catalogue.commands;
        let of_aggregate: Vec<&Command> = commands.iter().filter(|command| command.aggregate == aggregate).collect();
        if of_aggregate.is_empty() {
            return Err(unknown(service, &format!("{aggregate} (an aggregate)")));
        }
        Ok(of_aggregate.into_iter().map(|command| self.add_command(command)).collect())
    }

    fn add_command(&mut self, command: &Command) -> String {
        let message_type = command.message_type();
        let title = format!("{message_type}, a command");
        let constants = json!({ "type": message_type, "schemaversion": "1" });
        self.add(&message_type, &title, &message_type, &constants, (command.schema.clone(), Vec::new()));
        message_type
    }

    /// The message that answers a command.
    pub(super) fn reply(&mut self) -> String {
        let reply_type = reply_type();
        let constants = json!({ "type": reply_type, "schemaversion": "1" });
        self.add(reply_type, "The outcome of a command", reply_type, &constants, (reply_schema(), Vec::new()));
        reply_type.to_owned()
    }

    fn add(
        &mut self,
        name: &str,
        title: &str,
        message_type: &str,
        constants: &Value,
        (schema, examples): (Value, Vec<Value>),
    ) {
        if self.messages.contains_key(name) {
            return;
        }
        let payload = self.schemas.add(name, schema);
        let constants = constants.as_object().into_iter().flatten();
        let constants: Map<String, Value> =
            constants.map(|(name, value)| (name.clone(), json!({ "type": "string", "const": value }))).collect();
        let mut message = json!({
            "name": message_type,
            "title": title,
            "contentType": JSON,
            "headers": { "type": "object", "properties": constants },
            "payload": payload,
            "correlationId": { "location": "$message.header#/correlationid" },
            "traits": [super::reference(&["components", "messageTraits", ENVELOPE])],
        });
        if !examples.is_empty() {
            let examples: Vec<Value> = examples.into_iter().map(|payload| json!({ "payload": payload })).collect();
            message["examples"] = examples.into();
        }
        self.messages.insert(name.to_owned(), message);
    }

    /// The part of the document that holds messages and schemas.
    pub(super) fn components(self) -> Value {
        json!({
            "messages": self.messages,
            "messageTraits": { ENVELOPE: { "headers": attributes_schema() } },
            "schemas": self.schemas.into_map(),
        })
    }
}

fn unknown(service: &str, message_type: &str) -> CatalogueError {
    CatalogueError::UnknownMessage { service: service.to_owned(), message_type: message_type.to_owned() }
}

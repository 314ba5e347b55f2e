//! The [AsyncAPI 3.0](https://www.asyncapi.com/docs/reference/specification/v3.0.0) document of services: their topics are
//! its channels, and publications, subscriptions and gateways its operations.

mod channel;
mod messages;
mod operation;
mod schema;

use std::collections::BTreeMap;
use std::num::NonZeroU16;

use recount_messaging::{Manifest, Topic};
use serde_json::{Map, Value, json};

use crate::{Catalogue, CatalogueError};
use channel::Channel;
use messages::Messages;

/// The version of the application unless it is [set](Catalogue::version).
const VERSION: &str = "0.0.0";

/// Makes the binding of a topic for one protocol.
type ChannelBinding = fn(&Topic) -> Value;

/// The services of a catalogue.
#[derive(Clone, Debug, Default)]
pub(crate) struct Services {
    pub(crate) manifests: Vec<Manifest>,
    version: Option<String>,
    bindings: BTreeMap<String, ChannelBinding>,
}

impl Catalogue {
    /// Adds a service, by the [manifest](recount_messaging::Service::manifest) of its publications, subscriptions and
    /// gateways. The types of its messages must be in the catalogue.
    #[must_use]
    pub fn service(mut self, manifest: &Manifest) -> Self {
        self.services.manifests.push(manifest.clone());
        self
    }

    /// Sets the version of the application, for the AsyncAPI document: `env!("CARGO_PKG_VERSION")`. `0.0.0` unless set.
    #[must_use]
    pub fn version(mut self, version: &str) -> Self {
        self.services.version = Some(version.to_owned());
        self
    }

    /// Adds the objects of a broker to each channel of the AsyncAPI document, as its
    /// [binding](https://github.com/asyncapi/bindings) for this protocol, such as `kafka`. The crates of brokers have
    /// functions for it.
    #[must_use]
    pub fn channel_binding(mut self, protocol: &str, binding: fn(&Topic) -> Value) -> Self {
        self.services.bindings.insert(protocol.to_owned(), binding);
        self
    }

    /// The AsyncAPI 3.0 document of the [services](Self::service).
    ///
    /// Topics are channels; publications, subscriptions and gateways are operations, each tagged with its service. A payload
    /// is a JSON Schema of draft 7, which every tool for AsyncAPI reads. The headers of a message are the attributes of its
    /// envelope by their plain names: each broker puts its own prefix before them.
    ///
    /// # Errors
    /// [`CatalogueError::UnknownMessage`] if a service names a type of message that the catalogue has not,
    /// [`CatalogueError::Topic`] if a manifest names an impossible topic.
    pub fn asyncapi(&self) -> Result<Value, CatalogueError> {
        let mut messages = Messages::new(self);
        let mut channels: BTreeMap<String, Channel> = BTreeMap::new();
        let mut operations = Map::new();
        let Services { manifests, version, bindings } = &self.services;
        for manifest in manifests {
            operation::of_service(manifest, &mut messages, &mut channels, &mut operations)?;
        }
        let mut described = Map::new();
        for (name, channel) in &channels {
            described.insert(name.clone(), channel.describe(bindings)?);
        }
        let names: Vec<&str> = manifests.iter().map(|manifest| &*manifest.service).collect();
        Ok(json!({
            "asyncapi": "3.0.0",
            "info": {
                "title": self.title,
                "version": version.as_deref().unwrap_or(VERSION),
                "description": format!("What these services send and receive: {}.", names.join(", ")),
            },
            "defaultContentType": messages::JSON,
            "channels": described,
            "operations": operations,
            "components": messages.components(),
        }))
    }
}

/// A topic by its name in a manifest.
fn topic(name: &str, lanes: u16) -> Result<Topic, CatalogueError> {
    let topic = Topic::new(name)?;
    Ok(NonZeroU16::new(lanes).map_or(topic.clone(), |lanes| topic.with_lanes(lanes)))
}

/// A reference to a place of the document.
fn reference(path: &[&str]) -> Value {
    let escaped: Vec<String> = path.iter().map(|part| part.replace('~', "~0").replace('/', "~1")).collect();
    json!({ "$ref": format!("#/{}", escaped.join("/")) })
}

//! A catalogue of an application's events and commands, made from its types and its lock: JSON Schema files for other
//! programs, and a page for people. With the feature `messaging` also an
//! [AsyncAPI](https://www.asyncapi.com) document of the messages that services send and receive.
//!
//! ```
//! # extern crate recount_core as recount;
//! use recount_catalogue::Catalogue;
//! use recount::{Aggregate, Apply, Event};
//!
//! #[derive(Event)]
//! #[event(name = "door")]
//! enum DoorEvent { Opened { by: String }, Closed }
//!
//! #[derive(Aggregate, Clone, Default)]
//! #[aggregate(name = "door", id = u32, event = DoorEvent, error = std::fmt::Error, commands())]
//! struct Door;
//! impl Apply for Door { fn apply(&mut self, _: &DoorEvent) {} }
//!
//! # fn main() -> Result<(), recount_catalogue::CatalogueError> {
//! let catalogue = Catalogue::new("Doors").aggregate::<Door>().listener::<DoorEvent>("alarm");
//! let page = catalogue.page()?;
//! assert!(page.contains("door.opened"));
//! # Ok(())
//! # }
//! ```

#[cfg(feature = "messaging")]
mod asyncapi;
mod model;
mod page;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use recount_core::{Aggregate, Event, NameCollision, Projection, Reaction, StoredNames};
use recount_schema::{Lock, LockError};
use serde_json::Value;

use model::{Command, EventEntry};

/// An application's events and commands. Add its types, then [write](Self::write) it.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    title: String,
    lock: Lock,
    events: BTreeMap<String, EventEntry>,
    commands: Vec<Command>,
    names: StoredNames,
    /// The first name that two of the types share.
    collision: Option<NameCollision>,
    #[cfg(feature = "messaging")]
    services: asyncapi::Services,
}

/// Why a catalogue can't be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CatalogueError {
    /// The lock can't be read.
    #[error("the lock can't be used")]
    Lock(#[from] LockError),
    /// A file can't be written.
    #[error("can't write {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Two types of the catalogue have the same stored name.
    #[error(transparent)]
    NameCollision(#[from] NameCollision),
    /// A service sends or takes a type of message that the catalogue doesn't know.
    #[cfg(feature = "messaging")]
    #[error(
        "the service {service} has messages of type {message_type}, which the catalogue doesn't know: add the type by \
         `aggregate` or `listener`"
    )]
    UnknownMessage {
        /// The name of the service.
        service: String,
        /// The type of message.
        message_type: String,
    },
    /// A service has a topic with an impossible name.
    #[cfg(feature = "messaging")]
    #[error("a service has an impossible topic")]
    Topic(#[from] recount_core::NameError),
    /// The page can't be made.
    #[error("the page can't be made")]
    Page(#[from] askama::Error),
}

impl Catalogue {
    /// An empty catalogue of this title.
    #[must_use]
    pub fn new(title: &str) -> Self {
        Self { title: title.to_owned(), ..Self::default() }
    }

    /// Adds the content of a crate's lock: earlier versions, and examples. Give it
    /// `include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/schemas/lock.json"))`.
    ///
    /// # Errors
    /// [`CatalogueError::Lock`] if that is no lock.
    pub fn lock(mut self, text: &str) -> Result<Self, CatalogueError> {
        self.lock.events.extend(Lock::parse(text)?.events);
        Ok(self)
    }

    /// Adds an aggregate: its events, which it emits, and its commands.
    #[must_use]
    pub fn aggregate<A: Aggregate>(mut self) -> Self {
        let claimed = self.names.claim_aggregate::<A>();
        self.collision = self.collision.or(claimed.err());
        for variant in A::Event::variants() {
            self.entry(&variant).emitted_by.insert(A::NAME.to_owned());
        }
        self.commands.extend(A::commands().into_iter().map(|route| Command {
            aggregate: A::NAME.to_owned(),
            name: route.name.to_owned(),
            creates: route.creates,
            schema: (route.schema)().to_value(),
        }));
        self
    }

    /// Adds a listener to the events of a type, by a name for people.
    #[must_use]
    pub fn listener<E: Event>(mut self, name: &str) -> Self {
        let claimed = self.names.claim_events::<E>();
        self.collision = self.collision.or(claimed.err());
        for variant in E::variants() {
            self.entry(&variant).heard_by.insert(name.to_owned());
        }
        self
    }

    /// Adds a projection, under its name.
    #[must_use]
    pub fn projection<P: Projection>(self, projection: &P) -> Self {
        self.listener::<P::Event>(projection.name())
    }

    /// Adds a reaction, under its name.
    #[must_use]
    pub fn reaction<R: Reaction>(self, reaction: &R) -> Self {
        self.listener::<R::Event>(reaction.name())
    }

    fn entry(&mut self, variant: &recount_core::EventVariant) -> &mut EventEntry {
        self.events.entry(variant.event_type.to_owned()).or_insert_with(|| EventEntry::new(variant))
    }

    /// The JSON Schema of every version of every event, by the name of its file: `order.placed.v1.json`.
    #[must_use]
    pub fn event_schemas(&self) -> BTreeMap<String, Value> {
        let of_event = |(name, entry): (&String, &EventEntry)| {
            let name = name.clone();
            entry.versions(&self.lock).into_iter().map(move |version| {
                let title = format!("{name}.v{}", version.number);
                (format!("{title}.json"), titled(version.schema, &title))
            })
        };
        self.events.iter().flat_map(of_event).collect()
    }

    /// The JSON Schema of every command, by the name of its file: `order.place_order.json`.
    #[must_use]
    pub fn command_schemas(&self) -> BTreeMap<String, Value> {
        let of_command = |command: &Command| {
            let title = command.message_type();
            (format!("{title}.json"), titled(command.schema.clone(), &title))
        };
        self.commands.iter().map(of_command).collect()
    }

    /// The page: HTML without anything outside of it.
    ///
    /// # Errors
    /// [`CatalogueError::NameCollision`] if two types have the same stored name, [`CatalogueError::Page`] if memory is
    /// exhausted.
    pub fn page(&self) -> Result<String, CatalogueError> {
        self.check()?;
        Ok(page::render(self)?)
    }

    /// Writes the page to `index.html`, schemas of events to `schemas/`, and of commands to `commands/`, in this directory, which
    /// is made if it isn't there; with [services](Self::service) also their [document](Self::asyncapi), to `asyncapi.json`. Files of
    /// the same names are replaced, others left as they are.
    ///
    /// # Errors
    /// [`CatalogueError::NameCollision`] if two types have the same stored name, or those of [`asyncapi`](Self::asyncapi);
    /// nothing is written then. [`CatalogueError::File`] if a file can't be written.
    pub fn write(&self, directory: &Path) -> Result<(), CatalogueError> {
        self.check()?;
        #[cfg(feature = "messaging")]
        let document = if self.services.manifests.is_empty() { None } else { Some(self.asyncapi()?) };
        let write = |path: PathBuf, text: String| {
            let parent = path.parent().unwrap_or(directory);
            let written = fs::create_dir_all(parent).and_then(|()| fs::write(&path, text));
            written.map_err(|source| CatalogueError::File { path, source })
        };
        for (folder, schemas) in [("schemas", self.event_schemas()), ("commands", self.command_schemas())] {
            for (name, schema) in schemas {
                write(directory.join(folder).join(name), pretty(&schema) + "\n")?;
            }
        }
        #[cfg(feature = "messaging")]
        if let Some(document) = document {
            write(directory.join("asyncapi.json"), pretty(&document) + "\n")?;
        }
        write(directory.join("index.html"), self.page()?)
    }

    fn check(&self) -> Result<(), CatalogueError> {
        self.collision.clone().map_or(Ok(()), |collision| Err(collision.into()))
    }
}

fn titled(mut schema: Value, title: &str) -> Value {
    if let Value::Object(map) = &mut schema {
        map.entry("$schema").or_insert("https://json-schema.org/draft/2020-12/schema".into());
        map.insert("title".to_owned(), title.into());
    }
    schema
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

//! The page.

use askama::Template;

use crate::model::{Command, EventEntry, Version};
use crate::{Catalogue, pretty};

#[derive(Template)]
#[template(path = "index.html")]
struct Page<'a> {
    title: &'a str,
    events: Vec<Event<'a>>,
    commands: Vec<Asked<'a>>,
}

struct Event<'a> {
    entry: &'a EventEntry,
    /// The newest first.
    versions: Vec<Shown>,
}

struct Shown {
    version: Version,
    schema: String,
}

struct Asked<'a> {
    command: &'a Command,
    schema: String,
}

pub(crate) fn render(catalogue: &Catalogue) -> askama::Result<String> {
    let shown = |version: Version| Shown { schema: pretty(&version.schema), version };
    let event = |entry| Event {
        entry,
        versions: EventEntry::versions(entry, &catalogue.lock).into_iter().rev().map(shown).collect(),
    };
    Page {
        title: &catalogue.title,
        events: catalogue.events.values().map(event).collect(),
        commands: catalogue.commands.iter().map(|command| Asked { command, schema: pretty(&command.schema) }).collect(),
    }
    .render()
}

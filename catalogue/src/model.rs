//! The catalogue's entries of events and commands.

use std::collections::{BTreeMap, BTreeSet};

use recount_core::EventVariant;
use recount_schema::{Form, Lock, LockedVersion, version_changes};
use serde_json::Value;

/// An event.
#[derive(Clone, Debug)]
pub(crate) struct EventEntry {
    pub(crate) name: String,
    pub(crate) aliases: Vec<String>,
    pub(crate) retired: bool,
    pub(crate) emitted_by: BTreeSet<String>,
    pub(crate) heard_by: BTreeSet<String>,
    upcasters: Vec<String>,
    newest: u32,
    form: Value,
    schema: Value,
}

/// A command.
#[derive(Clone, Debug)]
pub(crate) struct Command {
    pub(crate) aggregate: String,
    pub(crate) name: String,
    pub(crate) creates: bool,
    pub(crate) schema: Value,
}

impl Command {
    /// Its type as a message, and the name of its schema.
    pub(crate) fn message_type(&self) -> String {
        format!("{}.{}", self.aggregate, self.name)
    }
}

/// A version of an event.
pub(crate) struct Version {
    pub(crate) number: u32,
    pub(crate) locked: bool,
    pub(crate) schema: Value,
    /// The changes since the version before.
    pub(crate) changes: Vec<String>,
    /// The function that makes the next version of it.
    pub(crate) upcaster: Option<String>,
    pub(crate) examples: Vec<String>,
}

impl EventEntry {
    pub(crate) fn new(variant: &EventVariant) -> Self {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        Self {
            name: variant.event_type.to_owned(),
            aliases: texts(variant.aliases),
            retired: variant.retired,
            emitted_by: BTreeSet::new(),
            heard_by: BTreeSet::new(),
            upcasters: texts(variant.upcasters),
            newest: variant.schema_version,
            form: variant.form.to_json(),
            schema: (variant.schema)().to_value(),
        }
    }

    /// Its versions, the oldest first: those that are locked, and the newest as the code has it.
    pub(crate) fn versions(&self, lock: &Lock) -> Vec<Version> {
        let mut names = [&self.name].into_iter().chain(&self.aliases);
        let locked: BTreeMap<u32, &LockedVersion> = names
            .find_map(|name| lock.events.get(name))
            .map(|event| event.versions.iter().map(|(number, locked)| (*number, locked)).collect())
            .unwrap_or_default();
        let numbers: BTreeSet<u32> = locked.keys().copied().chain([self.newest]).collect();
        let mut versions: Vec<Version> = Vec::new();
        let mut before: Option<Form> = None;
        for number in numbers {
            let of_then = locked.get(&number);
            let is_newest = number == self.newest;
            let (form, schema) = match of_then {
                Some(locked) if !is_newest => (&locked.form, &locked.schema),
                _ => (&self.form, &self.schema),
            };
            let form = Form::from_json(form).unwrap_or(Form::Opaque);
            let changes = before.as_ref().map(|before| version_changes(before, &form)).unwrap_or_default();
            let upcaster = usize::try_from(number).ok().and_then(|number| self.upcasters.get(number.wrapping_sub(1)));
            versions.push(Version {
                number,
                locked: of_then.is_some(),
                schema: schema.clone(),
                changes,
                upcaster: upcaster.cloned(),
                examples: of_then.map(|locked| locked.samples.clone()).unwrap_or_default(),
            });
            before = Some(form);
        }
        versions
    }
}

//! Payloads: the JSON Schemas of the types, in the form that AsyncAPI takes, with their definitions as components.
//!
//! A schema of draft 2020-12 holds its definitions under `$defs`. In a document of many schemas a reference starts at the
//! document's root, so they become components.

use std::collections::{BTreeMap, BTreeSet};

use schemars::Schema;
use schemars::transform::{RemoveRefSiblings, ReplacePrefixItems, ReplaceUnevaluatedProperties, Transform};
use serde_json::{Map, Value, json};

use super::reference;

const DEFINITIONS: &str = "$defs";
const OF_DEFINITION: &str = "#/$defs/";

/// The definitions of all schemas.
#[derive(Default)]
pub(super) struct Schemas {
    /// By name: the definition and the definitions that it refers to, and the component made of it.
    components: BTreeMap<String, (BTreeMap<String, Value>, Value)>,
}

impl Schemas {
    /// Adds the payload of a message. Returns it, with references to components.
    pub(super) fn add(&mut self, message: &str, mut schema: Value) -> Value {
        if let Value::Object(map) = &mut schema {
            map.remove("$schema");
        }
        let definitions = match schema.as_object_mut().and_then(|map| map.remove(DEFINITIONS)) {
            Some(Value::Object(definitions)) => definitions,
            _ => Map::new(),
        };
        let names: BTreeMap<String, String> =
            definitions.keys().map(|name| (name.clone(), self.name(message, name, &definitions))).collect();
        for (name, definition) in &definitions {
            let whole = with_referred(name, &definitions);
            self.components.entry(names[name].clone()).or_insert_with(|| {
                let mut component = definition.clone();
                refer(&mut component, &names);
                (whole, draft_07(component))
            });
        }
        refer(&mut schema, &names);
        draft_07(schema)
    }

    /// The name of a definition: its own, unless another one has it.
    fn name(&self, message: &str, name: &str, definitions: &Map<String, Value>) -> String {
        let allowed = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_') { c } else { '_' };
        let own: String = name.chars().map(allowed).collect();
        match self.components.get(&own) {
            Some((whole, _)) if *whole != with_referred(name, definitions) => format!("{message}.{own}"),
            _ => own,
        }
    }

    /// The components, by name.
    pub(super) fn into_map(self) -> Map<String, Value> {
        self.components.into_iter().map(|(name, (_, component))| (name, component)).collect()
    }
}

/// A definition and the definitions that it refers to.
fn with_referred(name: &str, definitions: &Map<String, Value>) -> BTreeMap<String, Value> {
    let mut whole = BTreeMap::new();
    let mut open = vec![name.to_owned()];
    while let Some(name) = open.pop() {
        let Some(definition) = definitions.get(&name).filter(|_| !whole.contains_key(&name)) else { continue };
        let mut referred = BTreeSet::new();
        referred_by(definition, &mut referred);
        open.extend(referred);
        whole.insert(name, definition.clone());
    }
    whole
}

/// Collects the definitions that a schema refers to.
fn referred_by(schema: &Value, names: &mut BTreeSet<String>) {
    match schema {
        Value::Object(map) => {
            names.extend(map.get("$ref").and_then(Value::as_str).and_then(definition_of));
            map.values().for_each(|value| referred_by(value, names));
        }
        Value::Array(values) => values.iter().for_each(|value| referred_by(value, names)),
        _ => {}
    }
}

/// The name of the definition that a reference is for.
fn definition_of(reference: &str) -> Option<String> {
    Some(reference.strip_prefix(OF_DEFINITION)?.replace("~1", "/").replace("~0", "~"))
}

/// Makes references to definitions references to components.
fn refer(schema: &mut Value, names: &BTreeMap<String, String>) {
    match schema {
        Value::Object(map) => {
            let name = map.get("$ref").and_then(Value::as_str).and_then(definition_of);
            if let Some(name) = name.and_then(|name| names.get(&name)) {
                map.insert("$ref".to_owned(), reference(&["components", "schemas", name])["$ref"].clone());
            }
            map.values_mut().for_each(|value| refer(value, names));
        }
        Value::Array(values) => values.iter_mut().for_each(|value| refer(value, names)),
        _ => {}
    }
}

/// The schema in draft 7.
fn draft_07(schema: Value) -> Value {
    let Ok(mut schema) = Schema::try_from(schema) else { return json!({}) };
    RemoveRefSiblings::default().transform(&mut schema);
    ReplaceUnevaluatedProperties::default().transform(&mut schema);
    ReplacePrefixItems::default().transform(&mut schema);
    schema.to_value()
}

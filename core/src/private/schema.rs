//! The JSON Schema of the values that the derives write.

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Map, Value};

const DEFINITIONS: &str = "$defs";

/// The schema of a struct's fields.
#[must_use]
pub fn payload_schema<T: JsonSchema>() -> Schema {
    let mut schema = SchemaGenerator::default().into_root_schema_for::<T>();
    schema.remove("title");
    schema
}

/// The schema of the fields of an enum's variant: schemars lists the variants in their order.
#[must_use]
pub fn variant_schema<T: JsonSchema, const INDEX: usize>() -> Schema {
    one_of(SchemaGenerator::default().into_root_schema_for::<T>(), INDEX)
}

fn one_of(mut all: Schema, index: usize) -> Schema {
    let variant = match all.remove("anyOf") {
        Some(Value::Array(mut variants)) if index < variants.len() => variants.swap_remove(index),
        _ => Value::Bool(true),
    };
    let mut schema = match variant {
        Value::Object(variant) => variant,
        other => Map::from_iter([("allOf".to_owned(), Value::Array(vec![other]))]),
    };
    if let Some(dialect) = all.remove("$schema") {
        schema.insert("$schema".to_owned(), dialect);
    }
    if let Some(Value::Object(definitions)) = all.remove(DEFINITIONS) {
        let definitions = needed(&schema, definitions);
        if !definitions.is_empty() {
            schema.insert(DEFINITIONS.to_owned(), Value::Object(definitions));
        }
    }
    schema.into()
}

/// Those definitions that the schema refers to, also through other definitions.
fn needed(schema: &Map<String, Value>, mut all: Map<String, Value>) -> Map<String, Value> {
    let mut needed = Map::new();
    let mut names = Vec::new();
    add_references_of(schema, &mut names);
    while let Some(name) = names.pop() {
        if let Some(definition) = all.remove(&name) {
            add_references(&definition, &mut names);
            needed.insert(name, definition);
        }
    }
    needed
}

fn add_references(value: &Value, names: &mut Vec<String>) {
    match value {
        Value::Object(object) => add_references_of(object, names),
        Value::Array(values) => values.iter().for_each(|value| add_references(value, names)),
        _ => {}
    }
}

fn add_references_of(object: &Map<String, Value>, names: &mut Vec<String>) {
    for (key, value) in object {
        match (key.as_str(), value) {
            ("$ref", Value::String(target)) => names.extend(definition_name(target)),
            _ => add_references(value, names),
        }
    }
}

/// The name in `#/$defs/name`, a JSON pointer in a URI fragment.
fn definition_name(reference: &str) -> Option<String> {
    let name = reference.strip_prefix("#/$defs/")?;
    Some(percent_decoded(name).replace("~1", "/").replace("~0", "~"))
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        bytes.extend_from_slice(before.as_bytes());
        match after.get(..2).and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(b'%');
                rest = after;
            }
        }
    }
    bytes.extend_from_slice(rest.as_bytes());
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_is_an_encoded_pointer() {
        assert_eq!(definition_name("#/$defs/Address").as_deref(), Some("Address"));
        assert_eq!(definition_name("#/$defs/A~1b~0c%20%C3%A9%").as_deref(), Some("A/b~c \u{e9}%"));
        assert_eq!(definition_name("#"), None);
    }

    #[test]
    fn definitions_are_found_through_definitions() {
        let definitions =
            serde_json::json!({"A": {"items": {"$ref": "#/$defs/B"}}, "B": {"$ref": "#/$defs/A"}, "C": {}});
        let Value::Object(definitions) = definitions else { unreachable!() };
        let schema = Map::from_iter([("anyOf".to_owned(), serde_json::json!([{"$ref": "#/$defs/A"}]))]);
        assert_eq!(needed(&schema, definitions).keys().collect::<Vec<_>>(), ["A", "B"]);
    }
}

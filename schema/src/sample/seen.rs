//! The features that a payload shows.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// Tells payloads of a schema apart by their features.
pub(super) struct Seen {
    /// Names of fields and values of enums: other keys and texts are data.
    words: BTreeSet<String>,
    /// The fields that are somewhere at each place.
    fields: BTreeMap<String, BTreeSet<String>>,
}

impl Seen {
    pub(super) fn new(schema: &Value, all: &[Value]) -> Self {
        let mut seen = Self { words: BTreeSet::new(), fields: BTreeMap::new() };
        seen.add_words(schema);
        for value in all {
            seen.add_fields(value, "");
        }
        seen
    }

    fn add_words(&mut self, schema: &Value) {
        match schema {
            Value::Object(schema) => {
                for (key, value) in schema {
                    match (key.as_str(), value) {
                        ("properties", Value::Object(fields)) => self.words.extend(fields.keys().cloned()),
                        ("const", Value::String(word)) => self.words.extend([word.clone()]),
                        ("enum", Value::Array(words)) => {
                            self.words.extend(words.iter().filter_map(Value::as_str).map(str::to_owned));
                        }
                        _ => {}
                    }
                    self.add_words(value);
                }
            }
            Value::Array(schemas) => schemas.iter().for_each(|schema| self.add_words(schema)),
            _ => {}
        }
    }

    fn add_fields(&mut self, value: &Value, at: &str) {
        match value {
            Value::Object(object) => {
                for (key, value) in object {
                    if self.words.contains(key) {
                        self.fields.entry(at.to_owned()).or_default().insert(key.clone());
                    }
                    self.add_fields(value, &self.place(at, key));
                }
            }
            Value::Array(values) => values.iter().for_each(|value| self.add_fields(value, &format!("{at}[]"))),
            _ => {}
        }
    }

    fn place(&self, at: &str, key: &str) -> String {
        if self.words.contains(key) { format!("{at}.{key}") } else { format!("{at}{{}}") }
    }

    /// Everything that a value shows.
    pub(super) fn facts(&self, value: &Value) -> BTreeSet<String> {
        let mut facts = BTreeSet::new();
        self.add_facts(value, "", &mut facts);
        facts
    }

    fn add_facts(&self, value: &Value, at: &str, facts: &mut BTreeSet<String>) {
        let fact = match value {
            Value::Null => "null".to_owned(),
            Value::Bool(value) => value.to_string(),
            Value::Number(number) => number_is(number.as_f64().unwrap_or_default()).to_owned(),
            Value::String(text) if self.words.contains(text) => format!("={text}"),
            Value::String(text) => text_is(text).to_owned(),
            Value::Array(values) => {
                for value in values {
                    self.add_facts(value, &format!("{at}[]"), facts);
                }
                format!("[{}]", values.len().min(2))
            }
            Value::Object(object) => {
                for (key, value) in object {
                    self.add_facts(value, &self.place(at, key), facts);
                }
                let missing = self.fields.get(at).into_iter().flatten().filter(|field| !object.contains_key(*field));
                facts.extend(missing.map(|field| format!("{at}.{field} missing")));
                let data = object.keys().filter(|key| !self.words.contains(*key)).count();
                format!("{{{}}}", data.min(2))
            }
        };
        facts.insert(format!("{at} {fact}"));
    }
}

/// The ends of integer types are told from other numbers.
fn number_is(number: f64) -> &'static str {
    let end = |number: f64| [7, 8, 15, 16, 31, 32, 63, 64].iter().any(|bits| number == 2_f64.powi(*bits));
    match number {
        0.0 => "zero",
        _ if number.fract() != 0.0 => "fraction",
        // The ends of 64 bits are rounded to powers of two.
        _ if end(number + 1.0) => "most",
        _ if end(-number) => "least",
        _ if number < 0.0 => "negative",
        _ => "positive",
    }
}

fn text_is(text: &str) -> &'static str {
    match text {
        "" => "empty",
        _ if text.len() > 100 => "long",
        _ if !text.is_ascii() => "unicode",
        _ if text.contains(['"', '\\', '\n']) => "quoted",
        _ => "plain",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_value_shows_what_it_has_and_what_it_lacks() {
        let schema = json!({"properties": {"a": {}, "b": {"enum": ["Usd", "Eur"]}, "c": {}}});
        let seen = Seen::new(&schema, &[json!({"a": 1, "b": "Usd", "c": []})]);
        let facts: Vec<_> = seen.facts(&json!({"a": 255, "b": "Eur", "x": null, "y": ""})).into_iter().collect();
        assert_eq!(facts, [" {2}", ".a most", ".b =Eur", ".c missing", "{} empty", "{} null"]);
    }

    #[test]
    fn ends_of_integers_are_known() {
        let ends = [u64::MAX as f64, f64::from(u8::MAX), i64::MAX as f64, i64::MIN as f64, 0.0, 1.0, -3.0, 0.5];
        let wanted = ["most", "most", "most", "least", "zero", "positive", "negative", "fraction"];
        assert_eq!(ends.map(number_is), wanted);
    }
}

//! A value that a JSON Schema describes, drawn by chance.

use serde_json::{Map, Value, json};

use super::leaf;
use super::random::Random;

/// How deep a value goes before it takes the simplest way out.
const DEPTH: usize = 6;
/// From this depth on arrays and maps are short, so that a recursive schema does not explode.
const DEEP: usize = 3;

/// Values that the schema describes, without end, the same for the same schema and seed. The first is the plainest; the others have fields
/// that are missing, null and there, empty and longer collections, the least and the largest numbers, odd texts.
///
/// Values that a schema gives as `examples` are taken as they are. Patterns are not understood.
pub fn draws<'s>(schema: &'s Value, seed: &str) -> impl Iterator<Item = Value> + use<'s> {
    let mut random = Random::of(seed);
    let mut plain = true;
    std::iter::repeat_with(move || {
        let mut draw = Draw { root: schema, plain, likes: random.below(leaf::TEXTS.len()), random: &mut random };
        plain = false;
        draw.value(schema, 0)
    })
}

pub(super) struct Draw<'a> {
    root: &'a Value,
    /// Whether the first and simplest of everything is taken.
    plain: bool,
    /// Which text comes up more often than the others: texts of one event may all have to be dates, and nothing says so.
    pub(super) likes: usize,
    random: &'a mut Random,
}

impl Draw<'_> {
    pub(super) fn below(&mut self, end: usize) -> usize {
        if self.plain { 0 } else { self.random.below(end) }
    }

    pub(super) fn any_u64(&mut self) -> u64 {
        self.random.next()
    }

    pub(super) fn one_of<'v, T>(&mut self, values: &'v [T]) -> Option<&'v T> {
        values.get(self.below(values.len()))
    }

    fn value(&mut self, schema: &Value, depth: usize) -> Value {
        let Value::Object(schema) = schema else { return self.anything(depth) };
        if let Some(target) = schema.get("$ref").and_then(Value::as_str) {
            let pointer = target.strip_prefix('#').map(|pointer| pointer.replace("%20", " "));
            let target = pointer.and_then(|pointer| self.root.pointer(&pointer));
            let value = target.map_or(Value::Null, |target| self.value(target, depth + 1));
            return self.with_fields(value, schema, depth);
        }
        if let Some(value) = schema.get("const") {
            return value.clone();
        }
        for key in ["examples", "enum"] {
            if let Some(Value::Array(values)) = schema.get(key)
                && let Some(value) = self.one_of(values)
            {
                return value.clone();
            }
        }
        for key in ["oneOf", "anyOf"] {
            if let Some(Value::Array(each)) = schema.get(key) {
                let chosen =
                    if depth >= DEPTH { each.iter().min_by_key(|each| weight(each)) } else { self.one_of(each) };
                let chosen = chosen.map_or(Value::Null, |chosen| self.value(chosen, depth + 1));
                return self.with_fields(chosen, schema, depth);
            }
        }
        if let Some(Value::Array(all)) = schema.get("allOf") {
            let parts: Vec<_> = all.iter().map(|part| self.value(part, depth + 1)).collect();
            let whole = parts.into_iter().reduce(merged).unwrap_or(Value::Null);
            return self.with_fields(whole, schema, depth);
        }
        match self.kind(schema, depth) {
            "object" => self.with_fields(json!({}), schema, depth),
            "array" => self.array(schema, depth),
            "string" => self.text(schema).into(),
            "integer" => self.integer(schema),
            "number" => self.number(schema),
            "boolean" => (self.below(2) == 1).into(),
            "null" => Value::Null,
            _ => self.anything(depth),
        }
    }

    fn kind<'s>(&mut self, schema: &'s Map<String, Value>, depth: usize) -> &'s str {
        match schema.get("type") {
            Some(Value::String(kind)) => kind,
            Some(Value::Array(kinds)) if depth >= DEPTH && kinds.contains(&json!("null")) => "null",
            Some(Value::Array(kinds)) => self.one_of(kinds).and_then(Value::as_str).unwrap_or("null"),
            _ if schema.contains_key("properties") => "object",
            _ => "",
        }
    }

    /// A value for a schema without constraints.
    fn anything(&mut self, depth: usize) -> Value {
        match self.below(if depth >= DEPTH { 4 } else { 6 }) {
            0 => json!({}),
            1 => Value::Null,
            2 => json!(true),
            3 => json!("any"),
            4 => json!([1, self.anything(DEPTH)]),
            _ => json!({ "any": self.anything(depth + 1) }),
        }
    }

    /// Adds the fields that the schema has beside its alternatives.
    fn with_fields(&mut self, value: Value, schema: &Map<String, Value>, depth: usize) -> Value {
        let Value::Object(mut object) = value else { return value };
        let required = |name: &str| {
            schema.get("required").and_then(Value::as_array).is_some_and(|all| all.iter().any(|each| each == name))
        };
        if let Some(Value::Object(properties)) = schema.get("properties") {
            for (name, property) in properties {
                if required(name) || depth < DEPTH && self.below(3) > 0 {
                    let value = self.value(property, depth + 1);
                    object.insert(name.clone(), value);
                }
            }
        }
        if let Some(values) = entries(schema)
            && depth < DEPTH
        {
            for _ in 0..self.count(schema, "minProperties", "maxProperties", depth) {
                let (key, value) = (self.key(schema), self.value(values, depth + 1));
                object.entry(key).or_insert(value);
            }
        }
        Value::Object(object)
    }

    fn key(&mut self, schema: &Map<String, Value>) -> String {
        if let Some(names) = schema.get("propertyNames")
            && let Value::String(name) = self.value(names, DEPTH)
        {
            return name;
        }
        // Such keys are numbers.
        let keys: &[&str] = if schema.contains_key("patternProperties") { &["1", "0", "7"] } else { leaf::KEYS };
        self.one_of(keys).copied().unwrap_or_default().to_owned()
    }

    fn array(&mut self, schema: &Map<String, Value>, depth: usize) -> Value {
        if let Some(Value::Array(each)) = schema.get("prefixItems") {
            return each.iter().map(|item| self.value(item, depth + 1)).collect();
        }
        let count = self.count(schema, "minItems", "maxItems", depth);
        let items = schema.get("items").unwrap_or(&Value::Null);
        let mut values = Vec::new();
        for _ in 0..count {
            let value = self.value(items, depth + 1);
            if schema.get("uniqueItems") != Some(&Value::Bool(true)) || !values.contains(&value) {
                values.push(value);
            }
        }
        values.into()
    }

    /// How many items or entries there are.
    fn count(&mut self, schema: &Map<String, Value>, least: &str, most: &str, depth: usize) -> usize {
        let bound = |key| schema.get(key).and_then(Value::as_u64).and_then(|bound| usize::try_from(bound).ok());
        let (least, most) = (bound(least).unwrap_or(0), bound(most).unwrap_or(usize::MAX));
        let end = if depth >= DEPTH {
            1
        } else if depth >= DEEP {
            2
        } else {
            4
        };
        self.below(end).clamp(least, most.max(least))
    }
}

/// The schema of the values under names that are not listed.
fn entries(schema: &Map<String, Value>) -> Option<&Value> {
    let patterns = || schema.get("patternProperties").and_then(Value::as_object).and_then(|all| all.values().next());
    match schema.get("additionalProperties") {
        Some(values @ (Value::Object(_) | Value::Bool(true))) => Some(values),
        _ => patterns(),
    }
}

/// The size of a schema. One with references counts as very large, because it may be recursive.
fn weight(schema: &Value) -> usize {
    let text = schema.to_string();
    text.len() + if text.contains("$ref") { 1 << 20 } else { 0 }
}

fn merged(a: Value, b: Value) -> Value {
    match (a, b) {
        (Value::Object(mut a), Value::Object(b)) => {
            a.extend(b);
            Value::Object(a)
        }
        (_, b) => b,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn many(schema: &Value) -> Vec<Value> {
        draws(schema, "test").take(200).collect()
    }

    #[test]
    fn the_same_seed_draws_the_same() {
        let schema = json!({"type": "array", "items": {"type": "string"}});
        assert_eq!(many(&schema), many(&schema));
        assert_ne!(many(&schema), draws(&schema, "other").take(200).collect::<Vec<_>>());
    }

    #[test]
    fn optional_fields_are_missing_null_and_there() {
        let schema = json!({"type": "object", "required": ["a"], "properties": {
            "a": {"type": "integer"}, "b": {"type": ["string", "null"]},
        }});
        let drawn = many(&schema);
        assert_eq!(drawn[0], json!({"a": 1}));
        let b: Vec<_> = drawn.iter().map(|value| value.get("b")).collect();
        assert!(b.contains(&None) && b.contains(&Some(&Value::Null)) && b.contains(&Some(&json!(""))), "{b:?}");
    }

    #[test]
    fn numbers_go_to_their_ends() {
        for (format, least, most) in [
            ("uint8", json!(0), json!(255)),
            ("int64", json!(i64::MIN), json!(i64::MAX)),
            ("uint64", json!(0), json!(u64::MAX)),
        ] {
            let drawn = many(&json!({"type": "integer", "format": format}));
            assert!([&least, &most, &json!(0)].iter().all(|end| drawn.contains(end)), "{format}: {drawn:?}");
        }
    }

    #[test]
    fn keys_that_are_numbers_are_drawn() {
        let schema = json!({"type": "object", "additionalProperties": false,
            "patternProperties": {"^\\d+$": {"type": "boolean"}}});
        assert!(many(&schema).contains(&json!({"1": true})));
    }

    #[test]
    fn a_tag_beside_a_reference_is_kept() {
        let schema = json!({"type": "object", "$ref": "#/$defs/A", "required": ["kind"],
            "properties": {"kind": {"const": "a"}},
            "$defs": {"A": {"type": "object", "required": ["x"], "properties": {"x": {"const": 1}}}}});
        assert_eq!(many(&schema)[0], json!({"kind": "a", "x": 1}));
    }
}

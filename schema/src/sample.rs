//! Sample payloads of a JSON Schema.

use serde_json::{Map, Number, Value, json};

/// How deep a sample goes before it takes the simplest way out.
const DEPTH: usize = 6;
/// How many of them are made at most.
const SAMPLES: usize = 6;

/// Values that the schema describes, different in what may differ: alternatives, optional fields, small and large numbers, texts.
/// The same for the same schema.
///
/// Values that a schema gives as `examples` are taken as they are. Patterns are not understood.
#[must_use]
pub fn samples(schema: &Value) -> Vec<Value> {
    let mut samples = Vec::new();
    for turn in 0..SAMPLES {
        let sample = Sampler { root: schema, turn }.sample(schema, 0);
        if !samples.contains(&sample) {
            samples.push(sample);
        }
    }
    samples
}

struct Sampler<'a> {
    root: &'a Value,
    /// Which of the samples is made: what is chosen where there is a choice.
    turn: usize,
}

impl Sampler<'_> {
    fn sample(&self, schema: &Value, depth: usize) -> Value {
        let Value::Object(schema) = schema else { return json!({}) };
        if let Some(target) = schema.get("$ref").and_then(Value::as_str) {
            let target = target.strip_prefix('#').and_then(|pointer| self.root.pointer(&pointer.replace("%20", " ")));
            return target.map_or(Value::Null, |target| self.sample(target, depth + 1));
        }
        if let Some(value) = schema.get("const") {
            return value.clone();
        }
        for key in ["examples", "enum"] {
            if let Some(Value::Array(values)) = schema.get(key)
                && let Some(value) = self.pick(values)
            {
                return value.clone();
            }
        }
        for key in ["oneOf", "anyOf"] {
            if let Some(Value::Array(each)) = schema.get(key) {
                let chosen = if depth >= DEPTH { each.iter().min_by_key(|each| weight(each)) } else { self.pick(each) };
                let chosen = chosen.map_or(Value::Null, |chosen| self.sample(chosen, depth + 1));
                return self.with_fields(chosen, schema, depth);
            }
        }
        if let Some(Value::Array(all)) = schema.get("allOf") {
            let parts = all.iter().map(|part| self.sample(part, depth + 1));
            let whole = parts.reduce(merged).unwrap_or(Value::Null);
            return self.with_fields(whole, schema, depth);
        }
        match self.kind(schema, depth) {
            "object" => self.with_fields(json!({}), schema, depth),
            "array" => self.array(schema, depth),
            "string" => self.text(schema).into(),
            "integer" => self.integer(schema),
            "number" => json!([0.0, 0.5, -1.25, 1e9][self.turn % 4]),
            "boolean" => (self.turn % 2 == 1).into(),
            "null" => Value::Null,
            _ => json!({ "any": self.turn }),
        }
    }

    fn pick<'v>(&self, values: &'v [Value]) -> Option<&'v Value> {
        values.get(self.turn % values.len().max(1))
    }

    fn kind<'s>(&self, schema: &'s Map<String, Value>, depth: usize) -> &'s str {
        match schema.get("type") {
            Some(Value::String(kind)) => kind,
            Some(Value::Array(kinds)) if depth >= DEPTH && kinds.contains(&json!("null")) => "null",
            Some(Value::Array(kinds)) => self.pick(kinds).and_then(Value::as_str).unwrap_or("null"),
            _ if schema.contains_key("properties") => "object",
            _ => "",
        }
    }

    /// Adds the fields that the schema has beside its alternatives.
    fn with_fields(&self, value: Value, schema: &Map<String, Value>, depth: usize) -> Value {
        let Value::Object(mut object) = value else { return value };
        let required = |name: &str| {
            schema.get("required").and_then(Value::as_array).is_some_and(|all| all.iter().any(|each| each == name))
        };
        if let Some(Value::Object(properties)) = schema.get("properties") {
            for (index, (name, property)) in properties.iter().enumerate() {
                // The first sample has only what it must, the second everything.
                let there = match self.turn {
                    0 => false,
                    1 => true,
                    turn => (turn + index) % 2 == 0,
                };
                if required(name) || there && depth < DEPTH {
                    let sampler =
                        Self { root: self.root, turn: if self.turn < 2 { self.turn } else { self.turn + index } };
                    object.insert(name.clone(), sampler.sample(property, depth + 1));
                }
            }
        }
        if let (Some(values @ Value::Object(_)), 1..) = (schema.get("additionalProperties"), self.turn % 3)
            && depth < DEPTH
        {
            object.insert(self.key(schema), self.sample(values, depth + 1));
        }
        Value::Object(object)
    }

    fn key(&self, schema: &Map<String, Value>) -> String {
        let names = schema.get("propertyNames").map(|names| self.sample(names, DEPTH));
        match names {
            Some(Value::String(name)) => name,
            // Keys are numbers.
            _ if schema.contains_key("patternProperties") => "1".to_owned(),
            _ => "key".to_owned(),
        }
    }

    fn array(&self, schema: &Map<String, Value>, depth: usize) -> Value {
        if let Some(Value::Array(each)) = schema.get("prefixItems") {
            return each.iter().map(|item| self.sample(item, depth + 1)).collect();
        }
        let least = schema.get("minItems").and_then(Value::as_u64).unwrap_or(0);
        let most = schema.get("maxItems").and_then(Value::as_u64).unwrap_or(u64::MAX);
        let wanted = if depth >= DEPTH { 0 } else { [0, 1, 2][self.turn % 3] };
        let count = usize::try_from(wanted.clamp(least, most.max(least))).unwrap_or(0);
        let items = schema.get("items").unwrap_or(&Value::Null);
        let each = |i| Self { root: self.root, turn: self.turn + i }.sample(items, depth + 1);
        (0..count).map(each).collect()
    }

    fn text(&self, schema: &Map<String, Value>) -> String {
        let of = |texts: &[&str]| texts[self.turn % texts.len()].to_owned();
        let text = match schema.get("format").and_then(Value::as_str) {
            Some("date") => of(&["1997-01-01", "2024-02-29", "1970-01-01"]),
            Some("time" | "partial-time") => of(&["00:00:00", "23:59:59.999"]),
            Some("date-time") => of(&["1997-01-01T00:00:00Z", "2024-02-29T23:59:59.999Z"]),
            Some("partial-date-time") => of(&["1997-01-01T00:00:00", "2024-02-29T23:59:59.999"]),
            Some("uuid") => of(&["00000000-0000-0000-0000-000000000000", "67e55044-10b1-426f-9247-bb680e5fe0c8"]),
            Some("ipv4") => of(&["127.0.0.1", "255.255.255.255"]),
            Some("ipv6") => of(&["::1", "2001:db8::8a2e:370:7334"]),
            Some("ip") => of(&["127.0.0.1", "::1"]),
            Some("email") => "someone@example.com".to_owned(),
            Some("uri") => "https://example.com/".to_owned(),
            _ => of(&["1", "", "Ærøskøbing \u{1f4bf}", "a \"quoted\" text\n", "0.5", "1997-01-01"]),
        };
        let length = |key| schema.get(key).and_then(Value::as_u64).and_then(|length| usize::try_from(length).ok());
        let least = length("minLength").unwrap_or(0);
        let most = length("maxLength").unwrap_or(usize::MAX);
        let text: String = text.chars().take(most).collect();
        let missing = least.saturating_sub(text.chars().count()).min(1 << 16);
        text + &"x".repeat(missing)
    }

    fn integer(&self, schema: &Map<String, Value>) -> Value {
        let format = schema.get("format").and_then(Value::as_str).unwrap_or("int32");
        let bits: u32 = format.trim_start_matches(|letter: char| !letter.is_numeric()).parse().unwrap_or(32);
        // What JSON readers in other languages take exactly.
        let bits = bits.clamp(8, 53);
        let bound = |key| schema.get(key).and_then(Value::as_i64);
        let (least, most) =
            if format.starts_with('u') { (0, (1 << bits) - 1) } else { (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) };
        let least = bound("minimum").unwrap_or(least).max(least);
        let most = bound("maximum").unwrap_or(most).min(most);
        Value::Number(Number::from(match self.turn % 4 {
            0 => 1_i64.clamp(least, most.max(least)),
            1 => most,
            2 => least,
            _ => 100_i64.clamp(least, most.max(least)),
        }))
    }
}

/// How much a schema brings in: what refers to others may go on without end.
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

    #[test]
    fn optional_fields_are_left_out_once_and_there_once() {
        let schema = json!({"type": "object", "required": ["a"], "properties": {"a": {"type": "integer"}, "b": {"type": "string"}}});
        let samples = samples(&schema);
        assert_eq!(samples[0], json!({"a": 1}));
        assert!(samples[1].get("b").is_some());
    }

    #[test]
    fn every_alternative_comes_up() {
        let schema = json!({"oneOf": [{"const": "A"}, {"type": "object", "required": ["B"], "properties": {"B": {"type": "null"}}}, {"const": "C"}]});
        let samples = samples(&schema);
        for wanted in [json!("A"), json!({"B": null}), json!("C")] {
            assert!(samples.contains(&wanted), "{wanted}");
        }
    }

    #[test]
    fn a_schema_within_itself_comes_to_an_end() {
        let schema = json!({
            "$ref": "#/$defs/Tree",
            "$defs": {"Tree": {"type": "object", "required": ["left", "right"], "properties": {
                "left": {"anyOf": [{"$ref": "#/$defs/Tree"}, {"type": "null"}]},
                "right": {"type": "array", "items": {"$ref": "#/$defs/Tree"}},
            }}},
        });
        assert!(!samples(&schema).is_empty());
    }

    #[test]
    fn bounds_are_kept() {
        let schema = json!({"type": "integer", "format": "uint8", "minimum": 3, "maximum": 7});
        assert!(samples(&schema).iter().all(|sample| (3..=7).contains(&sample.as_i64().unwrap())));
        let schema = json!({"type": "string", "minLength": 3, "maxLength": 3});
        assert!(samples(&schema).iter().all(|sample| sample.as_str().unwrap().chars().count() == 3));
    }
}

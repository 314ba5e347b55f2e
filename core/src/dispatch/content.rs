//! The content of a request under an idempotency key, in a form that compatible additions to its type don't change.
//!
//! Example: a caller repeats a request after a deploy. The JSON of the new program has one more field, which holds its
//! default value. The form omits each such field. Two different requests still have different forms, because a form
//! decodes to the request that it was made from.

use std::collections::BTreeSet;

use serde_json::{Error, Value};

/// The canonical form: compact JSON with sorted keys, without the object members that hold their default value.
///
/// `recode` decodes JSON as the request's type and encodes it again; `None` if decoding fails. Members whose paths
/// only differ in array indexes are omitted together or not at all, so the work is bounded by the size of the type.
pub(crate) fn canonical(json: &[u8], recode: impl Fn(&[u8]) -> Option<Vec<u8>>) -> Result<Vec<u8>, Error> {
    if has_long_number(json) {
        return Ok(json.to_vec());
    }
    let whole: Value = serde_json::from_slice(json)?;
    let reads_back = |shorter: &Value| {
        let recoded = recode(&serde_json::to_vec(shorter).ok()?)?;
        Some(serde_json::from_slice::<Value>(&recoded).ok()? == whole)
    };
    let mut kept = whole.clone();
    let mut paths = BTreeSet::new();
    collect(&whole, &mut Vec::new(), &mut paths);
    for path in paths {
        let mut shorter = kept.clone();
        remove(&mut shorter, &path);
        if reads_back(&shorter) == Some(true) {
            kept = shorter;
        }
    }
    serde_json::to_vec(&kept)
}

/// Whether a number may be too long for a [`Value`], which would round it. Such JSON is not changed.
fn has_long_number(json: &[u8]) -> bool {
    let (mut digits, mut in_text, mut escaped) = (0, false, false);
    json.iter().any(|byte| {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            _ => {}
        }
        digits = if !in_text && byte.is_ascii_digit() { digits + 1 } else { 0 };
        digits == 20
    })
}

/// Whether the value is a usual default. Below the top level only members with such values are candidates.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Bool(true) => false,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(elements) => elements.is_empty(),
        Value::Object(members) => members.is_empty(),
    }
}

/// A step to a member by its name, or into every element of an array.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Member(String),
    Elements,
}

/// The paths of all members that are candidates.
fn collect(value: &Value, path: &mut Vec<Step>, paths: &mut BTreeSet<Vec<Step>>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                path.push(Step::Member(name.clone()));
                if path.len() == 1 || is_empty(value) {
                    paths.insert(path.clone());
                }
                collect(value, path, paths);
                path.pop();
            }
        }
        Value::Array(elements) => {
            path.push(Step::Elements);
            elements.iter().for_each(|element| collect(element, path, paths));
            path.pop();
        }
        _ => {}
    }
}

/// Removes the members at the path. Below the top level it removes only members with a usual default.
fn remove(value: &mut Value, path: &[Step]) {
    match (value, path) {
        (Value::Object(members), [Step::Member(name)]) => drop(members.remove(name)),
        (Value::Object(members), [Step::Member(name), rest @ ..]) => {
            if let Some(value) = members.get_mut(name) {
                remove_empty(value, rest);
            }
        }
        _ => {}
    }
}

fn remove_empty(value: &mut Value, path: &[Step]) {
    match (value, path) {
        (Value::Object(members), [Step::Member(name)]) if members.get(name).is_some_and(is_empty) => {
            members.remove(name);
        }
        (Value::Object(members), [Step::Member(name), rest @ ..]) => {
            if let Some(value) = members.get_mut(name) {
                remove_empty(value, rest);
            }
        }
        (Value::Array(elements), [Step::Elements, rest @ ..]) => {
            elements.iter_mut().for_each(|element| remove_empty(element, rest));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::de::DeserializeOwned;
    use serde::{Deserialize, Serialize};

    use super::*;

    fn of<T: Serialize + DeserializeOwned>(value: &T) -> String {
        let recode = |json: &[u8]| serde_json::to_vec(&serde_json::from_slice::<T>(json).ok()?).ok();
        String::from_utf8(canonical(&serde_json::to_vec(value).unwrap(), recode).unwrap()).unwrap()
    }

    #[derive(Serialize, Deserialize)]
    struct Item {
        name: String,
        count: u32,
        #[serde(default)]
        gift: bool,
        note: Option<String>,
    }

    #[derive(Serialize, Deserialize)]
    struct Order {
        id: u32,
        items: Vec<Item>,
        #[serde(default)]
        labels: BTreeMap<String, Option<u32>>,
        #[serde(default = "standard")]
        speed: String,
        code: Option<u32>,
    }

    fn standard() -> String {
        "standard".into()
    }

    fn order() -> Order {
        let item = |gift, note: Option<&str>| Item { name: String::new(), count: 0, gift, note: note.map(Into::into) };
        Order {
            id: 0,
            items: vec![item(false, None), item(true, None)],
            labels: BTreeMap::new(),
            speed: standard(),
            code: None,
        }
    }

    #[test]
    fn fields_with_their_default_value_are_omitted() {
        assert_eq!(of(&order()), r#"{"id":0,"items":[{"count":0,"name":""},{"count":0,"gift":true,"name":""}]}"#);
    }

    #[test]
    fn requests_that_differ_have_different_forms() {
        let changed = |change: &dyn Fn(&mut Order)| {
            let mut order = order();
            change(&mut order);
            of(&order)
        };
        let all = [
            of(&order()),
            changed(&|order| order.code = Some(0)),
            changed(&|order| order.speed = "express".into()),
            changed(&|order| order.speed = String::new()),
            changed(&|order| order.labels = BTreeMap::from([("a".into(), None)])),
            changed(&|order| order.labels = BTreeMap::from([("a".into(), Some(0))])),
            changed(&|order| order.items[1].note = Some(String::new())),
            changed(&|order| order.items[0].gift = true),
            changed(&|order| order.items.clear()),
        ];
        let distinct: BTreeSet<_> = all.iter().collect();
        assert_eq!(distinct.len(), all.len(), "{all:#?}");
        assert_ne!(of(&(u128::MAX,)), of(&(u128::MAX - 1,)), "no number is rounded");
    }
}

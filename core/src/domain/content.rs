//! The content of a request under an idempotency key, in a form that compatible additions to its type don't change.
//!
//! Example: a caller repeats a request after a deploy. The JSON of the new program has one more field, which holds its
//! default value. The form omits each such field. Two different requests still have different forms, because a form
//! decodes to the request that it was made from.

use std::collections::BTreeSet;

use serde::de::{Error as _, IgnoredAny};
use serde_json::Error;

use super::json::Json;
use super::shape::Form;

/// The canonical form: compact JSON with sorted keys, without the object members that hold their default value.
///
/// `recode` decodes JSON as the request's type and encodes it again; `None` if decoding fails. Members with paths
/// that only differ in array indexes are omitted together or not at all, so the work is bounded by the type's size.
/// If the form has no optional members, the type is not decoded.
pub(crate) fn canonical(json: &[u8], form: &Form, recode: impl Fn(&[u8]) -> Option<Vec<u8>>) -> Result<Vec<u8>, Error> {
    let whole = read(json)?;
    if form.requires_all_members() {
        return Ok(whole.to_vec());
    }
    let reads_back = |shorter: &Json<'_>| {
        let recoded = recode(&shorter.to_vec())?;
        Some(Json::read(&recoded)? == whole)
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
    Ok(kept.to_vec())
}

fn read(json: &[u8]) -> Result<Json<'_>, Error> {
    if let Some(whole) = Json::read(json) {
        return Ok(whole);
    }
    serde_json::from_slice::<IgnoredAny>(json)?;
    Err(Error::custom("it has more than one JSON value"))
}

/// A step to a member by its name, or into every element of an array.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Step<'a> {
    Member(&'a str),
    Elements,
}

/// The paths of all members that are candidates.
fn collect<'a>(value: &Json<'a>, path: &mut Vec<Step<'a>>, paths: &mut BTreeSet<Vec<Step<'a>>>) {
    match value {
        Json::Object(members) => {
            for (name, value) in members {
                path.push(Step::Member(name));
                if path.len() == 1 || value.is_usual_default() {
                    paths.insert(path.clone());
                }
                collect(value, path, paths);
                path.pop();
            }
        }
        Json::Array(elements) => {
            path.push(Step::Elements);
            elements.iter().for_each(|element| collect(element, path, paths));
            path.pop();
        }
        Json::Scalar(_) => {}
    }
}

/// Removes the members at the path. Below the top level it removes only members with a usual default.
fn remove(value: &mut Json<'_>, path: &[Step<'_>]) {
    match (value, path) {
        (Json::Object(members), [Step::Member(name)]) => members.retain(|(member, _)| member != name),
        (Json::Object(members), [Step::Member(name), rest @ ..]) => {
            members.iter_mut().filter(|(member, _)| member == name).for_each(|(_, value)| remove_default(value, rest));
        }
        _ => {}
    }
}

fn remove_default(value: &mut Json<'_>, path: &[Step<'_>]) {
    match (value, path) {
        (Json::Object(members), [Step::Member(name)]) => {
            members.retain(|(member, value)| member != name || !value.is_usual_default());
        }
        (Json::Object(members), [Step::Member(name), rest @ ..]) => {
            members.iter_mut().filter(|(member, _)| member == name).for_each(|(_, value)| remove_default(value, rest));
        }
        (Json::Array(elements), [Step::Elements, rest @ ..]) => {
            elements.iter_mut().for_each(|element| remove_default(element, rest));
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
    use crate::Shape;

    fn of<T: Serialize + DeserializeOwned>(value: &T) -> String {
        let recode = |json: &[u8]| serde_json::to_vec(&serde_json::from_slice::<T>(json).ok()?).ok();
        String::from_utf8(canonical(&serde_json::to_vec(value).unwrap(), &Form::Opaque, recode).unwrap()).unwrap()
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

    #[derive(Serialize, Deserialize, Shape)]
    #[shape(crate = "crate")]
    struct Plain {
        size: (u32, f64),
        note: String,
        lines: Vec<Line>,
    }

    #[derive(Serialize, Deserialize, Shape)]
    #[shape(crate = "crate")]
    struct Line {
        sku: Option<String>,
        count: u32,
    }

    #[test]
    fn the_form_is_the_same_with_and_without_a_look_at_the_type() {
        // `Line` has an optional field, so the form of `Plain` doesn't suffice.
        assert!(!Plain::FORM.requires_all_members());
        assert!(<(u32, f64, Vec<BTreeMap<String, bool>>)>::FORM.requires_all_members());
        let plain = Plain { size: (0, 0.1), note: String::new(), lines: vec![] };
        let json = serde_json::to_vec(&plain).unwrap();
        let form = Form::Object(&[]);
        let refuse = |_: &[u8]| -> Option<Vec<u8>> { panic!("a plain type is not decoded") };
        assert_eq!(of(&plain).into_bytes(), canonical(&json, &form, refuse).unwrap());
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

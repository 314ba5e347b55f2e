//! The changes between two locks, and the programs that they break.

use std::fmt;

use crate::form::{Field, Form, Tagging};
use crate::lock::{Lock, LockedEvent};

/// One change of the stored form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The stored name of the event.
    pub event: String,
    /// The version of it.
    pub version: u32,
    /// Where in the payload, such as `lines[].sku`; empty for the whole.
    pub path: String,
    /// A description of the change.
    pub what: String,
    /// Whether programs of the new lock read, whole, the events of programs of the old one.
    pub backward: bool,
    /// Whether programs of the old lock read the events of programs of the new one. They may overlook new parts.
    pub forward: bool,
}

/// Which programs must go on reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compatibility {
    /// New programs read the events of old ones: enough for a program that is the only reader of its events.
    Backward,
    /// Old programs read the events of new ones, so that readers can be updated later.
    Forward,
    /// Both.
    Full,
}

impl Change {
    /// Whether the change breaks the wanted compatibility.
    #[must_use]
    pub fn breaks(&self, wanted: Compatibility) -> bool {
        match wanted {
            Compatibility::Backward => !self.backward,
            Compatibility::Forward => !self.forward,
            Compatibility::Full => !self.backward || !self.forward,
        }
    }

    /// The compatibility that the change keeps, in the usual words.
    #[must_use]
    pub fn compatibility(&self) -> &'static str {
        match (self.backward, self.forward) {
            (true, true) => "fully compatible",
            (true, false) => "backward compatible",
            (false, true) => "forward compatible",
            (false, false) => "breaking",
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { event, version, path, what, .. } = self;
        let place = if path.is_empty() { String::new() } else { format!(" {path}") };
        write!(f, "{event} version {version}{place}: {what} ({})", self.compatibility())
    }
}

/// Every change from one lock to another, in the order of names.
#[must_use]
pub fn changes(old: &Lock, new: &Lock) -> Vec<Change> {
    let mut all = Vec::new();
    for (name, before) in old.events.iter().filter(|(_, before)| !before.erased) {
        match new.events.get(name) {
            Some(after) if !after.erased => of_event(name, before, after, &mut all),
            Some(_) => all.push(whole(name, before, "the event was erased", true, true)),
            None => all.push(whole(name, before, "the event is gone", false, true)),
        }
    }
    for (name, after) in new.events.iter().filter(|(name, _)| !old.events.contains_key(*name)) {
        // An old program does not ask for an event that it does not know.
        all.push(whole(name, after, "the event is new", true, true));
    }
    all.sort_by(|a, b| (&a.event, a.version).cmp(&(&b.event, b.version)));
    all
}

/// The changes from one version of an event to the next.
#[must_use]
pub fn version_changes(old: &Form, new: &Form) -> Vec<String> {
    let mut found = Difference::default();
    found.form(old, new, "");
    let said = |(path, what, ..): (String, String, bool, bool)| format!("{path} {what}").trim_start().to_owned();
    found.0.into_iter().map(said).collect()
}

fn whole(name: &str, locked: &LockedEvent, what: &str, backward: bool, forward: bool) -> Change {
    let version = locked.newest().map_or(0, |(version, _)| version);
    Change { event: name.to_owned(), version, path: String::new(), what: what.to_owned(), backward, forward }
}

fn of_event(name: &str, before: &LockedEvent, after: &LockedEvent, all: &mut Vec<Change>) {
    let change = |version, what: &str, backward, forward| Change {
        event: name.to_owned(),
        version,
        path: String::new(),
        what: what.to_owned(),
        backward,
        forward,
    };
    for (&version, old) in &before.versions {
        match after.versions.get(&version) {
            None => all.push(change(version, "the version is gone", false, true)),
            Some(new) => {
                // Both were read with their locks.
                let (Ok(old), Ok(new)) = (old.form(), new.form()) else { continue };
                let mut found = Difference::default();
                found.form(&old, &new, "");
                all.extend(found.0.into_iter().map(|(path, what, backward, forward)| Change {
                    path,
                    ..change(version, &what, backward, forward)
                }));
            }
        }
    }
    for &version in after.versions.keys().filter(|version| !before.versions.contains_key(version)) {
        all.push(change(version, "the version is new, and upcasters read the older ones", true, false));
    }
}

/// Path, description, backward, forward.
#[derive(Default)]
struct Difference(Vec<(String, String, bool, bool)>);

impl Difference {
    fn note(&mut self, path: &str, what: impl Into<String>, backward: bool, forward: bool) {
        self.0.push((path.to_owned(), what.into(), backward, forward));
    }

    fn form(&mut self, old: &Form, new: &Form, path: &str) {
        match (old, new) {
            (old, new) if old == new => {}
            (Form::Opaque, _) => self.note(path, "its form is known now", true, true),
            (_, Form::Opaque) => self.note(path, "its form is no longer known", false, false),
            (Form::Leaf(old), Form::Leaf(new)) => {
                let what = format!("{old} became {new}");
                self.note(path, what, crate::form::widens(old, new), crate::form::widens(new, old));
            }
            (Form::Option(old), Form::Option(new)) => self.form(old, new, path),
            (old, Form::Option(new)) => {
                self.note(path, "may be null from now on", true, false);
                self.form(old, new, path);
            }
            (Form::Option(old), new) => {
                self.note(path, "may no longer be null", false, true);
                self.form(old, new, path);
            }
            (Form::List(old), Form::List(new)) => self.form(old, new, &format!("{path}[]")),
            (Form::Tuple(old), Form::Tuple(new)) if old.len() == new.len() => {
                for (index, (old, new)) in old.iter().zip(new).enumerate() {
                    self.form(old, new, &format!("{path}[{index}]"));
                }
            }
            (Form::Tuple(old), Form::List(new)) => {
                self.note(path, "may have any length from now on", true, false);
                for (index, old) in old.iter().enumerate() {
                    self.form(old, new, &format!("{path}[{index}]"));
                }
            }
            (Form::Map(old_key, old), Form::Map(new_key, new)) => {
                self.form(old_key, new_key, &format!("{path}{{key}}"));
                self.form(old, new, &format!("{path}{{}}"));
            }
            (Form::Object(old), Form::Object(new)) => self.fields(old, new, path),
            (Form::Choice(old_tag, old), Form::Choice(new_tag, new)) if old_tag == new_tag => {
                self.choices(old_tag, old, new, path);
            }
            (Form::Choice(..), Form::Choice(..)) => {
                self.note(path, "its variants are told apart in another way", false, false);
            }
            (old, new) => self.note(path, format!("{} became {}", kind(old), kind(new)), false, false),
        }
    }

    fn fields(&mut self, old: &[Field], new: &[Field], path: &str) {
        let at = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
        for before in old {
            let path = at(&before.name);
            let Some(after) = new.iter().find(|after| after.flat == before.flat && after.knows(&before.name)) else {
                self.note(&path, "is gone", false, !before.required);
                continue;
            };
            if after.name != before.name {
                self.note(&path, format!("is written as {}", after.name), true, before.knows(&after.name));
            }
            for alias in before.aliases.iter().filter(|alias| !after.knows(alias)) {
                self.note(&path, format!("is no longer read from {alias}"), false, true);
            }
            match (before.required, after.required) {
                (true, false) => self.note(&path, "may be missing from now on", true, false),
                (false, true) => self.note(&path, "may no longer be missing", false, true),
                _ => {}
            }
            self.form(&before.form, &after.form, &path);
        }
        for after in new {
            if !old.iter().any(|before| before.flat == after.flat && after.knows(&before.name)) {
                let what = if after.required { "is new, and must be there" } else { "is new, and may be missing" };
                self.note(&at(&after.name), what, !after.required, true);
            }
        }
    }

    fn choices(&mut self, tagging: &Tagging, old: &[Field], new: &[Field], path: &str) {
        let find = |index: usize, before: &Field| match tagging {
            Tagging::Untagged => new.get(index),
            _ => new.iter().find(|after| after.knows(&before.name)),
        };
        for (index, before) in old.iter().enumerate() {
            let at = format!("{path}|{}", before.name);
            match find(index, before) {
                None => self.note(&at, "the variant is gone", false, true),
                Some(after) => {
                    if after.name != before.name {
                        self.note(&at, format!("is written as {}", after.name), true, before.knows(&after.name));
                    }
                    self.form(&before.form, &after.form, &at);
                }
            }
        }
        for (index, after) in new.iter().enumerate() {
            let known = match tagging {
                Tagging::Untagged => index < old.len(),
                _ => old.iter().any(|before| after.knows(&before.name)),
            };
            if !known {
                self.note(&format!("{path}|{}", after.name), "the variant is new", true, false);
            }
        }
    }
}

fn kind(form: &Form) -> &str {
    match form {
        Form::Opaque => "an unknown form",
        Form::Leaf(name) => name,
        Form::Option(_) => "an optional value",
        Form::List(_) => "an array",
        Form::Tuple(_) => "an array of fixed length",
        Form::Map(..) => "a map",
        Form::Object(_) => "an object",
        Form::Choice(..) => "one of several forms",
        Form::Unit => "nothing",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn lock(forms: &[(&str, u32, Value)]) -> Lock {
        let mut lock = Lock::default();
        for (name, version, form) in forms {
            let version_of = json!({"hash": "0", "form": form, "schema": {}, "samples": []});
            let event = lock.events.entry((*name).to_owned()).or_default();
            event.versions.insert(*version, serde_json::from_value(version_of).unwrap());
        }
        lock
    }

    fn said(old: &Value, new: &Value) -> Vec<String> {
        let found = changes(&lock(&[("a", 1, old.clone())]), &lock(&[("a", 1, new.clone())]));
        found.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn each_change_has_its_victims() {
        let object = |fields: Value| json!({ "object": fields });
        let cases = [
            (json!("u32"), json!("u32"), vec![]),
            (json!("u32"), json!("u64"), vec!["a version 1: u32 became u64 (backward compatible)"]),
            (json!("u64"), json!("u32"), vec!["a version 1: u64 became u32 (forward compatible)"]),
            (json!("u64"), json!("bool"), vec!["a version 1: u64 became bool (breaking)"]),
            (
                object(json!({"x": "u8", "y": "u8"})),
                object(json!({"x": {"option": "u8"}, "z?": "u8"})),
                vec![
                    "a version 1 x: may be null from now on (backward compatible)",
                    "a version 1 y: is gone (breaking)",
                    "a version 1 z: is new, and may be missing (fully compatible)",
                ],
            ),
            (
                object(json!({"lines": {"list": object(json!({"sku": "string"}))}})),
                object(json!({"lines": {"list": object(json!({"article|sku": "string", "price": "u8"}))}})),
                vec![
                    "a version 1 lines[].sku: is written as article (backward compatible)",
                    "a version 1 lines[].price: is new, and must be there (forward compatible)",
                ],
            ),
            (
                json!({"choice": {"A": "unit", "B": "u8"}}),
                json!({"choice": {"B": "u16", "C": "unit"}}),
                vec![
                    "a version 1 |A: the variant is gone (forward compatible)",
                    "a version 1 |B: u8 became u16 (backward compatible)",
                    "a version 1 |C: the variant is new (backward compatible)",
                ],
            ),
            (
                json!({"list": "u8"}),
                json!({"map": ["string", "u8"]}),
                vec!["a version 1: an array became a map (breaking)"],
            ),
        ];
        for (old, new, wanted) in cases {
            assert_eq!(said(&old, &new), wanted, "{old} to {new}");
        }
    }

    #[test]
    fn versions_and_events_come_and_go() {
        let old = lock(&[("a", 1, json!("u8")), ("b", 1, json!("u8")), ("e", 1, json!("u8"))]);
        let mut new =
            lock(&[("a", 1, json!("u8")), ("a", 2, json!("bool")), ("c", 1, json!("u8")), ("e", 1, json!("u8"))]);
        new.events.get_mut("e").unwrap().erased = true;
        let found: Vec<_> = changes(&old, &new).iter().map(ToString::to_string).collect();
        assert_eq!(
            found,
            [
                "a version 2: the version is new, and upcasters read the older ones (backward compatible)",
                "b version 1: the event is gone (forward compatible)",
                "c version 1: the event is new (fully compatible)",
                "e version 1: the event was erased (fully compatible)",
            ]
        );
    }

    #[test]
    fn what_must_hold_decides() {
        let found = changes(&lock(&[("a", 1, json!("u8"))]), &lock(&[("a", 1, json!("u16"))]));
        let breaks = [Compatibility::Backward, Compatibility::Forward, Compatibility::Full].map(|c| found[0].breaks(c));
        assert_eq!(breaks, [false, true, true]);
    }
}

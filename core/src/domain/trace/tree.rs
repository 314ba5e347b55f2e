//! A value's tokens as a tree, to find where two values differ first.

use std::fmt::Write as _;

use serde::Serialize;
use serde_json::Error;

use super::build::Builder;
use super::{BOOL, FLOAT, NONE, SIGNED, TEXT, UNIT, UNSIGNED, trace};

/// A value as a tree.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Tree {
    /// A value without parts: its token as bytes, and its name in messages.
    Leaf {
        token: Vec<u8>,
        shown: String,
    },
    /// A value around another one: `Some`, or a newtype.
    Around(&'static str, Box<Tree>),
    /// A variant with its content.
    Variant(&'static str, Box<Tree>),
    List(Vec<Tree>),
    Map(Vec<(Tree, Tree)>),
    Struct(&'static str, Vec<(&'static str, Tree)>),
}

/// The first place where two values differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Difference {
    /// The path of the place, such as `items[2].price`.
    pub(crate) path: String,
    pub(crate) first: String,
    pub(crate) second: String,
}

/// A value that JSON, or serde's buffer for flattened fields and tagged enums, does not preserve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Suspect {
    /// A NaN or an infinity.
    NotFinite(String),
    /// An integer of 128 bits.
    Wide,
    /// A map with keys that are no text.
    Keys,
}

impl Tree {
    /// # Errors
    /// The error of the value's own `Serialize`.
    pub(crate) fn of<T: Serialize + ?Sized>(value: &T) -> Result<Self, Error> {
        let mut builder = Builder::default();
        trace(value, &mut builder)?;
        Ok(builder.root.unwrap_or(Self::List(Vec::new())))
    }

    /// The first place where this value and another one differ. The order of maps and sets does not count.
    pub(crate) fn difference(&self, other: &Self) -> Option<Difference> {
        let mut path = String::new();
        self.compare(other, &mut path)
    }

    /// The value's name in messages. Text is not shown: it may be secret.
    pub(crate) fn shown(&self) -> String {
        match self {
            Self::Leaf { shown, .. } => shown.clone(),
            Self::Around(name, inner) | Self::Variant(name, inner) => format!("{name}({})", inner.shown()),
            Self::List(_) => "a list".to_owned(),
            Self::Map(_) => "a map".to_owned(),
            Self::Struct(name, _) => (*name).to_owned(),
        }
    }

    /// The first suspect part at this place or within it.
    pub(crate) fn suspect(&self, place: &str) -> Option<(String, Suspect)> {
        self.find(place, &mut String::new(), &|part| match part {
            Self::Leaf { token, shown } => suspect(token, shown),
            Self::Map(all) => all.iter().any(|(key, _)| key.is_number()).then_some(Suspect::Keys),
            _ => None,
        })
    }

    /// The first map with a key that JSON can't have.
    pub(crate) fn unwritable_keys(&self) -> Option<String> {
        self.find("", &mut String::new(), &|part| match part {
            Self::Map(all) => all.iter().any(|(key, _)| !key.is_key()).then_some(()),
            _ => None,
        })
        .map(|(path, ())| path)
    }

    fn is_key(&self) -> bool {
        match self {
            Self::Leaf { token, .. } => {
                !matches!(token.first(), Some(&(NONE | UNIT)))
                    && suspect(token, "").is_none_or(|found| found == Suspect::Wide)
            }
            Self::Around(_, inner) => inner.is_key(),
            _ => false,
        }
    }

    /// The first part, at this place or within it, for which `found` returns a result.
    fn find<T>(&self, place: &str, path: &mut String, found: &dyn Fn(&Self) -> Option<T>) -> Option<(String, T)> {
        if let Some(found) = found(self).filter(|_| path.starts_with(place)) {
            return Some((path.clone(), found));
        }
        match self {
            Self::Leaf { .. } => None,
            Self::Around(_, inner) | Self::Variant(_, inner) => inner.find(place, path, found),
            Self::List(all) => all.iter().enumerate().find_map(|(index, part)| {
                within(path, |path| _ = write!(path, "[{index}]"), |path| part.find(place, path, found))
            }),
            Self::Map(all) => all
                .iter()
                .find_map(|(key, part)| within(path, |path| push_key(path, key), |path| part.find(place, path, found))),
            Self::Struct(_, all) => all.iter().find_map(|(name, part)| {
                within(path, |path| push_field(path, name), |path| part.find(place, path, found))
            }),
        }
    }

    fn is_number(&self) -> bool {
        match self {
            Self::Leaf { token, .. } => matches!(token.first(), Some(&(SIGNED | UNSIGNED | FLOAT | BOOL))),
            Self::Around(_, inner) => inner.is_number(),
            _ => false,
        }
    }

    fn compare(&self, other: &Self, path: &mut String) -> Option<Difference> {
        if self.canonical() == other.canonical() {
            return None;
        }
        let inner = match (self, other) {
            (Self::Around(a, first), Self::Around(b, second)) | (Self::Variant(a, first), Self::Variant(b, second))
                if a == b && !first.is_bare() =>
            {
                first.compare(second, path)
            }
            (Self::List(first), Self::List(second)) if first.len() == second.len() => {
                first.iter().zip(second).enumerate().find_map(|(index, (first, second))| {
                    within(path, |path| _ = write!(path, "[{index}]"), |path| first.compare(second, path))
                })
            }
            (Self::Struct(_, first), Self::Struct(_, second)) => compare_fields(first, second, path),
            (Self::Map(first), Self::Map(second)) => compare_entries(first, second, path),
            _ => None,
        };
        inner.or_else(|| Some(Difference { path: path.clone(), first: self.shown(), second: other.shown() }))
    }

    fn is_bare(&self) -> bool {
        matches!(self, Self::Leaf { .. })
    }

    /// The value as bytes: equal for equal values, independent of the order of maps and sets.
    fn canonical(&self) -> Vec<u8> {
        let (kind, name, mut parts) = match self {
            Self::Leaf { token, .. } => (0, "", vec![token.clone()]),
            Self::Around(name, inner) => (1, *name, vec![inner.canonical()]),
            Self::Variant(name, inner) => (5, *name, vec![inner.canonical()]),
            Self::List(all) => (2, "", all.iter().map(Self::canonical).collect()),
            Self::Map(all) => (3, "", all.iter().map(|(key, value)| joined(&key.canonical(), value)).collect()),
            Self::Struct(name, all) => {
                (4, *name, all.iter().map(|(key, value)| joined(key.as_bytes(), value)).collect::<Vec<_>>())
            }
        };
        parts.sort_unstable();
        let mut all = vec![kind];
        push_sized(&mut all, name.as_bytes());
        parts.iter().for_each(|part| push_sized(&mut all, part));
        all
    }
}

fn suspect(token: &[u8], shown: &str) -> Option<Suspect> {
    match token {
        [SIGNED | UNSIGNED, 128, ..] => Some(Suspect::Wide),
        [FLOAT, _, bits @ ..] => {
            let value = f64::from_bits(u64::from_le_bytes(bits.try_into().ok()?));
            (!value.is_finite()).then(|| Suspect::NotFinite(shown.to_owned()))
        }
        _ => None,
    }
}

fn joined(key: &[u8], value: &Tree) -> Vec<u8> {
    let mut both = Vec::new();
    push_sized(&mut both, key);
    push_sized(&mut both, &value.canonical());
    both
}

fn push_sized(all: &mut Vec<u8>, part: &[u8]) {
    all.extend_from_slice(&(part.len() as u64).to_le_bytes());
    all.extend_from_slice(part);
}

fn within<T>(path: &mut String, step: impl FnOnce(&mut String), then: impl FnOnce(&mut String) -> T) -> T {
    let before = path.len();
    step(path);
    let result = then(path);
    path.truncate(before);
    result
}

fn push_field(path: &mut String, name: &str) {
    if !path.is_empty() {
        path.push('.');
    }
    path.push_str(name);
}

fn compare_fields(first: &[(&str, Tree)], second: &[(&str, Tree)], path: &mut String) -> Option<Difference> {
    let missing = |path: &str, first: &str, second: &str| {
        Some(Difference { path: path.to_owned(), first: first.to_owned(), second: second.to_owned() })
    };
    let find = |fields: &[(&str, Tree)], name: &str| fields.iter().position(|(key, _)| *key == name);
    for (name, value) in first {
        let found = within(
            path,
            |path| push_field(path, name),
            |path| match find(second, name) {
                Some(at) => value.compare(&second[at].1, path),
                None => missing(path, &value.shown(), "nothing"),
            },
        );
        if found.is_some() {
            return found;
        }
    }
    let (name, value) = second.iter().find(|(name, _)| find(first, name).is_none())?;
    within(path, |path| push_field(path, name), |path| missing(path, "nothing", &value.shown()))
}

fn compare_entries(first: &[(Tree, Tree)], second: &[(Tree, Tree)], path: &mut String) -> Option<Difference> {
    let find = |entries: &[(Tree, Tree)], key: &Tree| entries.iter().position(|(other, _)| other == key);
    let missing = |path: &str, first: String, second: String| Some(Difference { path: path.to_owned(), first, second });
    for (key, value) in first {
        let found = within(
            path,
            |path| push_key(path, key),
            |path| match find(second, key) {
                Some(at) => value.compare(&second[at].1, path),
                None => missing(path, value.shown(), "nothing".to_owned()),
            },
        );
        if found.is_some() {
            return found;
        }
    }
    let (key, value) = second.iter().find(|(key, _)| find(first, key).is_none())?;
    within(path, |path| push_key(path, key), |path| missing(path, "nothing".to_owned(), value.shown()))
}

/// Fields of a struct with flattened fields are entries of a map with text as keys.
fn push_key(path: &mut String, key: &Tree) {
    match key {
        Tree::Leaf { token, .. } => match text_of(token) {
            Some(text) => push_field(path, text),
            None => _ = write!(path, "[{}]", key.shown()),
        },
        Tree::Around(_, inner) => push_key(path, inner),
        _ => _ = write!(path, "[{}]", key.shown()),
    }
}

fn text_of(token: &[u8]) -> Option<&str> {
    (token.first() == Some(&TEXT)).then(|| std::str::from_utf8(token.get(9..)?).ok()).flatten()
}

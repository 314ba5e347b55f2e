//! The form of a payload, as the lock says it.

use serde_json::{Map, Value};

/// The form of JSON values, as `recount::shape::Form` is, but read from a lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Form {
    /// Unknown.
    Opaque,
    /// A value that is not looked into.
    Leaf(String),
    /// `null` or the other form.
    Option(Box<Form>),
    /// An array of any length.
    List(Box<Form>),
    /// An array of these forms.
    Tuple(Vec<Form>),
    /// An object with any keys.
    Map(Box<Form>, Box<Form>),
    /// An object with these fields.
    Object(Vec<Field>),
    /// One of several forms; without names if untagged.
    Choice(Tagging, Vec<Field>),
    /// A variant without content.
    Unit,
}

/// A field of an object, or one of several choices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// Other names that are read as this one.
    pub aliases: Vec<String>,
    /// Whether it must be there.
    pub required: bool,
    /// Whether its own fields stand in its place.
    pub flat: bool,
    /// Its value.
    pub form: Form,
}

/// How the name of a choice is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tagging {
    /// `{"name": content}`
    External,
    /// Among the fields of the content.
    Internal(String),
    /// Beside the content.
    Adjacent(String, String),
    /// Not at all.
    Untagged,
}

/// This is no form.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no form")]
pub struct FormError(String);

/// The types as which a number can be read, beside its own. The comparison at compile time uses it too.
pub const WIDER: &[(&str, &[&str])] = &[
    ("u8", &["u16", "u32", "u64", "u128", "i16", "i32", "i64", "i128"]),
    ("u16", &["u32", "u64", "u128", "i32", "i64", "i128"]),
    ("u32", &["u64", "u128", "i64", "i128"]),
    ("u64", &["u128", "i128"]),
    ("i8", &["i16", "i32", "i64", "i128"]),
    ("i16", &["i32", "i64", "i128"]),
    ("i32", &["i64", "i128"]),
    ("i64", &["i128"]),
    ("f32", &["f64"]),
    ("char", &["string"]),
];

/// Whether every value of the one format is one of the other.
#[must_use]
pub fn widens(from: &str, to: &str) -> bool {
    from == to || WIDER.iter().any(|(narrow, wide)| *narrow == from && wide.contains(&to))
}

impl Field {
    /// Whether it is read from this name.
    #[must_use]
    pub fn knows(&self, name: &str) -> bool {
        self.name == name || self.aliases.iter().any(|alias| alias == name)
    }
}

impl Form {
    /// Reads a form.
    ///
    /// # Errors
    /// [`FormError`] with the part that is none.
    pub fn from_json(value: &Value) -> Result<Self, FormError> {
        let wrong = || FormError(value.to_string());
        let map = match value {
            Value::String(name) => {
                return Ok(match name.as_str() {
                    "opaque" => Self::Opaque,
                    "unit" => Self::Unit,
                    name => Self::Leaf(name.to_owned()),
                });
            }
            Value::Object(map) => map,
            _ => return Err(wrong()),
        };
        let text = |key: &str| map.get(key).map(|text| text.as_str().map(str::to_owned).ok_or_else(wrong)).transpose();
        let (tag, content) = (text("tag")?, text("content")?);
        let keys = 1 + usize::from(tag.is_some()) + usize::from(content.is_some());
        if map.len() != keys || content.is_some() && tag.is_none() || tag.is_some() && !map.contains_key("choice") {
            return Err(wrong());
        }
        let boxed = |value| Self::from_json(value).map(Box::new);
        let all = |value: &Value| match value {
            Value::Array(forms) => forms.iter().map(Self::from_json).collect::<Result<Vec<_>, _>>(),
            _ => Err(wrong()),
        };
        match map.iter().find(|(key, _)| *key != "tag" && *key != "content").ok_or_else(wrong)? {
            (key, form) if key == "option" => Ok(Self::Option(boxed(form)?)),
            (key, form) if key == "list" => Ok(Self::List(boxed(form)?)),
            (key, forms) if key == "tuple" => Ok(Self::Tuple(all(forms)?)),
            (key, forms) if key == "map" => match <[Self; 2]>::try_from(all(forms)?) {
                Ok([key, value]) => Ok(Self::Map(Box::new(key), Box::new(value))),
                Err(_) => Err(wrong()),
            },
            (key, Value::Object(each)) if key == "object" => Ok(Self::Object(fields(each)?)),
            (key, Value::Object(each)) if key == "choice" => {
                let tagging = match (tag, content) {
                    (Some(tag), Some(content)) => Tagging::Adjacent(tag, content),
                    (Some(tag), None) => Tagging::Internal(tag),
                    (None, _) => Tagging::External,
                };
                Ok(Self::Choice(tagging, fields(each)?))
            }
            (key, forms) if key == "untagged" => {
                let unnamed =
                    |form| Field { name: String::new(), aliases: Vec::new(), required: true, flat: false, form };
                Ok(Self::Choice(Tagging::Untagged, all(forms)?.into_iter().map(unnamed).collect()))
            }
            _ => Err(wrong()),
        }
    }

    /// Whether a part of it is unknown.
    #[must_use]
    pub fn is_partly_opaque(&self) -> bool {
        match self {
            Self::Opaque => true,
            Self::Leaf(_) | Self::Unit => false,
            Self::Option(form) | Self::List(form) => form.is_partly_opaque(),
            Self::Tuple(forms) => forms.iter().any(Self::is_partly_opaque),
            Self::Map(key, value) => key.is_partly_opaque() || value.is_partly_opaque(),
            Self::Object(fields) | Self::Choice(_, fields) => fields.iter().any(|field| field.form.is_partly_opaque()),
        }
    }
}

fn fields(map: &Map<String, Value>) -> Result<Vec<Field>, FormError> {
    map.iter().map(|(key, form)| field(key, Form::from_json(form)?)).collect()
}

/// Reads `...name|alias?`, with a backslash before those characters that are part of a name.
fn field(key: &str, form: Form) -> Result<Field, FormError> {
    let (flat, rest) = match key.strip_prefix("...") {
        Some(rest) => (true, rest),
        None => (false, key),
    };
    let (mut names, mut required) = (vec![String::new()], true);
    let mut letters = rest.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '|' => names.push(String::new()),
            '?' if letters.as_str().is_empty() => required = false,
            '?' | '.' => return Err(FormError(key.to_owned())),
            letter => {
                let letter = if letter == '\\' { letters.next() } else { Some(letter) };
                let (Some(letter), Some(name)) = (letter, names.last_mut()) else {
                    return Err(FormError(key.to_owned()));
                };
                name.push(letter);
            }
        }
    }
    let name = names.remove(0);
    Ok(Field { name, aliases: names, required, flat, form })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn keys_say_what_a_field_is() {
        let read = |key: &str| field(key, Form::Unit).unwrap();
        let plain = Field { name: "zip".into(), aliases: vec![], required: true, flat: false, form: Form::Unit };
        assert_eq!(read("zip"), plain);
        assert_eq!(read("zip?"), Field { required: false, ..plain.clone() });
        assert_eq!(
            read("...zip|code?"),
            Field { required: false, flat: true, aliases: vec!["code".into()], ..plain.clone() }
        );
        assert_eq!(read("a\\.b\\|c\\?\\\\"), Field { name: "a.b|c?\\".into(), ..plain });
        for bad in ["a?b", "a.b", "a\\"] {
            assert!(field(bad, Form::Unit).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_no_form_is_named() {
        for bad in [
            json!(1),
            json!({}),
            json!({"list": 1}),
            json!({"map": ["u8"]}),
            json!({"a": "u8", "b": "u8"}),
            json!({"list": "u8", "tag": "t"}),
        ] {
            assert!(Form::from_json(&bad).is_err(), "{bad}");
        }
    }
}

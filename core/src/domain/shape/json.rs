//! Forms as JSON, as the lock holds them.

use serde_json::{Map, Value, json};

use super::{Choice, Field, Form, Tagging};

impl Form {
    /// The form as the lock file says it: `"u32"`, `{"list": "u32"}`, `{"object": {"city": "string", "zip?": "string"}}`.
    ///
    /// The key of a field is its name, with `?` at the end if it may be missing, `|alias` for other names, and `...` before it if its
    /// own fields stand in its place. In names each of `\|?.` has a backslash before it.
    #[must_use]
    pub fn to_json(&self) -> Value {
        match self {
            Self::Opaque => "opaque".into(),
            Self::Unit => "unit".into(),
            Self::Leaf(name) => (*name).into(),
            Self::Option(form) => json!({ "option": form.to_json() }),
            Self::List(form) => json!({ "list": form.to_json() }),
            Self::Tuple(forms) => json!({ "tuple": forms.iter().map(Self::to_json).collect::<Vec<_>>() }),
            Self::Map(key, value) => json!({ "map": [key.to_json(), value.to_json()] }),
            Self::Object(fields) => {
                let fields: Map<_, _> = fields.iter().map(|field| (field.key(), field.form.to_json())).collect();
                json!({ "object": fields })
            }
            Self::Choice(Tagging::Untagged, choices) => {
                json!({ "untagged": choices.iter().map(|choice| choice.form.to_json()).collect::<Vec<_>>() })
            }
            Self::Choice(tagging, choices) => {
                let choices: Map<_, _> = choices.iter().map(|choice| (choice.key(), choice.form.to_json())).collect();
                match tagging {
                    Tagging::Internal(tag) => json!({ "choice": choices, "tag": tag }),
                    Tagging::Adjacent(tag, content) => json!({ "choice": choices, "tag": tag, "content": content }),
                    _ => json!({ "choice": choices }),
                }
            }
        }
    }
}

impl Field {
    fn key(&self) -> String {
        let mut key = if self.flat { "...".to_owned() } else { String::new() };
        names(self.name, self.aliases, &mut key);
        if !self.required {
            key.push('?');
        }
        key
    }
}

impl Choice {
    fn key(&self) -> String {
        let mut key = String::new();
        names(self.name, self.aliases, &mut key);
        key
    }
}

fn names(name: &str, aliases: &[&str], key: &mut String) {
    let mut aliases = aliases.to_vec();
    aliases.sort_unstable();
    aliases.dedup();
    for (i, name) in [name].into_iter().chain(aliases).enumerate() {
        if i > 0 {
            key.push('|');
        }
        for letter in name.chars() {
            if matches!(letter, '\\' | '|' | '?' | '.') {
                key.push('\\');
            }
            key.push(letter);
        }
    }
}

//! A form as a Rust type, to be pasted.

use crate::form::{Field, Form, Tagging};

impl Form {
    /// The declarations of a Rust type that reads this form, under this name, with the types within it.
    ///
    /// To be pasted: an unknown form is `serde_json::Value`, and texts of a format are `String`.
    #[must_use]
    pub fn declaration(&self, name: &str) -> String {
        let mut all = Declarations::default();
        match self {
            Self::Object(_) | Self::Choice(..) => drop(all.named(self, name)),
            form => {
                let within = all.name_of(form, name);
                all.0 += &format!("type {name} = {within};\n");
            }
        }
        all.0
    }
}

/// Rust types that were declared so far.
#[derive(Default)]
struct Declarations(String);

impl Declarations {
    /// The type of a form; a form with fields is declared under the name.
    fn name_of(&mut self, form: &Form, name: &str) -> String {
        match form {
            Form::Opaque => "serde_json::Value".to_owned(),
            Form::Unit => "()".to_owned(),
            Form::Leaf(leaf) => match leaf.as_str() {
                "null" => "()",
                "bool" | "char" | "u8" | "u16" | "u32" | "u64" | "u128" | "i8" | "i16" | "i32" | "i64" | "i128"
                | "f32" | "f64" => leaf,
                _ => "String",
            }
            .to_owned(),
            Form::Option(form) => format!("Option<{}>", self.name_of(form, name)),
            Form::List(form) => format!("Vec<{}>", self.name_of(form, name)),
            Form::Tuple(forms) => {
                let parts: Vec<_> =
                    forms.iter().enumerate().map(|(i, form)| self.name_of(form, &format!("{name}{i}"))).collect();
                format!("({}{})", parts.join(", "), if parts.len() == 1 { "," } else { "" })
            }
            Form::Map(key, value) => {
                let key = self.name_of(key, name);
                format!("std::collections::BTreeMap<{key}, {}>", self.name_of(value, name))
            }
            Form::Object(_) | Form::Choice(..) => self.named(form, name),
        }
    }

    fn named(&mut self, form: &Form, name: &str) -> String {
        let mut text = "#[derive(serde::Deserialize)]\n".to_owned();
        match form {
            Form::Choice(tagging, choices) => {
                text += &match tagging {
                    Tagging::External => String::new(),
                    Tagging::Internal(tag) => format!("#[serde(tag = {tag:?})]\n"),
                    Tagging::Adjacent(tag, content) => format!("#[serde(tag = {tag:?}, content = {content:?})]\n"),
                    Tagging::Untagged => "#[serde(untagged)]\n".to_owned(),
                };
                text += &format!("enum {name} {{");
                for (index, choice) in choices.iter().enumerate() {
                    let own = if choice.name.is_empty() { format!("Form{index}") } else { camel(&choice.name) };
                    if own != choice.name && !choice.name.is_empty() {
                        text += &format!("\n    #[serde(rename = {:?})]", choice.name);
                    }
                    text += &aliases(choice, "\n    ");
                    let content = match &choice.form {
                        Form::Unit => String::new(),
                        Form::Object(fields) => format!(" {{{} }}", self.fields(fields, &format!("{name}{own}"), " ")),
                        form => format!("({})", self.name_of(form, &format!("{name}{own}"))),
                    };
                    text += &format!("\n    {own}{content},");
                }
            }
            Form::Object(fields) => {
                text += &format!("struct {name} {{{}", self.fields(fields, name, "\n    "));
            }
            _ => {}
        }
        text += "\n}\n";
        self.0 = format!("{text}{}", self.0);
        name.to_owned()
    }

    fn fields(&mut self, fields: &[Field], within: &str, before: &str) -> String {
        let mut text = String::new();
        for field in fields {
            let own = raw(snake(&field.name));
            if field.flat {
                text += &format!("{before}#[serde(flatten)]");
            } else if own.trim_start_matches("r#") != field.name {
                text += &format!("{before}#[serde(rename = {:?})]", field.name);
            }
            text += &aliases(field, before);
            if !field.required && !matches!(field.form, Form::Option(_)) {
                text += &format!("{before}#[serde(default)]");
            }
            let of = self.name_of(&field.form, &format!("{within}{}", camel(&field.name)));
            text += &format!("{before}{own}: {of},");
        }
        text
    }
}

/// The attributes that make a field or a variant readable from its other names.
fn aliases(field: &Field, before: &str) -> String {
    field.aliases.iter().map(|alias| format!("{before}#[serde(alias = {alias:?})]")).collect()
}

/// As a type is called.
fn camel(name: &str) -> String {
    let mut camel = String::new();
    let mut upper = true;
    for letter in name.chars() {
        if !letter.is_alphanumeric() {
            upper = true;
        } else if upper {
            camel.extend(letter.to_uppercase());
            upper = false;
        } else {
            camel.push(letter);
        }
    }
    camel
}

/// Words that can't be a field's name as they are; behind `r#` all but the first four can.
const KEYWORDS: &str = "self super crate _ abstract as async await become box break const continue do dyn else enum extern false \
    final fn for gen if impl in let loop macro match mod move mut override priv pub ref return static struct trait true try type \
    typeof unsafe unsized use virtual where while yield";

/// A field's name as Rust writes it.
fn raw(name: String) -> String {
    match KEYWORDS.split(' ').position(|word| word == name) {
        Some(0..4) => format!("{name}_"),
        Some(_) => format!("r#{name}"),
        None => name,
    }
}

/// As a field is called.
fn snake(name: &str) -> String {
    let mut snake = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !snake.is_empty() && !snake.ends_with('_') {
            snake.push('_');
        }
        if letter.is_alphanumeric() { snake.extend(letter.to_lowercase()) } else { snake.push('_') }
    }
    if snake.starts_with(|letter: char| letter.is_numeric()) { format!("_{snake}") } else { snake }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn keywords_are_names_of_stored_fields() {
        let form = json!({"object": {"type": "string", "self": "u8", "Match": "u8", "kind": "u8"}});
        let declared = Form::from_json(&form).unwrap().declaration("PlacedV1");
        assert_eq!(
            declared,
            r##"#[derive(serde::Deserialize)]
struct PlacedV1 {
    #[serde(rename = "Match")]
    r#match: u8,
    kind: u8,
    #[serde(rename = "self")]
    self_: u8,
    r#type: String,
}
"##
        );
    }

    #[test]
    fn an_old_version_can_be_pasted() {
        let form = json!({"object": {
            "order-id": "uuid",
            "lines": {"list": {"object": {"sku": "string", "count?": "u32"}}},
            "paid": {"choice": {"Card": {"object": {"number": "string"}}, "cash": "unit"}, "tag": "by"},
            "note?": {"option": "string"},
            "extra": "opaque",
        }});
        let declared = Form::from_json(&form).unwrap().declaration("PlacedV1");
        assert_eq!(
            declared,
            r#"#[derive(serde::Deserialize)]
struct PlacedV1 {
    extra: serde_json::Value,
    lines: Vec<PlacedV1Lines>,
    note: Option<String>,
    #[serde(rename = "order-id")]
    order_id: String,
    paid: PlacedV1Paid,
}
#[derive(serde::Deserialize)]
#[serde(tag = "by")]
enum PlacedV1Paid {
    Card { number: String, },
    #[serde(rename = "cash")]
    Cash,
}
#[derive(serde::Deserialize)]
struct PlacedV1Lines {
    #[serde(default)]
    count: u32,
    sku: String,
}
"#
        );
    }
}

//! What serde makes of fields and variants: their stored names, and whether they may be missing.
//!
//! The rules are those of serde's documentation, "Container attributes" and "Field attributes". Mistakes in the attributes
//! are serde's to report.

use proc_macro2::TokenStream;
use syn::ext::IdentExt;
use syn::{Attribute, Field, Fields, LitStr, Type};

use crate::args::{Arg, Args};
use crate::errors::Errors;
use crate::names::{ALIAS, SERDE, snake_case};

/// A field as it is stored.
pub(crate) struct Wire<'a> {
    pub(crate) field: &'a Field,
    pub(crate) names: Names,
    /// Whether nothing is read without it.
    pub(crate) required: bool,
    /// Whether its own fields stand in its place.
    pub(crate) flat: bool,
    /// Whether functions of the user's write or read it, so that its type says nothing.
    pub(crate) custom: bool,
}

/// The stored name, and others that are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Names {
    pub(crate) name: String,
    pub(crate) aliases: Vec<String>,
}

impl Names {
    pub(crate) fn know(&self, name: &str) -> bool {
        self.name == name || self.aliases.iter().any(|alias| alias == name)
    }
}

/// How serde spells names: `rename_all`, and what it is when reading.
#[derive(Clone, Copy, Default)]
pub(crate) struct Rules {
    write: Rule,
    read: Rule,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Rule {
    #[default]
    None,
    Lower,
    Upper,
    Pascal,
    Camel,
    Snake,
    ScreamingSnake,
    Kebab,
    ScreamingKebab,
}

/// Attributes of serde at one place.
pub(crate) struct Serde(Args);

impl Serde {
    pub(crate) fn of(attrs: &[Attribute]) -> Self {
        Self(Args::new(SERDE, attrs, &mut Errors::default()))
    }

    pub(crate) fn flag(&mut self, key: &str) -> bool {
        !self.0.take_all(key).is_empty()
    }

    /// `key = "text"`
    pub(crate) fn text(&mut self, key: &str) -> Option<String> {
        text(self.0.take_all(key).pop()?)
    }

    /// `rename_all`, or `rename_all_fields`, if it is given.
    pub(crate) fn rules(&mut self, key: &str) -> Option<Rules> {
        let (write, read) = both(self.0.take_all(key).pop()?);
        Some(Rules { write: rule(write.as_deref()), read: rule(read.as_deref()) })
    }

    fn names(&mut self, plain: impl Fn(Rule) -> String, rules: Rules) -> Names {
        let (write, read) = self.0.take_all("rename").pop().map_or((None, None), both);
        let name = write.unwrap_or_else(|| plain(rules.write));
        let mut aliases: Vec<_> = self.0.take_all(ALIAS).into_iter().filter_map(text).collect();
        aliases.push(read.unwrap_or_else(|| plain(rules.read)));
        aliases.retain(|alias| *alias != name);
        aliases.sort_unstable();
        aliases.dedup();
        Names { name, aliases }
    }
}

fn text(arg: Arg) -> Option<String> {
    arg.value::<LitStr>("\"…\"", &mut Errors::default()).map(|text| text.value())
}

/// `= "both"`, or `(serialize = "…", deserialize = "…")`.
fn both(arg: Arg) -> (Option<String>, Option<String>) {
    if arg.is_listed() {
        let mut args = arg.args(SERDE, "…", &mut Errors::default());
        let mut take = |key| args.as_mut().and_then(|args| text(args.take_all(key).pop()?));
        return (take("serialize"), take("deserialize"));
    }
    let name = text(arg);
    (name.clone(), name)
}

/// The fields that are stored. All may be missing if the type has a default.
pub(crate) fn fields(fields: &Fields, rules: Rules, defaulted: bool) -> Vec<Wire<'_>> {
    let mut number = 0;
    let mut wires = Vec::new();
    for field in fields {
        let mut serde = Serde::of(&field.attrs);
        let skipped = ["skip", "skip_serializing", "skip_deserializing"].map(|key| serde.flag(key));
        if skipped.contains(&true) {
            continue;
        }
        let custom = ["with", "serialize_with", "deserialize_with"].map(|key| serde.flag(key)).contains(&true);
        let plain = |rule: Rule| match &field.ident {
            Some(ident) => rule.field(&ident.unraw().to_string()),
            None => number.to_string(),
        };
        let names = serde.names(plain, rules);
        let required = !(defaulted || serde.flag("default") || is_option(&field.ty) && !custom);
        wires.push(Wire { field, names, required, flat: serde.flag("flatten"), custom });
        number += 1;
    }
    wires
}

/// The stored names of a variant.
pub(crate) fn variant(variant: &syn::Variant, rules: Rules) -> Names {
    let plain = |rule: Rule| rule.variant(&variant.ident);
    Serde::of(&variant.attrs).names(plain, rules)
}

/// serde reads what is missing as `None`, but only where it sees that the field is an `Option`.
fn is_option(ty: &Type) -> bool {
    match ty {
        Type::Path(path) => path.path.segments.last().is_some_and(|last| last.ident == "Option"),
        Type::Group(group) => is_option(&group.elem),
        _ => false,
    }
}

fn rule(name: Option<&str>) -> Rule {
    match name {
        Some("lowercase") => Rule::Lower,
        Some("UPPERCASE") => Rule::Upper,
        Some("PascalCase") => Rule::Pascal,
        Some("camelCase") => Rule::Camel,
        Some("snake_case") => Rule::Snake,
        Some("SCREAMING_SNAKE_CASE") => Rule::ScreamingSnake,
        Some("kebab-case") => Rule::Kebab,
        Some("SCREAMING-KEBAB-CASE") => Rule::ScreamingKebab,
        _ => Rule::None,
    }
}

impl Rule {
    /// A field, whose name in Rust is in snake case.
    fn field(self, name: &str) -> String {
        match self {
            Self::None | Self::Lower | Self::Snake => name.to_owned(),
            Self::Upper | Self::ScreamingSnake => name.to_ascii_uppercase(),
            Self::Pascal => name.split('_').map(capitalised).collect(),
            Self::Camel => uncapitalised(&Self::Pascal.field(name)),
            Self::Kebab => name.replace('_', "-"),
            Self::ScreamingKebab => name.to_ascii_uppercase().replace('_', "-"),
        }
    }

    /// A variant, whose name in Rust is in camel case.
    fn variant(self, ident: &syn::Ident) -> String {
        let name = ident.unraw().to_string();
        match self {
            Self::None | Self::Pascal => name,
            Self::Lower => name.to_ascii_lowercase(),
            Self::Upper => name.to_ascii_uppercase(),
            Self::Camel => uncapitalised(&name),
            Self::Snake => each_capital(&name),
            Self::ScreamingSnake => each_capital(&name).to_ascii_uppercase(),
            Self::Kebab => each_capital(&name).replace('_', "-"),
            Self::ScreamingKebab => each_capital(&name).to_ascii_uppercase().replace('_', "-"),
        }
    }
}

/// As serde does it: every capital starts a word, unlike in our own names.
fn each_capital(name: &str) -> String {
    let mut snake = String::new();
    for (index, letter) in name.char_indices() {
        if index > 0 && letter.is_uppercase() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

fn capitalised(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| first.to_ascii_uppercase().to_string() + letters.as_str())
}

fn uncapitalised(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| first.to_ascii_lowercase().to_string() + letters.as_str())
}

/// The name of a function for an old version, `placed_v1`, and of its argument's type, `PlacedV1`.
pub(crate) fn old_names(variant: &syn::Ident, version: u32) -> (String, String) {
    (format!("{}_v{version}", snake_case(variant)), format!("{}V{version}", variant.unraw()))
}

/// A list of texts as an expression.
pub(crate) fn texts(texts: &[String]) -> TokenStream {
    quote::quote!(&[#(#texts),*])
}

#[cfg(test)]
mod tests {
    use syn::parse_quote;

    use super::*;

    fn stored(input: &syn::DeriveInput) -> Vec<(String, Vec<String>, bool)> {
        let syn::Data::Struct(data) = &input.data else { unreachable!() };
        let mut serde = Serde::of(&input.attrs);
        let rules = serde.rules("rename_all").unwrap_or_default();
        let wires = fields(&data.fields, rules, serde.flag("default"));
        wires.into_iter().map(|wire| (wire.names.name, wire.names.aliases, wire.required)).collect()
    }

    #[test]
    fn fields_are_named_as_serde_names_them() {
        let input = parse_quote! {
            #[serde(rename_all = "camelCase")]
            struct A {
                order_id: u8,
                #[serde(rename = "x", alias = "y", default)]
                plain: u8,
                #[serde(rename(serialize = "w", deserialize = "r"))]
                both: Option<u8>,
                #[serde(skip)]
                gone: u8,
                #[serde(with = "m")]
                custom: Option<u8>,
            }
        };
        assert_eq!(
            stored(&input),
            [
                ("orderId".to_owned(), vec![], true),
                ("x".to_owned(), vec!["y".to_owned()], false),
                ("w".to_owned(), vec!["r".to_owned()], false),
                ("custom".to_owned(), vec![], true),
            ]
        );
    }

    #[test]
    fn the_rules_spell_as_serde_does() {
        let rules = [
            ("lowercase", "order_id", "orderid"),
            ("UPPERCASE", "ORDER_ID", "ORDERID"),
            ("PascalCase", "OrderId", "OrderId"),
            ("camelCase", "orderId", "orderId"),
            ("snake_case", "order_id", "order_id"),
            ("SCREAMING_SNAKE_CASE", "ORDER_ID", "ORDER_ID"),
            ("kebab-case", "order-id", "order-id"),
            ("SCREAMING-KEBAB-CASE", "ORDER-ID", "ORDER-ID"),
        ];
        for (name, field, variant) in rules {
            let rule = rule(Some(name));
            assert_eq!(
                (rule.field("order_id").as_str(), rule.variant(&parse_quote!(OrderId)).as_str()),
                (field, variant)
            );
        }
    }
}

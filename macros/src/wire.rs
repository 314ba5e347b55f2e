//! Fields and variants as serde writes them: their stored names, and whether they may be missing.
//!
//! The rules are those of serde's documentation, "Container attributes" and "Field attributes". Mistakes in the attributes
//! are serde's to report.

use proc_macro2::TokenStream;
use syn::ext::IdentExt;
use syn::{Attribute, Field, Fields, GenericArgument, LitStr, PathArguments, PathSegment, Type};

use crate::args::{Arg, Args};
use crate::errors::Errors;
use crate::names::{ALIAS, SERDE, snake_case};
use crate::spelling::{Rule, rule};

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
    /// Whether a skipped value may decode as another value.
    pub(crate) skips_values: bool,
}

/// The stored name, and others that are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Names {
    pub(crate) name: String,
    pub(crate) aliases: Vec<String>,
    /// Whether the field also reads the name under which it is written.
    pub(crate) reads_its_name: bool,
}

impl Names {
    pub(crate) fn know(&self, name: &str) -> bool {
        self.name == name || self.aliases.iter().any(|alias| alias == name)
    }
}

/// How serde spells names: `rename_all`, for writing and for reading.
#[derive(Clone, Copy, Default)]
pub(crate) struct Rules {
    write: Rule,
    read: Rule,
}

/// Attributes of serde at one place.
pub(crate) struct Serde(Args);

impl Serde {
    pub(crate) fn of(attrs: &[Attribute]) -> Self {
        Self(Args::new(SERDE, attrs, &mut Errors::default()))
    }

    pub(crate) fn has(&self, key: &str) -> bool {
        self.0.has(key)
    }

    /// The key of the attribute with this name.
    pub(crate) fn key(&mut self, key: &str) -> Option<syn::Ident> {
        self.0.take_all(key).pop().map(|arg| arg.key)
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

    /// Whether the user's own functions write or read the value.
    pub(crate) fn is_custom(&mut self) -> bool {
        ["with", "serialize_with", "deserialize_with"].map(|key| self.flag(key)).contains(&true)
    }

    /// Whether a value may be skipped although a missing field decodes as another value.
    fn skips_values(&mut self, ty: &Type, custom: bool) -> bool {
        let default = self.0.take_all("default");
        let Some(skip) = self.text("skip_serializing_if") else { return false };
        let predicate = skip.rsplit("::").next().unwrap_or_default();
        let plain_default = default.iter().all(Arg::is_bare);
        let exact = match predicate {
            "is_none" => is_option(ty),
            "is_empty" => !default.is_empty(),
            _ => false,
        };
        // A predicate of the standard library is named after its type, which must be the field's type.
        let of_type = skip.rsplit("::").nth(1).is_some_and(|name| last_ident(ty).is_some_and(|ident| ident == name));
        custom || !(exact && plain_default && of_type)
    }

    fn names(&mut self, plain: impl Fn(Rule) -> String, rules: Rules) -> Names {
        let (write, read) = self.0.take_all("rename").pop().map_or((None, None), both);
        let name = write.unwrap_or_else(|| plain(rules.write));
        let mut aliases: Vec<_> = self.0.take_all(ALIAS).into_iter().filter_map(text).collect();
        aliases.push(read.unwrap_or_else(|| plain(rules.read)));
        let reads_its_name = aliases.contains(&name);
        aliases.retain(|alias| *alias != name);
        aliases.sort_unstable();
        aliases.dedup();
        Names { name, aliases, reads_its_name }
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
        let custom = serde.is_custom();
        let plain = |rule: Rule| match &field.ident {
            Some(ident) => rule.field(&ident.unraw().to_string()),
            None => number.to_string(),
        };
        let names = serde.names(plain, rules);
        let default = serde.has("default");
        let required = !(defaulted || default || is_option(&field.ty) && !custom);
        let skips_values = serde.skips_values(&field.ty, custom);
        wires.push(Wire { field, names, required, flat: serde.flag("flatten"), custom, skips_values });
        number += 1;
    }
    wires
}

/// The stored names of a variant.
pub(crate) fn variant(variant: &syn::Variant, rules: Rules) -> Names {
    let plain = |rule: Rule| rule.variant(&variant.ident);
    Serde::of(&variant.attrs).names(plain, rules)
}

/// serde reads a missing field as `None`, but only where it sees that the field is an `Option`.
pub(crate) fn is_option(ty: &Type) -> bool {
    last_ident(ty).is_some_and(|last| last == "Option")
}

/// Whether the type is a text, number, character or boolean type. Different values of these have different tokens.
pub(crate) fn is_plain(ty: &Type) -> bool {
    const PLAIN: &[&str] = &[
        "bool", "char", "String", "u8", "u16", "u32", "u64", "u128", "usize", "i8", "i16", "i32", "i64", "i128",
        "isize", "f32", "f64",
    ];
    last_ident(ty).is_some_and(|last| PLAIN.iter().any(|plain| last == plain))
}

/// Whether the type is a plain type, or a list, an option or a box of one.
pub(crate) fn is_made_of_plain(ty: &Type) -> bool {
    let Some(last) = last_segment(ty) else { return false };
    match &last.arguments {
        PathArguments::AngleBracketed(all) if all.args.len() == 1 => {
            let GenericArgument::Type(inner) = &all.args[0] else { return false };
            ["Vec", "Option", "Box"].iter().any(|name| last.ident == name) && is_made_of_plain(inner)
        }
        _ => is_plain(ty),
    }
}

/// The last part of a type's path, without its arguments.
pub(crate) fn last_ident(ty: &Type) -> Option<&syn::Ident> {
    last_segment(ty).map(|last| &last.ident)
}

fn last_segment(ty: &Type) -> Option<&PathSegment> {
    match ty {
        Type::Path(path) => path.path.segments.last(),
        Type::Group(group) => last_segment(&group.elem),
        _ => None,
    }
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
}

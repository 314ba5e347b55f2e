//! From syntax to the model of an event.

use proc_macro2::{Ident, Span};
use quote::format_ident;
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{Attribute, Data, DataEnum, DataStruct, DeriveInput, Fields, LitStr, Path};

use super::model::{Event, Kind, Name, Part, TagField, Variant};
use crate::args::{Arg, Args};
use crate::errors::Errors;
use crate::mirror::{Place, carried, check_attributes};
use crate::names::{
    ALIAS, CRATE, EVENT, NAME, ONLY, PUBLISHED, RETIRED, TAG, UNION, UNLOCKED, UPCAST, VERSION, name_problem,
    snake_case,
};
use crate::readable;
use crate::shape::{krate, member, only_type, refuse_generics, refuse_self};
use crate::wire::{self, Rules, Serde};

const ENUM_KEYS: &[&str] = &[NAME, UNION, PUBLISHED, UNLOCKED, CRATE];
const VARIANT_KEYS: &[&str] = &[NAME, VERSION, UPCAST, ALIAS, RETIRED];
const STRUCT_KEYS: &[&str] = &[NAME, VERSION, UPCAST, ALIAS, RETIRED, PUBLISHED, UNLOCKED, CRATE];

pub(crate) fn read<'a>(input: &'a DeriveInput, errors: &mut Errors) -> Event<'a> {
    refuse_generics(input, "an event", errors);
    let mut args = Args::new(EVENT, &input.attrs, errors);
    let krate = krate(&mut args, errors);
    let is_locked = !args.take(UNLOCKED, errors).is_some_and(|arg| arg.flag(errors));
    let is_published = args.take(PUBLISHED, errors).is_some_and(|arg| arg.flag(errors));
    let kind = match &input.data {
        Data::Struct(data) => read_struct(input, data, args, errors),
        Data::Enum(data) => read_enum(input, data, args, errors),
        Data::Union(data) => {
            errors.at(&data.union_token, "an event can't be a `union` of Rust: write an `enum` or a `struct`");
            Kind::Stored(Vec::new())
        }
    };
    let is_enum = matches!(input.data, Data::Enum(_));
    Event { krate, ident: &input.ident, carried: carried(&input.attrs), is_enum, is_locked, is_published, kind }
}

fn read_struct<'a>(input: &'a DeriveInput, data: &'a DataStruct, mut args: Args, errors: &mut Errors) -> Kind<'a> {
    check_attributes(&input.attrs, Place::Struct, errors);
    let ident = &input.ident;
    let (name, union) = (args.take(NAME, errors), args.take(UNION, errors));
    if let Some(union) = union {
        errors.at(&union.key, "a union is an enum: write a variant for each event type that it holds");
    } else if name.is_none() {
        let example = snake_case(ident);
        errors.at(ident, format!("say under which name it is stored: `#[event(name = \"….{example}\")]`"));
    }
    let name = name.and_then(|name| name.name(errors)).map(|name| Name { text: name.value(), span: name.span() });
    let variant = read_variant(ident, &data.fields, &input.attrs, Rules::default(), name, &mut args, errors);
    args.refuse_rest("an event that is a struct", STRUCT_KEYS, errors);
    Kind::Stored(vec![variant])
}

fn read_enum<'a>(input: &'a DeriveInput, data: &'a DataEnum, mut args: Args, errors: &mut Errors) -> Kind<'a> {
    let (prefix, union) = (args.take(NAME, errors), args.take(UNION, errors));
    args.refuse_rest("an enum of events", ENUM_KEYS, errors);
    if data.variants.is_empty() {
        errors.at(&input.ident, "an event needs at least one variant: something that can happen");
    }
    match (prefix, union) {
        (prefix, Some(union)) => {
            if let Some(prefix) = prefix {
                errors.at(&prefix.key, "a union has no stored name, its event types have theirs: remove `name`");
            }
            union.flag(errors);
            Kind::Union(data.variants.iter().filter_map(|variant| read_part(variant, errors)).collect())
        }
        (prefix, None) => {
            check_attributes(&input.attrs, Place::Enum, errors);
            if prefix.is_none() {
                let example = snake_case(&input.ident);
                let example = example.strip_suffix("_event").unwrap_or(&example);
                errors.at(
                    &input.ident,
                    format!(
                        "say under which name its variants are stored: `#[event(name = \"{example}\")]`, or \
                         `#[event(union)]` if each variant holds another event type"
                    ),
                );
            }
            let prefix = prefix.and_then(|prefix| prefix.name(errors));
            let rules = Serde::of(&input.attrs).rules("rename_all_fields").unwrap_or_default();
            let read = |variant| read_enum_variant(variant, rules, prefix.as_ref(), errors);
            Kind::Stored(data.variants.iter().map(read).collect())
        }
    }
}

fn read_enum_variant<'a>(
    variant: &'a syn::Variant,
    rules: Rules,
    prefix: Option<&LitStr>,
    errors: &mut Errors,
) -> Variant<'a> {
    check_attributes(&variant.attrs, Place::Variant, errors);
    let ident = &variant.ident;
    let mut args = Args::new(EVENT, &variant.attrs, errors);
    let (last, span) = match args.take(NAME, errors).and_then(|name| name.name(errors)) {
        Some(name) => (name.value(), name.span()),
        None => (snake_case(ident), ident.span()),
    };
    let name = prefix.map(|prefix| Name { text: format!("{}.{last}", prefix.value()), span });
    if let Some(problem) = name.as_ref().and_then(|name| name_problem(&name.text)) {
        errors.here(span, problem);
    }
    let read = read_variant(ident, &variant.fields, &variant.attrs, rules, name, &mut args, errors);
    args.refuse_rest("an event's variant", VARIANT_KEYS, errors);
    read
}

fn read_variant<'a>(
    ident: &'a Ident,
    fields: &'a Fields,
    attrs: &[Attribute],
    rules: Rules,
    name: Option<Name>,
    args: &mut Args,
    errors: &mut Errors,
) -> Variant<'a> {
    refuse_self(fields, "an event", errors);
    let version = args.take(VERSION, errors).map(|arg| arg.count::<u32>("versions count from 1", errors));
    let upcast = args.take(UPCAST, errors);
    let upcast_key = upcast.as_ref().map(|arg| arg.key.clone());
    let upcasts = upcast.map(|arg| arg.list::<Path>("from_v1, from_v2", errors));
    let versioned = !matches!(version, Some(None)) && !matches!(upcasts, Some(None));
    let version = version.flatten();
    let aliases = args.take_all(ALIAS).into_iter().filter_map(|arg| arg.name(errors));
    let aliases = aliases.map(|name| Name { text: name.value(), span: name.span() }).collect();
    let retired = args.take(RETIRED, errors).is_some_and(|arg| arg.flag(errors));
    let rules = Serde::of(attrs).rules("rename_all").unwrap_or(rules);
    let wires = wire::fields(fields, rules, false);
    readable::fields(fields, &wires, false, errors);
    Variant {
        ident,
        fields,
        wires,
        carried: carried(attrs),
        // Without a name there is an error already; the variant's own keeps the rest of the checks going.
        name: name.unwrap_or_else(|| Name { text: ident.unraw().to_string(), span: ident.span() }),
        version: version.map_or(1, |(version, _)| version),
        version_span: version.map(|(_, span)| span),
        upcasts: upcasts.flatten().unwrap_or_default(),
        versioned,
        upcast_key,
        aliases,
        retired,
        tags: read_tags(fields, errors),
    }
}

fn read_tags<'a>(fields: &'a Fields, errors: &mut Errors) -> Vec<TagField<'a>> {
    let mut tags = Vec::new();
    for (index, field) in fields.iter().enumerate() {
        let mut args = Args::new(EVENT, &field.attrs, errors);
        for tag in args.take_all(TAG) {
            let key = match (tag.is_bare(), &field.ident) {
                (true, Some(ident)) => Some(ident.unraw().to_string()),
                (true, None) => {
                    errors.at(&tag.key, "this field has no name to be the tag's key: write `tag = \"…\"`");
                    None
                }
                (false, _) => tag_key(tag, errors),
            };
            let local = format_ident!("__field{index}", span = Span::call_site());
            tags.extend(key.map(|key| TagField { member: member(index, field), local, ty: &field.ty, key }));
        }
        args.refuse_rest("an event's field", &[TAG], errors);
    }
    tags
}

fn tag_key(tag: Arg, errors: &mut Errors) -> Option<String> {
    let key = tag.name(errors)?;
    if key.value().contains(':') {
        errors.at(&key, "a tag is stored as `key:value`, so the key can't contain a colon");
        return None;
    }
    Some(key.value())
}

fn read_part<'a>(variant: &'a syn::Variant, errors: &mut Errors) -> Option<Part<'a>> {
    let mut args = Args::new(EVENT, &variant.attrs, errors);
    let only = args.take(ONLY, errors).and_then(|only| {
        let key = only.key.clone();
        let only = only.list::<Ident>("Opened, Deposited", errors)?;
        if only.is_empty() {
            errors.at(&key, "name at least one variant: `only(Opened)`");
        }
        for (i, name) in only.iter().enumerate() {
            if only[..i].contains(name) {
                errors.at(name, format!("`{name}` is named twice: keep one"));
            }
        }
        Some(only)
    });
    args.refuse_rest("the variant of a union", &[ONLY], errors);
    for field in &variant.fields {
        Args::new(EVENT, &field.attrs, errors).refuse_rest("the field of a union", &[], errors);
    }
    let ty = only_type(&variant.fields);
    if ty.is_none() {
        let span = if variant.fields.is_empty() { variant.ident.span() } else { variant.fields.span() };
        let ident = &variant.ident;
        errors.here(span, format!("each variant of a union holds one event type: write `{ident}({ident}Event)`"));
    }
    Some(Part { ident: &variant.ident, ty: ty?, only })
}

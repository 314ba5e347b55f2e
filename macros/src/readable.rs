//! Refuses attributes and types with values that can be encoded, but don't decode to an equal value.

use proc_macro2::{Ident, TokenStream};
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Field, Fields, GenericArgument, PathArguments, Type};

use crate::errors::Errors;
use crate::shape::at;
use crate::wire::{Names, Serde, Wire, is_option, is_plain};

const NONE_TWICE: &str = "`Some(None)` and `None` are both stored as null, so the one would come back as the other: use an \
                          enum that tells them apart, or `#[serde(with = \"…\")]`";

/// Checks the attributes of fields. `defaulted`: the whole type has a default, so each field may be missing.
pub(crate) fn fields(fields: &Fields, wires: &[Wire<'_>], defaulted: bool, errors: &mut Errors) {
    for field in fields {
        let mut serde = Serde::of(&field.attrs);
        let custom = serde.is_custom();
        if !defaulted && !serde.has("default") && (custom || !is_option(&field.ty)) {
            for key in ["skip_serializing_if", "skip_serializing"] {
                if let Some(key) = serde.key(key) {
                    errors.at(
                        &key,
                        format!("with `{key}` this field can be missing where it is needed to read the rest: add `default` beside it"),
                    );
                }
            }
        }
        let skipped = serde.has("skip");
        if !custom
            && !skipped
            && let Some(ty) = option_of_null(&field.ty)
        {
            errors.at(ty, NONE_TWICE);
        }
    }
    names(wires, errors);
}

/// Checks that each stored name belongs to one field, and that this field reads it.
fn names(wires: &[Wire<'_>], errors: &mut Errors) {
    for (index, wire) in wires.iter().enumerate() {
        if wire.flat {
            continue;
        }
        let name = &wire.names.name;
        if !wire.names.reads_its_name {
            let key = Serde::of(&wire.field.attrs).key("rename");
            let message =
                format!("this field is written as `{name}`, but not read under that name: add `alias = \"{name}\"`");
            match key {
                Some(key) => errors.at(&key, message),
                None => errors.here(place(wire.field), message),
            }
        }
        let other = wires[..index].iter().find(|other| {
            !other.flat && wire.field.ident.is_some() && (other.names.know(name) || wire.names.know(&other.names.name))
        });
        if let Some(Wire { names: taken, field: Field { ident: Some(ident), .. }, .. }) = other {
            let name = if taken.know(name) { name } else { &taken.name };
            let message = format!("`{name}` is also a stored name of the field `{ident}`: give one of them another");
            match Serde::of(&wire.field.attrs).key("rename") {
                Some(key) => errors.at(&key, message),
                None => errors.here(place(wire.field), message),
            }
        }
    }
}

/// Checks that the stored name of a variant decodes as that variant.
pub(crate) fn variant(variant: &syn::Variant, names: &Names, before: &[(&Ident, Names)], errors: &mut Errors) {
    let (ident, name) = (&variant.ident, &names.name);
    if !names.reads_its_name {
        let message =
            format!("`{ident}` is written as `{name}`, but not read under that name: add `alias = \"{name}\"`");
        errors.at(ident, message);
    }
    let other = before.iter().find(|(_, other)| other.know(name) || names.know(&other.name));
    if let Some((other, _)) = other {
        errors.at(ident, format!("`{name}` is also a stored name of the variant `{other}`: give one of them another"));
    }
}

fn place(field: &Field) -> proc_macro2::Span {
    field.ident.as_ref().map_or_else(|| field.ty.span(), Ident::span)
}

/// Whether there is an `Option` around a type that may be an `Option` itself.
fn wraps_unknown(ty: &Type) -> bool {
    match ty {
        Type::Group(group) => wraps_unknown(&group.elem),
        Type::Paren(paren) => wraps_unknown(&paren.elem),
        Type::Array(array) => wraps_unknown(&array.elem),
        Type::Tuple(tuple) => tuple.elems.iter().any(wraps_unknown),
        Type::Path(_) => arguments(ty).iter().any(|inner| is_option(ty) && !is_plain(inner) || wraps_unknown(inner)),
        _ => false,
    }
}

/// Whether the type may be a map with keys that are not plain.
fn mentions_map(ty: &Type) -> bool {
    match ty {
        Type::Tuple(tuple) => tuple.elems.iter().any(mentions_map),
        Type::Array(array) => mentions_map(&array.elem),
        _ => {
            let arguments = arguments(ty);
            arguments.len() > 1 && !is_plain(arguments[0]) || arguments.into_iter().any(mentions_map)
        }
    }
}

/// The types in the angle brackets of a type.
fn arguments(ty: &Type) -> Vec<&Type> {
    let Type::Path(path) = ty else { return Vec::new() };
    let Some(PathArguments::AngleBracketed(all)) = path.path.segments.last().map(|last| &last.arguments) else {
        return Vec::new();
    };
    let types = all.args.iter().filter_map(|argument| match argument {
        GenericArgument::Type(ty) => Some(ty),
        _ => None,
    });
    types.collect()
}

/// The first `Option` within the type that is directly around another `Option` or around `()`.
fn option_of_null(ty: &Type) -> Option<&Type> {
    match ty {
        Type::Group(group) => option_of_null(&group.elem),
        Type::Paren(paren) => option_of_null(&paren.elem),
        Type::Array(array) => option_of_null(&array.elem),
        Type::Tuple(tuple) => tuple.elems.iter().find_map(option_of_null),
        Type::Path(_) => {
            let arguments = arguments(ty);
            let is_null = |ty: &&Type| is_option(ty) || matches!(ty, Type::Tuple(tuple) if tuple.elems.is_empty());
            if is_option(ty) && arguments.first().is_some_and(is_null) {
                return Some(ty);
            }
            arguments.into_iter().find_map(option_of_null)
        }
        _ => None,
    }
}

/// Generates the checks that need the forms of types: constants that fail to compile.
pub(crate) fn forms(krate: &TokenStream, fields: &Fields, wires: &[Wire<'_>]) -> TokenStream {
    wires.iter().filter(|wire| !wire.custom).map(|wire| form(krate, fields, wires, wire)).collect()
}

fn form(krate: &TokenStream, fields: &Fields, wires: &[Wire<'_>], wire: &Wire<'_>) -> TokenStream {
    let ty = &wire.field.ty;
    let form = quote_spanned!(at(ty.span())=> #krate::__private::Probe::<#ty>::FORM);
    let check = |holds: TokenStream, message: &str| quote_spanned!(at(ty.span())=> const _: () = ::core::assert!(!(#form).#holds, #message););
    let mut checks = TokenStream::new();
    if is_plain(ty) {
        return checks;
    }
    if option_of_null(ty).is_none() && wraps_unknown(ty) {
        checks.extend(check(quote!(confuses_none()), NONE_TWICE));
    }
    if !arguments(ty).is_empty() && mentions_map(ty) {
        let message = "the keys of this map have no form in JSON, where keys are text: let them be text, numbers or an enum without \
                       content, or store a list of pairs";
        checks.extend(check(quote!(has_unwritable_keys()), message));
    }
    if wire.flat && matches!(fields, Fields::Named(_)) {
        let message = "serde can't read maps with keys other than text, or 128-bit integers, within a flattened field: let the \
                       keys be text, or don't flatten";
        checks.extend(check(quote!(is_unreadable_in_flatten()), message));
        let keys: Vec<_> = wires.iter().filter(|other| !other.flat).map(|other| &other.names.name).collect();
        if !keys.is_empty() {
            let message = "this flattened field has a field of the same name as one beside it, so that both would be stored under one \
                           key: rename one, or don't flatten";
            checks.extend(check(quote!(writes_any(&[#(#keys),*])), message));
        }
    }
    checks
}

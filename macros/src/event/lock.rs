//! Compares events with the lock of their crate: released versions must stay readable.
//!
//! Mistakes in attributes and names are reported here. Only the compiler knows the forms of field types, so a constant
//! for each field compares them: its evaluation fails if the field no longer reads its locked form.

use std::collections::HashMap;

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use recount_schema::{Field, Form, Lock, LockedEvent};
use syn::Fields;
use syn::ext::IdentExt;
use syn::spanned::Spanned;

use super::model::{Event, Variant};
use crate::errors::Errors;
use crate::form;
use crate::mirror::path_text;
use crate::shape::at;
use crate::wire::{Wire, old_names};

/// Constants that fail to evaluate if a field's type no longer reads the stored form.
pub(crate) fn compare(event: &Event<'_>, variants: &[Variant<'_>], lock: &Lock, errors: &mut Errors) -> TokenStream {
    let mut answers = Answers::default();
    let comparisons: TokenStream = variants
        .iter()
        .filter_map(|variant| {
            let (name, locked) = find(lock, variant)?;
            compare_variant(event, variant, name, locked, errors, &mut answers)
        })
        .collect();
    if event.is_enum {
        missing(event, variants, lock, errors);
    }
    let (answers, krate) = (answers.constants, &event.krate);
    quote! {
        #[allow(unused_imports)]
        use #krate::__private::must_read;
        #answers
        #comparisons
    }
}

/// Constants that tell whether a type reads a stored form, one for all fields with the same type and stored form:
/// their evaluation by the compiler is the cost of a lock.
#[derive(Default)]
struct Answers {
    /// By the type and the stored form. The type is `None` for a field that the user's own functions write or read.
    names: HashMap<(Option<String>, String), Ident>,
    constants: TokenStream,
}

impl Answers {
    /// The name of the constant that tells. The question is only written where it is new: printing tokens takes longer.
    fn name(&mut self, krate: &TokenStream, wire: &Wire<'_>, old: &Form) -> Ident {
        let count = self.names.len();
        let key = (!wire.custom).then(|| wire.field.ty.to_token_stream().to_string());
        let name = self.names.entry((key, format!("{old:?}"))).or_insert_with(|| {
            let name = format_ident!("READS_{count}");
            let (now, before) = (form::of_field(krate, wire), form::locked(krate, old));
            self.constants.extend(quote!(const #name: ::core::primitive::bool = (#now).reads(&#before);));
            name
        });
        name.clone()
    }
}

/// The lock's entry of a variant, under its name or an earlier one.
fn find<'l>(lock: &'l Lock, variant: &Variant<'_>) -> Option<(&'l str, &'l LockedEvent)> {
    let mut names = std::iter::once(&variant.name).chain(&variant.aliases);
    let (name, locked) = names.find_map(|name| lock.events.get_key_value(&name.text))?;
    (!locked.erased).then_some((name, locked))
}

/// Locked events of this type that no variant reads.
fn missing(event: &Event<'_>, variants: &[Variant<'_>], lock: &Lock, errors: &mut Errors) {
    let Some(prefix) = variants.first().and_then(|variant| variant.name.text.split_once('.')) else { return };
    let known = |name: &str| {
        variants.iter().flat_map(|it| std::iter::once(&it.name).chain(&it.aliases)).any(|known| known.text == name)
    };
    for (name, locked) in &lock.events {
        let own = event.ident == &locked.rust_type && name.split_once('.').is_some_and(|(first, _)| first == prefix.0);
        if own && !locked.erased && !known(name) {
            errors.at(
                event.ident,
                format!(
                    "`{name}` was released and can't be read any more: bring its variant back, with `#[event(retired)]` if it \
                     is no longer written, or write `alias = \"{name}\"` on the variant that took its place. Once nothing of \
                     it is stored any more, set `\"erased\": true` for it in {}",
                    recount_schema::PATH
                ),
            );
        }
    }
}

/// A variant beside the version that was released.
struct Compared<'a> {
    event: &'a Event<'a>,
    variant: &'a Variant<'a>,
    name: &'a str,
    version: u32,
    form: Form,
    /// The advice for the user, the same for every mistake.
    cure: String,
}

fn compare_variant(
    event: &Event<'_>,
    variant: &Variant<'_>,
    name: &str,
    locked: &LockedEvent,
    errors: &mut Errors,
    answers: &mut Answers,
) -> Option<TokenStream> {
    let (version, newest) = locked.newest()?;
    if variant.version < version {
        let message = format!(
            "`{name}` was released in version {version}, but here it is version {}: versions only grow, and each needs its \
             upcaster for ever",
            variant.version
        );
        errors.here(variant.version_span.unwrap_or_else(|| variant.ident.span()), message);
        return None;
    }
    if variant.version > version {
        // The upcasters read the locked version: the samples show it.
        return None;
    }
    let form = newest.form().ok()?;
    let cure = cure(event, variant, version, &form);
    Some(Compared { event, variant, name, version, form, cure }.fields(errors, answers))
}

impl Compared<'_> {
    fn fields(&self, errors: &mut Errors, answers: &mut Answers) -> TokenStream {
        let wires = self.variant.wires.as_slice();
        match (&self.form, self.variant.fields) {
            (Form::Object(old), Fields::Named(_) | Fields::Unit) => self.named(old, wires, errors, answers),
            (form, Fields::Unnamed(fields)) if fields.unnamed.len() == 1 && wires.len() == 1 => {
                self.readable(&wires[0], "its value", form, answers)
            }
            (Form::Tuple(old), Fields::Unnamed(_)) if old.len() == wires.len() => {
                let pairs = wires.iter().zip(old).enumerate();
                pairs.map(|(number, (wire, old))| self.readable(wire, &format!("`{number}`"), old, answers)).collect()
            }
            (old, fields) => {
                let what = |form: &Form| match form {
                    Form::Object(fields) if fields.is_empty() => "an object without fields".to_owned(),
                    Form::Object(fields) => format!("an object with {}", listed(fields)),
                    Form::Tuple(forms) => format!("an array of {}", forms.len()),
                    _ => "a single value".to_owned(),
                };
                let now = match (fields, wires.len()) {
                    (Fields::Unnamed(_), 1) => "a single value".to_owned(),
                    (Fields::Unnamed(_), count) => format!("an array of {count}"),
                    _ => "an object".to_owned(),
                };
                errors
                    .at(self.variant.ident, self.message(&format!("is stored as {}, but here it is {now}", what(old))));
                TokenStream::new()
            }
        }
    }

    fn named(&self, old: &[Field], wires: &[Wire<'_>], errors: &mut Errors, answers: &mut Answers) -> TokenStream {
        let find = |old: &Field| wires.iter().find(|wire| wire.flat == old.flat && wire.names.know(&old.name));
        let is_old = |wire: &Wire<'_>| old.iter().any(|old| old.flat == wire.flat && wire.names.know(&old.name));
        let new: Vec<_> = wires.iter().filter(|wire| !is_old(wire)).collect();
        let mut renamed = None;
        let mut comparisons = TokenStream::new();
        for field in old {
            let name = &field.name;
            let Some(wire) = find(field) else {
                let first = new.first().filter(|wire| wire.flat == field.flat && renamed.is_none());
                let said = match first {
                    Some(wire) => {
                        renamed = Some(wire.names.name.clone());
                        let (place, ident) = (self.at_field(wire), &wire.names.name);
                        let said = format!(
                            "is stored with the field `{name}`, which is not here. If `{ident}` is its new name in Rust, write \
                             `#[serde(rename = \"{name}\")]` on it"
                        );
                        errors.here(place, self.message(&said));
                        continue;
                    }
                    None => format!("is stored with the field `{name}`, which is not here: its value would be lost"),
                };
                errors.at(self.variant.ident, self.message(&said));
                continue;
            };
            let gone = field.aliases.iter().find(|alias| !wire.names.know(alias));
            if let Some(gone) = gone {
                let said = format!("was stored with `{gone}` for `{name}`: keep `#[serde(alias = \"{gone}\")]` on it");
                errors.here(self.at_field(wire), self.message(&said));
            } else if wire.required && !field.required {
                let said = format!("may be stored without `{name}`: keep `#[serde(default)]` on it, or an `Option`");
                errors.here(self.at_field(wire), self.message(&said));
            } else {
                comparisons.extend(self.readable(wire, &format!("`{name}`"), &field.form, answers));
            }
        }
        for wire in new {
            let name = &wire.names.name;
            if wire.required && renamed.as_ref() != Some(name) {
                let said = format!(
                    "is stored without the field `{name}`: let it be missing, with `#[serde(default)]` or an `Option`"
                );
                errors.here(self.at_field(wire), self.message(&said));
            }
        }
        comparisons
    }

    fn at_field(&self, wire: &Wire<'_>) -> Span {
        wire.field.ident.as_ref().map_or_else(|| wire.field.ty.span(), syn::Ident::span)
    }

    /// Panics, at the field's type, unless that reads the stored form.
    fn readable(&self, wire: &Wire<'_>, what: &str, old: &Form, answers: &mut Answers) -> TokenStream {
        let reads = answers.name(&self.event.krate, wire, old);
        let said = format!(
            "is stored with {} for {what}, which this type does not read whole, as far as its `Shape` tells",
            shown(old)
        );
        let message = self.message(&said);
        quote_spanned!(at(wire.field.ty.span())=> const _: () = must_read(#reads, #message);)
    }

    /// The mistake, and the advice for the user.
    fn message(&self, said: &str) -> String {
        format!("version {} of `{}` {said}{}", self.version, self.name, self.cure)
    }
}

/// How a new version is written.
fn cure(event: &Event<'_>, variant: &Variant<'_>, version: u32, form: &Form) -> String {
    let ident = variant.ident.unraw();
    let (function, old) = old_names(variant.ident, version);
    let next = version + 1;
    let chain: Vec<_> = variant.upcasts.iter().map(path_text).collect();
    let functions = chain.iter().chain([&function]).cloned().collect::<Vec<_>>().join(", ");
    let rust_type = event.ident.unraw();
    let head = if event.is_enum { format!("on `{ident}`") } else { format!("on `{rust_type}`, beside its name") };
    let links = chain.last().map_or_else(String::new, |last| format!(" (from now on `{last}` returns it)"));
    let declaration = form.declaration(&old);
    format!(
        "\n\nTo change it, write version {next} {head}:\n\n\
         #[event(version = {next}, upcast({functions}))]\n\n\
         and keep what version {version} was{links}:\n\n\
         {declaration}\n\
         fn {function}(old: {old}) -> {rust_type} {{ … }}\n"
    )
}

fn listed(fields: &[Field]) -> String {
    fields.iter().map(|field| format!("`{}`", field.name)).collect::<Vec<_>>().join(", ")
}

/// A form, for people.
fn shown(form: &Form) -> String {
    match form {
        Form::Opaque => "a value of unknown form".to_owned(),
        Form::Unit => "nothing".to_owned(),
        Form::Leaf(name) => format!("`{name}`"),
        Form::Option(form) => format!("null or {}", shown(form)),
        Form::List(form) => format!("an array of {}", shown(form)),
        Form::Tuple(forms) => format!("an array of ({})", forms.iter().map(shown).collect::<Vec<_>>().join(", ")),
        Form::Map(key, value) => format!("a map from {} to {}", shown(key), shown(value)),
        Form::Object(fields) => {
            let each = fields.iter().map(|field| {
                format!("{}{}: {}", field.name, if field.required { "" } else { "?" }, shown(&field.form))
            });
            format!("an object of ({})", each.collect::<Vec<_>>().join(", "))
        }
        Form::Choice(_, choices) => {
            let each = choices.iter().map(|choice| match &choice.form {
                Form::Unit => choice.name.clone(),
                form => format!("{} {}", choice.name, shown(form)).trim_start().to_owned(),
            });
            format!("one of ({})", each.collect::<Vec<_>>().join(" | "))
        }
    }
}

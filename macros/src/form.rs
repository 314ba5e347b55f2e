//! The stored form, as expressions for `recount::shape`.

use std::collections::HashMap;

use proc_macro2::TokenStream;
use quote::{ToTokens, quote, quote_spanned};
use recount_schema::{Form, Tagging};
use syn::spanned::Spanned;
use syn::{Fields, Type};

use crate::shape::at;
use crate::wire::{Wire, texts};

/// The imports that must be in scope for [`of_type`].
pub(crate) fn scope(krate: &TokenStream) -> TokenStream {
    quote! {
        #[allow(unused_imports)]
        use #krate::__private::Unknown as _;
    }
}

/// The form of a field's value.
pub(crate) fn of_field(krate: &TokenStream, wire: &Wire<'_>) -> TokenStream {
    if wire.custom {
        return quote!(#krate::shape::Form::Opaque);
    }
    let ty = &wire.field.ty;
    quote_spanned!(at(ty.span())=> #krate::__private::Probe::<#ty>::FORM)
}

/// Whether JSON preserves every value of the fields.
pub(crate) fn fidelity(krate: &TokenStream, fields: &Fields, wires: &[Wire<'_>]) -> TokenStream {
    fidelity_by(krate, fields, wires, &mut |ty| probe_fidelity(krate, ty))
}

fn probe_fidelity(krate: &TokenStream, ty: &Type) -> TokenStream {
    quote_spanned!(at(ty.span())=> #krate::__private::Probe::<#ty>::FIDELITY)
}

/// The fidelities of many types, each named once, since each evaluation costs compile time.
#[derive(Default)]
pub(crate) struct Fidelities {
    places: HashMap<String, usize>,
    probes: Vec<TokenStream>,
}

impl Fidelities {
    /// Whether JSON preserves every value of the fields, by the [table](Self::table).
    pub(crate) fn of(&mut self, krate: &TokenStream, fields: &Fields, wires: &[Wire<'_>]) -> TokenStream {
        fidelity_by(krate, fields, wires, &mut |ty| {
            let place = *self.places.entry(ty.to_token_stream().to_string()).or_insert_with(|| {
                self.probes.push(probe_fidelity(krate, ty));
                self.probes.len() - 1
            });
            quote!(__FIDELITIES[#place])
        })
    }

    pub(crate) fn table(self, krate: &TokenStream) -> TokenStream {
        let probes = self.probes;
        let count = probes.len();
        if count == 0 {
            return TokenStream::new();
        }
        quote!(const __FIDELITIES: [#krate::shape::Fidelity; #count] = [#(#probes),*];)
    }
}

fn fidelity_by(
    krate: &TokenStream,
    fields: &Fields,
    wires: &[Wire<'_>],
    of_type: &mut dyn FnMut(&Type) -> TokenStream,
) -> TokenStream {
    let path = quote!(#krate::shape::Fidelity);
    // Fields that are not stored have no wire.
    let doubtful = |wire: &Wire<'_>| wire.custom || wire.flat || wire.skips_values;
    if wires.len() < fields.len() || wires.iter().any(doubtful) {
        return quote!(#path::Unknown);
    }
    let each: Vec<_> = wires.iter().map(|wire| of_type(&wire.field.ty)).collect();
    match each.as_slice() {
        [] => quote!(#path::Exact),
        [one] => quote!(#one),
        each => quote!(#path::all(&[#(#each),*])),
    }
}

/// The form of fields: an object, an array, or the only value.
pub(crate) fn of_fields(krate: &TokenStream, fields: &Fields, wires: &[Wire<'_>]) -> TokenStream {
    let form = quote!(#krate::shape::Form);
    match (fields, wires) {
        (Fields::Unnamed(fields), [wire]) if fields.unnamed.len() == 1 => of_field(krate, wire),
        (Fields::Unnamed(_), wires) => {
            let each = wires.iter().map(|wire| of_field(krate, wire));
            quote!(#form::Tuple(&[#(#each),*]))
        }
        (Fields::Named(_) | Fields::Unit, wires) => {
            let each = wires.iter().map(|wire| {
                let of = of_field(krate, wire);
                field(krate, &wire.names.name, &wire.names.aliases, wire.required, wire.flat, &of)
            });
            quote!(#form::Object(&[#(#each),*]))
        }
    }
}

fn field(
    krate: &TokenStream,
    name: &str,
    aliases: &[String],
    required: bool,
    flat: bool,
    form: &TokenStream,
) -> TokenStream {
    let aliases = texts(aliases);
    quote!(#krate::shape::Field { name: #name, aliases: #aliases, required: #required, flat: #flat, form: #form })
}

pub(crate) fn choice(krate: &TokenStream, name: &str, aliases: &[String], form: &TokenStream) -> TokenStream {
    let aliases = texts(aliases);
    quote!(#krate::shape::Choice { name: #name, aliases: #aliases, form: #form })
}

pub(crate) fn tagging(krate: &TokenStream, tagging: &Tagging) -> TokenStream {
    let path = quote!(#krate::shape::Tagging);
    match tagging {
        Tagging::External => quote!(#path::External),
        Tagging::Internal(tag) => quote!(#path::Internal(#tag)),
        Tagging::Adjacent(tag, content) => quote!(#path::Adjacent(#tag, #content)),
        Tagging::Untagged => quote!(#path::Untagged),
    }
}

/// A form that was read from the lock.
pub(crate) fn locked(krate: &TokenStream, form: &Form) -> TokenStream {
    let path = quote!(#krate::shape::Form);
    match form {
        Form::Opaque => quote!(#path::Opaque),
        Form::Unit => quote!(#path::Unit),
        Form::Leaf(name) => quote!(#path::Leaf(#name)),
        Form::Option(form) => {
            let form = locked(krate, form);
            quote!(#path::Option(&#form))
        }
        Form::List(form) => {
            let form = locked(krate, form);
            quote!(#path::List(&#form))
        }
        Form::Tuple(forms) => {
            let forms = forms.iter().map(|form| locked(krate, form));
            quote!(#path::Tuple(&[#(#forms),*]))
        }
        Form::Map(key, value) => {
            let (key, value) = (locked(krate, key), locked(krate, value));
            quote!(#path::Map(&#key, &#value))
        }
        Form::Object(fields) => {
            let fields = fields.iter().map(|each| {
                field(krate, &each.name, &each.aliases, each.required, each.flat, &locked(krate, &each.form))
            });
            quote!(#path::Object(&[#(#fields),*]))
        }
        Form::Choice(how, choices) => {
            let how = tagging(krate, how);
            let choices =
                choices.iter().map(|each| choice(krate, &each.name, &each.aliases, &locked(krate, &each.form)));
            quote!(#path::Choice(#how, &[#(#choices),*]))
        }
    }
}

//! Generates the shape of an aggregate's state, from the names, types and attributes of its fields.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Attribute, Data, DeriveInput, Field, Fields};

use crate::form;
use crate::names::SERDE;
use crate::shape::at;
use crate::wire::{self, Rules};

/// Generates the function that returns the shape as a number.
pub(crate) fn shape(krate: &TokenStream, input: &DeriveInput) -> TokenStream {
    let declared = hash(&declaration(input));
    let types = types(input);
    let forms = types.iter().map(|ty| quote_spanned!(at(ty.span())=> #krate::__private::Probe::<#ty>::FORM.hash()));
    let probes = types.iter().map(|ty| quote_spanned!(at(ty.span())=> #krate::__private::Deserialized::<#ty>::SHAPE));
    let scope = form::scope(krate);
    quote! {
        || {
            #scope
            #[allow(unused_imports)]
            use #krate::__private::NotDeserialized as _;
            static __SHAPE: ::std::sync::OnceLock<::core::primitive::u64> = ::std::sync::OnceLock::new();
            *__SHAPE.get_or_init(|| {
                const __STATE: #krate::__private::StateShape = #krate::__private::StateShape {
                    declared: #declared,
                    forms: &[#(#forms),*],
                    probes: &[#(#probes),*],
                };
                __STATE.number::<<Self as #krate::Aggregate>::Event>()
            })
        }
    }
}

/// Whether JSON preserves every state.
pub(crate) fn fidelity(krate: &TokenStream, input: &DeriveInput) -> TokenStream {
    let of = |fields| form::fidelity(krate, fields, &wire::fields(fields, Rules::default(), false));
    match &input.data {
        Data::Struct(data) => of(&data.fields),
        Data::Enum(data) => {
            let each =
                data.variants.iter().filter(|variant| !variant.fields.is_empty()).map(|variant| of(&variant.fields));
            quote!(#krate::shape::Fidelity::all(&[#(#each),*]))
        }
        Data::Union(_) => TokenStream::new(),
    }
}

/// The types of the fields, each once.
fn types(input: &DeriveInput) -> Vec<&syn::Type> {
    let mut seen = Vec::new();
    let mut types = Vec::new();
    for field in fields(input) {
        let text = field.ty.to_token_stream().to_string();
        if !seen.contains(&text) {
            seen.push(text);
            types.push(&field.ty);
        }
    }
    types
}

fn fields(input: &DeriveInput) -> Vec<&Field> {
    match &input.data {
        Data::Struct(data) => data.fields.iter().collect(),
        Data::Enum(data) => data.variants.iter().flat_map(|variant| &variant.fields).collect(),
        Data::Union(_) => Vec::new(),
    }
}

/// The names, types and attributes that determine the stored form, as text.
fn declaration(input: &DeriveInput) -> String {
    let mut text = attributes(&input.attrs);
    match &input.data {
        Data::Struct(data) => declare_fields(&data.fields, &mut text),
        Data::Enum(data) => {
            for variant in &data.variants {
                text.push_str(&format!("{}|{}", attributes(&variant.attrs), variant.ident));
                declare_fields(&variant.fields, &mut text);
            }
        }
        Data::Union(_) => {}
    }
    // The spacing of tokens differs between compilers, so remove it.
    text.retain(|letter| !letter.is_whitespace());
    text
}

fn declare_fields(fields: &Fields, text: &mut String) {
    for field in fields {
        let name = field.ident.as_ref().map(ToString::to_string).unwrap_or_default();
        text.push_str(&format!("{}{name}:{},", attributes(&field.attrs), field.ty.to_token_stream()));
    }
    text.push(';');
}

fn attributes(attrs: &[Attribute]) -> String {
    attrs.iter().filter(|attr| attr.path().is_ident(SERDE)).map(|attr| attr.to_token_stream().to_string()).collect()
}

/// FNV-1a.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn declared(text: &str) -> String {
        declaration(&syn::parse_str(text).unwrap())
    }

    #[test]
    fn only_what_is_stored_counts() {
        let one =
            declared("/// A. \n #[derive(Default)] struct A { /// a \n pub a: Vec<u8>, #[serde(default)] b: u8 }");
        assert_eq!(one, declared("struct B { a: Vec < u8 >, #[serde( default )] pub(crate) b: u8 }"));
        for other in [
            "struct A { a: Vec<u8>, b: u8 }",
            "struct A { a: Vec<u16>, #[serde(default)] b: u8 }",
            "struct A { a: Vec<u8>, #[serde(default)] c: u8 }",
            "struct A { a: Vec<u8>, #[serde(default)] b: u8, c: Option<u8> }",
        ] {
            assert_ne!(one, declared(other));
        }
        assert_ne!(declared("enum A { B(u8) }"), declared("enum A { B(u8), C }"));
    }
}

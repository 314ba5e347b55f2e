//! `#[derive(Event)]`.

mod attrs;
mod expand;
mod model;
mod union;
mod validate;

#[cfg(test)]
mod tests;

use proc_macro2::TokenStream;
use quote::quote;
use syn::DeriveInput;

use crate::errors::Errors;
use model::Kind;

pub(crate) fn derive(input: &DeriveInput) -> TokenStream {
    let mut errors = Errors::default();
    let event = attrs::read(input, &mut errors);
    if let Kind::Stored(variants) = &event.kind {
        validate::variants(variants, &mut errors);
    }
    if !errors.is_empty() {
        return stub(input, &event.krate, errors);
    }
    match &event.kind {
        Kind::Stored(variants) => expand::event(&event, variants),
        Kind::Union(parts) => union::event(&event, parts),
    }
}

/// An implementation that does nothing, so that the mistakes are the only errors.
fn stub(input: &DeriveInput, krate: &TokenStream, errors: Errors) -> TokenStream {
    let errors = errors.into_tokens();
    let ident = &input.ident;
    // Bounds that the parameters lack would be one more error.
    if !input.generics.params.is_empty() {
        return errors;
    }
    quote! {
        #errors
        const _: () = {
            #[automatically_derived]
            impl #krate::Event for #ident {
                fn variants() -> ::std::vec::Vec<#krate::EventVariant> {
                    ::core::unreachable!()
                }
                fn encode(&self) -> ::core::result::Result<#krate::EventData, #krate::EncodeError> {
                    ::core::unreachable!()
                }
                fn decode(
                    _: &::core::primitive::str,
                    _: ::core::primitive::u32,
                    _: &[::core::primitive::u8],
                ) -> ::core::result::Result<Self, #krate::DecodeError> {
                    ::core::unreachable!()
                }
            }
        };
    }
}

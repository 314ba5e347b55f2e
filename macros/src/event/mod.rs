//! `#[derive(Event)]`.

mod attrs;
mod expand;
mod lock;
mod model;
mod union;
mod validate;

#[cfg(test)]
mod tests;

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::DeriveInput;
use syn::spanned::Spanned;

use crate::errors::Errors;
use crate::form;
use crate::lock::{dependency, of_crate};
use crate::shape::at;
use model::{Event, Kind, Variant};

pub(crate) fn derive(input: &DeriveInput) -> TokenStream {
    let mut errors = Errors::default();
    let event = attrs::read(input, &mut errors);
    let mut locked = Locked::default();
    if let Kind::Stored(variants) = &event.kind {
        validate::variants(variants, &mut errors);
        if errors.is_empty() && event.is_locked {
            locked = Locked::of(&event, variants, &mut errors);
        }
    }
    let Locked { comparisons, test } = locked;
    if !errors.is_empty() {
        let stub = stub(input, &event.krate, errors);
        return quote!(#stub #comparisons);
    }
    let published = event.is_published.then(|| published(&event));
    let event = match &event.kind {
        Kind::Stored(variants) => expand::event(&event, variants, &comparisons, &test),
        Kind::Union(parts) => union::event(&event, parts),
    };
    quote!(#event #published)
}

/// The declaration that other services may read it. All parts of a published union are published.
fn published(event: &Event<'_>) -> TokenStream {
    let (krate, ident) = (&event.krate, event.ident);
    let parts = match &event.kind {
        Kind::Stored(_) => &[][..],
        Kind::Union(parts) => parts,
    };
    let parts = parts.iter().map(|part| {
        let ty = part.ty;
        quote_spanned!(at(ty.span())=> #krate::__private::is_published::<#ty>();)
    });
    quote! {
        #[allow(deprecated)]
        const _: () = {
            #(#parts)*
            #[automatically_derived]
            impl #krate::Published for #ident {}
        };
    }
}

/// What a lock adds to an event type.
#[derive(Default)]
struct Locked {
    comparisons: TokenStream,
    test: TokenStream,
}

impl Locked {
    fn of(event: &Event<'_>, variants: &[Variant<'_>], errors: &mut Errors) -> Self {
        let comparisons = match of_crate(event.ident) {
            None => return Self::default(),
            Some(Ok(lock)) => lock::compare(event, variants, &lock, errors),
            Some(Err(message)) => {
                if let Some(message) = message {
                    errors.at(event.ident, message);
                }
                TokenStream::new()
            }
        };
        let dependency = dependency();
        let scope = form::scope(&event.krate);
        let comparisons = quote! {
            const _: () = {
                #dependency
                #scope
                #comparisons
            };
        };
        Self { comparisons, test: expand::test(event) }
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
        #[allow(deprecated)]
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

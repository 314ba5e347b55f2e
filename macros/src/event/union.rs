//! The implementation for a choice of other event types.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;

use super::model::{Event, Part};
use crate::shape::at;

pub(crate) fn event(event: &Event<'_>, parts: &[Part<'_>]) -> TokenStream {
    let (krate, ident) = (&event.krate, event.ident);
    let count = parts.len();
    let table = parts.iter().map(|part| table_row(krate, part));
    let checks = parts.iter().enumerate().map(|(index, part)| checks(krate, parts, index, part));
    let variants = parts.iter().map(|part| {
        let (ty, only) = (part.ty, only(part));
        quote_spanned!(at(ty.span())=> #krate::__private::add_variants::<#ty>(#only, &mut __variants);)
    });
    let encode = parts.iter().map(|part| {
        let (ident, ty) = (part.ident, part.ty);
        match &part.only {
            None => quote!(Self::#ident(__event) => <#ty as #krate::Event>::encode(__event)),
            Some(_) => {
                let names = names(part);
                quote!(Self::#ident(__event) => #krate::__private::encode_only::<#ty>(__event, #names))
            }
        }
    });
    let decode = parts.iter().map(|part| {
        let (ident, ty, only) = (part.ident, part.ty, only(part));
        quote! {
            if #krate::__private::reads::<#ty>(#only, __type) {
                let __event = <#ty as #krate::Event>::decode(__type, __version, __payload)?;
                return ::core::result::Result::Ok(Self::#ident(__event));
            }
        }
    });
    quote! {
        #[allow(deprecated)]
        const _: () = {
            const __PARTS: [#krate::__private::Part; #count] = [#(#table),*];
            const __LISTED: [#krate::__private::Listed; #krate::__private::count(&__PARTS)] =
                #krate::__private::join(&__PARTS);
            #(#checks)*
            #[automatically_derived]
            impl #krate::Event for #ident {
                const LISTED: ::core::option::Option<&'static [#krate::__private::Listed]> =
                    #krate::__private::listed(&__PARTS, &__LISTED);

                #[inline]
                fn variants() -> ::std::vec::Vec<#krate::EventVariant> {
                    let mut __variants = ::std::vec::Vec::new();
                    #(#variants)*
                    __variants
                }

                #[inline]
                fn encode(&self) -> ::core::result::Result<#krate::EventData, #krate::EncodeError> {
                    match self { #(#encode,)* }
                }

                #[inline]
                fn decode(
                    __type: &::core::primitive::str,
                    __version: ::core::primitive::u32,
                    __payload: &[::core::primitive::u8],
                ) -> ::core::result::Result<Self, #krate::DecodeError> {
                    #(#decode)*
                    ::core::result::Result::Err(#krate::DecodeError::unknown_type(__type))
                }
            }
        };
    }
}

fn table_row(krate: &TokenStream, part: &Part<'_>) -> TokenStream {
    let (name, ty, only) = (part.ident.unraw().to_string(), part.ty, only(part));
    quote_spanned! {at(ty.span())=>
        #krate::__private::Part { name: #name, listed: <#ty as #krate::Event>::LISTED, only: #only }
    }
}

fn names(part: &Part<'_>) -> TokenStream {
    let names = part.only.iter().flatten().map(|name| name.unraw().to_string());
    quote!(&[#(#names),*])
}

fn only(part: &Part<'_>) -> TokenStream {
    match &part.only {
        None => quote!(::core::option::Option::None),
        Some(_) => {
            let names = names(part);
            quote!(::core::option::Option::Some(#names))
        }
    }
}

/// The checks by the compiler: that the named variants exist, and that no stored name belongs to two event types.
fn checks(krate: &TokenStream, parts: &[Part<'_>], index: usize, part: &Part<'_>) -> TokenStream {
    let ty = part.ty;
    let exist = part.only.iter().flatten().map(|name| {
        let text = name.unraw().to_string();
        let message = format!("`only({name})` needs an event type that derives `Event`");
        quote_spanned! {at(name.span())=>
            #[allow(clippy::unneeded_struct_pattern)]
            const _: () = {
                let _ = |__event: &#ty| ::core::matches!(__event, #ty::#name { .. });
                ::core::assert!(
                    #krate::__private::contains(<#ty as #krate::Event>::LISTED, #text),
                    #message
                );
            };
        }
    });
    let overlap = (index > 0 && index < parts.len()).then(|| {
        let message = format!(
            "`{}` reads an event that an earlier variant of this union reads too: leave it out with `only(…)`",
            part.ident
        );
        quote_spanned! {at(ty.span())=>
            const _: () = ::core::assert!(!#krate::__private::overlaps(&__PARTS, #index), #message);
        }
    });
    quote!(#(#exist)* #overlap)
}

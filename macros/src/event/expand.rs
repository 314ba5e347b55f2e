//! The implementation for events that have a stored form of their own.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;

use super::model::{Event, Variant};
use crate::differing::differing;
use crate::form::{self, Fidelities};
use crate::mirror::{Use, attributes, fields, mirror_ident, path_text, payload_impl};
use crate::readable;
use crate::shape::{all_at, at};

/// The methods are `#[inline]` for the sake of compile time: like generic code they are then compiled where they are
/// used, and not once more in the crate that only declares the events.
pub(crate) fn event(
    event: &Event<'_>,
    variants: &[Variant<'_>],
    comparisons: &TokenStream,
    test: &TokenStream,
) -> TokenStream {
    let (krate, ident) = (&event.krate, event.ident);
    let mirror = mirror(event, variants);
    let compared: Vec<_> = variants.iter().map(|variant| (variant.ident, variant.fields)).collect();
    let payload = payload_impl(krate, ident, &differing(krate, event.is_enum, &compared));
    let mut fidelities = Fidelities::default();
    let listed: Vec<_> =
        variants.iter().enumerate().map(|(index, variant)| listed(event, index, variant, &mut fidelities)).collect();
    let fidelities = fidelities.table(krate);
    let encode = encode(event, variants);
    let decode = decode(event, variants);
    let scope = form::scope(krate);
    let checks = variants.iter().map(|variant| readable::forms(krate, variant.fields, &variant.wires));
    quote! {
        #comparisons
        #test
        #[allow(deprecated)]
        const _: () = {
            #scope
            #(#checks)*
            #fidelities
            #mirror
            #payload
            #[automatically_derived]
            impl #krate::Event for #ident {
                const LISTED: ::core::option::Option<&'static [#krate::__private::Listed]> =
                    ::core::option::Option::Some(&[#(#listed),*]);

                #[inline]
                fn variants() -> ::std::vec::Vec<#krate::EventVariant> {
                    #krate::__private::variants(<Self as #krate::Event>::LISTED)
                }

                #[inline]
                fn encode(&self) -> ::core::result::Result<#krate::EventData, #krate::EncodeError> {
                    #encode
                }

                #[inline]
                fn decode(
                    __type: &::core::primitive::str,
                    __version: ::core::primitive::u32,
                    __payload: &[::core::primitive::u8],
                ) -> ::core::result::Result<Self, #krate::DecodeError> {
                    #decode
                }
            }
        };
    }
}

fn mirror(event: &Event<'_>, variants: &[Variant<'_>]) -> TokenStream {
    let mirror = mirror_ident();
    let carried = &event.carried;
    if let (false, [variant]) = (event.is_enum, variants) {
        let attributes = attributes(&event.krate, event.ident, Use::Message, carried);
        let body = fields(variant.fields);
        let end = matches!(variant.fields, syn::Fields::Unnamed(_)).then(|| quote!(;));
        return quote!(#attributes struct #mirror #body #end);
    }
    // Only schemars sees it as untagged: that lists the variants' own schemas, in their order.
    let attributes = attributes(&event.krate, event.ident, Use::Message, &quote!(#carried #[schemars(untagged)]));
    let variants = variants.iter().map(|variant| {
        let (carried, ident, fields) = (&variant.carried, variant.ident, fields(variant.fields));
        quote!(#carried #ident #fields)
    });
    quote!(#attributes enum #mirror { #(#variants),* })
}

fn listed(event: &Event<'_>, index: usize, variant: &Variant<'_>, fidelities: &mut Fidelities) -> TokenStream {
    let (krate, mirror) = (&event.krate, mirror_ident());
    let rust_name = variant.ident.unraw().to_string();
    let (name, version) = (&variant.name.text, variant.version);
    let aliases = variant.aliases.iter().map(|alias| &alias.text);
    let schema = if event.is_enum {
        quote!(#krate::__private::variant_schema::<#mirror, #index>)
    } else {
        quote!(#krate::__private::payload_schema::<#mirror>)
    };
    let retired = variant.retired.then(|| quote!(.retired()));
    let form = form::of_fields(krate, variant.fields, &variant.wires);
    let fidelity = fidelities.of(krate, variant.fields, &variant.wires);
    let functions = variant.upcasts.iter().map(path_text);
    let upcasters = (!variant.upcasts.is_empty()).then(|| quote!(.upcasters(&[#(#functions),*])));
    quote! {
        #krate::__private::Listed::new(#rust_name, #name, #version, &[#(#aliases),*], #schema, #form, #fidelity)
            .of(#krate::RustType::of::<Self>)
            #retired
            #upcasters
    }
}

fn encode(event: &Event<'_>, variants: &[Variant<'_>]) -> TokenStream {
    let krate = &event.krate;
    let tagged = variants.iter().any(|variant| !variant.tags.is_empty());
    let arms = variants.iter().enumerate().map(|(index, variant)| {
        let ident = variant.ident;
        let path = if event.is_enum { quote!(Self::#ident) } else { quote!(Self) };
        let bound = bound_fields(variant);
        let tags = variant.tags.iter().map(|tag| {
            let (local, ty, key) = (&tag.local, tag.ty, &tag.key);
            quote_spanned!(at(ty.span())=> <#ty as #krate::ToTags>::tags(#local, #key, &mut __tags)?;)
        });
        if variant.tags.is_empty() {
            quote!(#path { .. } => #index)
        } else {
            quote!(#path { #(#bound,)* .. } => { #(#tags)* #index })
        }
    });
    let tags = if tagged {
        quote!(let mut __tags = ::std::vec::Vec::new();)
    } else {
        quote!(let __tags = ::std::vec::Vec::new();)
    };
    quote! {
        #tags
        let __index = match self { #(#arms,)* };
        #krate::__private::encode(self, __index, __tags)
    }
}

/// The fields that tags are made of, each once.
fn bound_fields(variant: &Variant<'_>) -> Vec<TokenStream> {
    let mut bound = Vec::new();
    let mut last = None;
    for tag in &variant.tags {
        let (member, local) = (&tag.member, &tag.local);
        if last != Some(local) {
            bound.push(quote!(#member: #local));
        }
        last = Some(local);
    }
    bound
}

fn decode(event: &Event<'_>, variants: &[Variant<'_>]) -> TokenStream {
    let krate = &event.krate;
    let found = quote!(#krate::__private::find(<Self as #krate::Event>::LISTED, __type, __version)?);
    let newest = quote!(#krate::__private::decode(__index, __type, __version, __payload));
    let arms: Vec<_> = variants
        .iter()
        .enumerate()
        .flat_map(|(index, variant)| (1..variant.version).map(move |version| (index, variant, version)))
        .map(|(index, variant, version)| {
            let from = usize::try_from(version - 1).unwrap_or_default();
            let chain = upcast(krate, variant.upcasts.get(from..).unwrap_or_default());
            quote!((#index, #version) => { #chain })
        })
        .collect();
    if arms.is_empty() {
        return quote! {
            let (__index, __version) = #found;
            #newest
        };
    }
    quote! {
        match #found {
            #(#arms)*
            (__index, __version) => #newest,
        }
    }
}

/// Decodes an old version and converts it with the upcasters. A return type that is not the next function's argument,
/// or not the event at the end, is a compile error at the function that returns it. An argument that can't be
/// deserialized is a compile error at the first function.
fn upcast(krate: &TokenStream, functions: &[syn::Path]) -> TokenStream {
    let steps = functions.iter().enumerate().map(|(i, function)| {
        let (span, name) = (at(function.span()), path_text(function));
        let krate = all_at(span, krate);
        if i == 0 {
            let read = quote_spanned!(span=> #krate::__private::upcast_stored);
            quote!(let __event = #read(#function, #name, __type, __version, __payload)?;)
        } else {
            let next = quote_spanned!(span=> #krate::__private::upcast_next);
            let before = quote_spanned!(at(functions[i - 1].span())=> __event);
            quote!(let __event = #next(#function, #name, #before)?;)
        }
    });
    let span = at(functions.last().map_or_else(proc_macro2::Span::call_site, Spanned::span));
    let krate = all_at(span, krate);
    let last = quote_spanned!(span=> #krate::__private::upcast_last::<Self, _>(__event));
    quote! {
        #(#steps)*
        #last
    }
}

/// A test beside the type, in crates with a lock: it decodes the samples, and writes the lock when asked to.
pub(crate) fn test(event: &Event<'_>) -> TokenStream {
    let (krate, ident) = (&event.krate, event.ident);
    let name = ident.unraw().to_string();
    let function = quote::format_ident!("event_schema_of_{}", name, span = proc_macro2::Span::call_site());
    quote! {
        #[cfg(test)]
        #[test]
        #[allow(non_snake_case, unnameable_test_items, dead_code)]
        fn #function() {
            #krate::__private::check_schema::<#ident>(::core::env!("CARGO_MANIFEST_DIR"), #name);
        }
    }
}

//! The hidden mirror of a type, which serde and schemars derive for in its place (serde calls it a remote derive).
//!
//! So the user's type needs no serde of its own, and attributes on its fields work as everywhere.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::{Attribute, Fields, Ident, Meta};

use crate::args::Args;
use crate::errors::Errors;
use crate::names::{SCHEMARS, SERDE};

/// The purpose of a mirror, and thus which traits it needs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    /// Values that have a schema.
    Message,
    /// State that only this program reads.
    State,
}

/// The name of the mirror in the expansion.
pub(crate) const MIRROR: &str = "__Payload";

pub(crate) fn mirror_ident() -> Ident {
    Ident::new(MIRROR, proc_macro2::Span::call_site())
}

/// The attributes of the mirror, from derives to lints.
pub(crate) fn attributes(krate: &TokenStream, remote: &Ident, purpose: Use, extra: &TokenStream) -> TokenStream {
    let path = path_text(krate);
    let serde = format!("{path}::__private::serde");
    let schemars = format!("{path}::__private::schemars");
    let remote = remote.to_string();
    let serde_attr = quote!(#[serde(crate = #serde, remote = #remote)]);
    // Lints that the user allowed for the type itself must not be reported for its mirror.
    let allow = quote! {
        #[allow(dead_code, non_camel_case_types, non_snake_case, clippy::all, clippy::pedantic)]
    };
    let derives = quote!(#krate::__private::serde::Serialize, #krate::__private::serde::Deserialize);
    match purpose {
        Use::State => quote!(#[derive(#derives)] #serde_attr #extra #allow),
        Use::Message => quote! {
            #[derive(#derives, #krate::__private::schemars::JsonSchema)]
            #serde_attr
            #[schemars(crate = #schemars)]
            #extra
            #allow
        },
    }
}

/// A path as the user writes it.
pub(crate) fn path_text(path: &impl ToTokens) -> String {
    path.to_token_stream().to_string().replace(' ', "")
}

/// `impl Payload for Type` through the mirror, with more of its methods.
pub(crate) fn payload_impl(krate: &TokenStream, ident: &Ident, methods: &TokenStream) -> TokenStream {
    let mirror = mirror_ident();
    quote! {
        #[automatically_derived]
        impl #krate::__private::Payload for #ident {
            fn serialize<__S: #krate::__private::serde::Serializer>(
                &self,
                __serializer: __S,
            ) -> ::core::result::Result<__S::Ok, __S::Error> {
                #mirror::serialize(self, __serializer)
            }
            fn deserialize<'__de, __D: #krate::__private::serde::Deserializer<'__de>>(
                __deserializer: __D,
            ) -> ::core::result::Result<Self, __D::Error> {
                #mirror::deserialize(__deserializer)
            }
            #methods
        }
    }
}

/// The fields as the mirror declares them. Types without fields get `{}`, so that fields may be added later.
pub(crate) fn fields(fields: &Fields) -> TokenStream {
    let each = fields.iter().map(|field| {
        let (attrs, ident, ty) = (carried(&field.attrs), &field.ident, &field.ty);
        match ident {
            Some(ident) => quote!(#attrs #ident: #ty),
            None => quote!(#attrs #ty),
        }
    });
    match fields {
        Fields::Unnamed(_) => quote!((#(#each),*)),
        Fields::Named(_) | Fields::Unit => quote!({ #(#each),* }),
    }
}

/// The attributes that matter to serde and schemars.
pub(crate) fn carried(attrs: &[Attribute]) -> TokenStream {
    let ours = |attr: &&Attribute| ["doc", SERDE, SCHEMARS].iter().any(|name| attr.path().is_ident(name));
    attrs.iter().filter(ours).map(ToTokens::to_token_stream).collect()
}

/// Whether a field takes the keys that no other field has.
pub(crate) fn flattens(fields: &Fields) -> bool {
    fields.iter().flat_map(|field| &field.attrs).any(|attr| {
        attr.path().is_ident(SERDE)
            && matches!(&attr.meta, Meta::List(list)
                if list.tokens.clone().into_iter().any(|token| token.to_string() == "flatten"))
    })
}

/// Where an attribute of serde or schemars stands.
#[derive(Clone, Copy)]
pub(crate) enum Place {
    Enum,
    Variant,
    Struct,
    State,
}

/// Refuses attributes that would change or contradict the stored form that the derive owns.
pub(crate) fn check_attributes(attrs: &[Attribute], place: Place, errors: &mut Errors) {
    const SCHEMA: &[&str] = &["title", "description", "extend", "transform", "deprecated"];
    let (serde, schemars, what): (&[&str], &[&str], _) = match place {
        Place::Enum => (&["rename_all_fields", "deny_unknown_fields"], &[], "this enum"),
        Place::Variant => (&["rename_all"], SCHEMA, "this variant"),
        Place::Struct => (&["rename_all", "deny_unknown_fields"], SCHEMA, "this struct"),
        Place::State => (&["rename_all", "rename_all_fields", "deny_unknown_fields"], SCHEMA, "this state"),
    };
    for (attribute, allowed) in [(SERDE, serde), (SCHEMARS, schemars)] {
        let args = Args::new(attribute, attrs, errors);
        for key in args.into_keys().filter(|key| !allowed.iter().any(|allowed| key == allowed)) {
            let cure = match (key.to_string().as_str(), place) {
                ("default", Place::Struct | Place::State) => "put it on each field that may be missing".to_owned(),
                ("rename" | "alias", Place::Struct | Place::Variant) => {
                    "write `name` or `alias` in the derive's own attribute".to_owned()
                }
                _ if allowed.is_empty() => "put it on a variant or a field".to_owned(),
                _ => format!("here may stand `{}`, and on fields what you like", allowed.join("`, `")),
            };
            errors.at(
                &key,
                format!("`{attribute}({key})` can't be on {what}, since the derive owns its stored form: {cure}"),
            );
        }
    }
}

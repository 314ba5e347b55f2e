//! Generates `Payload::differing`, which finds a field that decodes to another value with the same JSON.

use proc_macro2::{Ident, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Field, Fields};

use crate::shape::{at, member};
use crate::wire::{Serde, is_made_of_plain};

/// Generates `Payload::differing`. It compares the fields of types that may write different values as the same JSON, if
/// the types have `PartialEq`. Empty if there are no such fields.
pub(crate) fn differing(krate: &TokenStream, is_enum: bool, variants: &[(&Ident, &Fields)]) -> TokenStream {
    let arms: Vec<_> = variants.iter().filter_map(|(ident, fields)| arm(krate, is_enum, ident, fields)).collect();
    if arms.is_empty() {
        return TokenStream::new();
    }
    let rest = (is_enum && (variants.len() > 1 || arms.len() < variants.len()))
        .then(|| quote!(_ => ::core::option::Option::None,));
    quote! {
        fn differing(&self, __other: &Self) -> ::core::option::Option<&'static ::core::primitive::str> {
            #[allow(unused_imports)]
            use #krate::__private::NoEquality as _;
            match (self, __other) {
                #(#arms)*
                #rest
            }
        }
    }
}

fn arm(krate: &TokenStream, is_enum: bool, ident: &Ident, fields: &Fields) -> Option<TokenStream> {
    let compared: Vec<_> = fields.iter().enumerate().filter(|(_, field)| is_compared(field)).collect();
    if compared.is_empty() {
        return None;
    }
    let path = if is_enum { quote!(Self::#ident) } else { quote!(Self) };
    let bound = |prefix: &str| {
        let each = compared.iter().map(|(index, field)| {
            let (member, local) = (member(*index, field), format_ident!("__{prefix}{index}"));
            quote!(#member: #local)
        });
        quote!(#path { #(#each,)* .. })
    };
    let (first, second) = (bound("first"), bound("second"));
    let checks = compared.iter().map(|(index, field)| {
        let (first, second) = (format_ident!("__first{index}"), format_ident!("__second{index}"));
        let name = match &field.ident {
            Some(ident) => syn::ext::IdentExt::unraw(ident).to_string(),
            None => format!("[{index}]"),
        };
        let ty = &field.ty;
        let equal = quote_spanned!(at(ty.span())=> #krate::__private::Equality::<#ty>::EQUAL);
        quote! {
            if #krate::__private::differs(#equal, #first, #second) {
                return ::core::option::Option::Some(#name);
            }
        }
    });
    Some(quote! {
        (#first, #second) => {
            #(#checks)*
            ::core::option::Option::None
        }
    })
}

/// Whether two values with the same tokens can differ, so that a comparison is useful.
fn is_compared(field: &Field) -> bool {
    let mut serde = Serde::of(&field.attrs);
    let hidden = ["skip", "skip_serializing", "skip_serializing_if"].iter().any(|key| serde.has(key));
    hidden || serde.is_custom() || !is_made_of_plain(&field.ty)
}

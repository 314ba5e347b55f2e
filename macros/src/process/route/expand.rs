//! The implementation of a route.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{Member, Type};

use super::model::{How, Part, Route, Starts};
use crate::mirror::path_text;
use crate::shape::{all_at, at};
use crate::wire::{last_ident, texts};

pub(crate) fn route(route: &Route<'_>, to: &Type, parts: &[Part<'_>]) -> TokenStream {
    let Route { krate, ident, .. } = route;
    let id = quote_spanned!(at(to.span())=> type Id = #to;);
    let table = parts.iter().map(|part| table_row(krate, part));
    let checks = parts.iter().map(|part| check(krate, part));
    let arms = parts.iter().map(|part| {
        let (variant, event, route) = (part.ident, local("__event"), arm(krate, to, part));
        quote!(Self::#variant(#event) => #route)
    });
    let routed = local("__routed");
    quote! {
        #[allow(deprecated)]
        const _: () = {
            #(#checks)*
            #[automatically_derived]
            impl #krate::Route for #ident {
                #id
                const ROUTES: &'static [#krate::RouteOf] = &[#(#table),*];

                fn route(&self, #routed: &mut #krate::Routed<Self::Id>) {
                    match self { #(#arms,)* }
                }
            }
        };
    }
}

/// A variable that a function of the user's with the same name is not mistaken for.
fn local(name: &str) -> Ident {
    Ident::new(name, Span::mixed_site())
}

fn table_row(krate: &TokenStream, part: &Part<'_>) -> TokenStream {
    let names = |events: &[Ident]| events.iter().map(|event| event.unraw().to_string()).collect::<Vec<_>>();
    let (by, starts) = match &part.how {
        How::With(path) => (path_text(path), Vec::new()),
        How::By { field, starts } => {
            let starts = match starts {
                Starts::None => Vec::new(),
                Starts::Some(events) => names(events),
                Starts::All if part.only.is_empty() => names(last_ident(part.ty).cloned().as_slice()),
                Starts::All => names(&part.only),
            };
            let field = match field {
                Member::Named(ident) => ident.unraw().to_string(),
                Member::Unnamed(index) => index.index.to_string(),
            };
            (field, starts)
        }
    };
    let (variant, only, starts) = (part.ident.unraw().to_string(), texts(&names(&part.only)), texts(&starts));
    quote!(#krate::RouteOf { variant: #variant, only: #only, starts: #starts, by: #by })
}

fn arm(krate: &TokenStream, to: &Type, part: &Part<'_>) -> TokenStream {
    let (ty, event) = (part.ty, local("__event"));
    let (field, starts) = match &part.how {
        How::With(path) => {
            let (function, routed) = (quote_spanned!(at(path.span())=> #path), local("__routed"));
            return quote! {{
                let __route: fn(&#ty, &mut #krate::Routed<#to>) = #function;
                __route(#event, #routed)
            }};
        }
        How::By { field, starts } => (field, starts),
    };
    if part.only.is_empty() {
        let value = quote_spanned!(at(field.span())=> &#event.#field);
        return target(krate, to, field, &value, matches!(starts, Starts::All));
    }
    let events = part.only.iter().map(|event| {
        let value = quote_spanned!(at(field.span())=> __id);
        let target = target(krate, to, field, &value, starts.with(event));
        quote!(#ty::#event { #field: #value, .. } => #target)
    });
    quote! {
        match #event {
            #(#events,)*
            #[allow(unreachable_patterns)]
            _ => {}
        }
    }
}

/// Adds the instance that the field's value names. A value of another type is a compile error at the field.
fn target(krate: &TokenStream, to: &Type, field: &Member, value: &TokenStream, starts: bool) -> TokenStream {
    let span = at(field.span());
    let private = all_at(span, &quote!(#krate::__private));
    let id = quote_spanned!(span=> #private::instance_id::<#to, _>(#value));
    let (method, routed) = (if starts { quote!(start) } else { quote!(to) }, local("__routed"));
    quote!(#krate::Routed::#method(#routed, #id))
}

/// A field names the instance only of a struct, unless the events of an enum are named.
fn check(krate: &TokenStream, part: &Part<'_>) -> TokenStream {
    let (How::By { field, .. }, true, ty) = (&part.how, part.only.is_empty(), part.ty) else {
        return TokenStream::new();
    };
    let message = "this event type is a choice of events: name those that are heard with `#[event(only(…))]`, or route them by a \
                   function, `#[route(with = …)]`";
    quote_spanned! {at(field.span())=>
        const _: () = ::core::assert!(!#krate::__private::is_choice(<#ty as #krate::Event>::LISTED), #message);
    }
}

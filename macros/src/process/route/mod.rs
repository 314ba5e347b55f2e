//! `#[derive(Route)]`.

mod attrs;
mod expand;
mod model;

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{DeriveInput, Type};

use crate::errors::Errors;
use crate::shape::at;

pub(crate) fn derive(input: &DeriveInput) -> TokenStream {
    let mut errors = Errors::default();
    let route = attrs::read(input, &mut errors);
    match (&route.to, &route.parts) {
        (Some(to), Some(parts)) if errors.is_empty() => expand::route(&route, to, parts),
        (Some(to), _) => stub(input, &route.krate, to, errors),
        // Without a type of ids there is no implementation to stand in.
        (None, _) => errors.into_tokens(),
    }
}

/// An implementation that does nothing, so that the mistakes are the only errors.
fn stub(input: &DeriveInput, krate: &TokenStream, to: &Type, errors: Errors) -> TokenStream {
    let errors = errors.into_tokens();
    if !input.generics.params.is_empty() {
        return errors;
    }
    let (ident, id) = (&input.ident, quote_spanned!(at(to.span())=> type Id = #to;));
    quote! {
        #errors
        #[allow(deprecated)]
        const _: () = {
            #[automatically_derived]
            impl #krate::Route for #ident {
                #id
                const ROUTES: &'static [#krate::RouteOf] = &[];
                fn route(&self, _: &mut #krate::Routed<Self::Id>) {
                    ::core::unreachable!()
                }
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect_file;

    use super::derive;
    use crate::testing::{expanded, mistakes};

    #[test]
    fn what_it_becomes() {
        let expansion = expanded(
            derive,
            r#"
            #[event(union)]
            #[route(to = OrderId)]
            enum Input {
                #[event(only(Placed, Cancelled))]
                #[route(start(Placed), by = order)]
                Order(OrderEvent),
                #[route(start, by = 0)]
                Paid(Paid),
                #[route(with = waves::orders_of)]
                Wave(WaveEvent),
            }
            "#,
        );
        expect_file!["../../snapshots/route.rs"].assert_eq(&expansion);
    }

    #[test]
    fn all_mistakes_at_once() {
        let found = mistakes(
            derive,
            r#"
            #[event(union)]
            #[route(for = OrderId)]
            enum Input {
                A(A),
                #[route(start)] B(B),
                #[route(start(X), by = "order")] C(C),
                #[event(only(X))] #[route(start(X, X, Y), by = order, with = f)] D(D),
                #[route(start, with = f, what)] E(#[route(by = x)] E),
            }
            "#,
        );
        assert_eq!(found.len(), 12, "{found:#?}");
    }
}

//! `#[derive(Timer)]`.

use std::collections::BTreeMap;

use proc_macro2::{Ident, Span, TokenStream, TokenTree};
use quote::{ToTokens, quote};
use syn::{Data, DeriveInput, Fields};

use crate::args::Args;
use crate::differing::differing;
use crate::errors::Errors;
use crate::form;
use crate::mirror::{Place, Use, attributes, carried, check_attributes, fields, mirror_ident, payload_impl};
use crate::names::{ALIAS, CRATE, NAME, TIMER, name_problem, snake_case};
use crate::readable;
use crate::shape::{krate, refuse_generics, refuse_self};
use crate::wire::{self, Rules, Serde, Wire};

/// Collections without a fixed order.
const UNORDERED: &[&str] = &["HashMap", "HashSet"];

struct Variant<'a> {
    ident: &'a Ident,
    fields: &'a Fields,
    wires: Vec<Wire<'a>>,
    carried: TokenStream,
    /// The stored name, then the other names that are read.
    names: Vec<(String, Span)>,
}

pub(crate) fn derive(input: &DeriveInput) -> TokenStream {
    let mut errors = Errors::default();
    refuse_generics(input, "a timer", &mut errors);
    let mut args = Args::new(TIMER, &input.attrs, &mut errors);
    let krate = krate(&mut args, &mut errors);
    args.refuse_rest("an enum of timers", &[CRATE], &mut errors);
    let variants = read(input, &mut errors);
    if errors.is_empty() { expand(&krate, input, &variants) } else { stub(&krate, input, errors) }
}

/// An implementation that does nothing, so that the mistakes are the only errors.
fn stub(krate: &TokenStream, input: &DeriveInput, errors: Errors) -> TokenStream {
    let errors = errors.into_tokens();
    if !input.generics.params.is_empty() {
        return errors;
    }
    let ident = &input.ident;
    quote! {
        #errors
        #[allow(deprecated)]
        const _: () = {
            #[automatically_derived]
            impl #krate::Timer for #ident {
                const NAMES: &'static [&'static ::core::primitive::str] = &[];
                fn to_text(&self) -> ::core::result::Result<::std::string::String, #krate::TimerError> {
                    ::core::unreachable!()
                }
                fn from_text(_: &::core::primitive::str) -> ::core::result::Result<Self, #krate::TimerError> {
                    ::core::unreachable!()
                }
            }
        };
    }
}

fn read<'a>(input: &'a DeriveInput, errors: &mut Errors) -> Vec<Variant<'a>> {
    const CURE: &str = "timers are an enum: write a variant for each timer";
    let data = match &input.data {
        Data::Enum(data) => data,
        Data::Struct(data) => {
            errors.at(&data.struct_token, CURE);
            return Vec::new();
        }
        Data::Union(data) => {
            errors.at(&data.union_token, CURE);
            return Vec::new();
        }
    };
    check_attributes(&input.attrs, Place::Enum, errors);
    if data.variants.is_empty() {
        errors.at(
            &input.ident,
            "this enum has no timer: write a variant, or leave `timer` out of the process, which then has none",
        );
    }
    let rules = Serde::of(&input.attrs).rules("rename_all_fields").unwrap_or_default();
    let variants: Vec<_> = data.variants.iter().map(|variant| read_variant(variant, rules, errors)).collect();
    let mut seen = BTreeMap::new();
    for variant in &variants {
        variant.names.iter().for_each(|name| unique(name, variant.ident, &mut seen, errors));
    }
    variants
}

fn read_variant<'a>(variant: &'a syn::Variant, rules: Rules, errors: &mut Errors) -> Variant<'a> {
    let (ident, all) = (&variant.ident, &variant.fields);
    check_attributes(&variant.attrs, Place::Variant, errors);
    if let Fields::Unnamed(fields) = all {
        errors.at(fields, format!("the fields of a timer are stored by name: write `{ident} {{ … }}`"));
    }
    refuse_self(all, "a timer", errors);
    for field in all {
        Args::new(TIMER, &field.attrs, errors).refuse_rest("a timer's field", &[], errors);
        if let Some(name) = unordered(field.ty.to_token_stream()) {
            let ordered = name.to_string().replace("Hash", "BTree");
            errors.at(
                &name,
                format!("`{name}` has no fixed order, but the stored form identifies the timer: use `{ordered}`"),
            );
        }
    }
    let mut args = Args::new(TIMER, &variant.attrs, errors);
    let given = args.take(NAME, errors).map(|arg| arg.text(errors).map(|name| (name.value(), name.span())));
    let name = given.unwrap_or_else(|| Some((snake_case(ident), ident.span())));
    let aliases = args.take_all(ALIAS).into_iter().filter_map(|arg| arg.text(errors));
    let aliases: Vec<_> = aliases.map(|name| (name.value(), name.span())).collect();
    args.refuse_rest("a timer", &[NAME, ALIAS], errors);
    let names: Vec<_> = name.into_iter().chain(aliases).collect();
    for (name, span) in &names {
        if let Some(problem) = problem(name) {
            errors.here(*span, problem);
        }
    }
    let rules = Serde::of(&variant.attrs).rules("rename_all").unwrap_or(rules);
    let wires = wire::fields(all, rules, false);
    readable::fields(all, &wires, false, errors);
    Variant { ident, fields: all, wires, carried: carried(&variant.attrs), names }
}

fn problem(name: &str) -> Option<String> {
    let braces = || "a timer's fields follow its name in braces, so the name can't contain any".to_owned();
    name_problem(name).or_else(|| name.contains(['{', '}']).then(braces))
}

/// The first type that writes equal values in different orders.
fn unordered(tokens: TokenStream) -> Option<Ident> {
    tokens.into_iter().find_map(|token| match token {
        TokenTree::Ident(ident) => UNORDERED.iter().any(|name| ident == name).then_some(ident),
        TokenTree::Group(group) => unordered(group.stream()),
        _ => None,
    })
}

fn unique<'a>(
    (name, span): &'a (String, Span),
    ident: &'a Ident,
    seen: &mut BTreeMap<&'a str, &'a Ident>,
    errors: &mut Errors,
) {
    match seen.insert(name, ident) {
        Some(other) if other == ident => {
            errors.here(*span, format!("`{name}` is given twice for `{ident}`: remove one"));
        }
        Some(other) => {
            errors.here(*span, format!("`{name}` already names `{other}`: give `{ident}` a stored name of its own"));
        }
        None => {}
    }
}

fn expand(krate: &TokenStream, input: &DeriveInput, variants: &[Variant<'_>]) -> TokenStream {
    let (ident, scope) = (&input.ident, form::scope(krate));
    let checks = variants.iter().map(|variant| readable::forms(krate, variant.fields, &variant.wires));
    let compared: Vec<_> = variants.iter().map(|variant| (variant.ident, variant.fields)).collect();
    let payload = payload_impl(krate, ident, &differing(krate, true, &compared));
    let mirror = mirror(krate, input, variants);
    let names = variants.iter().filter_map(|variant| variant.names.first()).map(|(name, _)| name);
    let write = variants.iter().enumerate().map(|(index, variant)| write(krate, index, variant));
    let read = variants.iter().enumerate().map(|(index, variant)| {
        let names = variant.names.iter().map(|(name, _)| name);
        quote!(#(#names)|* => #krate::__private::timer_from_text(#index, __name, __fields))
    });
    quote! {
        #[allow(deprecated)]
        const _: () = {
            #scope
            #(#checks)*
            #mirror
            #payload
            #[automatically_derived]
            impl #krate::Timer for #ident {
                const NAMES: &'static [&'static ::core::primitive::str] = &[#(#names),*];

                fn to_text(&self) -> ::core::result::Result<::std::string::String, #krate::TimerError> {
                    match self { #(#write,)* }
                }

                fn from_text(
                    __text: &::core::primitive::str,
                ) -> ::core::result::Result<Self, #krate::TimerError> {
                    let (__name, __fields) = #krate::__private::timer_parts(__text);
                    match __name {
                        #(#read,)*
                        _ => ::core::result::Result::Err(#krate::TimerError::unknown(__name)),
                    }
                }
            }
        };
    }
}

fn write(krate: &TokenStream, index: usize, variant: &Variant<'_>) -> TokenStream {
    let Variant { ident, fields, wires, names, .. } = variant;
    let name = names.first().map(|(name, _)| name);
    if matches!(fields, Fields::Unit) {
        return quote!(Self::#ident => ::core::result::Result::Ok(::std::string::String::from(#name)));
    }
    let fidelity = form::fidelity(krate, fields, wires);
    quote! {
        Self::#ident { .. } => {
            const __FIDELITY: #krate::shape::Fidelity = #fidelity;
            #krate::__private::timer_to_text(self, #index, #name, __FIDELITY)
        }
    }
}

fn mirror(krate: &TokenStream, input: &DeriveInput, variants: &[Variant<'_>]) -> TokenStream {
    let mirror = mirror_ident();
    let attributes = attributes(krate, &input.ident, Use::State, &carried(&input.attrs));
    let variants = variants.iter().map(|variant| {
        let (carried, ident, fields) = (&variant.carried, variant.ident, fields(variant.fields));
        quote!(#carried #ident #fields)
    });
    quote!(#attributes enum #mirror { #(#variants),* })
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
            enum OrderTimer {
                PaymentOverdue,
                #[timer(name = "stock", alias = "refill", alias = "restock")]
                Restock { sku: u64, #[serde(default)] shelf: Shelf },
            }
            "#,
        );
        expect_file!["../snapshots/timer.rs"].assert_eq(&expansion);
    }

    #[test]
    fn all_mistakes_at_once() {
        let found = mistakes(
            derive,
            r#"
            #[timer(name = "x")]
            enum T<A> {
                #[timer(name = "a b", alias = "{")] A,
                #[timer(nome = "x", alias)] B(u8),
                #[timer(alias = "c")] C { #[timer(id)] map: Vec<HashMap<u8, A>>, myself: Self },
            }
            "#,
        );
        assert_eq!(found.len(), 11, "{found:#?}");
    }
}

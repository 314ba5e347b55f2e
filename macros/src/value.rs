//! `#[derive(Shape)]`.

use proc_macro2::{Ident, TokenStream, TokenTree};
use quote::{ToTokens, format_ident, quote};
use recount_schema::Tagging;
use syn::{Data, DataEnum, DeriveInput, Fields, parse_quote};

use crate::args::Args;
use crate::errors::Errors;
use crate::form;
use crate::names::{CRATE, SHAPE};
use crate::shape::krate;
use crate::wire::{self, Rules, Serde};

/// What makes serde write something else than the fields.
const ELSEWHERE: &[&str] = &["from", "try_from", "into", "remote"];

pub(crate) fn derive(input: &DeriveInput) -> TokenStream {
    let mut errors = Errors::default();
    let mut args = Args::new(SHAPE, &input.attrs, &mut errors);
    let krate = krate(&mut args, &mut errors);
    args.refuse_rest("a value", &[CRATE], &mut errors);
    let ident = &input.ident;
    let mut serde = Serde::of(&input.attrs);
    for key in ELSEWHERE.iter().filter(|key| Serde::of(&input.attrs).flag(key)) {
        errors.at(
            ident,
            format!(
                "with `serde({key})` another type says how this one is stored: write \
                 `impl Shape for {ident} {{ const FORM: Form = <That as Shape>::FORM; }}`"
            ),
        );
    }
    let form = match &input.data {
        Data::Struct(data) => of_struct(&krate, ident, &data.fields, &mut serde),
        Data::Enum(data) => of_enum(&krate, ident, data, &mut serde),
        Data::Union(data) => {
            errors.at(&data.union_token, "a `union` has no stored form: write an `enum` or a `struct`");
            TokenStream::new()
        }
    };
    if !errors.is_empty() {
        return errors.into_tokens();
    }
    let mut generics = input.generics.clone();
    for param in generics.type_params_mut() {
        param.bounds.push(parse_quote!(#krate::Shape));
    }
    let (parameters, arguments, bounds) = generics.split_for_impl();
    let scope = form::scope(&krate);
    quote! {
        #[allow(deprecated)]
        const _: () = {
            #scope
            #[automatically_derived]
            impl #parameters #krate::Shape for #ident #arguments #bounds {
                const FORM: #krate::shape::Form = #form;
            }
        };
    }
}

fn of_struct(krate: &TokenStream, ident: &Ident, fields: &Fields, serde: &mut Serde) -> TokenStream {
    let rules = serde.rules("rename_all").unwrap_or_default();
    let (defaulted, transparent) = (serde.flag("default"), serde.flag("transparent"));
    let mut wires = wire::fields(fields, rules, defaulted);
    hide_cycles(ident, &mut wires);
    match (fields, wires.as_slice()) {
        (_, [wire]) if transparent => form::of_field(krate, wire),
        (Fields::Unit, _) => quote!(#krate::shape::Form::Leaf("null")),
        (fields, wires) => form::of_fields(krate, fields, wires),
    }
}

fn of_enum(krate: &TokenStream, ident: &Ident, data: &DataEnum, serde: &mut Serde) -> TokenStream {
    let tagging = match (serde.text("tag"), serde.text("content"), serde.flag("untagged")) {
        (_, _, true) => Tagging::Untagged,
        (Some(tag), Some(content), _) => Tagging::Adjacent(tag, content),
        (Some(tag), None, _) => Tagging::Internal(tag),
        (None, ..) => Tagging::External,
    };
    let rules = serde.rules("rename_all").unwrap_or_default();
    let of_fields = serde.rules("rename_all_fields").unwrap_or_default();
    let stored = data.variants.iter().filter(|variant| {
        let mut serde = Serde::of(&variant.attrs);
        !["skip", "skip_serializing", "skip_deserializing"].map(|key| serde.flag(key)).contains(&true)
    });
    let choices = stored.map(|variant| {
        let names = wire::variant(variant, rules);
        let form = of_variant(krate, ident, variant, of_fields);
        form::choice(krate, &names.name, &names.aliases, &form)
    });
    let tagging = form::tagging(krate, &tagging);
    quote!(#krate::shape::Form::Choice(#tagging, &[#(#choices),*]))
}

fn of_variant(krate: &TokenStream, ident: &Ident, variant: &syn::Variant, rules: Rules) -> TokenStream {
    let mut serde = Serde::of(&variant.attrs);
    if ["with", "serialize_with", "deserialize_with"].map(|key| serde.flag(key)).contains(&true) {
        return quote!(#krate::shape::Form::Opaque);
    }
    let rules = serde.rules("rename_all").unwrap_or(rules);
    let mut wires = wire::fields(&variant.fields, rules, false);
    hide_cycles(ident, &mut wires);
    match &variant.fields {
        Fields::Unit => quote!(#krate::shape::Form::Unit),
        fields => form::of_fields(krate, fields, &wires),
    }
}

/// A type within itself would be a form without end.
fn hide_cycles(ident: &Ident, wires: &mut [wire::Wire<'_>]) {
    for wire in wires {
        let own = [ident.clone(), format_ident!("Self")];
        wire.custom |= mentions(wire.field.ty.to_token_stream(), &own);
    }
}

fn mentions(tokens: TokenStream, names: &[Ident]) -> bool {
    tokens.into_iter().any(|token| match token {
        TokenTree::Ident(ident) => names.contains(&ident),
        TokenTree::Group(group) => mentions(group.stream(), names),
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use expect_test::expect_file;

    use crate::testing::{expanded, mistakes};

    #[test]
    fn what_it_becomes() {
        let expansion = expanded(
            super::derive,
            r#"
            #[serde(tag = "by", rename_all = "snake_case")]
            enum Paid<T> {
                Cash,
                #[serde(alias = "credit_card")]
                Card { number: String, #[serde(default)] of: Option<Box<Paid<T>>>, extra: T },
            }
            "#,
        );
        expect_file!["snapshots/shape.rs"].assert_eq(&expansion);
    }

    #[test]
    fn what_another_type_stores_is_for_that_one_to_say() {
        let mistakes = mistakes(super::derive, r#"#[serde(into = "String", try_from = "String")] struct A(String);"#);
        assert_eq!(mistakes.len(), 2);
    }
}

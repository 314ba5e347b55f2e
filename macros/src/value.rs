//! `#[derive(Shape)]`.

use proc_macro2::{Ident, TokenStream, TokenTree};
use quote::{ToTokens, format_ident, quote};
use recount_schema::Tagging;
use syn::{Data, DataEnum, DeriveInput, Fields, parse_quote};

use crate::args::Args;
use crate::errors::Errors;
use crate::form;
use crate::names::{CRATE, SHAPE};
use crate::readable;
use crate::shape::krate;
use crate::wire::{self, Rules, Serde};

/// The attributes that make serde write something else than the fields.
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
    let mut reader = Reader { krate: &krate, ident, checks: TokenStream::new(), errors: &mut errors };
    let (form, fidelity) = match &input.data {
        Data::Struct(data) => reader.of_struct(&data.fields, &mut serde),
        Data::Enum(data) => reader.of_enum(data, &mut serde),
        Data::Union(data) => {
            reader.errors.at(&data.union_token, "a `union` has no stored form: write an `enum` or a `struct`");
            <_>::default()
        }
    };
    // The type of a type parameter is unknown here.
    let checks = if input.generics.params.is_empty() { reader.checks } else { TokenStream::new() };
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
            #checks
            #[automatically_derived]
            impl #parameters #krate::Shape for #ident #arguments #bounds {
                const FORM: #krate::shape::Form = #form;
                const FIDELITY: #krate::shape::Fidelity = #fidelity;
            }
        };
    }
}

/// Reads the forms of a type's fields and variants, and collects errors and compile-time checks.
struct Reader<'a> {
    krate: &'a TokenStream,
    ident: &'a Ident,
    /// The generated compile-time checks.
    checks: TokenStream,
    errors: &'a mut Errors,
}

/// The expressions of a form and of its fidelity.
type Known = (TokenStream, TokenStream);

impl Reader<'_> {
    fn of_struct(&mut self, fields: &Fields, serde: &mut Serde) -> Known {
        let krate = self.krate;
        let rules = serde.rules("rename_all").unwrap_or_default();
        let (defaulted, transparent) = (serde.flag("default"), serde.flag("transparent"));
        let wires = self.wires(fields, rules, defaulted);
        let form = match (fields, wires.as_slice()) {
            (_, [wire]) if transparent => form::of_field(krate, wire),
            (Fields::Unit, _) => quote!(#krate::shape::Form::Leaf("null")),
            (fields, wires) => form::of_fields(krate, fields, wires),
        };
        (form, form::fidelity(krate, fields, &wires))
    }

    fn of_enum(&mut self, data: &DataEnum, serde: &mut Serde) -> Known {
        let tagging = match (serde.text("tag"), serde.text("content"), serde.flag("untagged")) {
            (_, _, true) => Tagging::Untagged,
            (Some(tag), Some(content), _) => Tagging::Adjacent(tag, content),
            (Some(tag), None, _) => Tagging::Internal(tag),
            (None, ..) => Tagging::External,
        };
        let rules = serde.rules("rename_all").unwrap_or_default();
        let of_fields = serde.rules("rename_all_fields").unwrap_or_default();
        let (mut choices, mut fidelities, mut read) = (Vec::new(), Vec::new(), Vec::new());
        for variant in data.variants.iter().filter(|variant| is_stored(variant)) {
            let names = wire::variant(variant, rules);
            let (form, fidelity) = self.of_variant(variant, of_fields);
            choices.push(form::choice(self.krate, &names.name, &names.aliases, &form));
            if !matches!(variant.fields, Fields::Unit) {
                fidelities.push(fidelity);
            }
            if tagging != Tagging::Untagged {
                readable::variant(variant, &names, &read, self.errors);
                read.push((&variant.ident, names));
            }
        }
        // For other enums serde buffers the content, or tries the variants in turn.
        let exact = tagging == Tagging::External
            && choices.len() == data.variants.len()
            && data.variants.iter().all(|variant| !Serde::of(&variant.attrs).flag("untagged"));
        let krate = self.krate;
        let fidelity = if exact {
            quote!(#krate::shape::Fidelity::all(&[#(#fidelities),*]))
        } else {
            quote!(#krate::shape::Fidelity::Unknown)
        };
        let tagging = form::tagging(krate, &tagging);
        (quote!(#krate::shape::Form::Choice(#tagging, &[#(#choices),*])), fidelity)
    }

    fn of_variant(&mut self, variant: &syn::Variant, rules: Rules) -> Known {
        let krate = self.krate;
        let mut serde = Serde::of(&variant.attrs);
        if serde.is_custom() {
            return (quote!(#krate::shape::Form::Opaque), quote!(#krate::shape::Fidelity::Unknown));
        }
        let rules = serde.rules("rename_all").unwrap_or(rules);
        let wires = self.wires(&variant.fields, rules, false);
        let form = match &variant.fields {
            Fields::Unit => quote!(#krate::shape::Form::Unit),
            fields => form::of_fields(krate, fields, &wires),
        };
        (form, form::fidelity(krate, &variant.fields, &wires))
    }

    fn wires<'f>(&mut self, fields: &'f Fields, rules: Rules, defaulted: bool) -> Vec<wire::Wire<'f>> {
        let mut wires = wire::fields(fields, rules, defaulted);
        readable::fields(fields, &wires, defaulted, self.errors);
        hide_cycles(self.ident, &mut wires);
        self.checks.extend(readable::forms(self.krate, fields, &wires));
        wires
    }
}

fn is_stored(variant: &syn::Variant) -> bool {
    let mut serde = Serde::of(&variant.attrs);
    !["skip", "skip_serializing", "skip_deserializing"].map(|key| serde.flag(key)).contains(&true)
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

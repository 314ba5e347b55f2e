//! `#[derive(Command)]`.

use proc_macro2::{Ident, TokenStream};
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Data, DeriveInput, Fields, Path};

use crate::args::Args;
use crate::errors::Errors;
use crate::form;
use crate::mirror::{Place, Use, attributes, carried, check_attributes, fields, flattens, mirror_ident, payload_impl};
use crate::names::{AGGREGATE, COMMAND, CRATE, CREATE, ID, NAME, snake_case};
use crate::shape::{at, krate, refuse_generics, refuse_self};
use crate::wire::{self, Rules, Serde};

struct Command<'a> {
    krate: TokenStream,
    ident: &'a Ident,
    carried: TokenStream,
    rules: Rules,
    aggregate: Path,
    name: String,
    creates: bool,
    fields: &'a Fields,
    id: &'a Ident,
}

pub(crate) fn derive(input: &DeriveInput) -> TokenStream {
    let mut errors = Errors::default();
    match read(input, &mut errors) {
        Ok(command) if errors.is_empty() => expand(&command),
        Ok(command) => stub(input, &command.krate, &command.aggregate, errors),
        Err(Some((krate, aggregate))) => stub(input, &krate, &aggregate, errors),
        Err(None) => errors.into_tokens(),
    }
}

/// An implementation that does nothing, so that the mistakes are the only errors.
fn stub(input: &DeriveInput, krate: &TokenStream, aggregate: &Path, errors: Errors) -> TokenStream {
    let errors = errors.into_tokens();
    if !input.generics.params.is_empty() {
        return errors;
    }
    let ident = &input.ident;
    let json_error = quote!(#krate::__private::serde_json::Error);
    quote! {
        #errors
        #[allow(deprecated)]
        const _: () = {
            #[automatically_derived]
            impl #krate::Command for #ident {
                type Aggregate = #aggregate;
                const NAME: &'static ::core::primitive::str = "";
                fn aggregate_id(&self) -> &<#aggregate as #krate::Aggregate>::Id {
                    ::core::unreachable!()
                }
                fn to_json(
                    &self,
                ) -> ::core::result::Result<::std::vec::Vec<::core::primitive::u8>, #json_error> {
                    ::core::unreachable!()
                }
                fn from_json(_: &[::core::primitive::u8]) -> ::core::result::Result<Self, #json_error> {
                    ::core::unreachable!()
                }
                fn schema() -> #krate::__private::schemars::Schema {
                    ::core::unreachable!()
                }
            }
        };
    }
}

/// The parsed command, or else the crate and the aggregate for a stub, if the attributes name the aggregate.
type Read<'a> = Result<Command<'a>, Option<(TokenStream, Path)>>;

fn read<'a>(input: &'a DeriveInput, errors: &mut Errors) -> Read<'a> {
    refuse_generics(input, "a command", errors);
    check_attributes(&input.attrs, Place::Struct, errors);
    let ident = &input.ident;
    let mut args = Args::new(COMMAND, &input.attrs, errors);
    let krate = krate(&mut args, errors);
    let aggregate = args.take(AGGREGATE, errors);
    if aggregate.is_none() {
        errors.at(ident, "say who decides on this command: `#[command(aggregate = …)]`");
    }
    let aggregate = aggregate.and_then(|arg| arg.value::<Path>("Account", errors));
    let name = args.take(NAME, errors).and_then(|arg| arg.name(errors));
    let name = name.map_or_else(|| snake_case(ident), |name| name.value());
    let creates = args.take(CREATE, errors).is_some_and(|arg| arg.flag(errors));
    args.refuse_rest("a command", &[AGGREGATE, CREATE, NAME, CRATE], errors);

    let parts = read_fields(input, errors);
    match (aggregate, parts) {
        (Some(aggregate), Some((fields, id))) => {
            let rules = Serde::of(&input.attrs).rules("rename_all").unwrap_or_default();
            Ok(Command { krate, ident, carried: carried(&input.attrs), rules, aggregate, name, creates, fields, id })
        }
        (aggregate, _) => Err(aggregate.map(|aggregate| (krate, aggregate))),
    }
}

fn read_fields<'a>(input: &'a DeriveInput, errors: &mut Errors) -> Option<(&'a Fields, &'a Ident)> {
    let fields = match &input.data {
        Data::Struct(data) => &data.fields,
        Data::Enum(data) => {
            errors.at(&data.enum_token, "a command is one wish: write a struct for each variant of this enum");
            return None;
        }
        Data::Union(data) => {
            errors.at(&data.union_token, "a command can't be a `union`: write a struct");
            return None;
        }
    };
    refuse_self(fields, "a command", errors);
    Some((fields, read_id(&input.ident, fields, errors)?))
}

fn read_id<'a>(ident: &Ident, fields: &'a Fields, errors: &mut Errors) -> Option<&'a Ident> {
    let mut ids = Vec::new();
    for field in fields {
        let mut args = Args::new(COMMAND, &field.attrs, errors);
        if let Some(id) = args.take(ID, errors) {
            ids.push((id.key.clone(), field));
            id.flag(errors);
        }
        args.refuse_rest("a command's field", &[ID], errors);
    }
    if let Fields::Unnamed(fields) = fields {
        errors.at(fields, "a command is a JSON object: give its fields names");
        return None;
    }
    for (again, _) in ids.iter().skip(1) {
        errors.at(again, "a command is about one aggregate: keep one `#[command(id)]`");
    }
    let Some((_, field)) = ids.first() else {
        errors.at(ident, "say which aggregate this is about: put `#[command(id)]` on the field that holds its id");
        return None;
    };
    field.ident.as_ref()
}

fn expand(command: &Command<'_>) -> TokenStream {
    let Command { krate, ident, carried, rules, aggregate, name, creates, fields: all, id } = command;
    let mirror = mirror_ident();
    // serde can't tell unknown fields from flattened ones.
    let strict = (!flattens(all)).then(|| quote!(#[serde(deny_unknown_fields)]));
    let attributes = attributes(krate, ident, Use::Message, &quote!(#carried #strict));
    let wires = wire::fields(all, *rules, false);
    let (scope, fidelity) = (form::scope(krate), form::fidelity(krate, all, &wires));
    let form = form::of_fields(krate, all, &wires);
    let (fields, payload) = (fields(all), payload_impl(krate, ident, &TokenStream::new()));
    let id_of = quote_spanned!(at(id.span())=> &self.#id);
    let handled = quote_spanned! {at(aggregate.span())=>
        const _: () = #krate::__private::assert_handler::<#aggregate, #ident>();
    };
    quote! {
        #[allow(deprecated)]
        const _: () = {
            #attributes
            struct #mirror #fields
            #payload
            #handled
            #[automatically_derived]
            impl #krate::Command for #ident {
                type Aggregate = #aggregate;
                const NAME: &'static ::core::primitive::str = #name;
                const CREATES: ::core::primitive::bool = #creates;
                const FORM: #krate::shape::Form = {
                    #scope
                    #form
                };

                fn aggregate_id(&self) -> &<#aggregate as #krate::Aggregate>::Id {
                    #id_of
                }

                fn to_json(
                    &self,
                ) -> ::core::result::Result<::std::vec::Vec<::core::primitive::u8>, #krate::__private::serde_json::Error> {
                    #scope
                    const __FIDELITY: #krate::shape::Fidelity = #fidelity;
                    #krate::__private::command_to_json(self, __FIDELITY)
                }

                fn from_json(
                    __json: &[::core::primitive::u8],
                ) -> ::core::result::Result<Self, #krate::__private::serde_json::Error> {
                    #krate::__private::command_from_json(__json)
                }

                fn schema() -> #krate::__private::schemars::Schema {
                    #krate::__private::payload_schema::<#mirror>()
                }
            }
        };
    }
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
            #[command(aggregate = Account, create)]
            pub struct OpenAccount { #[command(id)] pub account: AccountId, #[serde(default)] pub owner: String }
            "#,
        );
        expect_file!["snapshots/command.rs"].assert_eq(&expansion);
    }

    #[test]
    fn all_mistakes_at_once() {
        let found = mistakes(
            super::derive,
            "#[command(nome = \"x\", create = 1)] struct Open<T> { #[command(id)] a: A, #[command(id, key)] b: T }",
        );
        assert_eq!(found.len(), 6, "{found:#?}");
    }
}

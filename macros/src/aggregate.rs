//! `#[derive(Aggregate)]`.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Data, DeriveInput, Path, Type};

use crate::args::{Arg, Args};
use crate::differing::differing;
use crate::errors::Errors;
use crate::form;
use crate::mirror::{Place, Use, attributes, carried, check_attributes, fields, mirror_ident, payload_impl};
use crate::names::{AGGREGATE, COMMANDS, CRATE, ERROR, EVENT, EVERY, ID, NAME, SNAPSHOT, VERSION};
use crate::shape::{at, krate, refuse_generics, refuse_twice};
use crate::state;

struct Aggregate<'a> {
    krate: TokenStream,
    input: &'a DeriveInput,
    name: String,
    id: Type,
    event: Type,
    error: Type,
    commands: Vec<Path>,
    snapshot: Option<Snapshot>,
}

struct Snapshot {
    every: u64,
    version: u32,
}

pub(crate) fn derive(input: &DeriveInput) -> TokenStream {
    let mut errors = Errors::default();
    match read(input, &mut errors) {
        Some(aggregate) if errors.is_empty() => expand(&aggregate),
        Some(aggregate) => stub(&aggregate, errors),
        // Without id, event and error types there is no implementation to stand in.
        None => errors.into_tokens(),
    }
}

/// An implementation that does nothing, so that the mistakes are the only errors.
fn stub(aggregate: &Aggregate<'_>, errors: Errors) -> TokenStream {
    let errors = errors.into_tokens();
    let Aggregate { krate, input, id, event, error, .. } = aggregate;
    if !input.generics.params.is_empty() {
        return errors;
    }
    let ident = &input.ident;
    quote! {
        #errors
        #[allow(deprecated)]
        const _: () = {
            #[automatically_derived]
            impl #krate::Aggregate for #ident {
                type Id = #id;
                type Event = #event;
                type Error = #error;
                const NAME: &'static ::core::primitive::str = "";
                fn commands() -> ::std::vec::Vec<#krate::CommandRoute<Self>> {
                    ::core::unreachable!()
                }
            }
        };
    }
}

fn read<'a>(input: &'a DeriveInput, errors: &mut Errors) -> Option<Aggregate<'a>> {
    refuse_generics(input, "an aggregate", errors);
    if let Data::Union(data) = &input.data {
        errors.at(&data.union_token, "an aggregate can't be a `union`: write a struct or an enum");
    }
    check_attributes(&input.attrs, Place::State, errors);
    let mut args = Args::new(AGGREGATE, &input.attrs, errors);
    let krate = krate(&mut args, errors);
    let name = args.take(NAME, errors);
    let id = args.take(ID, errors);
    let event = args.take(EVENT, errors);
    let error = args.take(ERROR, errors);
    let missing: Vec<_> = [(&name, "name = \"…\""), (&id, "id = …"), (&event, "event = …"), (&error, "error = …")]
        .into_iter()
        .filter(|(arg, _)| arg.is_none())
        .map(|(_, example)| example)
        .collect();
    if !missing.is_empty() {
        let missing = missing.join(", ");
        errors.at(&input.ident, format!("an aggregate also needs `#[aggregate({missing})]`"));
    }
    let name = name.and_then(|arg| arg.name(errors));
    if let Some(name) = name.as_ref().filter(|name| name.value().contains('/')) {
        errors.at(name, "a stream is written `category/id`, so the aggregate's name can't contain a slash");
    }
    let id = id.and_then(|arg| arg.value("AccountId", errors));
    let event = event.and_then(|arg| arg.value("AccountEvent", errors));
    let error = error.and_then(|arg| arg.value("AccountError", errors));
    let commands = args.take(COMMANDS, errors).and_then(|arg| arg.list::<Path>("Open, Close", errors));
    let commands = commands.unwrap_or_default();
    refuse_twice(&commands, errors);
    let snapshot = args.take(SNAPSHOT, errors).and_then(|arg| read_snapshot(arg, errors));
    args.refuse_rest("an aggregate", &[NAME, ID, EVENT, ERROR, COMMANDS, SNAPSHOT, CRATE], errors);
    Some(Aggregate {
        krate,
        input,
        name: name.map(|name| name.value()).unwrap_or_default(),
        id: id?,
        event: event?,
        error: error?,
        commands,
        snapshot,
    })
}

fn read_snapshot(arg: Arg, errors: &mut Errors) -> Option<Snapshot> {
    let key = arg.key.clone();
    let mut args = arg.args(SNAPSHOT, "every = 500, version = 1", errors)?;
    let (every, version) = (args.take(EVERY, errors), args.take(VERSION, errors));
    args.refuse_rest("a snapshot", &[EVERY, VERSION], errors);
    if every.is_none() || version.is_none() {
        errors.at(&key, "say how often the state is kept and which shape it has: `snapshot(every = 500, version = 1)`");
    }
    let every = every.and_then(|arg| arg.count("a snapshot is kept after some number of events", errors));
    let version = version.and_then(|arg| arg.count("versions count from 1", errors));
    Some(Snapshot { every: every?.0, version: version?.0 })
}

fn expand(aggregate: &Aggregate<'_>) -> TokenStream {
    let Aggregate { krate, input, name, id, event, error, commands, snapshot } = aggregate;
    let ident = &input.ident;
    let applies = quote_spanned!(at(ident.span())=> const _: () = #krate::__private::assert_apply::<#ident>(););
    let routes = commands
        .iter()
        .map(|command| quote_spanned!(at(command.span())=> #krate::CommandRoute::<Self>::of::<#command>()));
    let distinct = (1..commands.len()).map(|at| distinct(krate, &commands[..at], &commands[at]));
    let (state, snapshot) = snapshot.as_ref().map(|kept| keep(krate, input, kept)).unwrap_or_default();
    let (name, id_type) = (name, quote_spanned!(at(id.span())=> type Id = #id;));
    quote! {
        #[allow(deprecated)]
        const _: () = {
            #state
            #applies
            #(#distinct)*
            #[automatically_derived]
            impl #krate::Aggregate for #ident {
                #id_type
                type Event = #event;
                type Error = #error;
                const NAME: &'static ::core::primitive::str = #name;
                #snapshot

                fn refusal_json(
                    __error: &Self::Error,
                ) -> ::core::option::Option<#krate::__private::serde_json::Value> {
                    #[allow(unused_imports)]
                    use #krate::__private::{Unserialized as _, Serialized as _};
                    (&#krate::__private::RefusalJson(__error)).json()
                }

                fn commands() -> ::std::vec::Vec<#krate::CommandRoute<Self>> {
                    ::std::vec::Vec::from([#(#routes),*])
                }
            }
        };
    }
}

/// Two commands of one name couldn't be told apart.
fn distinct(krate: &TokenStream, before: &[Path], command: &Path) -> TokenStream {
    let message = "this command has the name of an earlier one: give it another with `#[command(name = \"…\")]`";
    quote_spanned! {at(command.span())=>
        const _: () = ::core::assert!(
            !#krate::__private::any_same(
                &[#(<#before as #krate::Command>::NAME),*],
                <#command as #krate::Command>::NAME,
            ),
            #message
        );
    }
}

/// The state's coding, and the constant that announces it.
fn keep(krate: &TokenStream, input: &DeriveInput, snapshot: &Snapshot) -> (TokenStream, TokenStream) {
    let Snapshot { every, version } = snapshot;
    let (ident, mirror) = (&input.ident, mirror_ident());
    let attributes = attributes(krate, ident, Use::State, &carried(&input.attrs));
    let compared: Vec<_> = match &input.data {
        Data::Struct(data) => vec![(ident, &data.fields)],
        Data::Enum(data) => data.variants.iter().map(|variant| (&variant.ident, &variant.fields)).collect(),
        Data::Union(_) => Vec::new(),
    };
    let payload = payload_impl(krate, ident, &differing(krate, matches!(input.data, Data::Enum(_)), &compared));
    let body = match &input.data {
        Data::Struct(data) => {
            let fields = fields(&data.fields);
            let end = matches!(data.fields, syn::Fields::Unnamed(_)).then(|| quote!(;));
            quote!(struct #mirror #fields #end)
        }
        Data::Enum(data) => {
            let variants = data.variants.iter().map(|variant| {
                let (carried, ident, fields) = (carried(&variant.attrs), &variant.ident, fields(&variant.fields));
                quote!(#carried #ident #fields)
            });
            quote!(enum #mirror { #(#variants),* })
        }
        Data::Union(_) => TokenStream::new(),
    };
    let (shape, fidelity, scope) = (state::shape(krate, input), state::fidelity(krate, input), form::scope(krate));
    let constant = quote! {
        const SNAPSHOT: ::core::option::Option<#krate::Snapshot<Self>> =
            ::core::option::Option::Some(#krate::Snapshot {
                every: #every,
                version: #version,
                shape: #shape,
                encode: |__state| {
                    #scope
                    const __FIDELITY: #krate::shape::Fidelity = #fidelity;
                    #krate::__private::state_to_json::<Self>(__state, __FIDELITY)
                },
                decode: #krate::__private::state_from_json::<Self>,
            });
    };
    (quote!(#attributes #body #payload), constant)
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
            #[aggregate(name = "account", id = AccountId, event = AccountEvent, error = AccountError,
                        commands(Open, Deposit), snapshot(every = 500, version = 1))]
            struct Account { open: bool, #[serde(rename = "cents")] balance: i64 }
            "#,
        );
        expect_file!["snapshots/aggregate.rs"].assert_eq(&expansion);
    }

    #[test]
    fn all_mistakes_at_once() {
        let found = mistakes(
            super::derive,
            "#[aggregate(name = 1, id = X, commands(Open, Open), snapshot(every = 0, version = 1), what)] struct A;",
        );
        assert_eq!(found.len(), 5, "{found:#?}");
    }
}

//! `#[derive(Process)]`.

use std::collections::BTreeMap;

use proc_macro2::{Ident, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Data, DeriveInput, Path, Type};

use crate::args::{Arg, Args};
use crate::errors::Errors;
use crate::names::{COMMANDS, CRATE, FACT, ID, INPUT, NAME, PROCESS, TIMER, UNKNOWN};
use crate::shape::{all_at, at, krate, refuse_generics, refuse_twice};

/// The outcomes of an input for an unknown instance, and the variants of `UnknownInstance`.
const WORDS: &[(&str, &str)] = &[("ignore", "Ignore"), ("hold", "Hold"), ("park", "Park")];

struct Process<'a> {
    krate: TokenStream,
    input: &'a DeriveInput,
    name: String,
    id: Type,
    hears: Type,
    fact: Type,
    timer: Option<Type>,
    commands: Vec<Path>,
    unknown: Option<Ident>,
}

pub(crate) fn derive(input: &DeriveInput) -> TokenStream {
    let mut errors = Errors::default();
    match read(input, &mut errors) {
        Some(process) if errors.is_empty() => expand(&process),
        Some(process) => stub(&process, errors),
        // Without its types there is no implementation to stand in.
        None => errors.into_tokens(),
    }
}

/// An implementation that does nothing, so that the mistakes are the only errors.
fn stub(process: &Process<'_>, errors: Errors) -> TokenStream {
    let errors = errors.into_tokens();
    if !process.input.generics.params.is_empty() {
        return errors;
    }
    // A command that is listed twice would have two implementations.
    let commands = process.commands.iter().map(|command| (command.to_token_stream().to_string(), command));
    let commands: BTreeMap<_, _> = commands.collect();
    let definition = definition(process, commands.values().copied(), &quote!(::core::unreachable!()));
    quote! {
        #errors
        #[allow(deprecated)]
        const _: () = { #definition };
    }
}

fn read<'a>(input: &'a DeriveInput, errors: &mut Errors) -> Option<Process<'a>> {
    refuse_generics(input, "a process", errors);
    refuse_other_than_struct(input, errors);
    let mut args = Args::new(PROCESS, &input.attrs, errors);
    let krate = krate(&mut args, errors);
    let mut take = |key| args.take(key, errors);
    let (name, id, hears, fact, commands) = (take(NAME), take(ID), take(INPUT), take(FACT), take(COMMANDS));
    let (timer, unknown) = (take(TIMER), take(UNKNOWN));
    args.refuse_rest("a process", &[NAME, ID, INPUT, FACT, TIMER, COMMANDS, UNKNOWN, CRATE], errors);
    let missing: Vec<_> = [
        (&name, "name = \"…\""),
        (&id, "id = …"),
        (&hears, "input = …"),
        (&fact, "fact = …"),
        (&commands, "commands(…)"),
    ]
    .into_iter()
    .filter_map(|(arg, example)| arg.is_none().then_some(example))
    .collect();
    if !missing.is_empty() {
        errors.at(&input.ident, format!("a process also needs `#[process({})]`", missing.join(", ")));
    }
    let name = name.and_then(|arg| arg.name(errors));
    if let Some(name) = name.as_ref().filter(|name| name.value().contains('/')) {
        errors.at(name, "a stream is written `category/id`, so the process's name can't contain a slash");
    }
    let id = id.and_then(|arg| arg.value("OrderId", errors));
    let hears = hears.and_then(|arg| arg.value("OrderInput", errors));
    let fact = fact.and_then(|arg| arg.value("OrderFact", errors));
    let timer = timer.and_then(|arg| arg.value("OrderTimer", errors));
    let commands = commands.map(|arg| read_commands(arg, errors)).unwrap_or_default();
    let unknown = unknown.and_then(|arg| read_unknown(arg, errors));
    let name = name.map(|name| name.value()).unwrap_or_default();
    Some(Process { krate, input, name, id: id?, hears: hears?, fact: fact?, timer, commands, unknown })
}

fn refuse_other_than_struct(input: &DeriveInput, errors: &mut Errors) {
    const CURE: &str = "a process is a struct: its fields are what it knows, and their defaults where it begins";
    match &input.data {
        Data::Struct(_) => {}
        Data::Enum(data) => errors.at(&data.enum_token, CURE),
        Data::Union(data) => errors.at(&data.union_token, CURE),
    }
}

fn read_commands(arg: Arg, errors: &mut Errors) -> Vec<Path> {
    let commands = arg.list::<Path>("Reserve, Release", errors).unwrap_or_default();
    refuse_twice(&commands, errors);
    commands
}

fn read_unknown(arg: Arg, errors: &mut Errors) -> Option<Ident> {
    let word: Ident = arg.value("ignore", errors)?;
    let found = WORDS.iter().find(|(known, _)| word == known);
    if found.is_none() {
        errors
            .at(&word, "an input for an unknown instance is ignored, held or parked: write `ignore`, `hold` or `park`");
    }
    found.map(|(_, variant)| Ident::new(variant, proc_macro2::Span::call_site()))
}

fn expand(process: &Process<'_>) -> TokenStream {
    let Process { krate, input, commands, .. } = process;
    let ident = &input.ident;
    let defined = quote_spanned!(at(ident.span())=> const _: () = #krate::__private::assert_process::<#ident>(););
    let distinct = distinct(krate, commands);
    let each =
        commands.iter().map(|command| quote_spanned!(at(command.span())=> #krate::ProcessCommand::of::<_, #command>()));
    let definition = definition(process, commands, &quote!(::std::vec::Vec::from([#(#each),*])));
    quote! {
        #[allow(deprecated)]
        const _: () = {
            #defined
            #distinct
            #definition
        };
    }
}

/// Two commands of one name couldn't be told apart.
fn distinct(krate: &TokenStream, commands: &[Path]) -> TokenStream {
    let count = commands.len();
    if count < 2 {
        return TokenStream::new();
    }
    let message =
        "this command has the name of an earlier one of its aggregate: give it another with `#[command(name = \"…\")]`";
    let names = commands
        .iter()
        .map(|command| quote_spanned!(at(command.span())=> #krate::__private::command_names::<#command>()));
    let checks = commands.iter().enumerate().skip(1).map(|(index, command)| {
        quote_spanned! {at(command.span())=>
            const _: () = ::core::assert!(!#krate::__private::is_repeated(&__NAMES, #index), #message);
        }
    });
    quote! {
        const __NAMES: [#krate::__private::CommandNames; #count] = [#(#names),*];
        #(#checks)*
    }
}

fn definition<'a>(
    process: &Process<'_>,
    commands: impl IntoIterator<Item = &'a Path>,
    listed: &TokenStream,
) -> TokenStream {
    let Process { krate, input, name, id, hears, fact, timer, unknown, .. } = process;
    let ident = &input.ident;
    let timer = timer.as_ref().map_or_else(|| quote!(#krate::NoTimer), ToTokens::to_token_stream);
    let types = [
        ("Id", id.to_token_stream()),
        ("Input", hears.to_token_stream()),
        ("Fact", fact.to_token_stream()),
        ("Timer", timer),
    ]
    .map(|(name, ty)| {
        let name = Ident::new(name, at(ty.span()));
        quote_spanned!(at(ty.span())=> type #name = #ty;)
    });
    let unknown = unknown
        .as_ref()
        .map(|unknown| quote!(const UNKNOWN: #krate::UnknownInstance = #krate::UnknownInstance::#unknown;));
    let sends = commands.into_iter().map(|command| {
        let krate = all_at(at(command.span()), krate);
        quote_spanned! {at(command.span())=>
            #[automatically_derived]
            impl #krate::Sends<#command> for #ident {}
        }
    });
    quote! {
        #[automatically_derived]
        impl #krate::ProcessDefinition for #ident {
            #(#types)*
            const NAME: &'static ::core::primitive::str = #name;
            #unknown
            fn commands() -> ::std::vec::Vec<#krate::ProcessCommand> {
                #listed
            }
        }
        #(#sends)*
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
            #[process(name = "fulfilment", id = OrderId, input = Input, fact = Fact, timer = OrderTimer,
                      commands(Reserve, stock::Release), unknown = hold)]
            struct Fulfilment { attempt: u32 }
            "#,
        );
        expect_file!["../snapshots/process.rs"].assert_eq(&expansion);
    }

    #[test]
    fn all_mistakes_at_once() {
        let found = mistakes(
            derive,
            r#"
            #[process(name = "a/b", id = "OrderId", fact = Fact, timers = T, commands(Reserve, Reserve), unknown = keep)]
            enum P<T> { A(T) }
            "#,
        );
        assert_eq!(found.len(), 8, "{found:#?}");
    }
}

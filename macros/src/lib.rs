//! The derives of recount.

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

mod aggregate;
mod args;
mod command;
mod errors;
mod event;
mod id;
mod mirror;
mod names;
mod shape;
#[cfg(test)]
mod testing;

/// Event
#[proc_macro_derive(Event, attributes(event, serde, schemars))]
pub fn event(input: TokenStream) -> TokenStream {
    event::derive(&parse_macro_input!(input as DeriveInput)).into()
}

/// Command
#[proc_macro_derive(Command, attributes(command, serde, schemars))]
pub fn command(input: TokenStream) -> TokenStream {
    command::derive(&parse_macro_input!(input as DeriveInput)).into()
}

/// Aggregate
#[proc_macro_derive(Aggregate, attributes(aggregate, serde, schemars))]
pub fn aggregate(input: TokenStream) -> TokenStream {
    aggregate::derive(&parse_macro_input!(input as DeriveInput)).into()
}

/// Id
#[proc_macro_derive(Id, attributes(id))]
pub fn id(input: TokenStream) -> TokenStream {
    id::derive(&parse_macro_input!(input as DeriveInput)).into()
}

//! Middleware: layers around the handling of each message, on the model of [tower](https://docs.rs/tower).
//!
//! A subscriber with layers has one service, which all its lanes share. A message waits for its turn, then for the circuit,
//! then for the readiness of the layers. It is called when they are ready, and then others have their turn.

mod layered;
mod request;
mod service;

pub(crate) use layered::{Layered, Turn, Wrap};
pub use request::{Handled, HandlerRequest};
pub use service::{HandlerFuture, HandlerService};

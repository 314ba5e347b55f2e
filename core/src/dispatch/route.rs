//! Commands by name: for HTTP, brokers and the console, which know a command only as text.

use std::collections::BTreeMap;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;

use schemars::Schema;

use super::engine::Engine;
use super::request::{Request, key_options, request_options};
use super::{DispatchError, LoadError, Receipt, Refusal};
use crate::{Apply, CommandRoute, EventData, NameCollision, RustType};

type Answer = Result<Receipt<EventData>, DispatchError<Refusal>>;
type Run = dyn Fn(&Arc<Engine>, &[u8], Request) -> AnswerFuture<'static> + Send + Sync;
type AnswerFuture<'a> = Pin<Box<dyn Future<Output = Answer> + Send + 'a>>;

/// The way to one command of a registered aggregate.
#[derive(Clone)]
pub(crate) struct Route {
    pub(crate) schema: fn() -> Schema,
    aggregate: RustType,
    run: Arc<Run>,
}

/// Routes by aggregate and command name.
pub(crate) type Routes = BTreeMap<(&'static str, &'static str), Route>;

impl Route {
    pub(crate) fn new<A: Apply>(route: CommandRoute<A>) -> Self {
        let CommandRoute { name, decode, schema, .. } = route;
        let run = move |engine: &Arc<Engine>, json: &[u8], request: Request| -> AnswerFuture<'static> {
            let decoded = decode(json);
            let engine = Arc::clone(engine);
            Box::pin(async move {
                let command =
                    decoded.map_err(|source| DispatchError::Malformed { command: name.to_owned(), source })?;
                let (receipt, ()) = engine
                    .run::<A, ()>(&*command, &request, |_| ())
                    .await
                    .map_err(|error| error.map_rejection(refusal::<A>))?;
                let Receipt { version, position, events, repeated } = receipt;
                let events = events.iter().map(crate::Event::encode).collect::<Result<_, _>>()?;
                Ok(Receipt { version, position, events, repeated })
            })
        };
        Self { schema, aggregate: RustType::of::<A>(), run: Arc::new(run) }
    }

    /// Meets another route of the same name: if it is to another aggregate, neither is taken.
    pub(crate) fn meet(&mut self, name: &'static str, other: &Self) {
        if self.aggregate == other.aggregate {
            return;
        }
        let collision = NameCollision { kind: "aggregate", name, first: self.aggregate, second: other.aggregate };
        self.run = Arc::new(move |_, _, _| {
            let refused = LoadError::from(collision.clone());
            Box::pin(async move { Err(refused.into()) })
        });
    }
}

pub(crate) fn refusal<A: Apply>(error: A::Error) -> Refusal {
    let json = A::refusal_json(&error);
    Refusal::of(error, json)
}

/// A command given by name and JSON, dispatched when it is awaited.
#[must_use = "nothing is dispatched until this is awaited"]
pub struct DispatchJson<'a> {
    engine: &'a Arc<Engine>,
    aggregate: &'a str,
    command: &'a str,
    json: &'a [u8],
    request: Request,
}

impl<'a> DispatchJson<'a> {
    pub(crate) fn new(engine: &'a Arc<Engine>, aggregate: &'a str, command: &'a str, json: &'a [u8]) -> Self {
        Self { engine, aggregate, command, json, request: Request::new() }
    }

    request_options!();
    key_options!();

    async fn run(self) -> Answer {
        let routes = &self.engine.routes;
        let Some(route) = routes.iter().find(|((a, c), _)| *a == self.aggregate && *c == self.command) else {
            let known: Vec<_> = routes.keys().map(|(aggregate, command)| format!("{aggregate}.{command}")).collect();
            return Err(DispatchError::UnknownCommand {
                aggregate: self.aggregate.to_owned(),
                command: self.command.to_owned(),
                known: if known.is_empty() { "none, register an aggregate".to_owned() } else { known.join(", ") },
            });
        };
        (route.1.run)(self.engine, self.json, self.request).await
    }
}

impl<'a> IntoFuture for DispatchJson<'a> {
    type Output = Answer;
    type IntoFuture = AnswerFuture<'a>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

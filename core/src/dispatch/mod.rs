//! Dispatching commands: the order of turns, the state that is decided on, and the handling of conflicts.

mod append;
mod attempt;
mod background;
mod cache;
mod decide;
mod engine;
mod error;
mod group;
mod kept;
mod load;
mod observe;
mod outcome;
mod queue;
mod receipt;
mod refusal;
mod request;
mod retry;
mod route;
mod shared;
mod snapshot;
pub(crate) mod transient;
mod turn;
mod warm;

use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;

pub use decide::Decide;
pub use engine::Clock;
pub(crate) use engine::{Engine, EngineSettings};
pub use error::{DispatchError, LoadError};
pub(crate) use kept::is_closed;
pub use load::Load;
pub use outcome::KeyOutcome;
use queue::Finish;
pub use receipt::Receipt;
pub use refusal::Refusal;
pub(crate) use request::Request;
use request::{key_options, request_options};
pub use retry::Retry;
pub use route::DispatchJson;
pub(crate) use route::{Route, refusal};

use crate::{Aggregate, Apply, Command, HandleWith};

/// A command that is dispatched when it is awaited.
///
/// # Cancel safety
/// Dropped, the command took effect wholly or not at all. To find out, repeat it with the same
/// [idempotency key](Self::idempotency_key). Commands that waited for the same aggregate may be recorded in one append:
/// dropping one of them neither holds up nor undoes the others.
#[must_use = "nothing is dispatched until this is awaited"]
pub struct Dispatch<'a, C> {
    engine: &'a Arc<Engine>,
    command: C,
    request: Request,
}

impl<'a, A, C> Dispatch<'a, C>
where
    A: Apply + HandleWith<C>,
    C: Command<Aggregate = A>,
{
    pub(crate) fn new(engine: &'a Arc<Engine>, command: C) -> Self {
        Self { engine, command, request: Request::new() }
    }

    request_options!();
    key_options!();

    /// Dispatches, and returns the state after it too.
    ///
    /// # Errors
    /// See [`DispatchError`]. If the aggregate was erased, a repetition fails, as there is no state.
    pub async fn and_load(self) -> Result<(Receipt<A::Event>, A), DispatchError<A::Error>> {
        let (receipt, state) = self.run(|state| state.cloned()).await?;
        Ok((receipt, state?))
    }

    async fn run<T: Send + 'static>(
        &self,
        finish: Finish<A, T>,
    ) -> Result<(Receipt<A::Event>, T), DispatchError<A::Error>> {
        self.engine.run::<A, T>(&self.command, &self.request, finish).await
    }
}

impl<'a, A, C> IntoFuture for Dispatch<'a, C>
where
    A: Apply + HandleWith<C>,
    C: Command<Aggregate = A>,
{
    type Output = Result<Receipt<A::Event>, DispatchError<<A as Aggregate>::Error>>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move { Ok(self.run(|_| ()).await?.0) })
    }
}

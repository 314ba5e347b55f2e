//! The service of a subscriber with layers, and the turns of the messages at it.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use futures_util::FutureExt;
use recount_core::{BoxError, Recount, panic_message};
use tokio::sync::{Mutex, MutexGuard};
use tower_service::Service;

use super::service::Innermost;
use super::{HandlerFuture, HandlerRequest, HandlerService};
use crate::handler::Handlers;

/// Wraps a service in the layers of a subscriber.
pub(crate) type Wrap = Arc<dyn Fn(HandlerService) -> HandlerService + Send + Sync>;

/// The service of a subscriber with layers.
pub(crate) struct Layered {
    wrap: Wrap,
    consumer: Arc<str>,
    innermost: Innermost,
    /// `None` until it is made, and after it has failed: a service is not used again if its readiness has failed. The lock is
    /// fair, so that messages have their turns in the order in which they came.
    service: Mutex<Option<HandlerService>>,
}

impl Layered {
    pub(crate) fn new(wrap: Wrap, consumer: &str, recount: Recount, handlers: Handlers) -> Self {
        let innermost = Innermost { recount, handlers: Arc::new(handlers) };
        Self { wrap, consumer: consumer.into(), innermost, service: Mutex::new(None) }
    }

    /// Waits for the turn of a message.
    ///
    /// # Cancel safety
    /// Cancel-safe.
    pub(crate) async fn turn(&self) -> Turn<'_> {
        Turn { layered: self, service: self.service.lock().await }
    }

    fn make(&self) -> HandlerService {
        (self.wrap)(HandlerService::innermost(&self.innermost))
    }
}

/// A message's turn: all others wait until it ends.
pub(crate) struct Turn<'l> {
    layered: &'l Layered,
    service: MutexGuard<'l, Option<HandlerService>>,
}

impl Turn<'_> {
    /// The name of the consumer.
    pub(crate) fn consumer(&self) -> Arc<str> {
        Arc::clone(&self.layered.consumer)
    }

    /// Waits until the layers are ready.
    ///
    /// # Errors
    /// That of a layer, or its panic. The service is made anew for the next turn.
    ///
    /// # Cancel safety
    /// Cancel-safe. The reservations of layers serve the next turn.
    pub(crate) async fn ready(&mut self) -> Result<(), BoxError> {
        let Self { layered, service } = self;
        let waiting = AssertUnwindSafe(async {
            let service = service.get_or_insert_with(|| layered.make());
            poll_fn(|context| service.poll_ready(context)).await
        });
        let ready = waiting.catch_unwind().await.unwrap_or_else(|panic| Err(panicked(&*panic)));
        if ready.is_err() {
            **service = None;
        }
        ready
    }

    /// Calls the layers, which are ready, and ends the turn.
    ///
    /// # Errors
    /// The panic of a layer.
    pub(crate) fn call(mut self, request: HandlerRequest) -> Result<HandlerFuture, BoxError> {
        let Some(service) = &mut *self.service else { return Err("the layers were not made ready".into()) };
        let called = catch_unwind(AssertUnwindSafe(|| service.call(request)));
        called.map_err(|panic| {
            *self.service = None;
            panicked(&*panic)
        })
    }

    /// Ends the turn without a call, and gives up the reservations of the layers.
    pub(crate) fn abandon(mut self) {
        *self.service = None;
    }
}

fn panicked(panic: &(dyn std::any::Any + Send)) -> BoxError {
    format!("a layer panicked: {}", panic_message(panic)).into()
}

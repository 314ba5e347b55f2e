//! The services between which layers stand.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use recount_core::{BoxError, Recount};
use tower_service::Service;

use super::{Handled, HandlerRequest};
use crate::handler::Handlers;

/// The future of a [`HandlerService`]. It does nothing until it is polled.
pub type HandlerFuture = Pin<Box<dyn Future<Output = Result<Handled, BoxError>> + Send>>;

/// The service that a layer wraps: the handlers of a subscriber, or an inner layer.
///
/// It can't be cloned, because a rate limit can't. So layers that call a service several times for one request, such as tower's
/// `retry` and `hedge`, don't compile with it: the [`RetryPlan`](crate::RetryPlan) repeats messages.
pub struct HandlerService(Box<dyn BoxableService>);

/// A service of messages without its types.
trait BoxableService: Send {
    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>>;
    fn call(&mut self, request: HandlerRequest) -> HandlerFuture;
}

/// The service of a layer.
struct Outer<S>(S);

impl<S> BoxableService for Outer<S>
where
    S: Service<HandlerRequest, Response = Handled> + Send,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
{
    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.0.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, request: HandlerRequest) -> HandlerFuture {
        let called = self.0.call(request);
        Box::pin(async move { called.await.map_err(Into::into) })
    }
}

/// The handlers, which are always ready.
#[derive(Clone)]
pub(super) struct Innermost {
    pub(super) recount: Recount,
    pub(super) handlers: Arc<Handlers>,
}

impl BoxableService for Innermost {
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: HandlerRequest) -> HandlerFuture {
        let Self { recount, handlers } = self.clone();
        Box::pin(async move {
            let answer = handlers.handle(&recount, &request.incoming()).await?;
            Ok(Handled { answer })
        })
    }
}

impl HandlerService {
    pub(super) fn innermost(innermost: &Innermost) -> Self {
        Self(Box::new(innermost.clone()))
    }

    pub(crate) fn outer<S>(service: S) -> Self
    where
        S: Service<HandlerRequest, Response = Handled> + Send + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send + 'static,
    {
        Self(Box::new(Outer(service)))
    }
}

impl Service<HandlerRequest> for HandlerService {
    type Response = Handled;
    type Error = BoxError;
    type Future = HandlerFuture;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: HandlerRequest) -> HandlerFuture {
        self.0.call(request)
    }
}

impl fmt::Debug for HandlerService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HandlerService").finish_non_exhaustive()
    }
}

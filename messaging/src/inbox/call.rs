//! One call of a handler: by its layers, within its time limit, in its span.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use recount_core::{BoxError, TransientError, panic_message};
use tracing::Instrument;

use super::InboxSink;
use crate::middleware::{HandlerRequest, Turn};
use crate::request::Answer;
use crate::route::Exit;
use crate::{Incoming, Message, span};

impl InboxSink {
    /// One call of the handler, by its layers if there are any, within its time limit.
    pub(super) async fn call(
        &self,
        message: &Message,
        attempt: u32,
        turn: Option<Turn<'_>>,
    ) -> Result<Option<Answer>, BoxError> {
        let binding = &self.parts.binding;
        let span = span::process(&self.recount, "consumer", &binding.topic, Some(binding.group.name()), message);
        let exit = Exit::new(&self.forwarder);
        let Some(turn) = turn else {
            let incoming = Incoming::new(message, &self.name, attempt, &exit);
            return self.run(self.parts.handlers.handle(&self.recount, &incoming), span, &exit).await;
        };
        let exit = Arc::new(exit);
        let request = HandlerRequest::new(message.clone(), turn.consumer(), attempt, Arc::clone(&exit));
        let called = span.in_scope(|| turn.call(request))?;
        self.run(called.map(|handled| Ok(handled?.answer)), span, &exit).await
    }

    /// Runs a call within the time limit. A panic is an error.
    async fn run(
        &self,
        call: impl Future<Output = Result<Option<Answer>, BoxError>>,
        span: tracing::Span,
        exit: &Exit,
    ) -> Result<Option<Answer>, BoxError> {
        let started = self.metrics.start();
        let call = AssertUnwindSafe(call).catch_unwind().instrument(span);
        let error: BoxError = match tokio::time::timeout(self.parts.time_limit, call).await {
            Ok(Ok(Ok(answer))) => {
                self.metrics.consumed(started.map(|started| started.elapsed()));
                return Ok(answer);
            }
            Ok(Ok(Err(error))) => error,
            Ok(Err(panic)) => format!("the handler panicked: {}", panic_message(&*panic)).into(),
            Err(_) => format!("the handler has not returned within {:?}", self.parts.time_limit).into(),
        };
        // The call was dropped while the broker had not confirmed the message that follows.
        Err(if exit.is_unconfirmed() { TransientError::new(error).into() } else { error })
    }
}

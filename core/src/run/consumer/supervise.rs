//! The life of a consumer: it runs, fails, waits and runs again, until it is shut down or gives up.

use std::error::Error;
use std::future::Future;
use std::sync::Arc;

use tokio::sync::watch;

use super::failure::{Class, GaveUp, describe, discard, guarded, unwound};
use super::policy::Attempts;
use super::reporter::Reporter;
use super::{ConsumerKind, RetryBudget};
use crate::BoxError;
use crate::TraceContext;
use crate::telemetry::ConsumerMetrics;

/// One consumer at work.
pub(crate) trait Work: Send {
    /// Handles items until it is shut down or fails. Begins at the stored checkpoint each time.
    fn run(&mut self) -> impl Future<Output = Result<(), BoxError>> + Send;

    /// The class of a failure.
    fn classify(&self, error: &(dyn Error + 'static)) -> Class;

    /// Whether the failure before the last run is overcome, so that the next one has the whole budget.
    fn is_recovered(&self) -> bool;
}

/// The parts that consumers of every kind have.
#[derive(Clone)]
pub(crate) struct Frame {
    pub(crate) kind: ConsumerKind,
    pub(crate) name: Arc<str>,
    pub(crate) reporter: Arc<Reporter>,
    pub(crate) budget: RetryBudget,
    pub(crate) shutdown: watch::Receiver<bool>,
    pub(crate) metrics: Arc<ConsumerMetrics>,
    pub(crate) trace_context: Option<Arc<dyn TraceContext>>,
}

impl Frame {
    /// The consumer, as errors name it.
    pub(crate) fn title(&self) -> String {
        format!("{} {}", self.kind, self.name)
    }

    /// Stops the consumer.
    pub(crate) fn stop(&self, error: &(dyn Error + 'static)) {
        let error = describe(error);
        tracing::error!(kind = %self.kind, name = %self.name, %error, "consumer stopped");
        self.reporter.stopped(error);
    }

    /// Waits for the signal to stop, or for the owner to be gone.
    pub(crate) async fn stopping(&self) {
        let _ = self.shutdown.clone().wait_for(|stop| *stop).await;
    }
}

/// Runs the consumer until it is shut down or gives up.
pub(crate) async fn supervise(frame: Frame, mut work: impl Work) {
    let reporter = Arc::clone(&frame.reporter);
    let mut attempts = Attempts::new(frame.budget);
    loop {
        let outcome = guarded(work.run()).await;
        let Err(error) = outcome else { return reporter.shut_down() };
        if work.is_recovered() {
            attempts.reset();
        }
        let class = unwound(|| work.classify(&*error)).unwrap_or(Class::Bad);
        // The failures of an item were counted when they happened.
        if !error.is::<GaveUp>() {
            frame.metrics.failure(class.name());
        }
        if class == Class::Lost {
            // The consumer may have handled events that the store lacks, so its position satisfies no waiting caller.
            reporter.validate(false);
        }
        let Some(pause) = attempts.failed(class) else {
            frame.stop(&*error);
            return discard(error);
        };
        let text = describe(&*error);
        let failures = attempts.failures;
        tracing::warn!(kind = %frame.kind, name = %frame.name, error = %text, failures, ?pause, "consumer failed, trying again");
        reporter.run_failed(class, failures, text);
        discard(error);
        tokio::select! {
            biased;
            () = tokio::time::sleep(pause) => {}
            () = frame.stopping() => return reporter.shut_down(),
        }
    }
}

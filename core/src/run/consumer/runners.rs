//! The consumers that run in this process, by the place of their checkpoint.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::watch;
use tokio::time::timeout;

use super::failure::Class;
use super::reporter::WHOLE;
use super::supervise::Frame;
use super::{Progress, TIME_LIMIT};

/// The consumers that keep their checkpoints in one place: a second one of the same name is refused.
///
/// A [`ReadModel`](crate::ReadModel) has one; its clones share it.
#[derive(Clone, Default)]
pub struct Runners {
    /// For each name at most one that goes on, and the earlier ones with tasks that have not ended.
    running: Arc<Mutex<HashMap<String, Vec<Running>>>>,
}

struct Running {
    /// Gone when the application has dropped the handle.
    handle: Weak<()>,
    progress: watch::Receiver<Progress>,
}

impl Running {
    /// Whether it was stopped, or its owner has dropped it. Its task may still run.
    fn is_over(&self) -> bool {
        self.handle.strong_count() == 0 || self.progress.borrow().is_over()
    }

    /// Whether its task is gone, and with it the sender of its progress.
    fn is_gone(&self) -> bool {
        let mut progress = self.progress.clone();
        progress.mark_unchanged();
        progress.has_changed().is_err()
    }
}

/// A consumer of that name runs already.
#[derive(Debug, thiserror::Error)]
#[error(
    "{consumer} runs already with the same checkpoint: each of the two would get a part of the events; \
     give one of them another name, or start it once"
)]
pub(crate) struct NameTaken {
    pub(crate) consumer: String,
}

/// The task of a consumer of that name still runs, though the consumer was dropped.
#[derive(Debug, thiserror::Error)]
#[error(
    "{consumer} was started before with the same checkpoint, and its task has not ended: \
     a handler blocks its thread; let it return, then start the consumer again"
)]
struct NotEnded {
    consumer: String,
}

/// The tasks of a name that a new consumer waits for.
#[derive(Debug)]
pub(crate) struct Earlier(Vec<watch::Receiver<Progress>>);

impl Runners {
    /// Gives the name to this consumer until its task is gone, unless another one has it. The consumer must wait for the
    /// earlier tasks of that name.
    pub(crate) fn claim(
        &self,
        name: &str,
        handle: Weak<()>,
        progress: watch::Receiver<Progress>,
    ) -> Result<Earlier, NameTaken> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.retain(|_, runners| {
            runners.retain(|runner| !runner.is_gone());
            !runners.is_empty()
        });
        let runners = running.entry(name.to_owned()).or_default();
        if runners.iter().any(|runner| !runner.is_over()) {
            return Err(NameTaken { consumer: name.to_owned() });
        }
        let earlier = runners.iter().map(|runner| runner.progress.clone()).collect();
        runners.push(Running { handle, progress });
        Ok(Earlier(earlier))
    }
}

impl Earlier {
    /// Waits for the end of the earlier tasks. False if the consumer must not start: it was shut down, or stopped since they
    /// have not ended in time.
    pub(crate) async fn ended(mut self, frame: &Frame) -> bool {
        if self.0.is_empty() {
            return true;
        }
        let not_ended = NotEnded { consumer: frame.title() };
        frame.reporter.failing(WHOLE, Class::Elsewhere, 0, not_ended.to_string().into());
        let gone = async {
            for progress in &mut self.0 {
                while progress.changed().await.is_ok() {}
            }
        };
        tokio::select! {
            gone = timeout(TIME_LIMIT, gone) => {
                match gone {
                    Ok(()) => frame.reporter.recovered(WHOLE),
                    Err(_) => frame.stop(&not_ended),
                }
                gone.is_ok()
            }
            () = frame.stopping() => {
                frame.reporter.shut_down();
                false
            }
        }
    }
}

impl fmt::Debug for Runners {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        f.debug_set().entries(running.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::consumer::reporter::Reporter;
    use crate::telemetry::Metrics;
    use crate::{ConsumerKind, RetryBudget, Status};

    fn frame(shutdown: &watch::Sender<bool>) -> (Frame, watch::Receiver<Progress>) {
        let (reporter, progress) = Reporter::new(ConsumerKind::Projection, "p");
        let frame = Frame {
            kind: ConsumerKind::Projection,
            name: "p".into(),
            reporter: Arc::new(reporter),
            budget: RetryBudget::default(),
            shutdown: shutdown.subscribe(),
            metrics: Arc::new(Metrics::new("memory", &crate::StoreWaits::default()).consumer("projection", "p")),
            trace_context: None,
        };
        (frame, progress)
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_is_free_when_its_tasks_have_ended() {
        let (runners, owner, (shutdown, _)) = (Runners::default(), Arc::new(()), watch::channel(false));
        let claim = |progress: &watch::Receiver<Progress>, owner| runners.claim("p", owner, progress.clone());
        let [(first, first_progress), (second, progress), (third, third_progress)] = [(); 3].map(|()| frame(&shutdown));
        assert!(claim(&first_progress, Arc::downgrade(&owner)).unwrap().ended(&first).await);
        let refused = claim(&progress, Weak::new()).unwrap_err().to_string();
        assert!(refused.starts_with("p runs already"), "{refused}");
        drop(owner);
        // The second one is dropped before it has run: the third one waits for the first all the same.
        let earlier = claim(&progress, Weak::new()).unwrap();
        drop((earlier, second));
        let earlier = claim(&third_progress, Weak::new()).unwrap();
        assert!(!earlier.ended(&third).await);
        let Status::Stopped { error } = third_progress.borrow().status.clone() else { panic!("it goes on") };
        assert!(error.contains("its task has not ended: a handler blocks its thread"), "{error}");
        drop((first, third));
        let (fourth, progress) = frame(&shutdown);
        assert!(claim(&progress, Weak::new()).unwrap().ended(&fourth).await);
        assert_eq!(progress.borrow().status, Status::CatchingUp);
    }
}

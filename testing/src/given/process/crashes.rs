//! A process that dies at each of its appends.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use recount_core::{EventStore, Process};

use super::running::RunningProcess;
use crate::given::storage::{causes, fail};
use crate::{Fault, Operation};

/// How often a program may die until the process is idle.
const MAX_CRASHES: usize = 2_000;

impl<P: Process> RunningProcess<P> {
    /// As [`idle`](Self::idle), but the program dies before and after each of its appends takes effect, and starts again.
    pub(super) async fn idle_with_crashes(&mut self) {
        let (mut harmless, mut fault) = (0, Fault::PauseBefore);
        for _ in 0..MAX_CRASHES {
            let Some(faults) = self.program.as_ref().map(|program| program.faults.clone()) else { return };
            let (head, calls) = (self.head().await, AtomicU64::new(0));
            faults.fail_where(fault, move |call| {
                call.operation == Operation::Append && calls.fetch_add(1, Ordering::Relaxed) >= harmless
            });
            let dies = tokio::select! {
                biased;
                () = faults.paused() => true,
                () = self.idle() => false,
            };
            if !dies {
                return faults.heal();
            }
            if fault == Fault::PauseBefore {
                fault = Fault::PauseAfter;
            } else {
                fault = Fault::PauseBefore;
                // A program that starts again sends commands again. To die at these alone would go on for ever.
                if self.head().await == head {
                    harmless += 1;
                }
            }
            self.crash();
        }
        fail(&format!("the process is busy after {MAX_CRASHES} crashes: it does the same again each time"))
    }

    async fn head(&self) -> recount_core::Position {
        match EventStore::head(&*self.store).await {
            Ok(head) => head,
            Err(error) => fail(&format!("the store fails: {}", causes(&error))),
        }
    }

    /// As [`pass`](Self::pass), with crashes at each append.
    pub(super) async fn pass_with_crashes(&mut self, time: Duration) {
        self.pass_with(time, async |run| run.idle_with_crashes().await).await;
    }
}

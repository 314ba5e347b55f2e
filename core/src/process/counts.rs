//! Counts of what a process did with its inputs, timers and commands.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

use super::instance::NoStep;

macro_rules! counts {
    ($($(#[$doc:meta])* $name:ident)*) => {
        #[derive(Debug, Default)]
        pub(crate) struct Counts { $($name: AtomicU64,)* }

        /// What a process did since it was started here.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
        pub struct ProcessCounts { $($(#[$doc])* pub $name: u64,)* }

        impl Counts {
            $(pub(crate) fn $name(&self) {
                self.$name.fetch_add(1, Ordering::Relaxed);
            })*

            pub(crate) fn read(&self) -> ProcessCounts {
                ProcessCounts { $($name: self.$name.load(Ordering::Relaxed),)* }
            }
        }
    };
}

counts! {
    /// Steps that were recorded.
    steps
    /// Inputs that were handled before, and came again.
    duplicates
    /// Inputs and timers for instances that have ended.
    late
    /// Inputs for instances that were not started, and are ignored or held.
    unknown
    /// Inputs that the process ignores.
    ignored
    /// Inputs that the process does not expect in its state.
    unexpected
    /// Inputs of parked instances.
    queued
    /// Timers that fired.
    fired
    /// Timers that were moved or cancelled before they fired.
    stale_timers
    /// Commands that took effect, or had nothing to do.
    sent
    /// Commands that were refused.
    refused
    /// Commands that were withdrawn.
    withdrawn
    /// Commands that undid another.
    undone
    /// Instances that were parked.
    parked
    /// Instances whose compensation is stuck.
    stuck
    /// Instances that were compensated.
    compensated
}

impl Counts {
    /// Counts an input or timer that led to no step.
    pub(crate) fn no_step(&self, no_step: &NoStep) {
        match no_step {
            NoStep::Duplicate => self.duplicates(),
            NoStep::Late => self.late(),
            NoStep::Unknown => self.unknown(),
            NoStep::Ignored => self.ignored(),
            NoStep::Unexpected => self.unexpected(),
            NoStep::Stale => self.stale_timers(),
            NoStep::Queued => self.queued(),
            // It is parked, and counted there.
            NoStep::Failed(_) => {}
        }
    }
}

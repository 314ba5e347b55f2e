//! Starting a process: its reactor, its sender and its alarm.

use std::sync::Arc;

use super::alarm::{Alarm, DueTimers};
use super::desk::Desk;
use super::instance::Instance;
use super::reactor::{Inputs, Reactor};
use super::sender::{Sender, query};
use super::troubles::Watch;
use super::{Gateway, Process, StartAt};
use crate::{ConsumerKind, ConsumersBuilder, ProcessDefinition, StoreSource};

impl ConsumersBuilder {
    /// Adds a process. Three consumers do its work: `NAME/send` sends its commands, `NAME/timers` fires its timers, and
    /// `NAME` takes its inputs.
    ///
    /// Several programs may run the same process at once; each step is recorded once, and each command takes effect
    /// once.
    pub fn process<P: Process>(self, start: StartAt) -> Self {
        self.process_with::<P>(start, None)
    }

    /// Adds a process with commands for aggregates of other services, which the gateway reaches.
    pub fn process_across<P: Process>(self, start: StartAt, gateway: impl Gateway) -> Self {
        self.process_with::<P>(start, Some(Arc::new(gateway)))
    }

    fn process_with<P: Process>(self, start: StartAt, gateway: Option<Arc<dyn Gateway>>) -> Self {
        let engine = Arc::clone(self.engine());
        let desk = Arc::new(Desk::<P>::new(engine, gateway));
        let claim = |desk: &Desk<P>| {
            desk.engine.names.claim_aggregate::<Instance<P>>()?;
            desk.engine.names.claim_events::<P::Input>()
        };
        let watch = Watch::new(Arc::clone(&desk.engine.store), P::NAME, Arc::clone(&desk.counts));
        let (reactor, sender, alarm) = (Arc::clone(&desk), Arc::clone(&desk), desk);
        self.running_process(Arc::new(watch))
            .concurrent(ConsumerKind::Process, format!("{}/send", P::NAME).into(), move |frame| {
                claim(&sender)?;
                let steps = StoreSource::new(Arc::clone(&sender.engine.store), frame.title(), query::<P>());
                Ok((steps, Sender::new(sender)))
            })
            .concurrent(ConsumerKind::Process, format!("{}/timers", P::NAME).into(), move |_| {
                claim(&alarm)?;
                Ok((DueTimers::new(Arc::clone(&alarm)), Alarm::new(alarm)))
            })
            .concurrent(ConsumerKind::Process, <P as ProcessDefinition>::NAME.into(), move |frame| {
                claim(&reactor)?;
                Ok((Inputs::new(Arc::clone(&reactor), frame.title(), start), Reactor::new(reactor)))
            })
    }
}

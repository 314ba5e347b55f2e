//! The view of a running process for tests: instances, timelines, events.

use futures_util::StreamExt;
use recount_core::{Event, InstanceStatus, Process, Query, ReadAll, RecordedEvent, TimelineEntry};

use super::running::RunningProcess;
use crate::given::storage::{causes, fail};

impl<P: Process> RunningProcess<P> {
    /// The instance of this id.
    ///
    /// # Panics
    /// If there is none.
    pub async fn instance(&self, id: &P::Id) -> InstanceStatus {
        match self.recount.processes().instance(P::NAME, &id.to_string()).await {
            Ok(Some(status)) => status,
            Ok(None) => fail(&format!("there is no instance {id} of {}\n{}", P::NAME, self.log().await)),
            Err(error) => fail(&format!("instance {id} can't be read: {}", causes(&*error))),
        }
    }

    /// The timeline of the instance of this id: empty if there is none.
    ///
    /// # Panics
    /// If the store fails.
    pub async fn timeline(&self, id: &P::Id) -> Vec<TimelineEntry> {
        match self.recount.processes().timeline(P::NAME, &id.to_string()).await {
            Ok(timeline) => timeline.unwrap_or_default(),
            Err(error) => fail(&format!("instance {id} can't be read: {}", causes(&*error))),
        }
    }

    /// All events of a type, in order.
    ///
    /// # Panics
    /// If one can't be read.
    pub async fn events<E: Event>(&self) -> Vec<E> {
        let recorded = self.recorded(E::query()).await;
        let read = recorded.iter().map(|event| match E::from_recorded(event) {
            Ok(event) => event,
            Err(error) => fail(&format!("an event can't be read: {}", causes(&error))),
        });
        read.collect()
    }

    async fn recorded(&self, query: Query) -> Vec<RecordedEvent> {
        let events: Vec<_> = self.store.read_all(ReadAll::new(query)).collect().await;
        match events.into_iter().collect() {
            Ok(events) => events,
            Err::<_, recount_core::StoreError>(error) => fail(&format!("the store fails: {}", causes(&error))),
        }
    }

    /// All events of the store as text, one a line.
    pub async fn log(&self) -> String {
        let line = |event: &RecordedEvent| {
            let payload = String::from_utf8_lossy(&event.data.payload);
            format!("{} {} {} {payload}\n", event.position, event.stream, event.data.event_type)
        };
        self.recorded(Query::all()).await.iter().map(line).collect()
    }
}

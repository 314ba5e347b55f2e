//! A timer that fires is no longer set, and an input that was held is no longer held, even if the process ignores them.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test")]

extern crate recount_core as recount;

use std::sync::Arc;
use std::time::Duration;

use recount_core::{
    Append, Event, EventStore, ExpectedVersion, Moment, Process, Recount, Route, StartAt, Step, StreamId, Timer,
};
use recount_store_memory::MemoryStore;

#[derive(Event, Clone)]
#[event(name = "bell", unlocked)]
enum BellEvent {
    Hung { bell: u64 },
    Rung { bell: u64 },
}

#[derive(Event, Route)]
#[event(union)]
#[route(to = u64)]
enum Input {
    #[event(only(Hung, Rung))]
    #[route(start(Hung), by = bell)]
    Bell(BellEvent),
}

#[derive(Event, Clone)]
#[event(name = "ringing", unlocked)]
enum Fact {
    Began {},
}

#[derive(Timer, Clone)]
enum RingTimer {
    Noon,
}

#[derive(Process, Clone, Default)]
#[process(name = "ringing", id = u64, input = Input, fact = Fact, timer = RingTimer, commands(), unknown = hold)]
struct Ringing;

impl Process for Ringing {
    fn apply(&mut self, _: &Fact) {}

    fn on(&self, input: &Input, at: &Moment) -> Step<Self> {
        match input {
            Input::Bell(BellEvent::Hung { .. }) => {
                Step::new().fact(Fact::Began {}).timer(RingTimer::Noon, at.after(Duration::from_secs(60)))
            }
            Input::Bell(BellEvent::Rung { .. }) => Step::ignore(),
        }
    }

    fn due(&self, timer: &RingTimer, _: &Moment) -> Step<Self> {
        match timer {
            RingTimer::Noon => Step::unexpected(),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_ignored_timer_is_not_set_and_an_ignored_input_is_not_held() {
    let store = MemoryStore::new();
    for (stream, event) in [("b", BellEvent::Rung { bell: 1 }), ("a", BellEvent::Hung { bell: 1 })] {
        let stream = StreamId::new("bell", stream).unwrap();
        store.append(Append::to(stream, ExpectedVersion::Any, vec![event.encode().unwrap()])).await.unwrap();
    }
    let recount = Recount::new(Arc::new(store));
    let running = recount.consumers().process::<Ringing>(StartAt::Beginning).start();
    tokio::time::sleep(Duration::from_secs(30)).await;
    let status = recount.processes().instance("ringing", "1").await.unwrap().unwrap();
    assert_eq!((status.held.len(), status.timers.len()), (0, 1), "{status:?}");
    tokio::time::sleep(Duration::from_secs(60)).await;
    let status = recount.processes().instance("ringing", "1").await.unwrap().unwrap();
    assert_eq!(status.timers.len(), 0, "{status:?}");
    running.shutdown().await;
}

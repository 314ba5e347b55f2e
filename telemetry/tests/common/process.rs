//! A process that the scrape shows: it sells, is told that its timer is due, and undoes the sale.

use std::time::Duration;

use recount_core::{Append, ExpectedVersion, StreamId};
use recount_core::{Event, InstanceState, Moment, Process, Recount, Route, StartAt, Step, Timer};

use super::{Sell, sell};

#[derive(Event, Clone)]
#[event(name = "visit", unlocked)]
enum VisitEvent {
    Began { visit: u64 },
}

#[derive(Event, Route)]
#[event(union)]
#[route(to = u64)]
enum Input {
    #[event(only(Began))]
    #[route(start(Began), by = visit)]
    Visit(VisitEvent),
}

#[derive(Event, Clone)]
#[event(name = "buying", unlocked)]
enum Fact {
    Began {},
}

#[derive(Timer, Clone)]
enum BuyingTimer {
    Over,
}

#[derive(Process, Clone, Default)]
#[process(name = "buying", id = u64, input = Input, fact = Fact, timer = BuyingTimer, commands(Sell))]
struct Buying {
    began: bool,
}

impl Process for Buying {
    fn apply(&mut self, _: &Fact) {
        self.began = true;
    }

    fn on(&self, _: &Input, at: &Moment) -> Step<Self> {
        if self.began {
            return Step::unexpected();
        }
        Step::new().fact(Fact::Began {}).run(sell("visit", 1), sell("visit", 2)).timer(BuyingTimer::Over, at.time())
    }

    fn due(&self, timer: &BuyingTimer, _: &Moment) -> Step<Self> {
        match timer {
            BuyingTimer::Over => Step::new().compensate(),
        }
    }
}

/// Runs one instance of the process to its end.
pub async fn run_process(recount: &Recount) {
    let events = (0..2).map(|_| VisitEvent::Began { visit: 1 }.encode().unwrap()).collect();
    let visit = StreamId::new("visit", "1").unwrap();
    recount.store().append(Append::to(visit, ExpectedVersion::NoStream, events)).await.unwrap();
    let running = recount.consumers().process::<Buying>(StartAt::Beginning).start();
    let processes = recount.processes();
    let state = async || processes.instance("buying", "1").await.unwrap().map(|instance| instance.state);
    while state().await != Some(InstanceState::Compensated) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let health = recount.health().await;
    assert!(health.checks.iter().any(|check| check.name == "process:buying:instances"), "{health:?}");
    running.shutdown().await;
}

//! Processes: steps per second, and the price of timers that are not due.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use recount::memory::MemoryStore;
use recount::prelude::*;
use recount::{Append, Consumers, ExpectedVersion, Moment, Process, Route, StartAt, Step, Store, StreamId, Timer};

use crate::domain::Sell;
use crate::figures::{Figures, Floor};
use crate::rounds::Rounds;

/// The processes that live at once.
const LIVE: u32 = 10_000;
/// Inputs of each, after the one that starts it.
const INPUTS: u32 = 10;
const ROUNDS: usize = 3;
/// Timers that are set and not due.
const TIMERS: u32 = 100_000;
/// How long the idle program is watched.
const IDLE: Duration = Duration::from_secs(5);
const HOUR: Duration = Duration::from_secs(3600);

/// The inputs of the process.
#[derive(Event, Clone, Debug)]
#[event(name = "visit")]
pub enum VisitEvent {
    Began { visit: u32 },
    Bought { visit: u32, number: u32 },
}

#[derive(Event, Route)]
#[event(union)]
#[route(to = u32)]
pub enum Input {
    #[event(only(Began, Bought))]
    #[route(start(Began), by = visit)]
    Visit(VisitEvent),
}

#[derive(Event, Clone, Debug)]
#[event(name = "purchase")]
pub enum Fact {
    Began { visit: u32 },
    Bought {},
}

#[derive(Timer, Clone, Debug)]
pub enum PurchaseTimer {
    Forgotten,
}

/// Sends a command for each purchase, and gives up visitors that have gone.
#[derive(Process, Clone, Debug, Default)]
#[process(name = "purchase", id = u32, input = Input, fact = Fact, timer = PurchaseTimer, commands(Sell))]
pub struct Purchase {
    visit: u32,
    bought: u32,
}

impl Process for Purchase {
    fn apply(&mut self, fact: &Fact) {
        match fact {
            Fact::Began { visit } => self.visit = *visit,
            Fact::Bought {} => self.bought += 1,
        }
    }

    fn on(&self, input: &Input, at: &Moment) -> Step<Self> {
        let Input::Visit(event) = input;
        match event {
            VisitEvent::Began { visit } => {
                Step::new().fact(Fact::Began { visit: *visit }).timer(PurchaseTimer::Forgotten, at.after(HOUR))
            }
            VisitEvent::Bought { number, .. } => {
                Step::new().fact(Fact::Bought {}).send(Sell { till: self.visit.to_string(), number: *number })
            }
        }
    }

    fn due(&self, timer: &PurchaseTimer, _: &Moment) -> Step<Self> {
        match timer {
            PurchaseTimer::Forgotten => Step::new().end(),
        }
    }
}

pub async fn measure_memory(figures: &mut Figures) -> Result<()> {
    let mut rounds = Rounds::default();
    for _ in 0..ROUNDS {
        let recount = Recount::new(MemoryStore::new());
        let running = start(&recount, LIVE).await?;
        rounds.push(steps(&recount, &running, LIVE, INPUTS).await?);
        running.shutdown().await;
    }
    let detail = format!("{LIVE} live, a command and a fact each step; {}", rounds.spread(0));
    figures.add("process_steps_memory_per_s", rounds.median(), Floor::AtLeast(5000.0), detail);
    idle(figures).await
}

/// Starts the process with so many instances, each with a timer.
pub async fn start(recount: &Recount, instances: u32) -> Result<Consumers> {
    let mut last = recount.store().head().await?;
    for first in (0..instances).step_by(1000) {
        let mut append = Append::default();
        for visit in first..(first + 1000).min(instances) {
            let event = VisitEvent::Began { visit }.encode()?;
            let stream = StreamId::new("visit", visit.to_string())?;
            append.streams.extend(Append::to(stream, ExpectedVersion::NoStream, vec![event]).streams);
        }
        last = recount.store().append(append).await?.position;
    }
    let running = recount.consumers().process::<Purchase>(StartAt::Beginning).start();
    settle(&**recount.store(), &running, last).await?;
    Ok(running)
}

/// Waits until the inputs up to this position are taken, and the commands of their steps sent.
async fn settle(store: &dyn Store, running: &Consumers, inputs: recount::Position) -> Result<()> {
    let stopped = |stopped: recount::Progress| anyhow!("it stopped: {:?}", stopped.status);
    running.wait_for_one("purchase", inputs).await.map_err(stopped)?;
    running.wait_for_one("purchase/send", store.head().await?).await.map_err(stopped)
}

/// Steps per second: each instance gets so many inputs, and answers each with a command.
pub async fn steps(recount: &Recount, running: &Consumers, instances: u32, inputs: u32) -> Result<f64> {
    let mut appends = Vec::new();
    for number in 0..inputs {
        let mut append = Append::default();
        for visit in 0..instances {
            let event = VisitEvent::Bought { visit, number }.encode()?;
            let stream = StreamId::new("visit", visit.to_string())?;
            append.streams.extend(Append::to(stream, ExpectedVersion::Any, vec![event]).streams);
        }
        appends.push(append);
    }
    let started = Instant::now();
    let mut last = recount.store().head().await?;
    for append in appends {
        last = recount.store().append(append).await?.position;
    }
    settle(&**recount.store(), running, last).await?;
    let seconds = started.elapsed().as_secs_f64();
    let sold = recount.load::<crate::domain::Till>(&"0".to_owned()).at_version(u64::from(inputs)).await;
    ensure!(sold.is_ok(), "commands are missing");
    Ok(f64::from(instances * inputs) / seconds)
}

/// The processor time of a program with timers that are not due.
async fn idle(figures: &mut Figures) -> Result<()> {
    let recount = Recount::new(MemoryStore::new());
    let running = start(&recount, TIMERS).await?;
    let timers = recount.processes().timers("purchase", TIMERS as usize + 1).await.map_err(|error| anyhow!(error))?;
    ensure!(timers.len() == TIMERS as usize, "{} timers are set", timers.len());
    drop(timers);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = processor_time()?;
    tokio::time::sleep(IDLE).await;
    let percent = (processor_time()? - before) / IDLE.as_secs_f64() * 100.0;
    running.shutdown().await;
    let detail = format!("{TIMERS} timers, {} s", IDLE.as_secs());
    figures.add("timers_100k_idle_cpu_percent", percent, Floor::AtMost(2.0), detail);
    Ok(())
}

/// The processor time that this program has used, in seconds.
fn processor_time() -> Result<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").context("processor time is only known on Linux")?;
    // Behind the name, which may hold blanks; the time is counted in hundredths of a second.
    let (_, fields) = stat.rsplit_once(')').context("the format of /proc/self/stat")?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let ticks = |place: usize| -> Result<f64> { Ok(fields.get(place).context("a field is missing")?.parse::<f64>()?) };
    Ok((ticks(11)? + ticks(12)?) / 100.0)
}

//! Attacks on processes that once succeeded: two programs that carry out one redrive, the order of commands after it, names,
//! and the health of two programs.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a test that panics has failed")]

extern crate recount_core as recount;

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::TryStreamExt;
use recount_core::{
    Aggregate, Append, Apply, Command, Condition, Consumers, Event, EventStore, ExpectedVersion, Handle, InstanceState,
    InstanceStatus, Moment, Process, Query, ReadAll, RecordedEvent, Recount, Route, StartAt, Step, Store, StreamId,
};
use recount_store_memory::MemoryStore;
use recount_testing::{Fault, FaultyStore, Operation};

/// An input with a script: words, separated by semicolons, that the process plays.
#[derive(Event, Clone)]
#[event(name = "script", unlocked)]
enum ScriptEvent {
    Start { id: String, script: String },
    Tell { id: String, script: String },
}

#[derive(Event, Clone)]
#[event(name = "bin", unlocked)]
enum BinEvent {
    Put { tag: String },
}

#[derive(Aggregate, Clone, Default)]
#[aggregate(name = "bin", id = String, event = BinEvent, error = Infallible, commands(Put))]
struct Bin;

#[derive(Command, Clone)]
#[command(aggregate = Bin)]
struct Put {
    #[command(id)]
    bin: String,
    tag: String,
}

impl Apply for Bin {
    fn apply(&mut self, _: &BinEvent) {}
}

impl Handle<Put> for Bin {
    fn handle(&self, Put { tag, .. }: Put) -> Result<Vec<BinEvent>, Infallible> {
        assert!(!tag.starts_with("panic") || is_mended(&tag), "panic in handler {tag}");
        Ok(vec![BinEvent::Put { tag }])
    }
}

/// The failures that no longer happen.
static MENDED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

fn mend(failure: &str) {
    MENDED.lock().unwrap().insert(failure.to_owned());
}

fn is_mended(failure: &str) -> bool {
    MENDED.lock().unwrap().contains(failure)
}

/// Mends the failure of a parked instance.
fn mend_parked(instance: &InstanceStatus) {
    let error = instance.trouble.as_ref().map(|trouble| trouble.error.as_str()).unwrap_or_default();
    if let Some((_, failure)) = error.split_once("panic in process ") {
        mend(failure);
    }
}

#[derive(Event, Route)]
#[event(union)]
#[route(to = String)]
enum Input {
    #[event(only(Start, Tell))]
    #[route(start(Start), by = id)]
    Script(ScriptEvent),
}

#[derive(Event, Clone)]
#[event(name = "played", unlocked)]
enum Fact {
    Noted {},
}

macro_rules! players {
    ($($player:ident $name:literal $unknown:ident)*) => {
        $(#[derive(Process, Clone, Default)]
        #[process(name = $name, id = String, input = Input, fact = Fact, commands(Put), unknown = $unknown)]
        struct $player;

        impl Process for $player {
            fn apply(&mut self, _: &Fact) {}

            fn on(&self, input: &Input, _: &Moment) -> Step<Self> {
                let Input::Script(ScriptEvent::Start { script, .. } | ScriptEvent::Tell { script, .. }) = input;
                script.split(';').fold(Step::new(), |step, line| {
                    match line.split_whitespace().collect::<Vec<_>>()[..] {
                        ["note", ..] => step.fact(Fact::Noted {}),
                        ["send", bin, tag] => step.send(Put { bin: bin.to_owned(), tag: tag.to_owned() }),
                        ["panic", failure] => {
                            assert!(is_mended(failure), "panic in process {failure}");
                            step
                        }
                        ["end"] => step.end(),
                        _ => panic!("no such word: {line}"),
                    }
                })
            }

            fn due(&self, timer: &recount_core::NoTimer, _: &Moment) -> Step<Self> {
                match *timer {}
            }
        })*
    };
}

players! {
    Player "player" ignore
    Holder "holder" hold
    Binned "bin" ignore
}

struct World {
    store: Arc<dyn Store>,
    recount: Recount,
}

impl World {
    fn new() -> Self {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
        Self { recount: Recount::new(Arc::clone(&store)), store }
    }

    fn faults(&self) -> FaultyStore<Arc<dyn Store>> {
        FaultyStore::new(Arc::clone(&self.store))
    }

    async fn hear(&self, event: ScriptEvent) {
        let stream = StreamId::new("script", "x").unwrap();
        self.store.append(Append::to(stream, ExpectedVersion::Any, vec![event.encode().unwrap()])).await.unwrap();
    }

    async fn start(&self, id: &str, script: &str) {
        self.hear(ScriptEvent::Start { id: id.to_owned(), script: script.to_owned() }).await;
    }

    async fn tell(&self, id: &str, script: &str) {
        self.hear(ScriptEvent::Tell { id: id.to_owned(), script: script.to_owned() }).await;
    }

    async fn redrive(&self, id: &str) -> Result<(), String> {
        self.recount.processes().redrive("player", id, "the test").await.map_err(|error| error.to_string())
    }

    async fn instance(&self, process: &str, id: &str) -> InstanceStatus {
        self.recount.processes().instance(process, id).await.unwrap().unwrap()
    }

    async fn state(&self) -> InstanceState {
        self.instance("player", "1").await.state
    }

    /// The effects of commands, in order.
    async fn tags(&self) -> Vec<String> {
        let events: Vec<_> = self.store.read_all(ReadAll::new(BinEvent::query())).try_collect().await.unwrap();
        let tag = |event: &RecordedEvent| {
            let BinEvent::Put { tag } = BinEvent::from_recorded(event).unwrap();
            tag
        };
        events.iter().map(tag).collect()
    }

    async fn log(&self) -> String {
        let events: Vec<_> = self.store.read_all(ReadAll::new(Query::all())).try_collect().await.unwrap();
        let line = |event: &RecordedEvent| {
            let payload = String::from_utf8_lossy(&event.data.payload);
            format!("{} {} {} {payload}\n", event.position, event.stream, event.data.event_type)
        };
        events.iter().map(line).collect()
    }
}

fn run<P: Process>(store: impl Store) -> (Recount, Consumers) {
    let recount = Recount::new(store);
    let consumers = recount.consumers().process::<P>(StartAt::Beginning).start();
    (recount, consumers)
}

async fn seconds(seconds: f64) {
    tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
}

/// Two programs carry out one redrive. The resume of the slower one comes after a later input has parked the instance again:
/// it is about the earlier failure.
#[tokio::test(start_paused = true)]
async fn a_late_resume_does_not_end_a_newer_halt() {
    let world = World::new();
    let (slow, fast) = (world.faults(), world.faults());
    // The program that was started first is woken first.
    let programs = (run::<Player>(slow.clone()), run::<Player>(fast.clone()));
    world.start("1", "panic x1; send b first").await;
    seconds(3.0).await;
    slow.fail_where(Fault::PauseBefore, |call| call.appends("recount.resumed"));
    fast.fail_where(Fault::Delay(Duration::from_millis(100)), |call| call.operation == Operation::ReadStream);
    mend("x1");
    world.redrive("1").await.unwrap();
    seconds(3.0).await;
    assert_eq!((slow.pauses(), world.state().await), (1, InstanceState::Running));
    world.tell("1", "panic y1; send b second").await;
    seconds(3.0).await;
    assert_eq!(world.state().await, InstanceState::Parked);
    slow.release();
    seconds(3.0).await;
    let state = world.state().await;
    mend("y1");
    let redriven = world.redrive("1").await;
    world.tell("1", "send b third").await;
    seconds(5.0).await;
    let log = world.log().await;
    assert_eq!(world.tags().await, ["first", "second", "third"], "{state:?}, redrive: {redriven:?}\n{log}");
    drop(programs);
}

/// Two programs, calls that take up to 300 ms, and an operator who redrives. The pauses between attempts are random, so a seed
/// does not repeat a run.
#[tokio::test(start_paused = true)]
async fn two_programs_with_slow_stores_lose_no_input() {
    let mut lost = Vec::new();
    for seed in 0..100 {
        lost.extend(redrives(seed).await);
    }
    assert!(lost.is_empty(), "{} of 100 seeds:\n{}", lost.len(), lost.join("\n"));
}

/// The inputs that were lost, if any.
async fn redrives(seed: u64) -> Option<String> {
    let world = World::new();
    let mut random = fastrand::Rng::with_seed(seed);
    let start = |seed: u64| {
        let (faults, random) = (world.faults(), Mutex::new(fastrand::Rng::with_seed(seed)));
        faults.fail_each(move |_| {
            let mut random = random.lock().unwrap();
            let time = Duration::from_millis(random.u64(..300));
            match random.u8(..100) {
                0..=24 => Some(Fault::Delay(time)),
                25..=39 => Some(Fault::DelayAnswer(time)),
                _ => None,
            }
        });
        run::<Player>(faults).1
    };
    let (first, second) = (start(seed), start(seed + 1_000_000));
    world.start("1", "note").await;
    let operate = async |mends: bool| {
        for instance in world.recount.processes().instances("player").await.unwrap() {
            if instance.state == InstanceState::Parked {
                if mends {
                    mend_parked(&instance);
                }
                let _ = world.redrive(&instance.id).await;
            }
        }
    };
    let mut wanted = Vec::new();
    for number in 0..12 {
        let tag = format!("t{number}");
        let fails = if random.bool() { format!("panic f{seed}k{number};") } else { String::new() };
        world.tell("1", &format!("{fails}send b {tag}")).await;
        wanted.push(tag);
        seconds(random.f64() * 0.6).await;
        if random.u8(..3) == 0 {
            operate(random.bool()).await;
        }
    }
    for _ in 0..60 {
        seconds(4.0).await;
        operate(true).await;
    }
    let (tags, state) = (world.tags().await, world.state().await);
    first.shutdown().await;
    second.shutdown().await;
    let lost: Vec<_> = wanted.iter().filter(|tag| !tags.contains(tag)).collect();
    (!lost.is_empty()).then(|| format!("seed {seed} {state:?}: lost {lost:?}"))
}

/// The command that failed is sent before the commands of the steps that follow from inputs behind it.
#[tokio::test(start_paused = true)]
async fn a_redriven_command_is_sent_before_the_commands_of_later_steps() {
    let world = World::new();
    let _program = run::<Player>(Arc::clone(&world.store));
    world.start("1", "send b panic-reserve").await;
    seconds(1.0).await;
    world.tell("1", "send b release").await;
    seconds(1.0).await;
    mend("panic-reserve");
    world.redrive("1").await.unwrap();
    seconds(3.0).await;
    assert_eq!(world.tags().await, ["panic-reserve", "release"], "{}", world.log().await);
}

/// A process with the name of an aggregate that is registered does not write to its streams.
#[tokio::test(start_paused = true)]
async fn a_process_named_like_a_registered_aggregate_leaves_its_streams() {
    let world = World::new();
    let _ = world.recount.dispatch(Put { bin: "b".to_owned(), tag: "own".to_owned() }).await.unwrap();
    let registered = Recount::builder(Arc::clone(&world.store)).register::<Bin>().build();
    let consumers = registered.consumers().process::<Binned>(StartAt::Beginning).start();
    world.start("b", "note").await;
    seconds(3.0).await;
    let loaded = Recount::new(Arc::clone(&world.store)).load::<Bin>(&"b".to_owned()).await;
    assert!(loaded.is_ok(), "{:?}\n{:?}\n{}", loaded.err(), consumers.progress(), world.log().await);
}

/// Two programs meet a failing input. The slower one parks the instance after the input was redriven and handled.
#[tokio::test(start_paused = true)]
async fn a_late_park_does_not_stop_an_instance_whose_input_was_handled() {
    let world = World::new();
    let (slow, fast) = (world.faults(), world.faults());
    let programs = (run::<Player>(slow.clone()), run::<Player>(fast.clone()));
    slow.fail_where(Fault::PauseBefore, |call| call.appends("recount.parked"));
    fast.fail_where(Fault::Delay(Duration::from_millis(50)), |call| call.appends("recount.parked"));
    world.start("1", "panic l2; send b x").await;
    seconds(2.0).await;
    assert_eq!(slow.pauses(), 1);
    mend("l2");
    world.redrive("1").await.unwrap();
    seconds(2.0).await;
    assert_eq!(world.state().await, InstanceState::Running);
    slow.release();
    seconds(2.0).await;
    assert_eq!(world.state().await, InstanceState::Running, "{}", world.log().await);
    drop(programs);
}

/// Two programs share the marks of their process, so both are healthy.
#[tokio::test(start_paused = true)]
async fn two_healthy_programs_are_healthy() {
    let world = World::new();
    let programs = [run::<Player>(Arc::clone(&world.store)), run::<Player>(Arc::clone(&world.store))];
    let mut seen = BTreeMap::<String, usize>::new();
    for number in 0..200 {
        world.start(&format!("i{number}"), "send b t").await;
        seconds(0.3).await;
        for (recount, _) in &programs {
            for check in recount.health().await.checks.iter().filter(|check| check.status != Condition::Ok) {
                *seen.entry(format!("{} {:?} {:?}", check.name, check.status, check.message)).or_default() += 1;
            }
        }
    }
    assert!(seen.is_empty(), "of 200 looks at two programs: {seen:#?}");
}

/// An input is held, and the input that starts the instance also ends it.
#[tokio::test(start_paused = true)]
async fn an_ended_instance_shows_no_held_input() {
    let world = World::new();
    let _program = run::<Holder>(Arc::clone(&world.store));
    world.tell("1", "send b never").await;
    world.start("1", "send b once; end").await;
    seconds(3.0).await;
    let status = world.instance("holder", "1").await;
    assert!(status.held.is_empty(), "{status:?}");
}

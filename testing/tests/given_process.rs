//! The kit of processes says clearly what went wrong, and finds promises that hold in some orders only.

#![expect(clippy::expect_used, reason = "a test")]

extern crate recount_core as recount;

use std::time::Duration;

use futures_util::FutureExt;
use recount_core::InstanceState::{Compensated, Ended, Running, Waiting};
use recount_core::{
    Aggregate, Apply, Command, Event, Handle, Moment, Process, RefusedCommand, Route, Step, Timer, Timestamp, diagram,
};
use recount_store_memory::MemoryStore;
use recount_testing::{RunningProcess, any_order, given_facts};

#[derive(Clone, Debug, PartialEq, Event)]
#[event(name = "job", unlocked)]
enum JobEvent {
    Asked { job: u64 },
    Withdrawn { job: u64 },
    Noted { job: u64 },
    Archived { job: u64 },
}

#[derive(Clone, Default, Aggregate)]
#[aggregate(name = "job", id = u64, event = JobEvent, error = std::convert::Infallible, commands())]
struct Job;

impl Apply for Job {
    fn apply(&mut self, _: &JobEvent) {}
}

#[derive(Clone, Debug, PartialEq, Event)]
#[event(name = "machine", unlocked)]
enum MachineEvent {
    Booked { job: u64 },
    Freed { job: u64 },
}

#[derive(Clone, Default, Aggregate)]
#[aggregate(name = "machine", id = u64, event = MachineEvent, error = Busy, commands(Book, Free))]
struct Machine {
    booked: bool,
}

#[derive(Debug, PartialEq, thiserror::Error, serde::Serialize, serde::Deserialize)]
#[error("the machine is busy")]
struct Busy;

#[derive(Clone, Command)]
#[command(aggregate = Machine)]
struct Book {
    #[command(id)]
    machine: u64,
    job: u64,
}

#[derive(Clone, Command)]
#[command(aggregate = Machine)]
struct Free {
    #[command(id)]
    machine: u64,
    job: u64,
}

impl Apply for Machine {
    fn apply(&mut self, event: &MachineEvent) {
        self.booked = matches!(event, MachineEvent::Booked { .. });
    }
}

impl Handle<Book> for Machine {
    fn handle(&self, Book { job, .. }: Book) -> Result<Vec<MachineEvent>, Busy> {
        if self.booked { Err(Busy) } else { Ok(vec![MachineEvent::Booked { job }]) }
    }
}

impl Handle<Free> for Machine {
    fn handle(&self, Free { job, .. }: Free) -> Result<Vec<MachineEvent>, Busy> {
        Ok(vec![MachineEvent::Freed { job }])
    }
}

#[derive(Event, Route)]
#[event(union)]
#[route(to = u64)]
enum Input {
    #[event(only(Asked, Withdrawn, Noted))]
    #[route(start(Asked), by = job)]
    Job(JobEvent),
}

#[derive(Clone, Debug, PartialEq, Event)]
#[event(name = "booking", unlocked)]
enum Fact {
    Started { job: u64 },
    Noted,
}

#[derive(Clone, Debug, PartialEq, Timer)]
enum BookingTimer {
    #[timer(name = "give\"up\"")]
    GiveUp,
    Retry {
        attempt: u32,
    },
}

#[derive(Clone, Debug, Default, Process)]
#[process(name = "booking", id = u64, input = Input, fact = Fact, timer = BookingTimer, commands(Book, Free), unknown = hold)]
struct Booking {
    job: u64,
    noted: u32,
}

const DAY: Duration = Duration::from_secs(86_400);

impl Booking {
    fn book(job: u64) -> Step<Self> {
        Step::new().run(Book { machine: 1, job }, Free { machine: 1, job })
    }
}

impl Process for Booking {
    fn apply(&mut self, fact: &Fact) {
        match fact {
            Fact::Started { job } => self.job = *job,
            Fact::Noted => self.noted += 1,
        }
    }

    fn on(&self, input: &Input, at: &Moment) -> Step<Self> {
        match input {
            Input::Job(JobEvent::Asked { job }) => {
                Self::book(*job).fact(Fact::Started { job: *job }).timer(BookingTimer::GiveUp, at.after(30 * DAY))
            }
            Input::Job(JobEvent::Withdrawn { .. }) => Step::new().compensate(),
            // An undo beside a command: both must come.
            Input::Job(JobEvent::Noted { .. }) if self.noted == 1 => Step::new()
                .fact(Fact::Noted)
                .also_undo(Free { machine: 2, job: self.job })
                .send(Book { machine: 2, job: self.job }),
            Input::Job(JobEvent::Noted { .. }) => Step::new().fact(Fact::Noted),
            Input::Job(JobEvent::Archived { .. }) => Step::unexpected(),
        }
    }

    fn due(&self, timer: &BookingTimer, _: &Moment) -> Step<Self> {
        match timer {
            BookingTimer::GiveUp => Step::new().end(),
            BookingTimer::Retry { .. } => Self::book(self.job),
        }
    }

    fn refused(&self, refused: &RefusedCommand, at: &Moment) -> Step<Self> {
        match refused.of::<Book>() {
            Some(Busy) => Step::new().timer(BookingTimer::Retry { attempt: 1 }, at.after(DAY)),
            None => Step::new().compensate(),
        }
    }
}

/// The panic of an assertion.
#[track_caller]
fn message(assertion: impl FnOnce() + std::panic::UnwindSafe) -> String {
    let panic = std::panic::catch_unwind(assertion).expect_err("the assertion fails");
    panic.downcast_ref::<String>().expect("a message").clone()
}

fn asked() -> Input {
    Input::Job(JobEvent::Asked { job: 7 })
}

#[test]
fn another_step_than_expected_is_shown_in_words() {
    let later = Moment::new(Timestamp::UNIX_EPOCH).after(DAY);
    let message = message(|| {
        given_facts::<Booking>([]).when_input(asked()).then(
            Step::new()
                .fact(Fact::Started { job: 8 })
                .send(Book { machine: 1, job: 7 })
                .timer(BookingTimer::GiveUp, later)
                .cancel(BookingTimer::Retry { attempt: 1 })
                .also_undo(Free { machine: 2, job: 7 })
                .end(),
        );
    });
    assert_eq!(
        message,
        r#"another step follows than expected (- expected, + actual):
  - remembers booking.started {"job":8}
  - sends machine.book {"job":7,"machine":1}
  - when compensated, also sends machine.free {"job":7,"machine":2}
  - sets timer give"up", due 1970-01-02T00:00:00Z
  - cancels timer retry {"attempt":1}
  - ends
  + remembers booking.started {"job":7}
  + sends machine.book {"job":7,"machine":1}, undone by machine.free {"job":7,"machine":1}
  + sets timer give"up", due 1970-01-31T00:00:00Z
  + goes on
"#
    );
}

#[test]
fn each_part_of_a_step_counts() {
    let step = || Booking::book(7).fact(Fact::Started { job: 7 }).timer(BookingTimer::GiveUp, Timestamp::UNIX_EPOCH);
    let base = || step().describe().expect("it has a stored form");
    assert_eq!(base(), base());
    for (other, word) in [
        (step().fact(Fact::Noted), "remembers booking.noted"),
        (step().send(Book { machine: 1, job: 7 }), "sends machine.book"),
        (step().also_undo(Free { machine: 1, job: 7 }), "when compensated"),
        (step().timer(BookingTimer::GiveUp, Timestamp::MAX), "sets timer give"),
        (step().cancel(BookingTimer::GiveUp), "cancels timer give"),
        (step().compensate(), "compensates"),
        (step().end(), "ends"),
        (Step::ignore().fact(Fact::Noted), "ignores the input"),
        (Step::unexpected(), "does not expect the input"),
    ] {
        let other = other.describe().expect("it has a stored form");
        assert_ne!(other, base());
        assert!(other.to_string().contains(word), "{other}");
    }
}

#[test]
fn steps_that_do_not_happen_are_told_apart() {
    let noted = || Input::Job(JobEvent::Noted { job: 7 });
    let ignored = message(|| given_facts::<Booking>([]).when_input(noted()).then_ignored());
    assert!(ignored.contains("- ignores the input") && ignored.contains("+ remembers"), "{ignored}");
    let unexpected = message(|| given_facts::<Booking>([]).when_input(noted()).then_unexpected());
    assert!(unexpected.contains("- does not expect the input"), "{unexpected}");
}

#[test]
fn an_event_that_the_process_does_not_hear_is_no_input() {
    let message =
        message(|| drop(given_facts::<Booking>([]).when_input(Input::Job(JobEvent::Archived { job: 7 })).describe()));
    assert!(message.contains("can't be stored") && message.contains("job.archived"), "{message}");
}

#[test]
fn refusals_come_as_data() {
    let tomorrow = Moment::new(Timestamp::UNIX_EPOCH).after(DAY);
    let given = || given_facts::<Booking>([Fact::Started { job: 7 }]);
    given()
        .when_refused(Book { machine: 1, job: 7 }, Busy)
        .then(Step::new().timer(BookingTimer::Retry { attempt: 1 }, tomorrow));
    given().when_already_exists(Book { machine: 1, job: 7 }).then(Step::new().compensate());
    given().when_refused(Free { machine: 1, job: 7 }, Busy).then(Step::new().compensate());
    assert_eq!(given().state().job, 7);
}

#[test]
fn the_diagram_shows_inputs_commands_and_timers() {
    assert_eq!(
        diagram::<Booking>(),
        r#"flowchart LR
    process(["booking"])
    input0["Job: Asked"] -- "starts, by job" --> process
    input1["Job: Withdrawn"] -- "by job, held until the start" --> process
    input2["Job: Noted"] -- "by job, held until the start" --> process
    process --> command0["machine.book"]
    process --> command1["machine.free"]
    process -. "sets" .-> timer0{{"give#34;up#34;"}}
    timer0 -. "due" .-> process
    process -. "sets" .-> timer1{{"retry"}}
    timer1 -. "due" .-> process
"#
    );
}

#[tokio::test(start_paused = true)]
async fn months_pass_at_once() {
    let mut run = RunningProcess::<Booking>::start(MemoryStore::new());
    run.append::<Machine>(&1, [MachineEvent::Booked { job: 3 }]).await;
    run.append::<Job>(&7, [JobEvent::Asked { job: 7 }]).await;
    run.idle().await;
    assert_eq!(run.instance(&7).await.state, Waiting);
    // It asks again each day, until the time is over.
    run.pass(40 * DAY).await;
    let instance = run.instance(&7).await;
    assert_eq!(instance.state, Ended);
    assert_eq!(instance.requests.len(), 30);
    let fired = run.timeline(&7).await.iter().filter(|entry| entry.cause.starts_with("timer retry")).count();
    assert_eq!(fired, 29);
}

#[tokio::test(start_paused = true)]
async fn a_step_with_an_undo_also_sends_its_commands() {
    let noted = || JobEvent::Noted { job: 7 };
    let run = RunningProcess::<Booking>::start(MemoryStore::new());
    run.append::<Job>(&7, [JobEvent::Asked { job: 7 }, noted(), noted()]).await;
    run.idle().await;
    let machine = run.recount().load::<Machine>(&2).await.expect("it loads");
    assert!(machine.booked, "{}", run.log().await);
    run.append::<Job>(&7, [JobEvent::Withdrawn { job: 7 }]).await;
    run.idle().await;
    assert_eq!(run.instance(&7).await.state, Compensated);
    let freed = run.events::<MachineEvent>().await.iter().filter(|e| matches!(e, MachineEvent::Freed { .. })).count();
    assert_eq!(freed, 2, "{}", run.log().await);
}

#[tokio::test(start_paused = true)]
async fn crashes_and_lost_checkpoints_change_nothing() {
    let mut run = RunningProcess::<Booking>::start(MemoryStore::new());
    run.append::<Job>(&7, [JobEvent::Asked { job: 7 }, JobEvent::Noted { job: 7 }]).await;
    run.crash();
    run.idle().await;
    let log = run.log().await;
    run.crash_without_checkpoints().await;
    run.idle().await;
    assert_eq!(run.log().await, log);
}

#[tokio::test(start_paused = true)]
async fn a_promise_that_some_order_breaks_is_found() {
    let broken = any_order::<Booking>()
        .input::<Job>(&7, [JobEvent::Asked { job: 7 }])
        .input::<Job>(&8, [JobEvent::Asked { job: 8 }])
        .agrees(MemoryStore::new, async |run| run.instance(&7).await.state);
    // The job that comes first gets the machine; in some orders that is another one.
    let both = any_order::<Booking>()
        .input::<Job>(&7, [JobEvent::Asked { job: 7 }])
        .input::<Job>(&8, [JobEvent::Asked { job: 8 }])
        .agrees(MemoryStore::new, async |run| run.events::<MachineEvent>().await);
    broken.await;
    let panic = std::panic::AssertUnwindSafe(both).catch_unwind().await.expect_err("the orders disagree");
    let message = panic.downcast_ref::<String>().expect("a message");
    assert!(message.contains("another outcome than in the order as written"), "{message}");
    assert!(message.contains("-         job: 7,") && message.contains("job.asked happens to job/8"), "{message}");
    assert!(message.contains("RECOUNT_PROCESS_SEED="), "{message}");
    assert!(message.contains("recount.step"), "{message}");
}

#[tokio::test(start_paused = true)]
async fn every_instance_gets_the_machine_once_or_waits() {
    any_order::<Booking>()
        .given::<Machine>(&1, [MachineEvent::Freed { job: 1 }])
        .input::<Job>(&7, [JobEvent::Asked { job: 7 }, JobEvent::Withdrawn { job: 7 }])
        .input::<Job>(&8, [JobEvent::Asked { job: 8 }, JobEvent::Noted { job: 8 }])
        .runs(20)
        .then_wait(2 * DAY)
        .keeps(MemoryStore::new, async |run| {
            assert_eq!(run.instance(&7).await.state, Compensated);
            assert!(matches!(run.instance(&8).await.state, Running | Waiting));
            let events = run.events::<MachineEvent>().await;
            let booked = events.iter().filter(|event| matches!(event, MachineEvent::Booked { job: 8 })).count();
            assert_eq!(booked, 1);
        })
        .await;
}

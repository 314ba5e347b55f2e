//! What decisions over a dynamic boundary promise.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that panics has failed")]

extern crate recount_core as recount;

use std::error::Error;
use std::fmt;

use recount_core::{
    Context, Decision, DispatchError, Event, EventStore, IdempotencyKey, NameError, Query, QueryItem, Recount, Tag,
};
use recount_store_memory::MemoryStore;
use recount_testing::{FaultyStore, Operation};

const SEATS: usize = 3;
const COURSES: usize = 2;

#[derive(Event, Clone, Debug, PartialEq)]
#[event(name = "enrolment")]
enum Enrolment {
    Enrolled {
        #[event(tag)]
        course: String,
        #[event(tag)]
        student: String,
    },
}

/// A course has three seats, a student takes two courses: no stream could hold both rules.
#[derive(Clone, serde::Serialize)]
struct Enrol {
    course: String,
    student: String,
}

#[derive(Debug, PartialEq, Eq)]
enum Refusal {
    Full,
    Busy,
    Already,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

impl std::error::Error for Refusal {}

impl Decision for Enrol {
    type Event = Enrolment;
    type State = (usize, usize, bool);
    type Error = Refusal;

    fn boundary(&self) -> Result<Query, NameError> {
        Ok(Query::tags([Tag::pair("course", &self.course)?])
            .or(QueryItem::default().tag(Tag::pair("student", &self.student)?)))
    }

    fn apply(&self, (seats, courses, already): &mut Self::State, event: &Enrolment) {
        let Enrolment::Enrolled { course, student } = event;
        *seats += usize::from(*course == self.course);
        *courses += usize::from(*student == self.student);
        *already |= *course == self.course && *student == self.student;
    }

    fn decide(&self, state: &Self::State, _: &Context<'_>) -> Result<Vec<Enrolment>, Refusal> {
        match state {
            (_, _, true) => Err(Refusal::Already),
            (SEATS.., _, _) => Err(Refusal::Full),
            (_, COURSES.., _) => Err(Refusal::Busy),
            _ => Ok(vec![Enrolment::Enrolled { course: self.course.clone(), student: self.student.clone() }]),
        }
    }
}

fn enrol(course: &str, student: &str) -> Enrol {
    Enrol { course: course.to_owned(), student: student.to_owned() }
}

fn refusal<T: fmt::Debug>(outcome: Result<T, DispatchError<Refusal>>) -> Refusal {
    match outcome {
        Err(DispatchError::Rejected(refusal)) => refusal,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_rule_over_two_streams_holds() {
    let recount = Recount::new(MemoryStore::new());
    for (course, student) in [("c1", "s1"), ("c1", "s2"), ("c2", "s1")] {
        let receipt = recount.decide(enrol(course, student)).await.unwrap();
        assert_eq!(receipt.events, [Enrolment::Enrolled { course: course.into(), student: student.into() }]);
    }
    assert_eq!(refusal(recount.decide(enrol("c3", "s1")).await), Refusal::Busy);
    assert_eq!(refusal(recount.decide(enrol("c1", "s2")).await), Refusal::Already);
    let _ = recount.decide(enrol("c1", "s3")).await.unwrap();
    assert_eq!(refusal(recount.decide(enrol("c1", "s4")).await), Refusal::Full);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn racing_decisions_never_break_the_rule() {
    for seed in 0..30 {
        let mut random = fastrand::Rng::with_seed(seed);
        let store = MemoryStore::new();
        let processes = [Recount::new(store.clone()), Recount::new(store.clone())];
        let tasks: Vec<_> = (0..40)
            .map(|_| {
                let recount = processes[random.usize(0..2)].clone();
                let decision = enrol(&format!("c{}", random.u8(0..3)), &format!("s{}", random.u8(0..6)));
                tokio::spawn(async move {
                    match recount.decide(decision).await {
                        Ok(_) | Err(DispatchError::Rejected(_)) => {}
                        Err(error) => panic!("{error}"),
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        let mut pairs = Vec::new();
        let mut events = store.read_all(recount_core::ReadAll::new(Query::all()));
        while let Some(event) = futures_util::StreamExt::next(&mut events).await {
            let Enrolment::Enrolled { course, student } = Enrolment::from_recorded(&event.unwrap()).unwrap();
            pairs.push((course, student));
        }
        for (course, student) in &pairs {
            assert!(pairs.iter().filter(|(c, _)| c == course).count() <= SEATS, "seed {seed}: {pairs:?}");
            assert!(pairs.iter().filter(|(_, s)| s == student).count() <= COURSES, "seed {seed}: {pairs:?}");
        }
    }
}

#[tokio::test]
async fn decisions_that_share_no_tag_never_meet() {
    let store = FaultyStore::new(MemoryStore::new());
    let recount = Recount::new(store.clone());
    let decisions = (0..50).map(|n| recount.decide(enrol(&format!("c{n}"), &format!("s{n}"))).into_future());
    for outcome in futures_util::future::join_all(decisions).await {
        let _ = outcome.unwrap();
    }
    assert_eq!(store.calls(Operation::Append), 50, "a conflict would have appended again");
}

#[tokio::test]
async fn a_keyed_decision_is_made_once() {
    let store = MemoryStore::new();
    let recount = Recount::new(store.clone());
    let key = IdempotencyKey::new("k").unwrap();
    let first = recount.decide(enrol("c1", "s1")).idempotency_key(key.clone()).await.unwrap();
    let again = recount.decide(enrol("c1", "s1")).idempotency_key(key.clone()).await.unwrap();
    assert!(again.repeated);
    assert_eq!((again.position, again.events), (first.position, first.events));
    let other = recount.decide(enrol("c1", "s2")).idempotency_key(key).await.unwrap_err();
    let cause = other.source().unwrap().to_string();
    assert!(cause.contains("already used for other content"), "{cause}");
    assert_eq!(store.head().await.unwrap().get(), 1);
}

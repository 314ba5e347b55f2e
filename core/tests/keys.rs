//! An idempotency key keeps the first outcome of one request, whether events, nothing or a refusal.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a test")]

extern crate recount_core as recount;

use recount_core::{
    Aggregate, AppendError, Apply, Command, Context, Decision, DispatchError, Event, EventStore, Handle,
    IdempotencyKey, NameError, Query, Recount, Tag,
};
use recount_store_memory::MemoryStore;
use serde::Serialize;

fn key(name: &str) -> IdempotencyKey {
    IdempotencyKey::new(name).unwrap()
}

#[derive(Event, Clone, Debug, PartialEq)]
#[event(name = "ticket")]
enum TicketEvent {
    Booked {
        #[event(tag)]
        seat: String,
        passenger: String,
    },
    Released {
        #[event(tag)]
        seat: String,
    },
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("seat {0} is taken")]
struct Taken(String);

/// Books a seat. Nothing happens if the passenger has it already.
#[derive(Command, Clone)]
#[command(aggregate = Seat)]
struct Book {
    #[command(id)]
    seat: String,
    passenger: String,
}

/// The same command, as the program of a later release declares it.
mod next_release {
    use super::*;

    #[derive(Command, Clone)]
    #[command(aggregate = Seat, name = "book")]
    pub(crate) struct Book {
        #[command(id)]
        pub(crate) seat: String,
        pub(crate) passenger: String,
        pub(crate) meal: Option<String>,
        #[serde(default)]
        pub(crate) luggage: u32,
        #[serde(default = "economy")]
        pub(crate) class: String,
    }

    pub(crate) fn economy() -> String {
        "economy".into()
    }

    #[derive(Aggregate, Clone, Default)]
    #[aggregate(name = "seat", id = String, event = TicketEvent, error = Taken, commands(Book))]
    pub(crate) struct Seat(super::Seat);

    impl Apply for Seat {
        fn apply(&mut self, event: &TicketEvent) {
            self.0.apply(event);
        }
    }

    impl Handle<Book> for Seat {
        fn handle(&self, book: Book) -> Result<Vec<TicketEvent>, Taken> {
            self.0.handle(super::Book { seat: book.seat, passenger: book.passenger })
        }
    }
}

#[derive(Command, Clone)]
#[command(aggregate = Seat)]
struct Release {
    #[command(id)]
    seat: String,
}

#[derive(Aggregate, Clone, Default)]
#[aggregate(name = "seat", id = String, event = TicketEvent, error = Taken, commands(Book, Release))]
struct Seat {
    passenger: Option<String>,
}

impl Apply for Seat {
    fn apply(&mut self, event: &TicketEvent) {
        self.passenger = match event {
            TicketEvent::Booked { passenger, .. } => Some(passenger.clone()),
            TicketEvent::Released { .. } => None,
        };
    }
}

impl Handle<Book> for Seat {
    fn handle(&self, Book { seat, passenger }: Book) -> Result<Vec<TicketEvent>, Taken> {
        match &self.passenger {
            Some(holder) if *holder == passenger => Ok(vec![]),
            Some(_) => Err(Taken(seat)),
            None => Ok(vec![TicketEvent::Booked { seat, passenger }]),
        }
    }
}

impl Handle<Release> for Seat {
    fn handle(&self, Release { seat }: Release) -> Result<Vec<TicketEvent>, Taken> {
        Ok(if self.passenger.is_some() { vec![TicketEvent::Released { seat }] } else { vec![] })
    }
}

/// The same as a decision. Its boundary is the seat, independent of the passenger.
#[derive(Clone, Serialize)]
struct Reserve {
    seat: String,
    passenger: String,
    meal: Option<String>,
}

impl Decision for Reserve {
    type Event = TicketEvent;
    type State = Seat;
    type Error = Taken;
    fn boundary(&self) -> Result<Query, NameError> {
        Ok(Query::tags([Tag::pair("seat", &self.seat)?]))
    }
    fn apply(&self, seat: &mut Seat, event: &TicketEvent) {
        Apply::apply(seat, event);
    }
    fn decide(&self, seat: &Seat, _: &Context<'_>) -> Result<Vec<TicketEvent>, Taken> {
        seat.handle(Book { seat: self.seat.clone(), passenger: self.passenger.clone() })
    }
}

fn book(passenger: &str) -> Book {
    Book { seat: "12a".into(), passenger: passenger.into() }
}

fn release() -> Release {
    Release { seat: "12a".into() }
}

fn reserve(passenger: &str) -> Reserve {
    Reserve { seat: "12a".into(), passenger: passenger.into(), meal: None }
}

/// Two processes on one store.
fn processes() -> (MemoryStore, Recount, Recount) {
    let store = MemoryStore::new();
    (store.clone(), Recount::new(store.clone()), Recount::new(store))
}

fn reused<T: std::fmt::Debug, E: std::error::Error>(outcome: Result<T, DispatchError<E>>) {
    assert!(matches!(outcome, Err(DispatchError::Append(AppendError::KeyReused { .. }))), "{outcome:?}");
}

#[tokio::test]
async fn two_decisions_of_one_boundary_are_two_requests() {
    let (store, one, other) = processes();
    let first = one.decide(reserve("ada")).idempotency_key(key("k")).await.unwrap();
    reused(other.decide(reserve("bob")).idempotency_key(key("k")).await);
    let meal = Reserve { meal: Some("soup".into()), ..reserve("ada") };
    reused(other.decide(meal).idempotency_key(key("k")).await);
    let again = other.decide(reserve("ada")).idempotency_key(key("k")).await.unwrap();
    assert_eq!((again.events, again.position, again.repeated), (first.events, first.position, true));
    assert_eq!(store.head().await.unwrap().get(), 1);
}

#[tokio::test]
async fn an_optional_field_that_is_added_does_not_make_a_repetition_another_decision() {
    #[derive(Serialize)]
    #[serde(rename = "Reserve")]
    struct Earlier {
        seat: String,
        passenger: String,
    }
    impl Decision for Earlier {
        type Event = TicketEvent;
        type State = ();
        type Error = Taken;
        fn boundary(&self) -> Result<Query, NameError> {
            Ok(Query::tags([Tag::pair("seat", &self.seat)?]))
        }
        fn apply(&self, (): &mut (), _: &TicketEvent) {}
        fn decide(&self, (): &(), _: &Context<'_>) -> Result<Vec<TicketEvent>, Taken> {
            Ok(vec![TicketEvent::Booked { seat: self.seat.clone(), passenger: self.passenger.clone() }])
        }
    }
    let (_, one, other) = processes();
    let earlier = Earlier { seat: "12a".into(), passenger: "ada".into() };
    let first = one.decide(earlier).idempotency_key(key("k")).await.unwrap();
    let again = other.decide(reserve("ada")).idempotency_key(key("k")).await.unwrap();
    assert_eq!((again.events, again.repeated), (first.events, true));
}

#[tokio::test]
async fn fields_that_are_added_do_not_make_a_repetition_another_command() {
    let (store, one, other) = processes();
    let first = one.dispatch(book("ada")).idempotency_key(key("k")).await.unwrap();
    let later = |passenger: &str| next_release::Book {
        seat: "12a".into(),
        passenger: passenger.into(),
        meal: None,
        luggage: 0,
        class: next_release::economy(),
    };
    let again = other.dispatch(later("ada")).idempotency_key(key("k")).await.unwrap();
    assert_eq!((again.events, again.repeated), (first.events, true));
    reused(other.dispatch(later("bob")).idempotency_key(key("k")).await);
    let with_meal = next_release::Book { meal: Some(String::new()), ..later("ada") };
    reused(other.dispatch(with_meal).idempotency_key(key("k")).await);
    reused(other.dispatch(next_release::Book { luggage: 1, ..later("ada") }).idempotency_key(key("k")).await);
    // The newer program's request, repeated by the earlier program, and by the command's name.
    let first = other.dispatch(later("ada")).idempotency_key(key("l")).await.unwrap();
    let again = one.dispatch(book("ada")).idempotency_key(key("l")).await.unwrap();
    assert_eq!((again.events, again.version, again.repeated), (first.events, first.version, true));
    let named = Recount::builder(store).register::<Seat>().build();
    let json = br#"{"passenger":"ada","seat":"12a"}"#;
    let again = named.dispatch_json("seat", "book", json).idempotency_key(key("k")).await.unwrap();
    assert!(again.repeated);
}

#[tokio::test]
async fn a_request_that_changed_nothing_changes_nothing_later() {
    let (store, one, other) = processes();
    let _ = one.dispatch(book("ada")).await.unwrap();
    let first = one.dispatch(book("ada")).idempotency_key(key("k")).await.unwrap();
    assert_eq!((first.version.get(), first.position, first.events.len(), first.repeated), (1, None, 0, false));
    let _ = one.dispatch(release()).await.unwrap();
    for recount in [&one, &other] {
        let again = recount.dispatch(book("ada")).idempotency_key(key("k")).await.unwrap();
        assert_eq!((again.version.get(), again.position, again.events.len(), again.repeated), (1, None, 0, true));
    }
    reused(one.dispatch(book("bob")).idempotency_key(key("k")).await);
    assert_eq!(store.head().await.unwrap().get(), 2);
}

#[tokio::test]
async fn nothing_of_an_aggregate_that_was_new_stays_at_its_beginning() {
    let (_, one, other) = processes();
    let first = one.dispatch(release()).idempotency_key(key("k")).await.unwrap();
    let _ = one.dispatch(book("ada")).await.unwrap();
    let again = other.dispatch(release()).idempotency_key(key("k")).await.unwrap();
    assert_eq!((first.version.get(), first.repeated), (0, false));
    assert_eq!((again.version, again.position, again.repeated), (first.version, first.position, true));
}

#[tokio::test]
async fn a_decision_that_changed_nothing_changes_nothing_later() {
    let (store, one, other) = processes();
    let _ = one.decide(reserve("ada")).await.unwrap();
    let first = one.decide(reserve("ada")).idempotency_key(key("k")).await.unwrap();
    assert_eq!((first.position, first.events.len(), first.repeated), (None, 0, false));
    let _ = one.dispatch(release()).await.unwrap();
    let again = other.decide(reserve("ada")).idempotency_key(key("k")).await.unwrap();
    assert_eq!((again.position, again.events.len(), again.repeated), (None, 0, true));
    assert_eq!(store.head().await.unwrap().get(), 1);
}

#[tokio::test]
async fn an_outcome_without_events_is_kept_for_a_closed_stream_too() {
    let (store, one, other) = processes();
    let _ = one.dispatch(book("ada")).await.unwrap();
    store.archive(&Seat::stream(&"12a".to_owned()).unwrap()).await.unwrap();
    for (recount, repeated) in [(&one, false), (&other, true)] {
        let receipt = recount.dispatch(book("ada")).idempotency_key(key("k")).await.unwrap();
        assert_eq!((receipt.version.get(), receipt.events.len(), receipt.repeated), (1, 0, repeated));
    }
    reused(other.dispatch(book("bob")).idempotency_key(key("k")).await);
}

#[tokio::test]
async fn a_refusal_is_kept_on_request() {
    let (_, one, other) = processes();
    let _ = one.dispatch(book("ada")).await.unwrap();
    let free = one.dispatch(book("bob")).idempotency_key(key("free")).await;
    assert!(matches!(free, Err(DispatchError::Rejected(_))), "{free:?}");
    let first = one.dispatch(book("bob")).idempotency_key(key("k")).keep_refusal().await;
    assert!(matches!(&first, Err(DispatchError::Rejected(taken)) if *taken == Taken("12a".into())), "{first:?}");
    let decided = one.decide(reserve("bob")).idempotency_key(key("d")).keep_refusal().await;
    assert!(matches!(decided, Err(DispatchError::Rejected(_))), "{decided:?}");
    let _ = one.dispatch(release()).await.unwrap();
    // Repeated when the seat is free, also without `keep_refusal`.
    let again = other.dispatch(book("bob")).idempotency_key(key("k")).await;
    let Err(DispatchError::RefusedEarlier { key: of, refusal }) = again else { panic!("{again:?}") };
    assert_eq!((of, refusal.message.as_str()), (key("k"), "seat 12a is taken"));
    let again = other.decide(reserve("bob")).idempotency_key(key("d")).await;
    assert!(matches!(again, Err(DispatchError::RefusedEarlier { .. })), "{again:?}");
    reused(other.dispatch(book("eve")).idempotency_key(key("k")).await);
    let free = other.dispatch(book("bob")).idempotency_key(key("free")).await.unwrap();
    assert!(!free.repeated, "a refusal that was not kept leaves its key free");
}

#[tokio::test]
async fn a_refusal_does_not_replace_an_effect_that_came_first() {
    let (store, one, other) = processes();
    let first = one.dispatch(book("ada")).idempotency_key(key("k")).await.unwrap();
    // Another process decided and refused the same request earlier. It appends its refusal too late.
    let _ = one.dispatch(release()).await.unwrap();
    let _ = one.dispatch(book("bob")).await.unwrap();
    let again = other.dispatch(book("ada")).idempotency_key(key("k")).keep_refusal().await.unwrap();
    assert_eq!((again.events, again.repeated), (first.events, true));
    assert_eq!(store.head().await.unwrap().get(), 3);
}

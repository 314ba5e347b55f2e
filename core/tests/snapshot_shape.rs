//! A snapshot of another shape is ignored, and the events are replayed: they tell the value of an added field.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that panics has failed")]
#![allow(missing_docs, unreachable_pub, reason = "the modules stand for programs")]

extern crate recount_core as recount;

use std::cell::Cell;
use std::convert::Infallible;

use recount_core::{
    Aggregate, Append, Apply, Command, Event, EventStore, ExpectedVersion, Handle, Id, Recount, StreamId,
};
use recount_store_memory::MemoryStore;
use serde::{Deserialize, Serialize};

#[derive(Id, Clone, Debug, PartialEq, Eq, Hash)]
pub struct TillId(String);

#[derive(Event, Clone, Debug, PartialEq)]
#[event(name = "till")]
pub enum TillEvent {
    Paid { cents: u32 },
}

thread_local! {
    /// How many events were applied.
    static APPLIED: Cell<u32> = const { Cell::new(0) };
}

/// A version of the program: its types, and what an event does to the state.
macro_rules! programs {
    ($($module:ident { $($types:item)* } |$state:ident, $cents:ident| $apply:expr;)*) => {$(
        mod $module {
            #![allow(dead_code, unused_imports, clippy::wildcard_imports, reason = "each program needs a part")]
            use super::*;

            $($types)*

            #[derive(Command, Clone, Debug)]
            #[command(aggregate = Till)]
            pub struct Pay {
                #[command(id)]
                till: TillId,
                cents: u32,
            }

            impl Apply for Till {
                fn apply(&mut self, event: &TillEvent) {
                    let (TillEvent::Paid { cents: $cents }, $state) = (event, self);
                    APPLIED.set(APPLIED.get() + 1);
                    $apply;
                }
            }

            impl Handle<Pay> for Till {
                fn handle(&self, Pay { cents, .. }: Pay) -> Result<Vec<TillEvent>, Infallible> {
                    Ok(vec![TillEvent::Paid { cents }])
                }
            }

            pub async fn pay(store: &MemoryStore, times: u32) {
                let recount = Recount::new(store.clone());
                for cents in 1..=times {
                    let _ = recount.dispatch(Pay { till: id(), cents }).await.unwrap();
                }
            }

            /// The state, and how many events were applied to get it.
            pub async fn load(store: &MemoryStore) -> (Till, u32) {
                APPLIED.set(0);
                let state = Recount::new(store.clone()).load::<Till>(&id()).await.unwrap();
                (state, APPLIED.get())
            }
        }
    )*};
}

fn id() -> TillId {
    TillId::from("a".to_owned())
}

programs! {
    first {
        #[derive(Aggregate, Clone, Debug, Default, PartialEq)]
        #[aggregate(name = "till", id = TillId, event = TillEvent, error = Infallible, commands(Pay),
                    snapshot(every = 10, version = 1))]
        pub struct Till { pub cents: u32, pub within: Within }

        #[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
        pub struct Within { pub cents: u32 }
    } |till, cents| { till.cents += cents; till.within.cents += cents };

    unchanged {
        /// Doc comments, visibility and other derives are not part of the shape.
        #[derive(Aggregate, Clone, Debug, Default)]
        #[aggregate(name = "till", id = TillId, event = TillEvent, error = Infallible, commands(Pay),
                    snapshot(every = 20, version = 1))]
        pub struct Till { /** All of it. */ pub(super) cents: u32, pub(crate) within: Within }

        #[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
        pub struct Within { pub cents: u32 }
    } |till, cents| { till.cents += cents; till.within.cents += cents };

    optional_added {
        #[derive(Aggregate, Clone, Debug, Default, PartialEq)]
        #[aggregate(name = "till", id = TillId, event = TillEvent, error = Infallible, commands(Pay),
                    snapshot(every = 10, version = 1))]
        pub struct Till { pub cents: u32, pub within: Within, pub first: Option<u32> }

        #[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
        pub struct Within { pub cents: u32 }
    } |till, cents| { till.cents += cents; till.within.cents += cents; _ = till.first.get_or_insert(*cents) };

    defaulted_added {
        #[derive(Aggregate, Clone, Debug, Default, PartialEq)]
        #[aggregate(name = "till", id = TillId, event = TillEvent, error = Infallible, commands(Pay),
                    snapshot(every = 10, version = 1))]
        pub struct Till { pub cents: u32, pub within: Within, #[serde(default)] pub payments: u32 }

        #[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
        pub struct Within { pub cents: u32 }
    } |till, cents| { till.cents += cents; till.within.cents += cents; till.payments += 1 };

    skipped_added {
        #[derive(Aggregate, Clone, Debug, Default, PartialEq)]
        #[aggregate(name = "till", id = TillId, event = TillEvent, error = Infallible, commands(Pay),
                    snapshot(every = 10, version = 1))]
        pub struct Till { pub cents: u32, pub within: Within, #[serde(skip)] pub payments: u32 }

        #[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
        pub struct Within { pub cents: u32 }
    } |till, cents| { till.cents += cents; till.within.cents += cents; till.payments += 1 };

    added_within {
        #[derive(Aggregate, Clone, Debug, Default, PartialEq)]
        #[aggregate(name = "till", id = TillId, event = TillEvent, error = Infallible, commands(Pay),
                    snapshot(every = 10, version = 1))]
        pub struct Till { pub cents: u32, pub within: Within }

        #[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
        pub struct Within { pub cents: u32, #[serde(default)] pub payments: u32 }
    } |till, cents| { till.cents += cents; till.within.cents += cents; till.within.payments += 1 };

    another_newtype {
        #[derive(Aggregate, Clone, Debug, Default, PartialEq)]
        #[aggregate(name = "till", id = TillId, event = TillEvent, error = Infallible, commands(Pay),
                    snapshot(every = 10, version = 1))]
        pub struct Till { pub cents: Mills, pub within: Within }

        #[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
        pub struct Mills(pub u32);

        #[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
        pub struct Within { pub cents: u32 }
    } |till, cents| { till.cents.0 += 10 * cents; till.within.cents += cents };

    renamed_with_default {
        #[derive(Aggregate, Clone, Debug, Default, PartialEq)]
        #[aggregate(name = "till", id = TillId, event = TillEvent, error = Infallible, commands(Pay),
                    snapshot(every = 10, version = 1))]
        pub struct Till { #[serde(default)] pub sum: u32, pub within: Within }

        #[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
        pub struct Within { pub cents: u32 }
    } |till, cents| { till.sum += cents; till.within.cents += cents };

    first_choice {
        #[derive(Aggregate, Clone, Debug, Default, PartialEq)]
        #[aggregate(name = "till", id = TillId, event = TillEvent, error = Infallible, commands(Pay),
                    snapshot(every = 10, version = 1))]
        pub enum Till { #[default] New, Some { cents: u32 } }
    } |till, cents| {
        let sum = match till { Till::New => 0, Till::Some { cents } => *cents };
        *till = Till::Some { cents: sum + cents }
    };

    variant_added {
        #[derive(Aggregate, Clone, Debug, Default, PartialEq)]
        #[aggregate(name = "till", id = TillId, event = TillEvent, error = Infallible, commands(Pay),
                    snapshot(every = 10, version = 1))]
        pub enum Till { #[default] New, Some { cents: u32 }, Much { cents: u32 } }
    } |till, cents| {
        let sum = cents + match till { Till::New => 0, Till::Some { cents } | Till::Much { cents } => *cents };
        *till = if sum > 100 { Till::Much { cents: sum } } else { Till::Some { cents: sum } }
    };
}

/// 1 + 2 + … + 25
const SUM: u32 = 325;

async fn after_25_payments() -> MemoryStore {
    let store = MemoryStore::new();
    first::pay(&store, 25).await;
    store
}

#[tokio::test]
async fn a_snapshot_of_the_same_shape_is_used() {
    let store = after_25_payments().await;
    let (state, applied) = first::load(&store).await;
    assert_eq!((state.cents, state.within.cents, applied), (SUM, SUM, 5));
    let (state, applied) = unchanged::load(&store).await;
    assert_eq!((state.cents, state.within.cents, applied), (SUM, SUM, 5));
}

#[tokio::test]
async fn an_added_field_is_computed_from_the_events() {
    let store = after_25_payments().await;
    let (state, applied) = optional_added::load(&store).await;
    assert_eq!((state.first, state.cents, applied), (Some(1), SUM, 25));
    let (state, applied) = defaulted_added::load(&store).await;
    assert_eq!((state.payments, state.cents, applied), (25, SUM, 25));
    let (state, applied) = skipped_added::load(&store).await;
    assert_eq!((state.payments, state.cents, applied), (25, SUM, 25));
    let (state, applied) = renamed_with_default::load(&store).await;
    assert_eq!((state.sum, applied), (SUM, 25));
}

#[tokio::test]
async fn a_change_within_a_type_of_a_field_counts() {
    let store = after_25_payments().await;
    let (state, applied) = added_within::load(&store).await;
    assert_eq!((state.within.payments, state.cents, applied), (25, SUM, 25));
    let (state, applied) = another_newtype::load(&store).await;
    assert_eq!((state.cents.0, applied), (10 * SUM, 25));
}

#[tokio::test]
async fn a_variant_that_was_added_counts() {
    let store = MemoryStore::new();
    first_choice::pay(&store, 25).await;
    assert_eq!(first_choice::load(&store).await, (first_choice::Till::Some { cents: SUM }, 5));
    assert_eq!(variant_added::load(&store).await, (variant_added::Till::Much { cents: SUM }, 25));
}

#[tokio::test]
async fn the_next_snapshot_is_of_the_new_shape() {
    let store = after_25_payments().await;
    optional_added::pay(&store, 10).await;
    let (state, applied) = optional_added::load(&store).await;
    assert!(applied < 10, "{applied}");
    assert_eq!((state.first, state.cents), (Some(1), SUM + 55));
    // The old program, still running, ignores that snapshot.
    let (state, applied) = first::load(&store).await;
    assert_eq!((state.cents, applied), (SUM + 55, 35));
}

#[tokio::test]
async fn a_new_version_of_an_event_counts() {
    mod versioned {
        use super::*;

        #[derive(Event, Clone, Debug, PartialEq)]
        #[event(name = "till")]
        pub enum NewEvent {
            #[event(version = 2, upcast(paid_v1))]
            Paid { mills: u32 },
        }

        #[derive(Deserialize)]
        pub struct PaidV1 {
            cents: u32,
        }

        fn paid_v1(PaidV1 { cents }: PaidV1) -> NewEvent {
            NewEvent::Paid { mills: cents * 10 }
        }

        #[derive(Aggregate, Clone, Debug, Default, PartialEq)]
        #[aggregate(name = "till", id = TillId, event = NewEvent, error = Infallible, snapshot(every = 10, version = 1))]
        pub struct Till {
            pub cents: u32,
            pub within: first::Within,
        }

        impl Apply for Till {
            fn apply(&mut self, NewEvent::Paid { mills }: &NewEvent) {
                self.cents += mills / 10;
                self.within.cents += mills;
            }
        }
    }
    let store = after_25_payments().await;
    let event = versioned::NewEvent::Paid { mills: 10 }.encode().unwrap();
    let stream = StreamId::new("till", "a").unwrap();
    store.append(Append::to(stream, ExpectedVersion::Any, vec![event])).await.unwrap();
    let state = Recount::new(store).load::<versioned::Till>(&id()).await.unwrap();
    assert_eq!((state.cents, state.within.cents), (SUM + 1, 10 * SUM + 10));
}

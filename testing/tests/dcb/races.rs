//! The same decisions against a store, twice at the same moment: the rule holds there too.

use std::fmt::Debug;
use std::sync::Arc;

use recount_core::{Append, Decision, Event, ExpectedVersion, Recount, Store, StreamId};
use recount_store_memory::MemoryStore;

use super::courses::{DefineCourse, Subscribe, defined, subscribed};
use super::invoices::{CreateInvoice, InvoiceEvent};
use super::opt_in::{Confirm, SignUpEvent, initiated};
use super::tokens::PlaceOrder;
use super::usernames::Register;

const ROUNDS: usize = 50;

/// Makes two decisions at once after these events, again and again, and says how many were accepted each time.
fn race<E: Event + Clone, D: Decision + Debug>(given: &[E], decisions: impl Fn() -> [D; 2]) -> Vec<usize> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_time().build().unwrap();
    let round = || async {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
        for event in given {
            let (to, any) = (StreamId::new("given", "events").unwrap(), ExpectedVersion::Any);
            store.append(Append::to(to, any, vec![event.encode().unwrap()])).await.unwrap();
        }
        let deciding = decisions().map(|decision| {
            // Two programs on one store.
            let recount = Recount::new(store.clone());
            tokio::spawn(async move { recount.decide(decision).await.is_ok() })
        });
        let mut accepted = 0;
        for deciding in deciding {
            accepted += usize::from(deciding.await.unwrap());
        }
        accepted
    };
    (0..ROUNDS).map(|_| runtime.block_on(round())).collect()
}

#[test]
fn a_course_is_defined_once() {
    let define = |capacity| DefineCourse { course: "c1", capacity };
    assert_eq!(race(&[defined("c2", 1)], || [define(10), define(20)]), [1; ROUNDS]);
}

#[test]
fn the_last_seat_is_taken_once() {
    let given = [defined("c1", 3), subscribed("s1", "c1"), subscribed("s2", "c1")];
    let subscribe = |student| Subscribe { student, course: "c1" };
    assert_eq!(race(&given, || [subscribe("s3"), subscribe("s4")]), [1; ROUNDS]);
}

#[test]
fn a_fifth_course_is_the_last() {
    let mut given = ["c1", "c2", "c3", "c4"].map(|course| subscribed("s1", course)).to_vec();
    given.extend([defined("c5", 10), defined("c6", 10)]);
    let subscribe = |course| Subscribe { student: "s1", course };
    assert_eq!(race(&given, || [subscribe("c5"), subscribe("c6")]), [1; ROUNDS]);
}

#[test]
fn a_user_name_is_registered_once() {
    let register = || Register { username: "u1", kept_free: 0 };
    assert_eq!(race(&[defined("c1", 1)], || [register(), register()]), [1; ROUNDS]);
}

#[test]
fn a_code_confirms_once() {
    let given = [SignUpEvent::Initiated { email: "a".into(), code: 1, at: i64::from(u32::MAX) }];
    assert_eq!(race(&given, || [Confirm { email: "a", code: 1 }, Confirm { email: "a", code: 1 }]), [1; ROUNDS]);
    assert_eq!(
        race(&[initiated("b", 1)], || [Confirm { email: "a", code: 1 }, Confirm { email: "a", code: 1 }]),
        [0; ROUNDS]
    );
}

#[test]
fn a_token_places_one_order() {
    let place = |order| PlaceOrder { order, token: 1 };
    assert_eq!(race(&[defined("c1", 1)], || [place("o1"), place("o2")]), [1; ROUNDS]);
}

#[test]
fn racing_invoices_get_numbers_without_a_gap() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_time().build().unwrap();
    let recount = Recount::new(MemoryStore::new());
    let created = runtime.block_on(async {
        let creating: Vec<_> = (0..8)
            .map(|_| {
                let recount = recount.clone();
                tokio::spawn(async move { recount.decide(CreateInvoice).await.unwrap().events })
            })
            .collect();
        let mut created = Vec::new();
        for creating in creating {
            created.extend(creating.await.unwrap());
        }
        created
    });
    let mut numbers: Vec<u32> = created.iter().map(|InvoiceEvent::Created { number }| *number).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [1, 2, 3, 4, 5, 6, 7, 8]);
}

//! Sequences behind their rows: the next open repairs them, and appends fail with a clear error until then.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

mod common;

use common::{Fresh, append, read_all, stream};
use recount_core::{
    Append, AppendError, EventData, EventStore, EventType, ExpectedRevision, ExpectedVersion, Query, ReadAll,
    StateError, StateKey, StateStore, StoreError,
};
use recount_store_postgres::PostgresStore;

const POSITIONS: &str = "SELECT setval('recount.position_sequence', 3)";
const REVISIONS: &str = "SELECT setval('recount.revision_sequence', 1, false)";
const KINDS: &str = "SELECT setval('recount.kinds_kind_seq', 1, false)";

fn of_type(name: &str) -> Append {
    Append::to(stream(name), ExpectedVersion::Any, vec![EventData::new(EventType::new(name).unwrap(), "{}")])
}

async fn filled(fresh: &Fresh) -> PostgresStore {
    let store = fresh.store().await;
    for number in 0..10 {
        store.append(of_type(&format!("type-{number}"))).await.unwrap();
        store.put(&key(), "v".into(), ExpectedRevision::Any, None).await.unwrap();
    }
    store
}

fn key() -> StateKey {
    StateKey::new("lease").unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn opening_a_store_sets_its_sequences_forward_to_the_rows() {
    let fresh = Fresh::new().await;
    let revision = filled(&fresh).await.put(&key(), "v".into(), ExpectedRevision::Any, None).await.unwrap();
    for set in [POSITIONS, REVISIONS, KINDS] {
        fresh.execute(set).await.unwrap();
    }
    let store = fresh.store().await;
    store.health().await.unwrap();
    assert_eq!(store.append(append("a", 1)).await.unwrap().position.get(), 11);
    assert!(store.put(&key(), "w".into(), ExpectedRevision::Any, None).await.unwrap() > revision);
    store.append(of_type("new")).await.unwrap();
    assert_eq!(read_all(&store).await.len(), 12);
    assert_eq!(store.head().await.unwrap().get(), 12);
}

/// The end of an erased stream counts as well.
#[tokio::test(flavor = "multi_thread")]
async fn positions_of_erased_events_are_not_issued_again() {
    let fresh = Fresh::new().await;
    let store = filled(&fresh).await;
    store.append(append("last", 5)).await.unwrap();
    store.erase(&stream("last")).await.unwrap();
    fresh.execute(POSITIONS).await.unwrap();
    assert_eq!(fresh.store().await.append(append("a", 1)).await.unwrap().position.get(), 16);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_may_not_set_a_sequence_is_told_so() {
    let fresh = Fresh::new().await;
    filled(&fresh).await;
    fresh.execute(POSITIONS).await.unwrap();
    fresh.execute("CREATE ROLE unable LOGIN").await.ok();
    let grants = "GRANT USAGE ON SCHEMA recount TO unable; GRANT SELECT ON ALL TABLES IN SCHEMA recount TO unable;
        GRANT SELECT, USAGE ON ALL SEQUENCES IN SCHEMA recount TO unable";
    fresh.execute(grants).await.unwrap();
    let refused = PostgresStore::open(&fresh.url().replacen("postgres@", "unable@", 1)).await;
    let Err(StoreError::Damaged { what }) = refused else { panic!("{refused:?}") };
    assert!(what.contains("position_sequence") && what.contains("at 3") && what.contains("10"), "{what}");
}

fn is_named(error: &StoreError, sequence: &str) -> bool {
    matches!(error, StoreError::Damaged { what } if what.contains(sequence) && what.contains("behind"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sequence_set_back_under_a_running_store_causes_a_clear_error() {
    let fresh = Fresh::new().await;
    let store = filled(&fresh).await;
    fresh.execute(POSITIONS).await.unwrap();
    for append in [append("a", 1), append("a", 2), of_type("type-0")] {
        let outcome = store.append(append).await;
        let Err(AppendError::Store(error)) = outcome else { panic!("{outcome:?}") };
        assert!(is_named(&error, "events_by_position") && !error.is_transient(), "{error:?}");
        assert!(error.to_string().contains("restart the program"), "{error}");
    }
    for error in [store.health().await.unwrap_err(), store.head().await.unwrap_err()] {
        assert!(is_named(&error, "position_sequence"), "{error:?}");
    }
    let read = futures_util::TryStreamExt::try_collect::<Vec<_>>(store.read_all(ReadAll::new(Query::all()))).await;
    assert!(read.is_err_and(|error| is_named(&error, "position_sequence")));
    // One open of the store repairs the sequences for all instances.
    fresh.store().await;
    assert_eq!(store.append(append("a", 1)).await.unwrap().position.get(), 11);
    store.health().await.unwrap();

    fresh.execute(REVISIONS).await.unwrap();
    let outcome = store.put(&key(), "w".into(), ExpectedRevision::Any, None).await;
    let Err(StateError::Store(error)) = outcome else { panic!("{outcome:?}") };
    assert!(is_named(&error, "revision_sequence"), "{error:?}");

    fresh.execute(KINDS).await.unwrap();
    let outcome = store.append(of_type("new")).await;
    let Err(AppendError::Store(error)) = outcome else { panic!("{outcome:?}") };
    assert!(is_named(&error, "kinds_pkey"), "{error:?}");
    fresh.store().await;
    store.append(of_type("new")).await.unwrap();
    store.put(&key(), "w".into(), ExpectedRevision::Any, None).await.unwrap();
}

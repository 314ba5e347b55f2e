//! Appends within a transaction of the caller's.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

mod common;

use std::time::Duration;

use common::{Fresh, append, events, read, read_all, stream};
use recount_core::{
    Append, AppendError, EventStore, ExpectedVersion, IdempotencyKey, StoreError, StreamVersion, Violation,
};
use recount_store_postgres::PostgresStore;
use sqlx::{Connection, Executor, PgPool};

#[tokio::test(flavor = "multi_thread")]
async fn events_come_and_go_with_the_transaction() {
    let fresh = Fresh::new().await;
    let store = fresh.store().await;
    fresh.execute("CREATE TABLE other (n bigint)").await.unwrap();
    let mut shell = fresh.shell().await;
    let mut watch = store.watch();

    let mut transaction = shell.begin().await.unwrap();
    transaction.execute("INSERT INTO other VALUES (1)").await.unwrap();
    let first = store.append_in(&mut transaction, append("a", 2)).await.unwrap();
    // Not seen, by nobody, and nothing behind it either.
    store.append(append("b", 1)).await.unwrap();
    assert!(read_all(&store).await.is_empty());
    transaction.commit().await.unwrap();
    assert_eq!(read(&store, "a").await.len(), 2);
    tokio::time::timeout(Duration::from_secs(5), watch.wait_for(|head| *head > first.position)).await.unwrap().unwrap();
    assert_eq!(read_all(&store).await.len(), 3);

    let mut transaction = shell.begin().await.unwrap();
    transaction.execute("INSERT INTO other VALUES (2)").await.unwrap();
    store.append_in(&mut transaction, append("a", 2)).await.unwrap();
    transaction.rollback().await.unwrap();
    assert_eq!(read_all(&store).await.len(), 3);
    assert_eq!(fresh.number("SELECT count(*) FROM other").await, 1);
    assert_eq!(store.append(append("a", 1)).await.unwrap().streams[0].version.get(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_append_leaves_the_transaction_as_it_was() {
    let fresh = Fresh::new().await;
    let store = fresh.store().await;
    fresh.execute("CREATE TABLE other (n bigint)").await.unwrap();
    store.append(append("a", 1)).await.unwrap();
    let recorded = read(&store, "a").await.remove(0).data;
    let mut shell = fresh.shell().await;
    let mut transaction = shell.begin().await.unwrap();
    transaction.execute("INSERT INTO other VALUES (1)").await.unwrap();
    let new = |id, events| Append::to(stream(id), ExpectedVersion::NoStream, events);
    let conflict = store.append_in(&mut transaction, new("a", events(1))).await;
    assert!(matches!(conflict, Err(AppendError::Conflict(_))), "{conflict:?}");
    let twice = store.append_in(&mut transaction, new("b", vec![recorded.clone()])).await;
    assert!(matches!(twice, Err(AppendError::DuplicateEvent { id }) if id == recorded.id), "{twice:?}");
    // Nobody is held up by what was refused.
    store.append(append("a", 1)).await.unwrap();
    let named = || append("c", 1).idempotency_key(IdempotencyKey::new("k").unwrap());
    assert!(!store.append_in(&mut transaction, named()).await.unwrap().repeated);
    assert!(store.append_in(&mut transaction, named()).await.unwrap().repeated);
    transaction.commit().await.unwrap();
    assert!(store.append(named()).await.unwrap().repeated);
    assert_eq!(fresh.number("SELECT count(*) FROM other").await, 1);
    assert_eq!(read_all(&store).await.len(), 3);

    let mut transaction = shell.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ").await.unwrap();
    assert!(store.append_in(&mut transaction, append("d", 1)).await.is_err());
}

/// What closes streams holds their locks; an append that waited for one must look at what is there after that.
#[tokio::test(flavor = "multi_thread")]
async fn an_append_sees_what_it_waited_for() {
    const ARCHIVED: i64 = i64::MAX - 1;
    let fresh = Fresh::new().await;
    let store = fresh.store().await;
    let mut shell = fresh.shell().await;
    for (id, mark) in [("a", ARCHIVED), ("b", i64::MAX)] {
        store.append(append(id, 1)).await.unwrap();
        let mut transaction = shell.begin().await.unwrap();
        // It has the lock by this, so that the function needs none.
        store.append_in(&mut transaction, append(id, 1)).await.unwrap();
        let close = sqlx::query("SELECT recount.close_stream($1, 0, $2)").bind(format!("account/{id}")).bind(mark);
        close.execute(&mut *transaction).await.unwrap();
        let waiting = tokio::spawn({
            let store = store.clone();
            async move {
                store.append(Append::to(stream(id), ExpectedVersion::Exact(StreamVersion::new(1)), events(1))).await
            }
        });
        while fresh.number("SELECT count(*) FROM pg_locks WHERE NOT granted").await == 0 {
            assert!(!waiting.is_finished(), "it doesn't wait");
        }
        transaction.commit().await.unwrap();
        let stream = stream(id);
        let closed = if mark == ARCHIVED { Violation::Archived { stream } } else { Violation::Erased { stream } };
        let refused = waiting.await.unwrap();
        assert!(
            matches!(&refused, Err(AppendError::Conflict(conflict)) if conflict.violations == [closed]),
            "{refused:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadlock_says_that_it_can_be_tried_again() {
    let fresh = Fresh::new().await;
    let store = fresh.store().await;
    let mut shells = [fresh.shell().await, fresh.shell().await];
    let [one, other] = &mut shells;
    let (mut one, mut other) = (one.begin().await.unwrap(), other.begin().await.unwrap());
    store.append_in(&mut one, append("a", 1)).await.unwrap();
    store.append_in(&mut other, append("b", 1)).await.unwrap();
    let crossing = async {
        tokio::join!(store.append_in(&mut one, append("b", 1)), async {
            let outcome = store.append_in(&mut other, append("a", 1)).await;
            // Whoever is let go frees the one who waits.
            other.rollback().await.unwrap();
            outcome
        })
    };
    let crossing = tokio::time::timeout(Duration::from_secs(20), crossing).await;
    if let Ok((first, second)) = crossing {
        let failed = [first, second].into_iter().filter_map(Result::err).collect::<Vec<_>>();
        assert!(
            matches!(&*failed, [AppendError::Store(error)] if error.is_transient()),
            "one of them is ended: {failed:?}"
        );
    }
}

/// A caller that appends outside of its own open transaction waits for itself, and gets an error in time.
#[tokio::test(flavor = "multi_thread")]
async fn an_append_that_waits_for_its_own_transaction_fails_in_time() {
    let fresh = Fresh::new().await;
    let patience = Duration::from_millis(1_500);
    let store = PostgresStore::builder(&fresh.url()).patience(patience).open().await.unwrap();
    store.append(append("a", 1)).await.unwrap();
    let pool = PgPool::connect(&fresh.url()).await.unwrap();
    let mut transaction = pool.begin().await.unwrap();
    store.append_in(&mut transaction, append("a", 1)).await.unwrap();
    let started = std::time::Instant::now();
    let (lone, together) = tokio::join!(store.append(append("a", 1)), store.append(append("a", 2)));
    for outcome in [lone, together] {
        let Err(AppendError::Store(error @ StoreError::Unavailable { .. })) = outcome else { panic!("{outcome:?}") };
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert!(source.contains("lock timeout"), "{source}");
    }
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    transaction.commit().await.unwrap();
    store.append(append("a", 1)).await.unwrap();
    assert_eq!(read(&store, "a").await.len(), 3);
}

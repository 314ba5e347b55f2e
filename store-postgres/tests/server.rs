//! What the server does and holds: schemas, rights, rows that stay as they are, backends that end.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

mod common;

use std::time::Duration;

use common::{Fresh, append, execute_on, read, read_all, stream};
use futures_util::future::join_all;
use recount_core::{
    Append, AppendCondition, AppendError, EventData, EventStore, EventType, ExpectedRevision, ExpectedVersion,
    Position, Query, QueryItem, StateKey, StateStore, StoreError, Tag,
};
use recount_store_postgres::PostgresStore;

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_schema_is_refused_and_left_alone() {
    let fresh = Fresh::new().await;
    fresh.store().await.close().await;
    fresh.execute("INSERT INTO recount.migrations (version) VALUES (7)").await.unwrap();
    let outcome = PostgresStore::open(&fresh.url()).await;
    assert!(matches!(outcome, Err(StoreError::SchemaVersion { found: 7, known: 1 })), "{outcome:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_that_open_at_once_make_the_schema_once() {
    let fresh = Fresh::new().await;
    let opening: Vec<_> = (0..6)
        .map(|n| {
            let url = fresh.url();
            tokio::spawn(async move {
                let store = PostgresStore::builder(&url).pool(4).open().await.unwrap();
                store.append(append(&n.to_string(), 1)).await.unwrap();
                store.close().await;
            })
        })
        .collect();
    for opened in opening {
        opened.await.unwrap();
    }
    assert_eq!(read_all(&fresh.store().await).await.len(), 6);
    assert_eq!(fresh.number("SELECT count(*) FROM recount.migrations").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_script_of_migrations_makes_what_opening_makes() {
    let fresh = Fresh::new().await;
    fresh.execute(&PostgresStore::migrations_sql("made-by-hand").unwrap()).await.unwrap();
    // Without any right to make things.
    fresh.execute("CREATE ROLE plain LOGIN").await.ok();
    let grants = r#"GRANT USAGE ON SCHEMA "made-by-hand" TO plain;
        GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA "made-by-hand" TO plain;
        REVOKE UPDATE, DELETE ON "made-by-hand".events, "made-by-hand".tags, "made-by-hand".kinds FROM plain;
        GRANT SELECT, USAGE ON ALL SEQUENCES IN SCHEMA "made-by-hand" TO plain"#;
    fresh.execute(grants).await.unwrap();
    let url = fresh.url().replacen("postgres@", "plain@", 1);
    let store = PostgresStore::builder(&url).schema("made-by-hand").open().await.unwrap();
    store.append(append("a", 3)).await.unwrap();
    store.archive(&stream("a")).await.unwrap();
    store.health().await.unwrap();
    assert_eq!(read(&store, "a").await.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_events_stay_as_they_are() {
    let fresh = Fresh::new().await;
    let store = fresh.store().await;
    let tagged = EventData {
        tags: vec![Tag::new("t").unwrap()],
        ..EventData::new(EventType::new("account.opened").unwrap(), r#"{"owner":"Ada"}"#)
    };
    let broken = EventData::new(EventType::new("account.opened").unwrap(), &b"\xff\0"[..]);
    store.append(Append::to(stream("a"), ExpectedVersion::Any, vec![tagged, broken])).await.unwrap();
    for table in ["events", "tags"] {
        for change in ["UPDATE recount.{} SET position = position + 1", "DELETE FROM recount.{}", "TRUNCATE recount.{}"]
        {
            let refused = fresh.execute(&change.replace("{}", table)).await.unwrap_err();
            assert!(refused.to_string().contains("only ever appended"), "{refused}");
        }
    }
    assert_eq!(fresh.number("SELECT count(*) FROM recount.event_log WHERE payload ->> 'owner' = 'Ada'").await, 1);
    assert_eq!(fresh.number("SELECT count(*) FROM recount.event_log WHERE payload IS NULL").await, 1);
    store.erase(&stream("a")).await.unwrap();
    assert_eq!(fresh.number("SELECT count(*) FROM recount.tags").await, 0);
    // Of the events nothing is left but the mark that the stream ends in.
    assert_eq!(
        fresh.number("SELECT count(*) FROM recount.events WHERE kind > 0 OR payload <> '' OR tags <> ''").await,
        0
    );
    assert_eq!(fresh.number("SELECT count(*) FROM recount.event_log").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn schemas_of_one_database_know_nothing_of_each_other() {
    let fresh = Fresh::new().await;
    let (one, other) =
        (fresh.store().await, PostgresStore::builder(&fresh.url()).schema("Other").open().await.unwrap());
    one.append(append("a", 2)).await.unwrap();
    let key = StateKey::new("k").unwrap();
    one.put(&key, "x".into(), ExpectedRevision::Absent, None).await.unwrap();
    other.append(Append::to(stream("a"), ExpectedVersion::NoStream, common::events(1))).await.unwrap();
    assert_eq!((read_all(&one).await.len(), read_all(&other).await.len()), (2, 1));
    assert_eq!(other.get(&key).await.unwrap(), None);
    one.erase(&stream("a")).await.unwrap();
    assert_eq!(read(&other, "a").await.len(), 1);
    for wrong in ["", "a b", "pg_catalog", "x\"; DROP SCHEMA recount; --"] {
        assert!(PostgresStore::builder(&fresh.url()).schema(wrong).open().await.is_err(), "{wrong}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ended_backends_are_replaced_and_nothing_is_lost_or_doubled() {
    let fresh = Fresh::new().await;
    let store = fresh.store().await;
    let mut shell = fresh.shell().await;
    let kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND application_name = 'recount'";
    for round in 0..10_u64 {
        store.append(append("a", 3)).await.unwrap();
        execute_on(&mut shell, kill).await.unwrap();
        if round % 2 == 0 {
            assert_eq!(read(&store, "a").await.len() as u64, (round + 1) * 3);
        }
    }
    // Killed in the middle of things.
    let writers: Vec<_> = (0..8)
        .map(|n| {
            let store = store.clone();
            tokio::spawn(async move {
                for version in 0..20 {
                    let expected = ExpectedVersion::Exact(recount_core::StreamVersion::new(version));
                    let request = Append::to(stream(&format!("w{n}")), expected, common::events(1));
                    store.append(request).await.unwrap();
                }
            })
        })
        .collect();
    for _ in 0..15 {
        tokio::time::sleep(Duration::from_millis(10)).await;
        execute_on(&mut shell, kill).await.unwrap();
    }
    for writer in writers {
        writer.await.unwrap();
    }
    assert_eq!(read_all(&store).await.len(), 30 + 160);
    // Others are heard again, too.
    let mut watch = store.watch();
    let appended = fresh.store().await.append(append("b", 1)).await.unwrap();
    tokio::time::timeout(Duration::from_secs(5), watch.wait_for(|head| *head >= appended.position))
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_address_is_a_clear_error() {
    let refused = PostgresStore::open("postgres://postgres@127.0.0.1:1/none").await;
    assert!(matches!(refused, Err(StoreError::Unavailable { .. })), "{refused:?}");
    let malformed = PostgresStore::open("postgres://[/").await;
    assert!(matches!(malformed, Err(StoreError::Backend { .. })), "{malformed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_in_use_by_a_foreign_lock_is_no_conflict() {
    let fresh = Fresh::new().await;
    let store = fresh.store().await;
    let mut shell = fresh.shell().await;
    execute_on(&mut shell, "SELECT pg_advisory_lock(1), pg_advisory_lock(42), pg_advisory_lock(1, 1)").await.unwrap();
    let outcome = tokio::time::timeout(Duration::from_secs(5), store.append(append("a", 1))).await.unwrap();
    assert!(outcome.is_ok());
    let conflict = store.append(Append::to(stream("a"), ExpectedVersion::NoStream, common::events(1))).await;
    assert!(matches!(conflict, Err(AppendError::Conflict(_))));
}

/// Looks must come after locks, whatever isolation the database's owner prefers for others.
#[tokio::test(flavor = "multi_thread")]
async fn another_default_isolation_changes_nothing() {
    let fresh = Fresh::new().await;
    let prefer =
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_isolation = ''repeatable read''',
        current_database()); END $$";
    fresh.execute(prefer).await.unwrap();
    let stores = [fresh.store().await, fresh.store().await, fresh.store().await, fresh.store().await];
    for round in 0..50 {
        let tag = Tag::pair("round", round).unwrap();
        let racing = stores.iter().enumerate().map(|(racer, store)| {
            let item = QueryItem { tags: vec![tag.clone()], ..QueryItem::default() };
            let condition = AppendCondition { fail_if: Query { items: vec![item] }, after: Position::START };
            let event = EventData { tags: vec![tag.clone()], ..common::event() };
            let to = stream(&format!("{round}-{racer}"));
            store.append(Append::to(to, ExpectedVersion::Any, vec![event]).condition(condition))
        });
        let won = join_all(racing).await.into_iter().filter(|outcome| match outcome {
            Ok(_) => true,
            Err(AppendError::Conflict(_)) => false,
            Err(error) => panic!("{error:?}"),
        });
        assert_eq!(won.count(), 1, "round {round}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_keeps_its_identity_and_no_other_has_it() {
    let fresh = Fresh::new().await;
    let identity = fresh.store().await.identity();
    assert_eq!(fresh.store().await.identity(), identity);
    let other = PostgresStore::builder(&fresh.url()).schema("other").open().await.unwrap();
    assert_ne!(other.identity(), identity);
}

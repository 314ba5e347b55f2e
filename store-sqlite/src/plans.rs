//! The query plans of hot statements: every one goes through an index, and none sorts.

use recount_core::{
    Append, EventData, EventStore, EventType, ExpectedVersion, Position, Query, QueryItem, StreamId, Tag,
};
use sqlx::{AssertSqlSafe, Connection, Row, SqliteConnection};
use tempfile::TempDir;

use crate::SqliteStore;
use crate::kinds::Kinds;
use crate::page::Cursor;
use crate::query;

async fn explain(connection: &mut SqliteConnection, sql: &str) -> Vec<String> {
    let mut steps = Vec::new();
    for statement in sql.split(";\n") {
        let explain = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {statement}"));
        let rows = sqlx::query(explain).fetch_all(&mut *connection).await.unwrap();
        steps.extend(rows.iter().map(|row| row.get::<String, _>("detail")));
    }
    steps
}

fn assert_indexed(sql: &str, steps: &[String]) {
    let generated = ["SCAN p", "SCAN wanted", "SCAN CONSTANT ROW", "SCAN 2-ROW", "SCAN 3-ROW", "SCAN (subquery"];
    for step in steps {
        let scans = step.starts_with("SCAN") && !generated.iter().any(|source| step.starts_with(source));
        assert!(!scans && !step.contains("TEMP B-TREE FOR ORDER"), "{sql}\n{steps:#?}");
    }
}

#[tokio::test]
async fn hot_statements_use_indexes_and_do_not_sort() {
    let directory = TempDir::new().unwrap();
    let store = SqliteStore::open(directory.path().join("events.db")).await.unwrap();
    let tag = |name: &str| Tag::new(name).unwrap();
    let kind = |name: &str| EventType::new(name).unwrap();
    for name in ["a", "b", "c"] {
        let mut event = EventData::new(kind(name), "{}");
        event.tags = vec![tag("x"), tag("y")];
        let stream = StreamId::new("account", name).unwrap();
        store.append(Append::to(stream, ExpectedVersion::Any, vec![event])).await.unwrap();
    }
    let mut connection = SqliteConnection::connect(store.path().to_str().unwrap()).await.unwrap();
    let kinds = Kinds::default();
    kinds.refresh(&mut connection).await.unwrap();

    let queries = [
        Query::all(),
        Query::types([kind("a")]),
        Query::types([kind("a"), kind("b"), kind("c")]),
        Query::category("account"),
        Query::tags([tag("x")]),
        Query::tags([tag("x"), tag("y")]).or(QueryItem::default().event_type(kind("c"))),
        Query::item(QueryItem::default().event_type(kind("a")).tag(tag("x"))).or(QueryItem::default().tag(tag("y"))),
    ];
    for query in queries {
        for direction in [recount_core::Direction::Forward, recount_core::Direction::Backward] {
            let read = recount_core::ReadAll { direction, ..recount_core::ReadAll::new(query.clone()) };
            let mut cursor = Cursor::new(read, Position::new(3), &kinds);
            for dense in [false, true] {
                cursor.dense = dense;
                let sql = cursor.script(100).0.text;
                assert_indexed(&sql, &explain(&mut connection, &sql).await);
            }
        }
        for statement in query::last_match_statements(&query, Position::START, &kinds) {
            assert_indexed(&statement.text, &explain(&mut connection, &statement.text).await);
        }
    }
    for sql in [
        include_str!("sql/select_stream_forward.sql"),
        include_str!("sql/select_stream_backward.sql"),
        &include_str!("sql/lookup_streams.sql").replace("{rows}", "(?,?,?),(?,?,?)"),
        &include_str!("sql/lookup_appends.sql").replace("{rows}", "(?),(?)"),
        &include_str!("sql/lookup_state.sql").replace("{rows}", "(?),(?)"),
        &include_str!("sql/lookup_events.sql").replace("{rows}", "(?),(?)"),
        include_str!("sql/erase_3_tags.sql"),
        include_str!("sql/erase_4_events.sql"),
        include_str!("sql/list_state.sql"),
        include_str!("sql/delete_expired_state.sql"),
    ] {
        let steps = explain(&mut connection, sql).await;
        let steps: Vec<_> = steps.into_iter().filter(|step| !step.contains("VIRTUAL TABLE")).collect();
        assert_indexed(sql, &steps);
    }
}

//! The statements that write a planned batch.

use recount_core::StoreError;

use crate::plan::Plan;
use crate::row::{encode_metadata, encode_tags};
use crate::rows::{RowWriter, Template};

macro_rules! template {
    ($name:ident, $file:literal, $columns:literal) => {
        const $name: Template = Template { sql: include_str!($file), columns: $columns };
    };
}
template!(INSERT_EVENTS, "../sql/insert_events.sql", 9);
template!(INSERT_TAGS, "../sql/insert_tags.sql", 3);
template!(INSERT_STREAMS, "../sql/insert_streams.sql", 3);
template!(INSERT_KINDS, "../sql/insert_kinds.sql", 4);
template!(INSERT_APPENDS, "../sql/insert_appends.sql", 4);
template!(UPSERT_STATE, "../sql/upsert_state.sql", 4);
template!(DELETE_STATE, "../sql/delete_state.sql", 1);

/// Adds the statements for everything that was planned.
pub(super) fn insert(writer: &mut RowWriter<'_>, plan: &Plan<'_>) -> Result<(), StoreError> {
    writer.rows(INSERT_KINDS, &plan.kinds, |script, (id, kind)| {
        script.bind(*id).bind(&*kind.category).bind(kind.event_type.as_str()).bind(i64::from(kind.schema_version));
    });
    writer.rows(INSERT_STREAMS, &plan.streams, |script, (id, stream)| {
        script.bind(*id).bind(stream.category()).bind(stream.id());
    });
    let recorded_at = plan.now.as_microsecond();
    writer.rows(INSERT_EVENTS, &plan.events, |script, row| {
        script.bind(row.position.as_i64()).bind(row.stream).bind(row.version.as_i64()).bind(row.kind);
        script.bind(recorded_at).bind(&row.data.id.0.as_bytes()[..]);
        script.bind(encode_tags(&row.data.tags)).bind(encode_metadata(&row.data.metadata));
        script.bind(&row.data.payload[..]);
    });
    let tags = plan.events.iter().flat_map(|row| row.data.tags.iter().map(move |tag| (tag, row)));
    writer.rows(INSERT_TAGS, &tags.collect::<Vec<_>>(), |script, (tag, row)| {
        script.bind(tag.as_str()).bind(row.position.as_i64()).bind(row.kind);
    });
    writer.rows(INSERT_APPENDS, &plan.appends, |script, (key, digest, outcome)| {
        script.bind(key.as_str()).bind(&digest.as_bytes()[..]).bind(outcome.as_str()).bind(recorded_at);
    });
    if !plan.state.is_empty() {
        writer.open.statement(include_str!("../sql/delete_expired_state.sql")).bind(recorded_at);
        let rows: Vec<_> = plan.state.iter().filter_map(|(key, row)| row.map(|row| (key, row))).collect();
        writer.rows(UPSERT_STATE, &rows, |script, (key, (value, revision, expires_at))| {
            script.bind(key.as_stored()).bind(*value).bind(*revision).bind(*expires_at);
        });
        let rows: Vec<_> = plan.state.iter().filter(|(_, row)| row.is_none()).map(|(key, _)| key).collect();
        writer.rows(DELETE_STATE, &rows, |script, key| {
            script.bind(key.as_stored());
        });
        writer.open.statement(include_str!("../sql/update_revision.sql")).bind(plan.counters.revision);
    }
    Ok(())
}

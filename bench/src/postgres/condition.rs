//! Appends with a condition, beside inserts of one row, and at two sizes of the store.

use anyhow::{Context, Result};
use protocol::Scenario;
use recount::Event;
use recount::EventStore;
use recount::postgres::PostgresStore;

use super::arena::{Arena, Game, Past};
use super::contender::{OURS, RAW};
use super::results::Results;
use super::scenarios::find;
use super::server::Server;
use crate::domain::sold;
use crate::figures::Floor;

const SMALL: Past = Past { name: "events_50k", streams: 0, length: 50_000 };
const LARGE: Past = Past { name: "events_5m", streams: 0, length: 5_000_000 };
/// By hand nothing needs to be there.
const EMPTY: Past = Past { name: "hundreds", streams: 320, length: 100 };

pub async fn play(arena: &mut Arena, results: &mut Results) -> Result<()> {
    let (sizes, inserts) = (results.wants(&["condition_5m_vs_50k"]), results.wants(&["conditions_32_vs_raw_insert"]));
    if !sizes && !inserts {
        return Ok(());
    }
    let (ours, raw) = (arena.contender(OURS)?, arena.contender(RAW)?);
    let at = |past| Game { scenario: Scenario::Conditions, clients: 32, seconds: 0.8, rounds: 7, past };
    let mut large = ours.clone();
    large.name = "recount, 5,000,000 events";
    let mut sides = Vec::new();
    for (side, past, wanted) in [(&ours, SMALL, true), (&large, LARGE, sizes)] {
        if wanted {
            let database = format!("bench_{}_{}", side.database, past.name);
            arena.server.create(&database).await?;
            fill(&arena.server, &database, past.length).await?;
            arena.is_filled(&database);
            sides.push((side.clone(), at(past)));
        }
    }
    arena.server.checkpoint().await?;
    if inserts {
        sides.push((raw, Game { scenario: Scenario::Inserts, ..at(EMPTY) }));
    }
    if let Some(peer) = arena.contenders.iter().find(|side| side.name == "disintegrate").cloned() {
        sides.push((peer, at(EMPTY)));
    }
    let scores = arena.play(&at(SMALL), &sides).await?;
    let small = find(&scores, OURS)?;
    if inserts {
        let ratios = small.over(find(&scores, RAW)?);
        let raw = find(&scores, RAW)?.rate();
        let detail = format!("{:.0}/s at 50,000 events, raw SQL {raw:.0}/s; {}", small.rate(), ratios.spread(2));
        results.figures.add("conditions_32_vs_raw_insert", ratios.median(), Floor::AtLeast(1.0), detail);
    }
    if sizes {
        let large = find(&scores, large.name)?;
        let ratios = large.over(small);
        let detail = format!("{:.0}/s, at 50,000 {:.0}/s; {}", large.rate(), small.rate(), ratios.spread(2));
        results.figures.add("condition_5m_vs_50k", ratios.median(), Floor::AtLeast(0.8), detail);
        let cell = format!("{:.0}", large.rate());
        results.cells("conditional appends, 32 callers, at 5,000,000 events, /s", vec![(OURS, cell)]);
    }
    let rest: Vec<_> = scores.iter().filter(|score| score.name != large.name).cloned().collect();
    results.row("conditional appends, 32 callers, at 50,000 events (raw: inserts)", "appends/s", &rest);
    Ok(())
}

/// Writes the events straight into the store's tables: the server makes them itself, and the indexes at the end.
async fn fill(server: &Server, database: &str, events: u32) -> Result<()> {
    let store = PostgresStore::open(&server.url(database)?).await?;
    store.close().await;
    let sample = sold(7).encode()?;
    let payload = std::str::from_utf8(&sample.payload).context("the payload is no text")?.replace('\'', "''");
    let kind = sample.event_type.as_str();
    let fill = format!(
        "SET synchronous_commit = off;
        INSERT INTO recount.kinds (category, type, schema_version) VALUES ('sale', '{kind}', 1);
        ALTER TABLE recount.events DROP CONSTRAINT events_by_position, DROP CONSTRAINT events_by_stream,
            DROP CONSTRAINT events_by_id;
        DROP INDEX recount.events_by_kind;
        ALTER TABLE recount.tags DROP CONSTRAINT tags_by_tag;
        INSERT INTO recount.events (position, version, recorded_at, event_id, kind, stream, tags, payload)
        SELECT n, 1, now(), gen_random_uuid(), 1, 'sale/past-' || n,
            '[\"customer:' || n % 100000 || '\",\"article:' || n % 5000 || '\"]', convert_to('{payload}', 'UTF8')
        FROM generate_series(1, {events}) AS n;
        INSERT INTO recount.tags (tag, position, kind)
        SELECT t.tag, n, 1 FROM generate_series(1, {events}) AS n,
            LATERAL (VALUES ('customer:' || n % 100000), ('article:' || n % 5000)) AS t(tag);
        ALTER TABLE recount.events ADD CONSTRAINT events_by_position PRIMARY KEY (position),
            ADD CONSTRAINT events_by_stream UNIQUE (stream, version), ADD CONSTRAINT events_by_id UNIQUE (event_id);
        CREATE INDEX events_by_kind ON recount.events (kind, position);
        ALTER TABLE recount.tags ADD CONSTRAINT tags_by_tag PRIMARY KEY (tag, position) INCLUDE (kind);
        SELECT setval('recount.position_sequence', {events});"
    );
    server.run(database, &fill).await?;
    server.run(database, "VACUUM ANALYZE").await
}

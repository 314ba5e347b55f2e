//! cqrs-es on postgres-es, as its book sets it up: `postgres_cqrs`, or `postgres_snapshot_cqrs` with snapshots on.

mod domain;
mod fill;
mod views;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Result;
use cqrs_es::mem_store::MemStore;
use cqrs_es::persist::{PersistedEventStore, QueryReplay};
use cqrs_es::{AggregateError, CqrsFramework, EventStore};
use postgres_es::{PostgresCqrs, PostgresEventRepository, postgres_cqrs, postgres_snapshot_cqrs};
use protocol::{Answer, Scenario, Turn, load, once, serve};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;

use domain::{Sell, Till};

/// Every how many events a snapshot is taken.
const SNAPSHOT: usize = 20;
/// After how many commands a client goes on to another stream.
const STREAM: u32 = 20;

#[tokio::main]
async fn main() -> Result<()> {
    serve(run).await
}

async fn run(turn: Turn) -> Result<Option<Answer>> {
    if turn.scenario == Scenario::Memory {
        return memory(&turn).await.map(Some);
    }
    let pool = PgPoolOptions::new().max_connections(turn.clients.clamp(4, 64) as u32).connect(&turn.url).await?;
    Ok(Some(match turn.scenario {
        Scenario::Fill => fill::fill(&pool, &turn).await?,
        Scenario::Commands | Scenario::Cold | Scenario::History | Scenario::Hot | Scenario::Batch => {
            commands(pool, &turn).await?
        }
        Scenario::Rehydrate => rehydrate(pool, &turn).await?,
        Scenario::CatchUp => {
            let seen = Arc::default();
            catch_up(pool, views::Count(Arc::clone(&seen)), seen, turn.seconds).await?
        }
        Scenario::CatchUpTable => {
            views::Totals::setup(&pool).await?;
            let seen = Arc::default();
            let totals = views::Totals { pool: pool.clone(), seen: Arc::clone(&seen) };
            catch_up(pool, totals, seen, turn.seconds).await?
        }
        _ => return Ok(None),
    }))
}

async fn commands(pool: PgPool, turn: &Turn) -> Result<Answer> {
    let cqrs: PostgresCqrs<Till> = if turn.snapshots {
        postgres_snapshot_cqrs(pool, vec![], SNAPSHOT, ())
    } else {
        postgres_cqrs(pool, vec![], ())
    };
    let cqrs = Arc::new(cqrs);
    let Turn { scenario, streams, clients, turn: round, .. } = *turn;
    let clients = clients as u32;
    load(turn, move |client, number| {
        let cqrs = Arc::clone(&cqrs);
        async move {
            let till = match scenario {
                Scenario::History => format!("past-{}", (client + clients * (number % 10)) % streams),
                Scenario::Cold => format!("past-{}", (client + clients * number + round * 1500) % streams),
                Scenario::Hot => format!("hot-{round}"),
                _ => format!("new-{round}-{client}-{}", number / STREAM),
            };
            let count = if scenario == Scenario::Batch { 100 } else { 1 };
            execute(&*cqrs, &till, Sell { number, count }).await.map(|again| (u64::from(count), again))
        }
    })
    .await
}

/// Executes the command; on a conflict again, as its documentation says. Answers how often.
async fn execute<S: EventStore<Till>>(cqrs: &CqrsFramework<Till, S>, till: &str, command: Sell) -> Result<u64> {
    let mut again = 0;
    loop {
        match cqrs.execute(till, command.clone()).await {
            Ok(()) => return Ok(again),
            Err(AggregateError::AggregateConflict) => again += 1,
            Err(error) => return Err(error.into()),
        }
    }
}

async fn rehydrate(pool: PgPool, turn: &Turn) -> Result<Answer> {
    let store: Arc<PersistedEventStore<_, Till>> =
        Arc::new(PersistedEventStore::new_event_store(PostgresEventRepository::new(pool)));
    let length = u64::from(turn.length);
    load(turn, move |_, _| {
        let store = Arc::clone(&store);
        async move {
            store.load_aggregate("past-0").await?;
            Ok((length, 0))
        }
    })
    .await
}

/// Its way to build a view anew, until that is done or the time is over.
async fn catch_up<Q: cqrs_es::Query<Till>>(
    pool: PgPool,
    query: Q,
    seen: Arc<AtomicU64>,
    seconds: f64,
) -> Result<Answer> {
    let repository = PostgresEventRepository::new(pool).with_streaming_channel_size(1000);
    let replay = QueryReplay::new(repository, query);
    once(|| async {
        tokio::select! {
            done = replay.replay_all() => done?,
            () = tokio::time::sleep(Duration::from_secs_f64(seconds)) => {}
        }
        Ok(seen.load(Ordering::Relaxed))
    })
    .await
}

async fn memory(turn: &Turn) -> Result<Answer> {
    let cqrs = Arc::new(CqrsFramework::new(MemStore::<Till>::default(), vec![], ()));
    load(turn, move |client, number| {
        let cqrs = Arc::clone(&cqrs);
        async move {
            let till = format!("new-{client}-{}", number / STREAM);
            execute(&*cqrs, &till, Sell { number, count: 1 }).await.map(|again| (1, again))
        }
    })
    .await
}

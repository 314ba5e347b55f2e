//! disintegrate on Postgres: decisions with a query as their boundary, `PgSnapshotter` with snapshots on.

mod domain;
mod fill;
mod listeners;

use std::sync::Arc;

use anyhow::Result;
use disintegrate::serde::json::Json;
use disintegrate::{
    DecisionError, EventSourcedStateStore, LoadState, NoSnapshot, PersistDecision, SnapshotConfig, WithSnapshot,
};
use disintegrate_postgres::{Error, PgDecisionMaker, PgEventId, PgEventStore, PgSnapshotter, decision_maker};
use protocol::{Answer, Scenario, Turn, go, load, serve};
use sqlx::postgres::PgPoolOptions;

use domain::{Sell, Till, TillEvent};

/// From how many events on a snapshot is taken.
const SNAPSHOT: u64 = 20;
/// After how many commands a client goes on to another stream.
const STREAM: u32 = 20;

type Store = PgEventStore<TillEvent, Json<TillEvent>>;
type Decisions<SN> = PgDecisionMaker<TillEvent, Json<TillEvent>, SN>;
type States<SN> = EventSourcedStateStore<PgEventId, TillEvent, Store, SN>;

#[tokio::main]
async fn main() -> Result<()> {
    serve(run).await
}

async fn run(turn: Turn) -> Result<Option<Answer>> {
    if turn.scenario == Scenario::Memory {
        return Ok(None);
    }
    let pool = PgPoolOptions::new().max_connections(turn.clients.clamp(4, 64) as u32).connect(&turn.url).await?;
    if turn.scenario == Scenario::Fill {
        return fill::fill(&turn).await.map(Some);
    }
    let store = PgEventStore::new_uninitialized(pool.clone(), Json::<TillEvent>::default());
    Ok(Some(match turn.scenario {
        Scenario::Commands
        | Scenario::Cold
        | Scenario::History
        | Scenario::Hot
        | Scenario::Batch
        | Scenario::Conditions => {
            if turn.snapshots {
                let snapshots = WithSnapshot::new(PgSnapshotter::new_uninitialized(pool, SNAPSHOT));
                commands(decision_maker(store, snapshots), &turn).await?
            } else {
                commands(decision_maker(store, NoSnapshot), &turn).await?
            }
        }
        Scenario::Rehydrate => rehydrate(EventSourcedStateStore::new(store, NoSnapshot), &turn).await?,
        Scenario::CatchUp => listeners::catch_up(&pool, store, turn.seconds, false).await?,
        Scenario::CatchUpTable => listeners::catch_up(&pool, store, turn.seconds, true).await?,
        Scenario::Listen => listeners::listen(store, turn.streams).await?,
        Scenario::Announce => announce(decision_maker(store, NoSnapshot), &turn).await?,
        _ => return Ok(None),
    }))
}

async fn commands<SN>(decisions: Decisions<SN>, turn: &Turn) -> Result<Answer>
where
    SN: SnapshotConfig + Clone + Send + Sync + 'static,
    States<SN>: LoadState<PgEventId, Till, TillEvent> + PersistDecision<PgEventId, Till, TillEvent>,
{
    let decisions = Arc::new(decisions);
    let Turn { scenario, streams, clients, turn: round, .. } = *turn;
    let clients = clients as u32;
    load(turn, move |client, number| {
        let decisions = Arc::clone(&decisions);
        async move {
            let till = match scenario {
                Scenario::History => format!("past-{}", (client + clients * (number % 10)) % streams),
                Scenario::Cold => format!("past-{}", (client + clients * number + round * 1500) % streams),
                Scenario::Hot => format!("hot-{round}"),
                _ => format!("new-{round}-{client}-{}", number / STREAM),
            };
            let count = if scenario == Scenario::Batch { 100 } else { 1 };
            let mut again = 0;
            loop {
                match decisions.make(Sell { till: till.clone(), number, count }).await {
                    Ok(_) => return Ok((u64::from(count), again)),
                    Err(DecisionError::StateStore(error)) if is_conflict(&*error) => again += 1,
                    Err(error) => return Err(error.into()),
                }
            }
        }
    })
    .await
}

/// Whether another was faster, or the server could not tell: to be tried again.
fn is_conflict(error: &(dyn std::error::Error + 'static)) -> bool {
    match error.downcast_ref::<Error>() {
        Some(Error::Concurrency) => true,
        Some(Error::Database(sqlx::Error::Database(error))) => {
            matches!(error.code().as_deref(), Some("40001" | "40P01"))
        }
        _ => false,
    }
}

async fn rehydrate(states: States<NoSnapshot>, turn: &Turn) -> Result<Answer> {
    let states = Arc::new(states);
    let length = u64::from(turn.length);
    load(turn, move |_, _| {
        let states = Arc::clone(&states);
        async move {
            let till = Till::new("past-0");
            states.load(till).await.map_err(|error| anyhow::anyhow!(error))?;
            Ok((length, 0))
        }
    })
    .await
}

async fn announce(decisions: Decisions<NoSnapshot>, turn: &Turn) -> Result<Answer> {
    go().await?;
    let mut times = Vec::new();
    for number in 0..turn.streams {
        decisions.make(Sell { till: format!("live-{}-{number}", turn.turn), number, count: 1 }).await?;
        times.push(protocol::now_us());
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    Ok(Answer { times, ..Answer::default() })
}

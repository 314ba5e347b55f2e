//! Listeners: what was handled is noted after up to `fetch_size` events.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use async_trait::async_trait;
use disintegrate::serde::json::Json;
use disintegrate::{EventListener, PersistedEvent, StreamQuery, query};
use disintegrate_postgres::{PgEventId, PgEventListener, PgEventListenerConfig, PgEventStore};
use protocol::{Answer, go, now_us};
use sqlx::PgPool;
use tokio::sync::mpsc;

use crate::domain::TillEvent;

type Store = PgEventStore<TillEvent, Json<TillEvent>>;

/// What a listener does with an event.
enum Effect {
    Count,
    Total(PgPool),
    Tell(mpsc::UnboundedSender<u64>),
}

struct Listener {
    query: StreamQuery<PgEventId, TillEvent>,
    effect: Effect,
    seen: Arc<AtomicU64>,
}

impl Listener {
    fn new(effect: Effect) -> Self {
        Self { query: query!(TillEvent), effect, seen: Arc::default() }
    }
}

#[async_trait]
impl EventListener<PgEventId, TillEvent> for Listener {
    type Error = anyhow::Error;

    fn id(&self) -> &'static str {
        "listener"
    }

    fn query(&self) -> &StreamQuery<PgEventId, TillEvent> {
        &self.query
    }

    async fn handle(&self, event: PersistedEvent<PgEventId, TillEvent>) -> Result<()> {
        let TillEvent::Sold { article, pieces, cents, .. } = event.into_inner();
        match &self.effect {
            Effect::Count => {}
            Effect::Total(pool) => {
                sqlx::query(
                    "INSERT INTO totals VALUES ($1, $2, $3) ON CONFLICT (article)
                    DO UPDATE SET pieces = totals.pieces + excluded.pieces, cents = totals.cents + excluded.cents",
                )
                .bind(article)
                .bind(i64::from(pieces))
                .bind(cents)
                .execute(pool)
                .await?;
            }
            Effect::Tell(sender) => sender.send(now_us())?,
        }
        self.seen.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

/// Catches up until everything is handled or the time is over.
pub async fn catch_up(pool: &PgPool, store: Store, seconds: f64, table: bool) -> Result<Answer> {
    sqlx::raw_sql(
        "DROP TABLE IF EXISTS totals; CREATE TABLE totals (article text PRIMARY KEY, pieces bigint NOT NULL, cents bigint NOT NULL); DELETE FROM event_listener",
    )
    .execute(pool)
    .await?;
    let events: i64 = sqlx::query_scalar("SELECT count(*) FROM event").fetch_one(pool).await?;
    let listener = Listener::new(if table { Effect::Total(pool.clone()) } else { Effect::Count });
    let seen = Arc::clone(&listener.seen);
    // Everything at once: the one connection that it takes reads on meanwhile.
    let config = PgEventListenerConfig::poller(Duration::from_millis(50));
    let listeners = PgEventListener::builder(store).uninitialized().register_listener(listener, config);
    go().await?;
    let started = Instant::now();
    let task = tokio::spawn(listeners.start());
    while seen.load(Ordering::Relaxed) < events.unsigned_abs() && started.elapsed().as_secs_f64() < seconds {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let answer =
        Answer { units: seen.load(Ordering::Relaxed), seconds: started.elapsed().as_secs_f64(), ..Answer::default() };
    task.abort();
    Ok(answer)
}

pub async fn listen(store: Store, events: u32) -> Result<Answer> {
    let (sender, mut heard) = mpsc::unbounded_channel::<u64>();
    let config = PgEventListenerConfig::poller(Duration::from_secs(1)).with_notifier();
    let listeners =
        PgEventListener::builder(store).uninitialized().register_listener(Listener::new(Effect::Tell(sender)), config);
    let task = tokio::spawn(listeners.start());
    // It listens once it is connected, and past events are none of ours.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    while heard.try_recv().is_ok() {}
    go().await?;
    let mut times = Vec::new();
    while times.len() < events as usize {
        let Some(time) = heard.recv().await else { break };
        times.push(time);
    }
    task.abort();
    Ok(Answer { times, ..Answer::default() })
}

//! Subscriptions: each event is acknowledged on its own, after its handler.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use evento::{AggregatorName, Context, EventDetails, Executor, Postgres};
use protocol::{Answer, go, now_us};
use sqlx::PgPool;
use tokio::sync::mpsc;

use crate::domain::{Sold, Till};

#[evento::handler(Till)]
async fn count<E: Executor>(context: &Context<'_, E>, event: EventDetails<Sold>) -> anyhow::Result<()> {
    let _ = event.data.cents;
    context.extract::<Arc<AtomicU64>>().fetch_add(1, Ordering::Relaxed);
    Ok(())
}

#[evento::handler(Till)]
async fn total<E: Executor>(context: &Context<'_, E>, event: EventDetails<Sold>) -> anyhow::Result<()> {
    let pool = context.extract::<PgPool>();
    sqlx::query(
        "INSERT INTO totals VALUES ($1, $2, $3) ON CONFLICT (article)
        DO UPDATE SET pieces = totals.pieces + excluded.pieces, cents = totals.cents + excluded.cents",
    )
    .bind(&event.data.article)
    .bind(i64::from(event.data.pieces))
    .bind(event.data.cents)
    .execute(&pool)
    .await?;
    context.extract::<Arc<AtomicU64>>().fetch_add(1, Ordering::Relaxed);
    Ok(())
}

#[evento::handler(Till)]
async fn hear<E: Executor>(context: &Context<'_, E>, event: EventDetails<Sold>) -> anyhow::Result<()> {
    let _ = event.data.cents;
    context.extract::<mpsc::UnboundedSender<u64>>().send(now_us())?;
    Ok(())
}

/// Catches up until the time is over: it would take minutes to the end.
pub async fn catch_up(pool: &PgPool, executor: Postgres, seconds: f64, table: bool) -> Result<Answer> {
    sqlx::raw_sql(
        "DROP TABLE IF EXISTS totals; CREATE TABLE totals (article text PRIMARY KEY, pieces bigint NOT NULL, cents bigint NOT NULL); DELETE FROM subscriber",
    )
    .execute(pool)
    .await?;
    let seen = Arc::new(AtomicU64::new(0));
    // The largest chunk that it can: fewer pauses.
    let subscription =
        evento::subscribe("catch-up").all().chunk_size(20_000).data(Arc::clone(&seen)).data(pool.clone());
    let subscription = if table { subscription.handler(total()) } else { subscription.handler(count()) };
    go().await?;
    let started = Instant::now();
    let handle = subscription.run(&executor).await?;
    tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
    let answer =
        Answer { units: seen.load(Ordering::Relaxed), seconds: started.elapsed().as_secs_f64(), ..Answer::default() };
    drop(handle);
    Ok(answer)
}

pub async fn listen(executor: Postgres, events: u32) -> Result<Answer> {
    let (sender, mut heard) = mpsc::unbounded_channel::<u64>();
    let subscription = evento::subscribe("live").all().data(sender).handler(hear());
    let handle = subscription.run(&executor).await?;
    go().await?;
    let mut times = Vec::new();
    while times.len() < events as usize {
        let Some(time) = heard.recv().await else { break };
        times.push(time);
    }
    drop(handle);
    Ok(Answer { times, ..Answer::default() })
}

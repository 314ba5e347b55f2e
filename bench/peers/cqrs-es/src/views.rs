//! What a catch-up builds.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Result;
use async_trait::async_trait;
use cqrs_es::{EventEnvelope, Query};
use sqlx::PgPool;

use crate::domain::{Till, TillEvent};

/// Counts what it sees.
pub struct Count(pub Arc<AtomicU64>);

#[async_trait]
impl Query<Till> for Count {
    async fn dispatch(&self, _: &str, events: &[EventEnvelope<Till>]) {
        self.0.fetch_add(events.len() as u64, Ordering::Relaxed);
    }
}

/// Totals by article, in a table.
pub struct Totals {
    pub pool: PgPool,
    pub seen: Arc<AtomicU64>,
}

impl Totals {
    pub async fn setup(pool: &PgPool) -> Result<()> {
        sqlx::raw_sql(
            "DROP TABLE IF EXISTS totals; CREATE TABLE totals (article text PRIMARY KEY, pieces bigint NOT NULL, cents bigint NOT NULL)",
        )
        .execute(pool)
        .await?;
        Ok(())
    }
}

#[async_trait]
impl Query<Till> for Totals {
    async fn dispatch(&self, _: &str, events: &[EventEnvelope<Till>]) {
        for EventEnvelope { payload: TillEvent::Sold(sale), .. } in events {
            let upsert = "INSERT INTO totals VALUES ($1, $2, $3) ON CONFLICT (article)
                DO UPDATE SET pieces = totals.pieces + excluded.pieces, cents = totals.cents + excluded.cents";
            let upsert = sqlx::query(upsert).bind(&sale.article).bind(i64::from(sale.pieces)).bind(sale.cents);
            if let Err(error) = upsert.execute(&self.pool).await {
                eprintln!("{error}");
            }
            self.seen.fetch_add(1, Ordering::Relaxed);
        }
    }
}

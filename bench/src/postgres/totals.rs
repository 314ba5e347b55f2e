//! A read model in a table: totals by article, exactly once.

use anyhow::{Result, anyhow};
use protocol::{Answer, once};
use recount::postgres::{PostgresReadModel, PostgresStore};
use recount::{BoxError, EventStore, Projection, RecordedEvent, Recount};
use sqlx::{AssertSqlSafe, PgConnection, Row};

use crate::domain::TillEvent;

pub struct Totals;

impl Projection for Totals {
    type Event = TillEvent;
    type ReadModel = PostgresReadModel;
    const NAME: &'static str = "totals";

    async fn on(&self, event: &TillEvent, _: &RecordedEvent, connection: &mut PgConnection) -> Result<(), BoxError> {
        if let TillEvent::Sold { article, pieces, cents, .. } = event {
            sqlx::query(
                "INSERT INTO totals VALUES ($1, $2, $3) ON CONFLICT (article)
                DO UPDATE SET pieces = totals.pieces + excluded.pieces, cents = totals.cents + excluded.cents",
            )
            .bind(article)
            .bind(i64::from(*pieces))
            .bind(cents)
            .execute(connection)
            .await?;
        }
        Ok(())
    }
}

impl Totals {
    /// Builds the table anew from all events.
    pub async fn catch_up(store: &PostgresStore, _round: u32) -> Result<Answer> {
        let model = store.read_model();
        let fresh = "DROP TABLE IF EXISTS totals;
            CREATE TABLE totals (article text PRIMARY KEY, pieces bigint NOT NULL, cents bigint NOT NULL);
            DELETE FROM recount.checkpoints";
        sqlx::raw_sql(AssertSqlSafe(fresh)).execute(model.pool()).await?;
        let head = store.head().await?;
        let events: i64 =
            sqlx::query("SELECT count(*) FROM recount.events").fetch_one(model.pool()).await?.try_get(0)?;
        let recount = Recount::new(store.clone());
        once(|| async {
            let projections = recount.projections().add(Self, model).start();
            projections.wait_for(head).await.map_err(|stopped| anyhow!("it stopped: {:?}", stopped.status))?;
            projections.shutdown().await;
            Ok(events.unsigned_abs())
        })
        .await
    }
}

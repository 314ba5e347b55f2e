//! A read model in a table: totals by article, exactly once.

use std::collections::BTreeMap;

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
    fn name(&self) -> &str {
        "totals"
    }

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

    /// The sums of all of them by one statement. The peers write a row for each event: that is how they hand them out.
    async fn on_many(
        &self,
        events: &[(TillEvent, &RecordedEvent)],
        connection: &mut PgConnection,
    ) -> Result<(), BoxError> {
        let mut sums: BTreeMap<&str, (i64, i64)> = BTreeMap::new();
        for (event, _) in events {
            if let TillEvent::Sold { article, pieces, cents, .. } = event {
                let (all_pieces, all_cents) = sums.entry(article).or_default();
                *all_pieces += i64::from(*pieces);
                *all_cents += cents;
            }
        }
        let (articles, sums): (Vec<&str>, Vec<(i64, i64)>) = sums.into_iter().unzip();
        let (pieces, cents): (Vec<i64>, Vec<i64>) = sums.into_iter().unzip();
        sqlx::query(
            "INSERT INTO totals SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[]) ON CONFLICT (article)
            DO UPDATE SET pieces = totals.pieces + excluded.pieces, cents = totals.cents + excluded.cents",
        )
        .bind(articles)
        .bind(pieces)
        .bind(cents)
        .execute(connection)
        .await?;
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
            let projections = recount.consumers().projection(Self, model).start();
            projections.wait_for(head).await.map_err(|stopped| anyhow!("it stopped: {:?}", stopped.status))?;
            projections.shutdown().await;
            Ok(events.unsigned_abs())
        })
        .await
    }
}

//! The cost of idempotency keys on Postgres.

use anyhow::Result;
use recount::Recount;
use recount::postgres::PostgresStore;

use super::arena::Arena;
use super::results::Results;
use crate::keyed::{Tills, compare};

const KEYS: [&str; 2] = ["keyed_32_vs_unkeyed", "keyed_hot_32_vs_unkeyed"];
const DATABASE: &str = "bench_keyed";

pub async fn play(arena: &mut Arena, results: &mut Results) -> Result<()> {
    if !results.wants(&KEYS) {
        return Ok(());
    }
    arena.server.create(DATABASE).await?;
    let recount = Recount::new(PostgresStore::open(&arena.server.url(DATABASE)?).await?);
    for (key, tills) in KEYS.into_iter().zip([Tills::Own, Tills::Hot]) {
        compare(&mut results.figures, key, 0.8, &recount, tills).await?;
    }
    recount.close().await;
    arena.server.drop(DATABASE).await
}

//! Events of the past, a few thousand in an insert.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;
use evento::{AggregatorName, Event, Executor, Postgres};
use protocol::{Turn, sale};
use ulid::Ulid;

use crate::domain::{Sold, Till};

pub async fn fill(executor: &Postgres, turn: &Turn) -> Result<()> {
    let config = bincode::config::standard();
    let metadata = bincode::encode_to_vec(true, config)?;
    let mut events = Vec::new();
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    for stream in 0..turn.streams {
        for version in 1..=turn.length {
            events.push(Event {
                id: Ulid::new(),
                name: Sold::name().to_owned(),
                data: bincode::encode_to_vec(Sold::from(sale(stream * turn.length + version)), config)?,
                metadata: metadata.clone(),
                timestamp: now.as_secs(),
                timestamp_subsec: version % 1000,
                aggregator_id: format!("past-{stream}"),
                aggregator_type: Till::name().to_owned(),
                version: i32::try_from(version)?,
                routing_key: None,
            });
            if events.len() == 5000 {
                executor.write(std::mem::take(&mut events)).await?;
            }
        }
    }
    if !events.is_empty() {
        executor.write(events).await?;
    }
    Ok(())
}

//! Reactions: what one part of the shop does when it hears of an event of another.
//!
//! A reaction follows the events from its checkpoint and sends commands. After a crash it hears the last few events
//! again, so its commands must be harmless to repeat.

use std::sync::Arc;

use anyhow::{Context, Result, anyhow};
use futures_util::{FutureExt, StreamExt, TryStreamExt, stream};
use recount::{Checkpoint, Delivery, DispatchError, Event, ExpectedRevision, Position, Recount, StateKey};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// How many commands of one reaction are under way at once.
const AT_ONCE: usize = 256;

/// A reaction that runs. Dropping it stops it.
pub struct Reaction {
    name: &'static str,
    position: watch::Receiver<Position>,
    task: JoinHandle<Result<()>>,
}

impl Reaction {
    /// Starts it: `react` is called with each event, many at once, in no order.
    pub fn start<E, F, Fut>(recount: Recount, name: &'static str, react: F) -> Self
    where
        E: Event,
        F: Fn(Recount, E) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<()>> + Send + 'static,
    {
        let (sender, position) = watch::channel(Position::START);
        let task = tokio::spawn(async move { follow(recount, name, Arc::new(react), sender).await });
        Self { name, position, task }
    }

    /// How far it is: it has reacted to everything up to there.
    pub fn progress(&self) -> watch::Receiver<Position> {
        self.position.clone()
    }

    /// Waits until it has reacted to everything up to this position.
    pub async fn wait_for(&mut self, position: Position) -> Result<()> {
        if self.position.wait_for(|reached| *reached >= position).await.is_ok() {
            return Ok(());
        }
        let reason = match (&mut self.task).await {
            Ok(Ok(())) => anyhow!("it ended"),
            Ok(Err(error)) => error,
            Err(error) => error.into(),
        };
        Err(reason.context(format!("reaction {} stopped", self.name)))
    }
}

impl Drop for Reaction {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn follow<E, F, Fut>(recount: Recount, name: &str, react: Arc<F>, reached: watch::Sender<Position>) -> Result<()>
where
    E: Event,
    F: Fn(Recount, E) -> Fut,
    Fut: Future<Output = Result<()>>,
{
    let key = StateKey::new(format!("reaction/{name}"))?;
    let checkpoint = match recount.store().get(&key).await? {
        Some(entry) => serde_json::from_slice(&entry.value).context("damaged checkpoint")?,
        None => Checkpoint::START,
    };
    let mut deliveries = recount.subscribe(E::query(), checkpoint);
    while let Some(first) = deliveries.next().await {
        let mut batch = vec![first?];
        while batch.len() < AT_ONCE
            && let Some(Some(delivery)) = deliveries.next().now_or_never()
        {
            batch.push(delivery?);
        }
        let position = batch.last().map_or(checkpoint.position, Delivery::position);
        let events = batch.iter().filter_map(|delivery| match delivery {
            Delivery::Event(event) => Some(E::from_recorded(event)),
            Delivery::CaughtUp(_) => None,
        });
        let events = events.collect::<Result<Vec<E>, _>>()?;
        if !events.is_empty() {
            stream::iter(events.into_iter().map(|event| Ok(react(recount.clone(), event))))
                .try_buffer_unordered(AT_ONCE)
                .try_collect::<()>()
                .await?;
            // Store the whole checkpoint, so that the next start notices a store that was restored from a backup.
            let value = serde_json::to_vec(&deliveries.checkpoint().await?)?;
            recount.store().put(&key, value.into(), ExpectedRevision::Any, None).await?;
        }
        reached.send_replace(position);
    }
    Ok(())
}

/// What is there already needs no doing.
pub fn once<T, E: std::error::Error>(outcome: Result<T, DispatchError<E>>) -> Result<(), DispatchError<E>> {
    match outcome {
        Ok(_) | Err(DispatchError::AlreadyExists { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

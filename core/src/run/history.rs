//! Comparing a reader's checkpoint with the store that it reads.

use crate::{Checkpoint, EventAt, EventId, Position, Store, StoreError};

/// Compares a checkpoint with the store: the store's identity, and the event at the position.
/// Returns the id of the event at the position, if there is one.
///
/// # Errors
/// [`StoreError::OtherStore`] or [`StoreError::WentBack`] if the store lacks events that the reader has handled.
pub(crate) async fn compare(
    store: &dyn Store,
    reader: &str,
    checkpoint: &Checkpoint,
) -> Result<Option<EventId>, StoreError> {
    let reader = reader.to_owned();
    let identity = store.identity();
    if let Some(expected) = checkpoint.store
        && expected != identity
    {
        return Err(StoreError::OtherStore { reader, checkpoint: Box::new(*checkpoint), expected, found: identity });
    }
    if checkpoint.position == Position::START {
        return Ok(None);
    }
    let found = match (store.event_at(checkpoint.position).await?, checkpoint.event) {
        (EventAt::Event(found), Some(expected)) if found != expected => {
            format!("the event there is {found}, no longer {expected}")
        }
        (EventAt::Event(found), _) => return Ok(Some(found)),
        (EventAt::Erased, _) => return Ok(None),
        (EventAt::Nothing, Some(expected)) => format!("event {expected} is no longer there"),
        (EventAt::Nothing, None) => "the store ends before it".to_owned(),
    };
    let head = store.head().await?;
    if checkpoint.event.is_none() && head >= checkpoint.position {
        // A gap: no event ever had this position.
        return Ok(None);
    }
    Err(StoreError::WentBack { reader, checkpoint: Box::new(*checkpoint), found, head })
}

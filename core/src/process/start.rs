//! Where a process starts: said once, and recorded in the log.

use futures_util::StreamExt;
use serde::{Deserialize, Serialize};

use super::Process;
use crate::store::RESERVED;
use crate::{
    Append, AppendError, BoxError, Event, EventData, EventType, ExpectedVersion, Position, Query, ReadAll, ReadStream,
    Store, StoreError, StreamId, codec,
};

/// The events that a new process hears. It counts only the first time that the process is started on a store: the
/// decision is recorded as an event in the stream `recount.process/NAME`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartAt {
    /// The events that are recorded from now on.
    Now,
    /// All events, so that the process acts on everything that ever happened.
    Beginning,
    /// The events behind this position.
    Position(Position),
}

/// The category of the streams that hold the starts of processes.
pub(super) const CATEGORY: &str = "recount.process";
const STARTED: &str = "recount.process_started";

#[derive(Serialize, Deserialize)]
struct Started {
    after: Position,
}

/// The position behind which the process hears events. The first caller decides.
///
/// # Errors
/// The store fails, or other streams than those of the process have its name: they would be damaged.
pub(super) async fn start_of<P: Process>(store: &dyn Store, start: StartAt) -> Result<Position, BoxError> {
    let process = P::NAME;
    let stream = StreamId::new(CATEGORY, process)?;
    if let Some(after) = recorded(store, &stream).await? {
        return Ok(after);
    }
    free::<P>(store).await?;
    let after = match start {
        StartAt::Now => store.head().await?,
        StartAt::Beginning => Position::START,
        StartAt::Position(position) => position,
    };
    let event = EventData::new(EventType::from_static(STARTED), codec::to_json(STARTED, &Started { after })?);
    match store.append(Append::to(stream.clone(), ExpectedVersion::NoStream, vec![event])).await {
        Ok(_) => Ok(after),
        // Another runner was faster.
        Err(AppendError::Conflict(_)) => {
            Ok(recorded(store, &stream).await?.ok_or("the start of the process can't be read back")?)
        }
        Err(error) => Err(error.into()),
    }
}

/// Makes sure that no stream of another kind has the category of the process.
async fn free<P: Process>(store: &dyn Store) -> Result<(), BoxError> {
    let read = ReadAll { limit: Some(1), ..ReadAll::new(Query::category(P::NAME)) };
    let Some(first) = store.read_all(read).next().await.transpose()? else { return Ok(()) };
    let (stream, event_type) = (&first.stream, &first.data.event_type);
    let facts = P::Fact::variants();
    let mut known = facts.iter().flat_map(|fact| std::iter::once(&fact.event_type).chain(fact.aliases));
    if event_type.as_str().starts_with(RESERVED) || known.any(|known| *known == event_type.as_str()) {
        return Ok(());
    }
    let error =
        format!("stream {stream} has an event {event_type}, so `{}` is no name for a process: rename it", P::NAME);
    Err(error.into())
}

async fn recorded(store: &dyn Store, stream: &StreamId) -> Result<Option<Position>, BoxError> {
    match store.read_stream(ReadStream::new(stream.clone())).next().await {
        Some(Ok(event)) => Ok(Some(codec::from_json::<Started>(STARTED, 1, &event.data.payload)?.after)),
        Some(Err(StoreError::StreamNotFound { .. })) | None => Ok(None),
        Some(Err(error)) => Err(error.into()),
    }
}

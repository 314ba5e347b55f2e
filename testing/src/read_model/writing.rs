//! The projection of the suite, and the store that it follows.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use recount_core::{
    Append, BoxError, Consumers, Event, ExpectedVersion, Position, Progress, Projection, ReadModel, RecordedEvent,
    Recount, RetryBudget, Store, StreamId,
};

use super::Harness;
use crate::FaultyReadModel;

/// Two kinds of events, so that a filter can leave one out.
#[derive(Event, Clone, Debug)]
#[event(name = "noted", crate = "::recount_core")]
pub(crate) enum Noted {
    First {},
    Second {},
}

/// The first kind.
#[derive(Event, Clone, Debug)]
#[event(union, crate = "::recount_core")]
pub(crate) enum FirstOnly {
    #[event(only(First))]
    Noted(Noted),
}

type Model<H> = FaultyReadModel<<H as Harness>::Model>;
type Behaviour = dyn Fn(&RecordedEvent) -> Result<(), BoxError> + Send + Sync;

/// Writes the position of each event, then behaves as the test says.
pub(super) struct Writing<H, E = Noted> {
    pub(super) harness: Arc<H>,
    pub(super) name: String,
    pub(super) behaviour: Box<Behaviour>,
    /// Whether the handlers never return.
    pub(super) hangs: Arc<std::sync::atomic::AtomicBool>,
    event: PhantomData<fn() -> E>,
}

impl<H: Harness, E: Event> Writing<H, E> {
    pub(super) fn new(harness: &Arc<H>) -> Self {
        Self::with(harness, |_| Ok(()))
    }

    pub(super) fn with(
        harness: &Arc<H>,
        behaviour: impl Fn(&RecordedEvent) -> Result<(), BoxError> + Send + Sync + 'static,
    ) -> Self {
        let (harness, behaviour) = (Arc::clone(harness), Box::new(behaviour));
        Self { harness, name: "writing".to_owned(), behaviour, hangs: Arc::default(), event: PhantomData }
    }
}

impl<H: Harness, E: Event> Projection for Writing<H, E> {
    type Event = E;
    type ReadModel = Model<H>;

    fn name(&self) -> &str {
        &self.name
    }

    async fn setup(&self, connection: &mut <Model<H> as ReadModel>::Connection) -> Result<(), BoxError> {
        self.harness.prepare(connection).await
    }

    async fn reset(&self, connection: &mut <Model<H> as ReadModel>::Connection) -> Result<(), BoxError> {
        self.harness.clear(connection).await
    }

    async fn on(
        &self,
        _: &E,
        recorded: &RecordedEvent,
        connection: &mut <Model<H> as ReadModel>::Connection,
    ) -> Result<(), BoxError> {
        if self.hangs.load(std::sync::atomic::Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        if Model::<H>::UNDOES {
            self.harness.write(connection, recorded.position.get()).await?;
            return (self.behaviour)(recorded);
        }
        // Without a transaction a handler must not change anything before it fails.
        (self.behaviour)(recorded)?;
        self.harness.write(connection, recorded.position.get()).await
    }
}

/// An empty store, and a handle on it.
pub(super) async fn log<H: Harness>(harness: &Arc<H>) -> (Arc<dyn Store>, Recount) {
    let store = harness.store().await;
    (Arc::clone(&store), Recount::new(store))
}

/// Appends so many events of the first kind, and returns the last position.
pub(crate) async fn append(store: &Arc<dyn Store>, stream: &str, count: usize) -> Position {
    append_each(store, stream, (0..count).map(|_| Noted::First {})).await
}

/// Appends these events, and returns the last position.
pub(crate) async fn append_each(
    store: &Arc<dyn Store>,
    stream: &str,
    events: impl IntoIterator<Item = Noted>,
) -> Position {
    let events = events.into_iter().map(|event| event.encode().unwrap()).collect();
    let stream = StreamId::new("noted", stream).unwrap();
    store.append(Append::to(stream, ExpectedVersion::Any, events)).await.unwrap().position
}

/// A small retry budget: tests of stops don't wait for long.
pub(super) fn soon() -> RetryBudget {
    RetryBudget { time: Duration::from_millis(100), ..RetryBudget::default() }
}

pub(super) async fn open<H: Harness>(harness: &Arc<H>) -> Model<H> {
    FaultyReadModel::new(harness.open().await)
}

pub(super) fn start<H: Harness, E: Event>(recount: &Recount, writing: Writing<H, E>, model: Model<H>) -> Consumers {
    recount.consumers().retry(soon()).projection(writing, model).start()
}

/// Waits until the progress is as expected.
pub(super) async fn until(running: &Consumers, expected: impl Fn(&Progress) -> bool) -> Progress {
    loop {
        let now = running.progress().remove(0);
        if expected(&now) {
            return now;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Waits until the projection has stopped, and returns why.
pub(super) async fn stopped(running: &Consumers) -> (Position, String) {
    let now = until(running, Progress::is_over).await;
    let recount_core::Status::Stopped { error } = now.status else { panic!("{now:?}") };
    (now.position, error.to_string())
}

//! How a store is opened.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use recount_core::{FilterChange, Home, Inlines, Position, Projection, StoreError};
use tokio::sync::{Mutex, mpsc, watch};

use crate::address::Address;
use crate::database::{self, Database};
use crate::inline::Projections;
use crate::kinds::Kinds;
use crate::lone::Lone;
use crate::push::{Push, Wake};
use crate::read::Reader;
use crate::read_model::PostgresReadModel;
use crate::schema::Schema;
use crate::store::{Opened, Parts, PostgresStore};
use crate::writer::{Limits, Writer};
use crate::{identity, migrate};

pub(crate) const DEFAULT_SCHEMA: &str = "recount";
/// One writes while the other gathers: with more of them batches get smaller.
const WRITERS: u32 = 2;
/// How many connections a read model uses at most.
pub(crate) const READ_MODEL_CONNECTIONS: u32 = 8;

/// Opens a [`PostgresStore`]: made by [`PostgresStore::builder`].
#[derive(Debug)]
pub struct PostgresBuilder {
    address: Address,
    schema: Option<String>,
    pool: u32,
    poll: Duration,
    patience: Duration,
    limits: Limits,
    inlines: Inlines<PostgresReadModel>,
}

impl PostgresBuilder {
    pub(crate) fn new(url: &str) -> Self {
        Self {
            address: Address::new(url),
            schema: None,
            pool: 10,
            poll: Duration::from_secs(1),
            patience: Duration::from_secs(10),
            limits: Limits { requests: 256, bytes: 8 * 1024 * 1024 },
            inlines: Inlines::default(),
        }
    }

    /// The schema that holds the tables; `recount` by default. The address can name it too (`?schema=NAME`). Stores in
    /// different schemas of one database are independent. Letters, digits, `_` and `-`; compared exactly.
    #[must_use]
    pub fn schema(mut self, name: &str) -> Self {
        self.schema = Some(name.to_owned());
        self
    }

    /// How many connections to use at most: 10 unless told otherwise, at least 5. Up to three of them write. Listening
    /// takes one more, and [read models](PostgresStore::read_model) have their own.
    #[must_use]
    pub fn pool(mut self, connections: u32) -> Self {
        self.pool = connections.max(WRITERS + 3);
        self
    }

    /// How often to look for events of other processes, beside being notified of them; every second unless told otherwise.
    #[must_use]
    pub fn poll(mut self, interval: Duration) -> Self {
        self.poll = interval;
        self
    }

    /// How long to wait for a connection, for a server that restarts, or for an answer that got lost in the network, before a call
    /// fails as [unavailable](StoreError::Unavailable); 10 seconds unless told otherwise.
    ///
    /// There is no limit while the server works on a call, except for the wait for a lock: it ends after six times the
    /// patience, since the lock's holder may wait for this very call, such as a caller that holds a transaction with an
    /// append and now appends outside of it.
    ///
    /// After half of the patience without an answer the store asks over another connection whether the server works on
    /// the call. If it doesn't, an idempotent call is repeated. If the server doesn't answer, the call fails. So an
    /// unanswered call ends after the patience. An append asks after the whole patience, and reads its outcome after
    /// the same time again: unanswered, it ends after three times the patience.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// How much may share one transaction: this many appends (256), and about this many bytes (8 MiB). A single
    /// append is never split.
    #[must_use]
    pub fn batch(mut self, requests: usize, bytes: usize) -> Self {
        self.limits = Limits { requests: requests.max(1), bytes };
        self
    }

    /// Runs a projection inside the transaction of every append: its read model, in the store's own database, is never
    /// behind. If a handler fails, so does the append, with [`StoreError::Projection`], and nothing of it is written; the
    /// other appends of its batch are made. The [patience](Self::patience) is also the time limit of a handler.
    ///
    /// *The price.* Appends of this store, [imports](PostgresStore::import) and [`append_in`](PostgresStore::append_in)
    /// included, hold the schema's gate alone until they commit. So one transaction appends at a time, in all instances
    /// together, also those without the projection, and an append takes five round trips more. Batches share them.
    ///
    /// An instance without the projection, such as another program, leaves it behind until the next append with it. A
    /// handler that appends to the same store waits for itself, and fails after the patience.
    #[must_use]
    pub fn inline<P: Projection<ReadModel = PostgresReadModel>>(mut self, projection: P) -> Self {
        self.inlines.add(projection);
        self
    }

    /// How the inline projection that was added last goes on if it selects other events than those that its checkpoint
    /// was made of. Unless set, opening the store is refused then.
    ///
    /// The checkpoint has one filter: an instance that still runs with the earlier one refuses its appends from then on.
    #[must_use]
    pub fn on_filter_change(mut self, choice: FilterChange) -> Self {
        self.inlines.on_filter_change(choice);
        self
    }

    /// Connects, makes the schema if it isn't there, and brings it up to date, and lets inline projections catch up.
    ///
    /// # Errors
    /// [`StoreError::SchemaVersion`] if a newer program made the schema (it is left as it was), [`StoreError::Projection`]
    /// if an inline projection can't catch up, [`StoreError::Unavailable`] if the server can't be
    /// reached, and [`StoreError::Backend`] if the address or the schema's name is wrong or a right is missing.
    pub async fn open(self) -> Result<PostgresStore, StoreError> {
        let Self { address, schema, pool, poll, patience, limits, inlines } = self;
        let (options, named) = address.options()?;
        let schema = Schema::new(schema.or(named).as_deref().unwrap_or(DEFAULT_SCHEMA))?;
        let make = |size, tuned| database::pool(options.clone(), size, patience, tuned);
        let database = Database::new(make(pool, true), schema.clone());
        migrate::migrate(&database).await?;
        let identity = identity::identify(&database).await?;
        let database = database.of(identity);
        let kinds = Arc::new(Kinds::new(database.incarnation.clone()));
        let reader = Reader { database: database.clone(), kinds: Arc::clone(&kinds) };
        let projections = Projections::open(inlines, reader.clone()).await?;
        let (sender, head) = watch::channel::<Position>(reader.head().await?);
        let sender = Arc::new(sender);
        let wake = Wake::new(&sender, reader.database.incarnation.clone());
        let push = Push::start(reader.clone(), &wake, sender, poll);
        let (requests, queue) = mpsc::channel(limits.requests * 2);
        let queue = Arc::new(Mutex::new(queue));
        let closed = Arc::new(AtomicBool::new(false));
        let writer = Writer { database, kinds, limits, wake: wake.clone(), projections: projections.clone(), closed };
        // Appends with inline projections are made one batch at a time.
        let writers = if projections.is_some() { 1 } else { WRITERS };
        let writers = (0..writers).map(|_| tokio::spawn(writer.clone().run(Arc::clone(&queue)))).collect();
        let lone = Lone::new(writer);
        let read_model =
            PostgresReadModel::new(Database::new(make(READ_MODEL_CONNECTIONS, false), schema).of(identity));
        Ok(PostgresStore::new(Opened {
            parts: Parts {
                identity: identity.store,
                requests,
                home: Home::current(patience),
                lone,
                reader,
                head,
                wake,
                read_model,
                projections,
            },
            writers,
            push,
        }))
    }
}

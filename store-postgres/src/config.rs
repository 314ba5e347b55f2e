//! How a store is opened.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use recount_core::{Home, Position, StoreError};
use tokio::sync::{Mutex, mpsc, watch};

use crate::address::Address;
use crate::database::{self, Database};
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

    /// Connects, makes the schema if it isn't there, and brings it up to date.
    ///
    /// # Errors
    /// [`StoreError::SchemaVersion`] if a newer program made the schema (it is left as it was), [`StoreError::Unavailable`] if the server can't be
    /// reached, and [`StoreError::Backend`] if the address or the schema's name is wrong or a right is missing.
    pub async fn open(self) -> Result<PostgresStore, StoreError> {
        let Self { address, schema, pool, poll, patience, limits } = self;
        let (options, named) = address.options()?;
        let schema = Schema::new(schema.or(named).as_deref().unwrap_or(DEFAULT_SCHEMA))?;
        let make = |size, tuned| database::pool(options.clone(), size, patience, tuned);
        let database = Database::new(make(pool, true), schema.clone());
        migrate::migrate(&database).await?;
        let identity = identity::identify(&database).await?;
        let database = database.of(identity);
        let kinds = Arc::new(Kinds::new(database.incarnation.clone()));
        let reader = Reader { database: database.clone(), kinds: Arc::clone(&kinds) };
        let (sender, head) = watch::channel::<Position>(reader.head().await?);
        let sender = Arc::new(sender);
        let wake = Wake::new(&sender, reader.database.incarnation.clone());
        let push = Push::start(reader.clone(), &wake, sender, poll);
        let (requests, queue) = mpsc::channel(limits.requests * 2);
        let queue = Arc::new(Mutex::new(queue));
        let closed = Arc::new(AtomicBool::new(false));
        let writer = Writer { database, kinds, limits, wake: wake.clone(), closed };
        let writers = (0..WRITERS).map(|_| tokio::spawn(writer.clone().run(Arc::clone(&queue)))).collect();
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
            },
            writers,
            push,
        }))
    }
}

//! How a store is opened.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use recount_core::{FilterChange, Home, Inlines, Position, Projection, StoreError, StoreWaits};
use tokio::sync::{mpsc, watch};

use crate::batch::Batcher;
use crate::connection::Settings;
use crate::inline::Projections;
use crate::kinds::Kinds;
use crate::ledger::Ledger;
use crate::push::Push;
use crate::read::Reader;
use crate::read_model::SqliteReadModel;
use crate::store::{Opened, Parts, SqliteStore};
use crate::write_lock::WriteLock;
use crate::writer::{Limits, Writer};
use crate::{identity, migrate, path};

/// Opens a [`SqliteStore`]: made by [`SqliteStore::builder`].
#[derive(Debug)]
pub struct SqliteBuilder {
    settings: Settings,
    limits: Limits,
    poll: Duration,
    inlines: Inlines<SqliteReadModel>,
}

impl SqliteBuilder {
    pub(crate) fn new(path: &Path) -> Self {
        Self {
            settings: Settings::new(path),
            limits: Limits { requests: 512, bytes: 8 * 1024 * 1024 },
            poll: Duration::from_secs(1),
            inlines: Inlines::default(),
        }
    }

    /// How many connections read at once; 4 unless told otherwise.
    #[must_use]
    pub fn readers(mut self, connections: u32) -> Self {
        self.settings.readers = connections;
        self
    }

    /// How much memory the writing connection uses to keep pages, in bytes, and as much again the readers together;
    /// 16 MiB unless told otherwise.
    #[must_use]
    pub fn page_cache(mut self, bytes: u64) -> Self {
        self.settings.page_cache = bytes;
        self
    }

    /// How much may share one transaction: this many appends and state writes (512), and about this
    /// many bytes (8 MiB). A single append is never split.
    #[must_use]
    pub fn batch(mut self, requests: usize, bytes: usize) -> Self {
        self.limits = Limits { requests: requests.max(1), bytes };
        self
    }

    /// How long to wait while other processes write, before a call fails as
    /// [unavailable](StoreError::Unavailable); 10 seconds unless told otherwise.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.settings.patience = patience;
        self
    }

    /// Whether a missing file is created; true by default.
    #[must_use]
    pub fn create(mut self, create: bool) -> Self {
        self.settings.create = create;
        self
    }

    /// How often to look for events of other processes, beside being notified of them; every second unless told otherwise.
    #[must_use]
    pub fn poll(mut self, interval: Duration) -> Self {
        self.poll = interval;
        self
    }

    /// Lets the file grow to about this many bytes; appends beyond fail as [full](StoreError::StorageFull).
    #[must_use]
    pub fn max_size(mut self, bytes: u64) -> Self {
        self.settings.max_size = Some(bytes);
        self
    }

    /// Runs a projection inside the transaction of every append: its read model, in the store's own file, is never
    /// behind. If a handler fails, so does the append, with [`StoreError::Projection`].
    ///
    /// An append without it, such as that of another program, leaves it behind until the next append with it.
    #[must_use]
    pub fn inline<P: Projection<ReadModel = SqliteReadModel>>(mut self, projection: P) -> Self {
        self.inlines.add(projection);
        self
    }

    /// How the inline projection that was added last goes on if it selects other events than those that its checkpoint
    /// was made of. Unless set, opening the store is refused then.
    ///
    /// The checkpoint has one filter: a program that still runs with the earlier one refuses its appends from then on.
    #[must_use]
    pub fn on_filter_change(mut self, choice: FilterChange) -> Self {
        self.inlines.on_filter_change(choice);
        self
    }

    /// Opens the file, creates it if it isn't there, brings its schema up to date and lets inline projections catch up.
    ///
    /// # Errors
    /// [`StoreError::SchemaVersion`] if a newer program wrote the file, [`StoreError::Damaged`] if it is not
    /// a SQLite database or belongs to another application (it is left as it was then), [`StoreError::Projection`] if an inline
    /// projection can't catch up, and the store's other failures.
    pub async fn open(self) -> Result<SqliteStore, StoreError> {
        const OPERATION: &str = "opening the database";
        let Self { mut settings, limits, poll, inlines } = self;
        settings.path = path::checked(&settings.path)?;
        let settings = Arc::new(settings);
        migrate::inspect(&settings).await?;
        let mut connection = settings.open().await?;
        migrate::migrate(&settings, &mut connection).await?;
        let identity = identity::identify(&mut connection).await?;
        let kinds = Arc::new(Kinds::default());
        kinds.refresh(&mut connection).await?;
        let projections = Projections::open(inlines, &mut connection, &kinds, &settings).await?;

        settings.place.remember(&settings.path, Some(identity))?;
        let place = Arc::clone(&settings.place);
        let waits = StoreWaits::default();
        let reader = Reader { pool: settings.pool(), kinds: Arc::clone(&kinds), place, waits: waits.clone() };
        let mut reading = reader.acquire(OPERATION).await?;
        let position = reader.head(&mut reading).await?;
        drop(reading);
        let (sender, head) = watch::channel::<Position>(position);
        let sender = Arc::new(sender);
        let push = Push::start(&settings.path, reader.pool.clone(), Arc::clone(&sender), poll);
        let lock = WriteLock::new(Arc::clone(&settings), connection);
        let names = projections.names().clone();
        let batcher = Batcher::new(Ledger::new(kinds), projections);
        let (requests, queue) = mpsc::channel(limits.requests * 2);
        let writer = tokio::spawn(
            Writer { lock: lock.clone(), readers: reader.pool.clone(), batcher, limits, head: sender, waits }
                .run(queue),
        );
        let home = Home::current(settings.patience);
        let path = settings.path.clone();
        let read_model = SqliteReadModel::new(lock.clone(), reader.pool.clone(), &path);
        let parts = Parts { identity, names, requests, home, reader, head, lock, path, read_model };
        Ok(SqliteStore::new(Opened { parts, writer, push }))
    }
}

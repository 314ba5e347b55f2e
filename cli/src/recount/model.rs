//! The store and the read model that an address names.

use std::path::Path;
use std::sync::Arc;

use recount::postgres::{PostgresReadModel, PostgresStore};
use recount::sqlite::{SqliteReadModel, SqliteStore};
use recount::{Address, Position, ReadModel, RebuildError, Store, StoreError, StoreId, StoredCheckpoint};

use crate::Failure;

/// A read model of one of the kinds that have an address.
pub(crate) enum Model {
    Sqlite(SqliteReadModel),
    Postgres(PostgresReadModel),
}

impl Model {
    pub(crate) async fn checkpoints(&self) -> Result<Vec<StoredCheckpoint>, StoreError> {
        match self {
            Self::Sqlite(model) => model.checkpoints().await,
            Self::Postgres(model) => model.checkpoints().await,
        }
    }

    pub(crate) async fn order_rebuild(&self, projection: &str) -> Result<(), RebuildError> {
        match self {
            Self::Sqlite(model) => model.order_rebuild(projection).await,
            Self::Postgres(model) => model.order_rebuild(projection).await,
        }
    }

    async fn open(url: &str) -> Result<Self, Failure> {
        match parse(url)? {
            Address::Sqlite { path, .. } => {
                present(&path)?;
                Ok(Self::Sqlite(SqliteReadModel::open(path).await?))
            }
            Address::Postgres { url } => Ok(Self::Postgres(PostgresReadModel::open(&url).await?)),
            _ => Err(in_memory()),
        }
    }
}

/// A store, and the read model with the projections that follow it.
pub(crate) struct Place {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) model: Model,
}

/// The state of the store at one time.
#[derive(Clone, Copy)]
pub(crate) struct Head {
    pub(crate) store: StoreId,
    pub(crate) position: Position,
}

impl Place {
    /// Opens the store, and the read model in it unless that has an address of its own.
    pub(crate) async fn open(store: &str, read_model: Option<&str>) -> Result<Self, Failure> {
        let (store, own): (Arc<dyn Store>, _) = match parse(store)? {
            Address::Sqlite { path, .. } => {
                present(&path)?;
                let store = SqliteStore::builder(path).create(false).open().await?;
                let model = Model::Sqlite(store.read_model());
                (Arc::new(store), model)
            }
            Address::Postgres { url } => {
                let store = PostgresStore::open(&url).await?;
                let model = Model::Postgres(store.read_model());
                (Arc::new(store), model)
            }
            _ => return Err(in_memory()),
        };
        let model = match read_model {
            Some(url) => Model::open(url).await?,
            None => own,
        };
        Ok(Self { store, model })
    }

    pub(crate) async fn head(&self) -> Result<Head, StoreError> {
        Ok(Head { store: self.store.identity(), position: self.store.head().await? })
    }
}

fn parse(url: &str) -> Result<Address, Failure> {
    Ok(url.parse::<Address>()?)
}

fn present(path: &Path) -> Result<(), Failure> {
    if path.exists() {
        return Ok(());
    }
    Err(Failure::Unable(format!("there is no file {}: write the path of a file that exists", path.display())))
}

fn in_memory() -> Failure {
    let text = "a store in memory can't be reached from another process: use sqlite://FILE or postgres://HOST/DATABASE";
    Failure::Unable(text.to_owned())
}

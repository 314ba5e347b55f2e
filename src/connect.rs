//! Opening a store by its address.

use crate::{Address, AddressError, Recount, StoreError, Transient};

/// Opens the store at this [`Address`] with default settings: `memory://`, `sqlite://path/to/file.db`, or with the
/// feature `postgres` `postgres://user:password@host/database`.
/// For anything else build the store yourself and give it to [`Recount::builder`].
///
/// # Errors
/// [`ConnectError`] if the address is malformed or of a store that this build leaves out, or the store can't be opened.
/// It never shows a password.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let recount = recount::connect("memory://").await?;
/// recount.store().health().await?;
/// # Ok::<(), Box<dyn std::error::Error>>(()) })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub async fn connect(url: &str) -> Result<Recount, ConnectError> {
    match url.parse::<Address>()? {
        #[cfg(feature = "memory")]
        Address::Memory => Ok(Recount::new(crate::memory::MemoryStore::new())),
        #[cfg(feature = "sqlite")]
        Address::Sqlite { path, create } => {
            Ok(Recount::new(crate::sqlite::SqliteStore::builder(path).create(create).open().await?))
        }
        #[cfg(feature = "postgres")]
        Address::Postgres { url } => Ok(Recount::new(crate::postgres::PostgresStore::open(&url).await?)),
        #[cfg(not(all(feature = "memory", feature = "sqlite", feature = "postgres")))]
        left_out => Err(ConnectError::FeatureMissing { feature: left_out.feature() }),
    }
}

/// Why [`connect`] has no store to give.
#[derive(Debug)]
#[non_exhaustive]
pub enum ConnectError {
    /// The address is malformed.
    Address(AddressError),
    /// This build does not include the store.
    FeatureMissing {
        /// The feature of the crate `recount` that includes the store.
        feature: &'static str,
    },
    /// The store can't be opened.
    Store(StoreError),
}

impl std::fmt::Display for ConnectError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Address(error) => error.fmt(f),
            Self::FeatureMissing { feature } => {
                write!(f, "this build has no such store: add the feature `{feature}` to the dependency on recount")
            }
            Self::Store(error) => error.fmt(f),
        }
    }
}

impl Transient for ConnectError {
    fn is_transient(&self) -> bool {
        matches!(self, Self::Store(error) if error.is_transient())
    }
}

impl std::error::Error for ConnectError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Address(_) | Self::FeatureMissing { .. } => None,
            Self::Store(error) => error.source(),
        }
    }
}

impl From<AddressError> for ConnectError {
    fn from(error: AddressError) -> Self {
        Self::Address(error)
    }
}

impl From<StoreError> for ConnectError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

//! Opening a store by its address.

use crate::{Recount, StoreError};

/// Opens the store at this address with default settings: `memory://`, `sqlite://path/to/file.db`, or with the
/// feature `postgres` `postgres://user:password@host/database`.
/// For anything else build the store yourself and give it to [`Recount::builder`].
///
/// # Errors
/// [`ConnectError`] if the address is of no store that this build knows, or the store can't be opened.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let recount = recount::connect("memory://").await?;
/// recount.store().health().await?;
/// # Ok::<(), Box<dyn std::error::Error>>(()) })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub async fn connect(url: &str) -> Result<Recount, ConnectError> {
    match url.split_once("://") {
        #[cfg(feature = "memory")]
        Some(("memory", "")) => Ok(Recount::new(crate::memory::MemoryStore::new())),
        #[cfg(feature = "sqlite")]
        Some(("sqlite", path)) if !path.is_empty() => Ok(Recount::new(crate::sqlite::SqliteStore::open(path).await?)),
        #[cfg(feature = "postgres")]
        Some(("postgres" | "postgresql", _)) => Ok(Recount::new(crate::postgres::PostgresStore::open(url).await?)),
        _ => Err(ConnectError::UnknownAddress { url: url.to_owned() }),
    }
}

/// Why [`connect`] has no store to give.
#[derive(Debug)]
#[non_exhaustive]
pub enum ConnectError {
    /// No store has such an address.
    UnknownAddress {
        /// The address.
        url: String,
    },
    /// The store can't be opened.
    Store(StoreError),
}

impl std::fmt::Display for ConnectError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::UnknownAddress { url } => {
                write!(f, "{url:?} is no store's address in this build: use ")?;
                let known = [
                    ("memory://", cfg!(feature = "memory")),
                    ("sqlite://FILE", cfg!(feature = "sqlite")),
                    ("postgres://HOST/DATABASE", cfg!(feature = "postgres")),
                ];
                let known: Vec<&str> = known.into_iter().filter(|(_, on)| *on).map(|(form, _)| form).collect();
                f.write_str(&known.join(" or "))
            }
            Self::Store(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ConnectError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::UnknownAddress { .. } => None,
            Self::Store(error) => error.source(),
        }
    }
}

impl From<StoreError> for ConnectError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

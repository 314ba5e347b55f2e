//! From driver errors to the contract's.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use recount_core::{BoxError, StoreError};

use crate::write_lock::Occupied;

/// A driver error that several requests of one batch have in common.
#[derive(Clone, Debug)]
pub(crate) struct Cause {
    error: Arc<sqlx::Error>,
    /// The file, if the error alone does not name it.
    path: Option<Arc<Path>>,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.path {
            Some(path) => write!(f, "{}: {}", path.display(), self.error),
            None => fmt::Display::fmt(&self.error, f),
        }
    }
}

impl std::error::Error for Cause {
    /// Skips the first source, since sqlx's errors include its text in their own.
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.error.source()?.source()
    }
}

impl From<sqlx::Error> for Cause {
    fn from(error: sqlx::Error) -> Self {
        Self { error: Arc::new(error), path: None }
    }
}

/// SQLite's primary result codes, <https://www.sqlite.org/rescode.html>.
mod code {
    pub(super) const BUSY: i32 = 5;
    pub(super) const LOCKED: i32 = 6;
    pub(super) const CORRUPT: i32 = 11;
    pub(super) const FULL: i32 = 13;
    pub(super) const CANTOPEN: i32 = 14;
    pub(super) const NOTADB: i32 = 26;
    pub(super) const CONSTRAINT_UNIQUE: i32 = 2067;
    pub(super) const CONSTRAINT_PRIMARYKEY: i32 = 1555;
}

fn extended_code(error: &sqlx::Error) -> Option<i32> {
    error.as_database_error()?.code()?.parse().ok()
}

fn primary_code(error: &sqlx::Error) -> Option<i32> {
    extended_code(error).map(|extended| extended & 0xff)
}

impl Cause {
    /// Names the file that the error is about.
    pub(crate) fn at(self, path: &Path) -> Self {
        Self { path: Some(path.into()), ..self }
    }

    /// The error that an operation's caller gets; nothing was written.
    pub(crate) fn store_error(&self, operation: &'static str) -> StoreError {
        let source: BoxError = Box::new(self.clone());
        match primary_code(&self.error) {
            Some(code::BUSY | code::LOCKED) => StoreError::Unavailable { operation, source },
            Some(code::FULL) => StoreError::StorageFull { operation, source },
            Some(code::CORRUPT | code::NOTADB) => StoreError::Damaged { what: format!("{operation}: {self}") },
            _ if matches!(*self.error, sqlx::Error::PoolClosed) => StoreError::Closed,
            _ if matches!(*self.error, sqlx::Error::PoolTimedOut) => StoreError::Unavailable { operation, source },
            _ => StoreError::Backend { operation, source },
        }
    }

    /// The error that a commit's caller gets: the commit is undone for certain only if SQLite says so.
    pub(crate) fn commit_error(&self, operation: &'static str) -> StoreError {
        match primary_code(&self.error) {
            Some(code::BUSY | code::LOCKED | code::FULL) => self.store_error(operation),
            _ => StoreError::OutcomeUnknown { operation, source: Box::new(self.clone()) },
        }
    }

    pub(crate) fn is_busy(&self) -> bool {
        matches!(primary_code(&self.error), Some(code::BUSY | code::LOCKED))
    }

    pub(crate) fn is_cannot_open(&self) -> bool {
        primary_code(&self.error) == Some(code::CANTOPEN)
    }

    pub(crate) fn is_not_a_database(&self) -> bool {
        primary_code(&self.error) == Some(code::NOTADB)
    }

    /// Whether a row stood in the way of another with the same key.
    pub(crate) fn is_unique_violation(&self) -> bool {
        matches!(extended_code(&self.error), Some(code::CONSTRAINT_UNIQUE | code::CONSTRAINT_PRIMARYKEY))
    }
}

/// Names the operation that a driver error ended.
pub(crate) trait During<T> {
    fn during(self, operation: &'static str) -> Result<T, StoreError>;
}

impl<T> During<T> for Result<T, sqlx::Error> {
    fn during(self, operation: &'static str) -> Result<T, StoreError> {
        self.map_err(|error| Cause::from(error).store_error(operation))
    }
}

/// Whether time heals a driver error of a handler.
pub(crate) fn heals(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::PoolTimedOut)
        || matches!(primary_code(error), Some(code::BUSY | code::LOCKED | code::FULL))
}

/// The wait for the write lock that ended with this error, also if the error has reached several callers.
pub(crate) fn occupied<'e>(error: &'e (dyn std::error::Error + 'static)) -> Option<&'e Occupied> {
    let shared = || error.downcast_ref::<SharedSource>().and_then(|shared| shared.source().downcast_ref());
    error.downcast_ref().or_else(shared)
}

/// The error for stored data that this crate can't have written.
pub(crate) fn damaged(what: impl Into<String>) -> StoreError {
    StoreError::Damaged { what: what.into() }
}

/// A store error that several callers get.
#[derive(Clone, Debug)]
pub(crate) struct SharedError(Arc<StoreError>);

impl SharedError {
    pub(crate) fn new(error: StoreError) -> Self {
        Self(Arc::new(error))
    }

    /// The error once more, with the same source.
    pub(crate) fn get(&self) -> StoreError {
        let source = || -> BoxError { Box::new(SharedSource(Arc::clone(&self.0))) };
        match &*self.0 {
            StoreError::Unavailable { operation, .. } => StoreError::Unavailable { operation, source: source() },
            StoreError::OutcomeUnknown { operation, .. } => StoreError::OutcomeUnknown { operation, source: source() },
            StoreError::StorageFull { operation, .. } => StoreError::StorageFull { operation, source: source() },
            StoreError::Projection { projection, .. } => {
                StoreError::Projection { projection: projection.clone(), source: source() }
            }
            StoreError::Replaced { operation, place, expected, found } => {
                StoreError::Replaced { operation, place: place.clone(), expected: *expected, found: found.clone() }
            }
            StoreError::Damaged { what } => StoreError::Damaged { what: what.clone() },
            StoreError::Exhausted { what } => StoreError::Exhausted { what: what.clone() },
            StoreError::Closed => StoreError::Closed,
            StoreError::Backend { operation, .. } => StoreError::Backend { operation, source: source() },
            _ => StoreError::Backend { operation: "writing", source: Box::new(self.clone()) },
        }
    }
}

impl fmt::Display for SharedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl std::error::Error for SharedError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}

/// The source of a shared error.
struct SharedSource(Arc<StoreError>);

impl SharedSource {
    fn source(&self) -> &(dyn std::error::Error + 'static) {
        std::error::Error::source(&*self.0).unwrap_or(&*self.0)
    }
}

impl fmt::Debug for SharedSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.source(), f)
    }
}

impl fmt::Display for SharedSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self.source(), f)
    }
}

impl std::error::Error for SharedSource {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source().source()
    }
}

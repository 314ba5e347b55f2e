//! From driver errors to the contract's.

use std::fmt;
use std::sync::Arc;

use recount_core::{AppendError, BoxError, StoreError};

/// A driver error that several requests of one batch may have in common.
#[derive(Clone, Debug)]
pub(crate) struct Cause(Arc<sqlx::Error>);

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl std::error::Error for Cause {
    /// Skips the first source, since sqlx's errors include its text in their own.
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()?.source()
    }
}

impl From<sqlx::Error> for Cause {
    fn from(error: sqlx::Error) -> Self {
        Self(Arc::new(error))
    }
}

/// Why an append that several statements make was not made.
pub(crate) enum Failed {
    /// The database failed.
    Call(Cause),
    /// That is the outcome.
    Answer(AppendError),
}

impl Failed {
    /// The outcome, if it is a failure of the store.
    pub(crate) fn answer(&self) -> Option<&StoreError> {
        match self {
            Self::Answer(AppendError::Store(error)) => Some(error),
            _ => None,
        }
    }
}

impl From<sqlx::Error> for Failed {
    fn from(error: sqlx::Error) -> Self {
        Self::Call(error.into())
    }
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Self {
        Self::Answer(error.into())
    }
}

impl From<crate::writer::Failed> for Failed {
    fn from(failed: crate::writer::Failed) -> Self {
        match failed {
            crate::writer::Failed::Call(cause) => Self::Call(cause),
            crate::writer::Failed::Answer(error) => Self::Answer(error.into()),
        }
    }
}

impl From<AppendError> for Failed {
    fn from(error: AppendError) -> Self {
        Self::Answer(error)
    }
}

/// The meaning of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// A row stood in the way of another with the same key.
    Unique,
    /// A sequence issued a number that a row already has.
    Behind,
    /// The statement was undone because others were in the way: it can be repeated at once.
    Contention,
    /// The server ended the connection and said so: nothing was committed.
    Ended,
    /// The connection broke off, at an unknown point.
    Lost,
    /// The server has too much to do, or takes no writes now.
    Busy,
    Full,
    Exhausted,
    Corrupt,
    Closed,
    /// An object is missing or has changed: another store may have replaced this one.
    Unfamiliar,
    Other,
}

impl Cause {
    pub(crate) fn class(&self) -> Class {
        class(&self.0)
    }

    /// Whether the database itself is gone.
    pub(crate) fn is_database_gone(&self) -> bool {
        matches!(&*self.0, sqlx::Error::Database(error) if error.code().as_deref() == Some("3D000"))
    }

    /// Whether no connection was to be had in time.
    pub(crate) fn is_timeout(&self) -> bool {
        matches!(&*self.0, sqlx::Error::PoolTimedOut)
    }

    /// The error that the caller gets for a failed operation; nothing was written.
    pub(crate) fn store_error(&self, operation: &'static str) -> StoreError {
        let source: BoxError = Box::new(self.clone());
        match self.class() {
            Class::Contention | Class::Ended | Class::Lost | Class::Busy => {
                StoreError::Unavailable { operation, source }
            }
            Class::Full => StoreError::StorageFull { operation, source },
            Class::Exhausted => StoreError::Exhausted { what: format!("{operation}: {self}") },
            Class::Corrupt => StoreError::Damaged { what: format!("{operation}: {self}") },
            Class::Behind => StoreError::Damaged {
                what: format!(
                    "{operation}: {self}: a sequence of the schema is behind its rows, since it was set back or restored without \
                     them; restart the program, which sets it forward when it opens the store"
                ),
            },
            Class::Closed => StoreError::Closed,
            Class::Unique | Class::Unfamiliar | Class::Other => StoreError::Backend { operation, source },
        }
    }

    /// The error for a failed statement that commits: it is undone for certain only if the server says so.
    pub(crate) fn commit_error(&self, operation: &'static str) -> StoreError {
        match self.class() {
            Class::Lost => StoreError::OutcomeUnknown { operation, source: Box::new(self.clone()) },
            _ => self.store_error(operation),
        }
    }
}

/// Whether a driver error means that the transaction has to be made again: others were in its way, or its connection has
/// ended.
pub(crate) fn is_undone(error: &sqlx::Error) -> bool {
    matches!(class(error), Class::Contention | Class::Ended | Class::Lost)
}

/// Whether time heals a driver error of a handler.
pub(crate) fn heals(error: &sqlx::Error) -> bool {
    matches!(class(error), Class::Contention | Class::Ended | Class::Lost | Class::Busy | Class::Full)
}

/// The meaning of a failure, by SQLSTATE, <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
fn class(error: &sqlx::Error) -> Class {
    let error = match error {
        sqlx::Error::Database(error) => error,
        sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::Tls(_) | sqlx::Error::WorkerCrashed => {
            return Class::Lost;
        }
        sqlx::Error::PoolTimedOut => return Class::Busy,
        sqlx::Error::PoolClosed => return Class::Closed,
        _ => return Class::Other,
    };
    let code = error.code().unwrap_or_default();
    match &*code {
        "23505" if matches!(error.constraint(), Some("events_by_position" | "kinds_pkey")) => Class::Behind,
        "23505" => Class::Unique,
        "40001" | "40P01" => Class::Contention,
        "57P01" | "57P02" | "57P03" | "57P05" | "25P03" => Class::Ended,
        // Read-only: a standby, or a server that is being switched over.
        "25006" | "55P03" | "57014" | "53000" | "53200" | "53300" | "53400" => Class::Busy,
        "53100" => Class::Full,
        "22003" | "2200H" => Class::Exhausted,
        "XX001" | "XX002" => Class::Corrupt,
        // 22P02: a statement found another store, see `NOT_THIS`.
        "3D000" | "3F000" | "22P02" | "XX000" => Class::Unfamiliar,
        code if code.starts_with("42") => Class::Unfamiliar,
        code if code.starts_with("08") => Class::Lost,
        _ => Class::Other,
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

/// The error for stored data that this crate can't have written.
pub(crate) fn damaged(what: impl Into<String>) -> StoreError {
    StoreError::Damaged { what: what.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_that_broke_off_in_a_commit_leaves_the_outcome_unknown() {
        let lost = Cause::from(sqlx::Error::Io(std::io::ErrorKind::ConnectionReset.into()));
        assert!(matches!(lost.commit_error("x"), StoreError::OutcomeUnknown { .. }));
        assert!(matches!(lost.store_error("x"), StoreError::Unavailable { .. }));
        let busy = Cause::from(sqlx::Error::PoolTimedOut);
        assert!(matches!(busy.commit_error("x"), StoreError::Unavailable { .. }));
        assert!(matches!(Cause::from(sqlx::Error::PoolClosed).store_error("x"), StoreError::Closed));
    }
}

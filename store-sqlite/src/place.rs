//! Checks whether a path still leads to the files that were opened.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use recount_core::{StoreError, StoreId};

/// Identifies a file by device and inode while it exists. A file that is held open exists even if it was deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileId {
    device: u64,
    number: u64,
}

impl FileId {
    #[cfg(unix)]
    fn of(path: &Path) -> io::Result<Self> {
        use std::os::unix::fs::MetadataExt;
        let found = std::fs::metadata(path)?;
        Ok(Self { device: found.dev(), number: found.ino() })
    }

    /// Without inode numbers only a file that is gone is noticed.
    #[cfg(not(unix))]
    fn of(path: &Path) -> io::Result<Self> {
        std::fs::metadata(path).map(|_| Self { device: 0, number: 0 })
    }
}

/// The files of an open database: the database, its write-ahead log and the log's index.
#[derive(Debug, Default)]
pub(crate) struct Place {
    opened: Mutex<Option<Opened>>,
    /// Whether the last check failed.
    suspect: AtomicBool,
}

#[derive(Debug)]
struct Opened {
    path: PathBuf,
    store: Option<StoreId>,
    database: FileId,
    /// The log and its index, which exist while a connection is open.
    beside: Vec<(PathBuf, FileId)>,
}

impl Place {
    /// Records the files at this path, once a connection has them open.
    pub(crate) fn remember(&self, path: &Path, store: Option<StoreId>) -> Result<(), StoreError> {
        const OPERATION: &str = "opening the database";
        let note = || -> io::Result<Opened> {
            // The log is beside the file itself, not beside a link to it.
            let file = std::fs::canonicalize(path)?;
            let beside = ["-wal", "-shm"].map(|suffix| with_suffix(&file, suffix));
            let beside = beside.into_iter().filter_map(|path| FileId::of(&path).ok().map(|id| (path, id)));
            Ok(Opened { path: path.to_owned(), store, database: FileId::of(path)?, beside: beside.collect() })
        };
        let opened = note().map_err(|error| StoreError::Backend {
            operation: OPERATION,
            source: io::Error::new(error.kind(), format!("{}: {error}", path.display())).into(),
        })?;
        *self.opened.lock().unwrap_or_else(PoisonError::into_inner) = Some(opened);
        self.suspect.store(false, Ordering::Release);
        Ok(())
    }

    /// Whether a check failed, and no later one succeeded.
    pub(crate) fn is_suspect(&self) -> bool {
        self.suspect.load(Ordering::Acquire)
    }

    /// Whether both are the same database file, which may be opened twice.
    pub(crate) fn is_same_file(&self, other: &Self) -> bool {
        let database = |place: &Self| {
            let opened = place.opened.lock().unwrap_or_else(PoisonError::into_inner);
            opened.as_ref().map(|opened| opened.database)
        };
        std::ptr::eq(self, other) || database(self).is_some_and(|file| database(other) == Some(file))
    }

    /// Fails if the path leads to another database file, or to none, or if the log beside it was replaced or removed.
    pub(crate) fn check(&self, operation: &'static str) -> Result<(), StoreError> {
        self.compare(operation, true)
    }

    /// As [`check`](Self::check), but only of the database file: without an open connection there may be no log.
    pub(crate) fn check_database(&self, operation: &'static str) -> Result<(), StoreError> {
        self.compare(operation, false)
    }

    fn compare(&self, operation: &'static str, beside: bool) -> Result<(), StoreError> {
        let opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(Opened { path, store, database, beside: files }) = opened.as_ref() else { return Ok(()) };
        let files = files.iter().filter(|_| beside).map(|(path, id)| (path, id));
        for (file, id) in [(path, database)].into_iter().chain(files) {
            let found = match FileId::of(file) {
                Ok(found) if found == *id => continue,
                Ok(_) => format!("another file is at {}", file.display()),
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    format!("{} was moved or deleted", file.display())
                }
                Err(error) => format!("{}: {error}", file.display()),
            };
            self.suspect.store(true, Ordering::Release);
            return Err(StoreError::Replaced { operation, place: path.display().to_string(), expected: *store, found });
        }
        self.suspect.store(false, Ordering::Release);
        Ok(())
    }

    /// Fails if a reopened connection leads to another store.
    pub(crate) fn check_store(&self, operation: &'static str, found: StoreId) -> Result<(), StoreError> {
        let opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        match opened.as_ref() {
            Some(Opened { path, store: Some(store), .. }) if *store != found => Err(StoreError::Replaced {
                operation,
                place: path.display().to_string(),
                expected: Some(*store),
                found: format!("it holds store {found}"),
            }),
            _ => Ok(()),
        }
    }

    /// The path, for messages.
    pub(crate) fn path(&self) -> PathBuf {
        let opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        opened.as_ref().map(|opened| opened.path.clone()).unwrap_or_default()
    }

    /// The store in the file; `None` for a file of read models only.
    pub(crate) fn store(&self) -> Option<StoreId> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner).as_ref().and_then(|opened| opened.store)
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

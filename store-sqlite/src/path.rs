//! Checks and resolves the path of a database file.

use std::io;
use std::path::{Path, PathBuf};

use recount_core::StoreError;

const OPERATION: &str = "opening the database";

/// Checks a path and makes it absolute, so that it stays valid when the working directory changes.
///
/// Refuses names that SQLite takes for something other than a file, addresses, and paths where no file can exist.
pub(crate) fn checked(path: &Path) -> Result<PathBuf, StoreError> {
    let refused = |problem: String| StoreError::Backend {
        operation: OPERATION,
        source: io::Error::new(io::ErrorKind::InvalidInput, problem).into(),
    };
    let shown = path.display();
    let text = path.to_str().ok_or_else(|| refused(format!("{path:?} is no UTF-8, as which SQLite takes paths")))?;
    if text.is_empty() {
        return Err(refused("the path is empty: name a file, such as shop.db".to_owned()));
    }
    if text == ":memory:" {
        return Err(refused(
            "SQLite in memory would lose every event: use the memory store, or name a file".to_owned(),
        ));
    }
    if let Some(scheme) = ["sqlite:", "file:"].into_iter().find(|scheme| text.starts_with(scheme)) {
        return Err(refused(format!(
            "{shown} is an address, and a path is wanted: leave out {scheme} (recount::connect takes sqlite:// addresses)"
        )));
    }
    let absolute = std::path::absolute(path).map_err(|error| refused(format!("{shown}: {error}")))?;
    if absolute.is_dir() {
        return Err(refused(format!(
            "{shown} is a directory: name a file in it, such as {}",
            path.join("shop.db").display()
        )));
    }
    match absolute.parent() {
        Some(directory) if !directory.is_dir() => Err(refused(format!(
            "{shown}: there is no directory {}: create it, or name a file elsewhere",
            directory.display()
        ))),
        _ => Ok(absolute),
    }
}

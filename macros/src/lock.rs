//! The lock of the crate that is compiled.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use proc_macro2::{Ident, TokenStream};
use quote::quote;
use recount_schema::{Lock, PATH};

/// A lock that was read, or why it couldn't be.
struct Read {
    changed: SystemTime,
    lock: Result<Arc<Lock>, String>,
    /// The type that asked first.
    first: String,
}

/// The locks that were read, by file: a crate has many events, and an editor keeps this process.
static READ: Mutex<Option<HashMap<PathBuf, Read>>> = Mutex::new(None);

/// The lock of the crate; none if it has none. If it can't be read, the type that asked first hears why: one error is enough.
pub(crate) fn of_crate(rust_type: &Ident) -> Option<Result<Arc<Lock>, Option<String>>> {
    let directory = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR")?);
    let file = directory.join(PATH);
    let changed = file.metadata().and_then(|metadata| metadata.modified()).ok()?;
    let mut all = READ.lock().unwrap_or_else(PoisonError::into_inner);
    let all = all.get_or_insert_default();
    if all.get(&file).is_none_or(|read| read.changed != changed) {
        let lock = match Lock::read_forms(&directory) {
            Ok(lock) => Ok(Arc::new(lock?)),
            Err(error) => Err(format!("{PATH} can't be read: {error}")),
        };
        all.insert(file.clone(), Read { changed, lock, first: rust_type.to_string() });
    }
    let Read { lock, first, .. } = all.get(&file)?;
    Some(lock.clone().map_err(|message| (rust_type == first).then_some(message)))
}

/// Makes cargo compile the crate again when the lock changes.
pub(crate) fn dependency() -> TokenStream {
    let file = format!("/{PATH}");
    quote!(
        const _: &[::core::primitive::u8] =
            ::core::include_bytes!(::core::concat!(::core::env!("CARGO_MANIFEST_DIR"), #file));
    )
}

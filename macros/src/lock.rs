//! The lock of the crate that is compiled.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use proc_macro2::TokenStream;
use quote::quote;
use recount_schema::{Lock, PATH};

type Read = Result<Arc<Lock>, String>;

/// Locks that were read, by file: a crate has many events, and an editor keeps this process.
static READ: Mutex<Option<HashMap<PathBuf, (SystemTime, Read)>>> = Mutex::new(None);

/// The lock of the crate; none if it has none. What is wrong with it is an error of every event.
pub(crate) fn of_crate() -> Option<Read> {
    let directory = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR")?);
    let file = directory.join(PATH);
    let changed = file.metadata().and_then(|metadata| metadata.modified()).ok()?;
    let mut all = READ.lock().unwrap_or_else(PoisonError::into_inner);
    let all = all.get_or_insert_default();
    if let Some((then, read)) = all.get(&file)
        && *then == changed
    {
        return Some(read.clone());
    }
    let read = match Lock::read(&directory) {
        Ok(lock) => Ok(Arc::new(lock?)),
        Err(error) => Err(format!("{PATH} can't be read: {error}")),
    };
    all.insert(file, (changed, read.clone()));
    Some(read)
}

/// Makes cargo compile the crate again when the lock changes.
pub(crate) fn dependency() -> TokenStream {
    let file = format!("/{PATH}");
    quote!(
        const _: &[::core::primitive::u8] =
            ::core::include_bytes!(::core::concat!(::core::env!("CARGO_MANIFEST_DIR"), #file));
    )
}

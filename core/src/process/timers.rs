//! The index of timers in the state store, by the time at which they are due.
//!
//! Keys are `timer/PROCESS/DUE/GENERATION/DIGEST`, with the due time in microseconds as 16 hexadecimal digits, so that the first
//! key is the next timer. The index only says where to look: the ledger of the instance decides.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use super::record::TimerRecord;
use crate::store::digest;
use crate::{
    BoxError, ExpectedRevision, Namespace, StateDelete, StateEntry, StateKey, StatePut, StateStore, Store, Timestamp,
};

/// How many entries are written or read at once.
pub(super) const PAGE: usize = 256;

/// An entry of the index.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct TimerEntry {
    pub(super) instance: SmolStr,
    #[serde(flatten)]
    pub(super) timer: TimerRecord,
}

/// The start of the keys of a process.
pub(super) fn prefix(process: &str) -> String {
    format!("{process}/")
}

fn key(process: &str, instance: &str, timer: &TimerRecord) -> Result<StateKey, crate::NameError> {
    let TimerRecord { timer, generation, due } = timer;
    let identity = digest(format!("{instance}\0{timer}").as_bytes()).simple();
    let due = u64::try_from(due.as_microsecond()).unwrap_or(0);
    Namespace::TIMER.key(format!("{}{due:016x}/{generation}/{identity}", prefix(process)))
}

/// Writes entries.
pub(super) async fn put(
    store: &dyn Store,
    process: &str,
    instance: &SmolStr,
    timers: &[TimerRecord],
) -> Result<(), BoxError> {
    for page in timers.chunks(PAGE) {
        let put = |timer: &TimerRecord| -> Result<StatePut, BoxError> {
            let entry = TimerEntry { instance: instance.clone(), timer: timer.clone() };
            let value = Bytes::from(serde_json::to_vec(&entry)?);
            Ok(StatePut {
                key: key(process, instance, timer)?,
                value,
                expected: ExpectedRevision::Any,
                time_to_live: None,
            })
        };
        let mut puts = page.iter().map(put).collect::<Result<Vec<_>, _>>()?;
        match (puts.len(), puts.pop()) {
            (1, Some(put)) => drop(store.put(&put.key, put.value, put.expected, None).await?),
            (_, Some(last)) => {
                puts.push(last);
                store.put_many(puts).await?;
            }
            (_, None) => {}
        }
    }
    Ok(())
}

/// Removes the entries of timers that are no longer set.
pub(super) async fn remove(
    store: &dyn Store,
    process: &str,
    instance: &SmolStr,
    timers: &[TimerRecord],
) -> Result<(), BoxError> {
    let keys = timers.iter().map(|timer| key(process, instance, timer)).collect::<Result<Vec<_>, _>>()?;
    remove_keys(store, keys).await
}

pub(super) async fn remove_keys(store: &dyn Store, keys: Vec<StateKey>) -> Result<(), BoxError> {
    for page in keys.chunks(PAGE) {
        match page {
            [key] => store.delete(key, ExpectedRevision::Any).await?,
            keys => {
                let delete = |key: &StateKey| StateDelete { key: key.clone(), expected: ExpectedRevision::Any };
                store.delete_many(keys.iter().map(delete).collect()).await?;
            }
        }
    }
    Ok(())
}

/// Reads an entry.
pub(super) fn read(key: &StateKey, entry: &StateEntry) -> Result<TimerEntry, BoxError> {
    serde_json::from_slice(&entry.value).map_err(|error| format!("the timer {key} can't be read: {error}").into())
}

/// The entries of a process behind a key, the next due first.
pub(super) async fn page(
    store: &dyn Store,
    process: &str,
    after: Option<&StateKey>,
    limit: usize,
) -> Result<Vec<(StateKey, StateEntry)>, BoxError> {
    Ok(store.list(Namespace::TIMER, &prefix(process), after, limit).await?)
}

/// The time by which timers are due: the store's clock.
pub(super) async fn now(store: &dyn Store) -> Result<Timestamp, BoxError> {
    Ok(StateStore::now(store).await?)
}

//! The embedded store of recount: one durable SQLite file.
//!
//! Nothing to install, nothing to run: events, the small state beside them and, if you like, read models live in
//! one file, which the `sqlite3` shell can open at any time.
//!
//! ```
//! use futures_util::TryStreamExt;
//! use recount_core::{Append, EventData, EventStore, EventType, ExpectedVersion, ReadStream, StreamId};
//! use recount_store_sqlite::SqliteStore;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let directory = tempfile::tempdir()?;
//! # let path = directory.path().join("events.db");
//! let store = SqliteStore::open(&path).await?;
//! let account = StreamId::new("account", "42")?;
//! let opened = EventData::new(EventType::new("account.opened")?, r#"{"owner":"Ada"}"#);
//! store.append(Append::to(account.clone(), ExpectedVersion::NoStream, vec![opened])).await?;
//! // It is on disk now, and survives a crash of this process or machine.
//!
//! let events: Vec<_> = store.read_stream(ReadStream::new(account)).try_collect().await?;
//! assert_eq!(events[0].data.payload, &br#"{"owner":"Ada"}"#[..]);
//! store.close().await;
//! # Ok(())
//! # }
//! ```
//!
//! # How it works
//!
//! *One task writes.* It takes an append, and all that queued up while the last commit ran, checks each against
//! the writes of the ones before it, and writes them in one transaction with a few multi-row statements. Each succeeds
//! or conflicts on its own. A lone append never waits for company; hundreds at once share one flush to disk.
//!
//! *A few connections read*, beside the writer and beside each other, page by page: no transaction stays open
//! while the consumer works, and the next page is read meanwhile.
//!
//! *Every instance learns of appends at once*, those of other processes through notifications of the file system, with a slow poll behind it.
//!
//! # Read models
//!
//! [`SqliteReadModel`] is where projections write to with plain SQL; the checkpoint moves in the same transaction. It is a file of its own, or the
//! [store's](SqliteStore::read_model). An [inline](SqliteBuilder::inline) projection runs inside the append's transaction: never behind, at the append's expense.
//!
//! # Guarantees
//!
//! * An acknowledged append survives the death of the process and a loss of power (`synchronous = FULL`), as far
//!   as the disk keeps data that it reports as flushed. An append is there whole or not at all. Nothing is to be repaired by hand.
//! * Any number of instances and processes on one machine may use the file at once. A busy file is waited for, up to
//!   [a limit](SqliteBuilder::patience), after which the call fails as [unavailable](recount_core::StoreError::Unavailable).
//! * A full disk is an error of its own, nothing of the append is written, reads go on, and appends do once there is room.
//! * Rows of events refuse `UPDATE` and `DELETE`, except through [`erase`](recount_core::EventStore::erase), which
//!   overwrites the deleted data. Positions are never used twice, not even after erasing the newest events.
//! * A file written by a newer recount, or by another application, is refused and left as it is.
//! * If the file of an open store, or its log, is deleted, moved or exchanged, every write fails with
//!   [`StoreError::Replaced`](recount_core::StoreError::Replaced), which names the path. The store compares device and
//!   inode of the database, its log and the log's index after each commit, before it acknowledges it. It compares the
//!   store's identity when it reopens a connection.
//! * [`health`](recount_core::EventStore::health) commits 64 KiB and deletes them again, so it fails if no append fits. It
//!   also fails if a table is missing.
//! * If a handler of an inline projection, or of a projection in the store's own file, writes to the same file, it gets
//!   an error at once. A call in another task that waits for the handler's transaction fails after
//!   [the patience](SqliteBuilder::patience) with an error that names the projection. The patience is also the timeout
//!   of an inline handler.
//! * While the runtime that opened the store is not driven, a write from another runtime fails in a little more than the
//!   patience as [`StoreError::OutcomeUnknown`](recount_core::StoreError::OutcomeUnknown).
//!
//! # Not guaranteed
//!
//! * A program that overwrites the open file in place keeps its inode: the store does not notice it, and the file is
//!   damaged. On systems without inodes (other than Unix) the store only notices a missing file.
//! * A handler that blocks its thread can't be interrupted.
//! * The file must be on a local disk: SQLite's log needs memory that is shared by all processes that open it, which
//!   network file systems lack.
//! * Triggers stop mistakes, not malice: a program that can write the file can drop them, and `INSERT OR REPLACE`
//!   passes by them.
//! * Erased data disappears from the file at once, but from the log beside it only when no reader is in the way, and from backups never.
//! * After [`StoreError::OutcomeUnknown`](recount_core::StoreError::OutcomeUnknown), a failure of the disk during a commit, the append may have happened.
//! * An append of 100,000 events, an erased stream of a million, or a slow projection in the store's own file holds
//!   up other appends while it is written. Reads never wait.
//!
//! # The file
//!
//! `NAME` is the database; `NAME-wal` and `NAME-shm` beside it belong to it while it is open, and after a crash until the next
//! open: copy them along, or better use `VACUUM INTO`. `PRAGMA application_id` is `0x52434E54`, `user_version` the schema version.
//!
//! | table | holds |
//! |---|---|
//! | `events` | one row an event, by position |
//! | `streams` | names of streams as numbers; open, archived or erased |
//! | `kinds` | category, event type and schema version as one number, so that one small index serves all filters |
//! | `tags` | which tag is at which positions |
//! | `idempotency` | named appends and their outcomes |
//! | `state`, `counters` | the state store; places that no row tells any more |
//! | `checkpoints` | the checkpoints of projections: position, store and event |
//! | `store` | the store's identity |
//! | `health` | empty: health checks write to it and delete again |
//! | `event_log` | a view that joins it all, for people |

mod batch;
mod config;
mod connection;
mod error;
mod handling;
mod identity;
mod inline;
mod kinds;
mod ledger;
mod lifecycle;
mod lookup;
mod migrate;
mod outcome;
mod page;
mod path;
mod place;
mod plan;
#[cfg(test)]
mod plans;
mod push;
mod query;
mod read;
mod read_model;
mod request;
mod row;
mod rows;
mod state;
mod state_store;
mod store;
mod transaction;
mod write_lock;
mod writer;

pub use config::SqliteBuilder;
pub use read_model::{SqliteReadModel, SqliteTransaction};
pub use store::SqliteStore;

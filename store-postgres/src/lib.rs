//! The server store of recount: events in a schema of a PostgreSQL database, for any number of processes.
//!
//! Nothing but Postgres to run, 15 or newer, without extensions. The tables are plain SQL; `event_log` is a view for
//! people, with payloads as `jsonb`.
//!
//! ```no_run
//! use futures_util::TryStreamExt;
//! use recount_core::{Append, EventData, EventStore, EventType, ExpectedVersion, ReadStream, StreamId};
//! use recount_store_postgres::PostgresStore;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let store = PostgresStore::open("postgres://app:secret@db.example.com/bank").await?;
//! let account = StreamId::new("account", "42")?;
//! let opened = EventData::new(EventType::new("account.opened")?, r#"{"owner":"Ada"}"#);
//! store.append(Append::to(account.clone(), ExpectedVersion::NoStream, vec![opened])).await?;
//! // It is committed and durable now, and every other process learns of it at once.
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
//! *A lone append is written by its caller's own task,* in one short round trip, through the connection that was used last; one event without
//! tags by a plain `INSERT`. The server takes the locks of that statement when it reads the parameters.
//!
//! *Loading an aggregate is one statement.* Its rows have only the columns that folding needs, and are folded while the
//! server makes more.
//!
//! *Concurrent appends share commits.* Two tasks write. Each takes an append and all that queued up while the last commit ran, and hands
//! them to one function of the database in one round trip. There each succeeds or conflicts on its own.
//!
//! *A closed stream ends in a mark,* a row behind its last event. A statement that reads the end of the stream thus
//! also sees that it is closed. `event_log` doesn't show the mark.
//!
//! *Locks before looks.* An append first locks the names that it depends on, in one order everywhere: its streams, its key, the tags
//! that it writes (shared) and one tag of each alternative of its condition (exclusive). Only then it looks at versions, keys and
//! conditions, and writes. So of appends that exclude each other one wins, at the ordinary isolation level, and those that don't never
//! meet. A condition on events without tags waits for all other appends, and they for it.
//!
//! *Readers never overtake writers.* Positions are drawn from a sequence before the commit, so a larger one can be
//! committed first. An append that draws positions holds a lock that says where they begin; readers go up to the lowest
//! such lock. Only appends hold these locks: a forgotten transaction or the advisory locks of another application hold
//! up no reader.
//!
//! *Every instance learns of appends at once*, by `NOTIFY`. It is sent after the commit, once for many appends,
//! and only if there are other instances: an instance that begins to listen announces it. A slow poll backs it up.
//! Behind a pooler that gives each transaction another connection, only the poll remains.
//!
//! *Plans don't change.* A statement has one plan for all arguments and any number of rows, and the plan goes through
//! an index. Planning anew for each call would cost more than most appends.
//!
//! # Read models
//!
//! [`PostgresReadModel`] is where projections write to with plain SQL; the checkpoint moves in the same transaction.
//!
//! # Within a transaction of one's own
//!
//! [`PostgresStore::append_in`] writes events in the caller's transaction, beside the transaction's other writes.
//!
//! # Inline projections
//!
//! [`PostgresBuilder::inline`] runs a projection inside the transaction of every append: its read model is never behind, and a
//! handler can refuse the append. The price is that one transaction appends at a time.
//!
//! # Bulk import
//!
//! [`PostgresStore::import`] brings in events that were recorded elsewhere, by `COPY`, and keeps their ids and times.
//!
//! # Guarantees
//!
//! * An acknowledged append is committed with `synchronous_commit` on. An append is there whole or not at all.
//! * Any number of instances and processes may use a schema at once, and schemas of one database don't know each other.
//! * If a connection breaks off or falls silent during an append, the store ends the server process behind it, looks which events are there, and
//!   repeats the rest. Only if the server can't be asked within [the patience](PostgresBuilder::patience) the append fails with
//!   [`StoreError::OutcomeUnknown`](recount_core::StoreError::OutcomeUnknown).
//! * Other unanswered calls end in time, too, as [unavailable](recount_core::StoreError::Unavailable), but not while
//!   the server works on them. The wait for a lock ends after six times the patience. The connection that listens for
//!   notifications is checked regularly.
//! * Rows of events refuse `UPDATE`, `DELETE` and `TRUNCATE`, except through [`erase`](recount_core::EventStore::erase).
//!   Positions are never used twice. They have gaps where appends were undone.
//! * A schema made by a newer recount is refused and left as it is. With an up-to-date schema no right to make tables is needed:
//!   otherwise an administrator runs [`PostgresStore::migrations_sql`] first.
//!
//! * An instance remembers only committed rows, and only those of its current server. So a reader skips no event that
//!   is in flight, even if the server crashes, or a replica without the last commits takes over.
//! * A statement fails in every store but the one that was opened. If the schema or the database was renamed, dropped,
//!   restored or recreated, every call fails with [`StoreError::Replaced`](recount_core::StoreError::Replaced), and the
//!   new content is neither read nor written. A renamed schema can be opened by its new name.
//! * When a store is opened, sequences that are behind their rows are set forward. They are behind if they were set
//!   back, or restored without their last values. Until then appends, [`head`](recount_core::EventStore::head) and
//!   [`health`](recount_core::EventStore::health) fail with an error that says so.
//! * Health writes an event of 64 KiB and a row of each other table, and rolls them back. It fails on a disk without room
//!   for an append, if a table is missing, and without the right to write to it.
//! * After the runtime that opened the store has ended, every call fails at once with an error that says so. If the
//!   runtime exists but is not driven, calls from other runtimes end in a little more than the patience.
//!
//! # Not guaranteed
//!
//! * Everything goes to the primary: a replica has the rows but not the locks that order them. It is
//!   [unavailable](recount_core::StoreError::Unavailable) until it is promoted.
//! * Triggers stop mistakes, not malice: the owner of the tables can drop them. A program that writes to the tables
//!   past this store breaks the store's promises.
//! * Erased data stays in the server's log, its replicas and backups, and in the table's files until vacuumed.
//! * One call of more than about 1 GB, all payloads together, is more than the protocol takes.
//! * Connections are encrypted only with the feature `tls`.

mod address;
mod batch;
mod config;
mod copy;
mod database;
mod decoding;
mod error;
mod fold;
mod identity;
mod import;
mod import_batch;
mod incarnation;
mod inline;
mod inline_batch;
mod inline_transaction;
mod keys;
mod kinds;
mod lifecycle;
mod listen;
mod locks;
mod lone;
mod migrate;
mod outcome;
mod page;
mod patience;
mod plain;
mod push;
mod query;
mod read;
mod read_model;
mod request;
mod resolve;
mod row;
mod schema;
mod sequences;
mod state;
mod state_store;
mod statement;
mod store;
mod transaction;
mod within;
mod writer;

pub use config::PostgresBuilder;
pub use import::{ImportError, Imported};
pub use read_model::PostgresReadModel;
pub use store::PostgresStore;
pub use transaction::PostgresTransaction;

//! The embedded store of recount: one durable SQLite file.

mod batch;
mod config;
mod connection;
mod error;
mod inline;
mod kinds;
mod ledger;
mod lifecycle;
mod lookup;
mod migrate;
mod outcome;
mod page;
mod plan;
mod push;
mod query;
mod read;
mod read_model;
mod request;
mod row;
mod rows;
mod state;
mod store;
mod transaction;
mod writer;

pub use config::SqliteBuilder;
pub use read_model::{SqliteReadModel, SqliteTransaction};
pub use store::SqliteStore;

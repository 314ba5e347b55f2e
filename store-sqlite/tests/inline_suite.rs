//! Inline projections on SQLite keep the promises of every store that has them.

mod common;

use common::models::Sqlite;

recount_testing::inline_suite!(Sqlite::in_the_store());

//! Inline projections on Postgres keep the promises of every store that has them.

mod common;

use common::models::Models;

recount_testing::inline_suite!(Models::in_the_store().await);

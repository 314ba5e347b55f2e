//! Questions and replies through topics of a real server.

mod common;

use std::sync::Arc;

use common::Suite;
use recount_store_memory::MemoryStore;
use recount_testing::questions::Topics;

recount_testing::question_suite!(Topics::new(Suite::start().await, || Arc::new(MemoryStore::new())));

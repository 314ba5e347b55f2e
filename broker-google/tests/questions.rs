//! Questions and replies through topics of the fake.

mod common;

use std::sync::Arc;

use common::Server;
use recount_store_memory::MemoryStore;
use recount_testing::questions::Topics;

recount_testing::question_suite!(Topics::new(Server::start().await, || Arc::new(MemoryStore::new())));

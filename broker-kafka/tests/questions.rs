//! Questions and replies through topics of a real server.

mod common;

use std::sync::Arc;

use common::Server;
use recount_store_memory::MemoryStore;
use recount_testing::questions::Topics;

recount_testing::question_suite!(Topics::new(Server::any().await, || Arc::new(MemoryStore::new())));

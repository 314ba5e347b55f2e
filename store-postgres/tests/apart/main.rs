//! The Postgres store keeps every store's promises also between processes: what is written in one is read in another.
//!
//! The whole suite runs over two instances in two processes. Everything that the first instance writes, its other half in a
//! process of its own writes; it reads, watches and subscribes here. The second instance is entirely here, so writers of two
//! instances compete between processes, too.

#![allow(unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

#[path = "../common/mod.rs"]
mod common;
mod far;
mod split;
mod wire;

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use common::process::{self, Killed};
use recount_core::Store;
use recount_testing::Wrapped;
use recount_testing::store::{Capabilities, Harness};

/// A database, and a process that writes to it.
struct Apart {
    fresh: common::Fresh,
    opened: AtomicUsize,
    address: SocketAddr,
    _process: Killed,
}

impl Apart {
    async fn new() -> Self {
        let fresh = common::Fresh::new().await;
        let url = fresh.url();
        let spawned = tokio::task::spawn_blocking(move || {
            let mut child = process::spawn("write", &[("URL", url)]);
            let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
            let child = Killed(child);
            let address =
                said.find_map(|line| line.unwrap().split_once("listening ").map(|(_, at)| at.parse().unwrap()));
            (child, address.expect("the other process listens"))
        });
        let (process, address) = spawned.await.unwrap();
        Self { fresh, opened: AtomicUsize::new(0), address, _process: process }
    }
}

#[async_trait]
impl Harness for Apart {
    async fn open_another(&self) -> Arc<dyn Store> {
        Arc::new(self.fresh.another().await)
    }

    async fn save(&self) {
        self.fresh.save().await;
    }

    async fn restore(&self) {
        self.fresh.restore().await;
    }

    async fn open(&self) -> Arc<dyn Store> {
        let near = self.fresh.store().await;
        if self.opened.fetch_add(1, Ordering::SeqCst) % 2 == 1 {
            return Arc::new(near);
        }
        Arc::new(Wrapped(split::Split::open(self.address, near).await))
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { durable: true, instances: true }
    }
}

/// What the spawned processes do; nothing in an ordinary run.
#[tokio::test(flavor = "multi_thread")]
async fn child() {
    if process::part().as_deref() == Some("write") {
        far::serve(&process::told("URL")).await;
    }
}

recount_testing::__store_promises!(Apart::new().await, std::convert::identity);

//! Shared parts of this crate's tests: servers.
#![allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test"
)]

pub mod native;

use std::sync::{Arc, Mutex, PoisonError, Weak};

use recount_broker_rabbitmq::RabbitBroker;
use recount_messaging::Binding;
use recount_servers::RabbitMq;
use recount_testing::broker::by_hand;
pub use recount_testing::broker::by_hand::{ensure, fates as publish, message, news, number, take};

/// A server: one of this test alone, or one that the tests of the program share.
#[derive(Clone)]
pub struct Server {
    url: String,
    /// `None`: the environment names a server.
    own: Option<Arc<Mutex<RabbitMq>>>,
}

impl Server {
    /// The server that the environment names, else one that the running tests of this program share.
    pub async fn shared() -> Self {
        static SHARED: Mutex<Weak<Mutex<RabbitMq>>> = Mutex::new(Weak::new());
        if let Some(url) = std::env::var(recount_servers::AMQP).ok().filter(|url| !url.is_empty()) {
            return Self { url, own: None };
        }
        let start = || {
            let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
            shared.upgrade().unwrap_or_else(|| {
                let new = Arc::new(Mutex::new(RabbitMq::start().unwrap()));
                *shared = Arc::downgrade(&new);
                new
            })
        };
        Self::of(tokio::task::spawn_blocking(start).await.unwrap())
    }

    /// A server that this test may kill and freeze.
    pub async fn private() -> Self {
        let start = || Arc::new(Mutex::new(RabbitMq::start().unwrap()));
        Self::of(tokio::task::spawn_blocking(start).await.unwrap())
    }

    fn of(own: Arc<Mutex<RabbitMq>>) -> Self {
        let url = own.lock().unwrap().url();
        Self { url, own: Some(own) }
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// Calls the private server, outside of the runtime's threads.
    pub async fn call<T: Send + 'static>(&self, call: impl FnOnce(&mut RabbitMq) -> T + Send + 'static) -> T {
        let own = self.own.clone().expect("a server of this test");
        tokio::task::spawn_blocking(move || call(&mut own.lock().unwrap())).await.unwrap()
    }

    pub async fn broker(&self) -> RabbitBroker {
        RabbitBroker::connect(&self.url).await.unwrap()
    }
}

/// A binding of names that no other test uses.
pub fn unique() -> Binding {
    by_hand::unique(8)
}

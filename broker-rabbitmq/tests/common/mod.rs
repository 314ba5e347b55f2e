//! What the tests of this crate share: servers, and a proxy whose connections can be cut.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

pub mod native;
pub mod proxy;

use std::sync::{Arc, Mutex, PoisonError, Weak};

use recount_broker_rabbitmq::RabbitBroker;
use recount_messaging::{Binding, Broker, Fate, Group, Message, MessageId, Outgoing, Plan, Topic};
use recount_servers::RabbitMq;

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
    let name = |start: &str| format!("{start}-{}", uuid::Uuid::now_v7().simple());
    Binding::new(Topic::new(&name("t")).unwrap(), Group::new(&name("g")).unwrap())
}

pub async fn ensure(broker: &RabbitBroker, binding: &Binding) {
    let plan = Plan { topics: Vec::new(), bindings: vec![binding.clone()] };
    broker.ensure(&plan, false).await.unwrap();
}

/// The message of a key with this number as its data.
pub fn message(key: &str, number: usize) -> Message {
    let id = MessageId::new(uuid::Uuid::now_v7().to_string()).unwrap();
    Message::new(id, "tests", "tests.sent", number.to_string()).with_key(key)
}

pub fn number(message: &Message) -> usize {
    std::str::from_utf8(&message.data).unwrap().parse().unwrap()
}

pub async fn publish(broker: &RabbitBroker, topic: &Topic, messages: &[Message]) -> Vec<Fate> {
    broker.publish(topic, messages.iter().cloned().map(Outgoing::new).collect()).await
}

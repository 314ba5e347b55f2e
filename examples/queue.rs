//! A source of your own: a queue with messages that are acknowledged one by one, as a broker's are.
//!
//! There is no position to store: a message that was delivered and not acknowledged is delivered again.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use recount::{BoxError, Delivered, Lane, Source};
use tokio::sync::Notify;

/// A message.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// Messages of one key are handled in order.
    pub key: String,
    /// The content.
    pub body: String,
}

/// A queue. Clones share it.
#[derive(Clone, Default)]
pub struct Queue {
    content: Arc<Mutex<Content>>,
    sent: Arc<Notify>,
    told: bool,
}

#[derive(Default)]
struct Content {
    number: u64,
    waiting: VecDeque<(u64, Message)>,
    delivered: BTreeMap<u64, Message>,
}

impl Queue {
    /// Adds a message.
    pub fn send(&self, key: &str, body: &str) {
        let mut content = self.content();
        content.number += 1;
        let next = (content.number, Message { key: key.to_owned(), body: body.to_owned() });
        content.waiting.push_back(next);
        self.sent.notify_one();
    }

    /// How many messages are not acknowledged.
    pub fn open_messages(&self) -> usize {
        let content = self.content();
        content.waiting.len() + content.delivered.len()
    }

    fn content(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn receive(&self) -> Option<(u64, Message)> {
        let mut content = self.content();
        let (number, message) = content.waiting.pop_front()?;
        content.delivered.insert(number, message.clone());
        Some((number, message))
    }
}

impl Source for Queue {
    type Item = Message;
    type Mark = ();
    type Ticket = u64;

    async fn open(&mut self, _: Option<()>) -> Result<(), BoxError> {
        let mut content = self.content();
        for again in std::mem::take(&mut content.delivered).into_iter().rev() {
            content.waiting.push_front(again);
        }
        drop(content);
        self.told = false;
        Ok(())
    }

    async fn next(&mut self) -> Result<Delivered<Self>, BoxError> {
        loop {
            if let Some((ticket, item)) = self.receive() {
                return Ok(Delivered::Item { lane: Lane::of(&item.key), item, ticket, mark: None });
            }
            if !std::mem::replace(&mut self.told, true) {
                return Ok(Delivered::CaughtUp { mark: None });
            }
            self.sent.notified().await;
        }
    }

    async fn settle(&mut self, tickets: Vec<u64>) -> Result<(), BoxError> {
        let mut content = self.content();
        tickets.iter().for_each(|ticket| drop(content.delivered.remove(ticket)));
        Ok(())
    }
}

#[allow(dead_code, reason = "the tests use the queue alone")]
fn main() {
    println!("see tests/foreign.rs");
}

//! The open questions of a service: asked by it, or being answered by it.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use recount_core::MessageMetrics;
use smol_str::SmolStr;
use tokio::sync::{Notify, Semaphore, mpsc, watch};
use tokio::time::Instant;

use super::frame::{End, Failure, Frame, Framing, Order, Read, key, order, read};
use super::replies::WINDOW;
use super::stored::MAX_REPLIES;
use crate::{InboxSignal, Message, Topic, envelope};

/// How many replies to a question wait for its asker: as many as a recorded answer has, and its end.
const CAPACITY: usize = MAX_REPLIES + 1;
/// How long the responder of a late reply is told to stop while the broker can't be reached.
const LATE_LIMIT: Duration = Duration::from_secs(10);
/// How many questions are remembered of which a late reply was logged.
const REMEMBERED: usize = 1024;

/// A control message for a responder.
#[derive(Clone)]
pub(crate) struct Letter {
    pub(crate) address: SmolStr,
    pub(crate) message: Message,
    /// Until when it is sent again while the broker can't be reached.
    pub(crate) until: Instant,
}

/// The open questions of a service. Clones share them. The desk closes when the last clone of the service is dropped; clones of
/// [`for_asker`](Self::for_asker) do not keep it open.
#[derive(Clone)]
pub(crate) struct Desk(
    Arc<Inner>,
    #[expect(dead_code, reason = "it closes the desk when it is dropped")] Option<Arc<CloseOnDrop>>,
);

struct CloseOnDrop(Arc<Inner>);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        self.0.inbox.send_replace(Inbox::Closed);
        // Without its sender each open question fails.
        lock(&self.0.asked).clear();
    }
}

/// The inbox for the replies of a service.
enum Inbox {
    NotOpen,
    /// It is open at this address.
    Open(SmolStr),
    /// The service has ended.
    Closed,
}

struct Inner {
    service: Arc<str>,
    metrics: Arc<MessageMetrics>,
    asked: Mutex<HashMap<String, mpsc::Sender<Frame>>>,
    answered: Mutex<HashMap<String, Call>>,
    /// The questions of which a late reply was logged, the last one at the end.
    late: Mutex<VecDeque<String>>,
    late_count: AtomicU64,
    inbox: watch::Sender<Inbox>,
    /// Control messages to responders. At most two for each open stream of replies wait here, and one for each late reply
    /// that is logged.
    outbox: mpsc::UnboundedSender<Letter>,
}

/// A question that is being answered.
#[derive(Clone)]
struct Call {
    topic: Arc<str>,
    /// `None` if the question has no address for replies.
    address: Option<SmolStr>,
    framing: Framing,
    room: Arc<Semaphore>,
    /// How many replies the asker has taken, as far as is known.
    taken: Arc<Mutex<u64>>,
    stop: Arc<Notify>,
}

impl Call {
    /// The asker has taken so many replies. An order may come twice, or after a later one.
    fn has_taken(&self, replies: u64) {
        let mut taken = lock(&self.taken);
        // No asker has more room than the window.
        let most = WINDOW.saturating_sub(self.room.available_permits());
        let more = usize::try_from(replies.saturating_sub(*taken)).unwrap_or(usize::MAX).min(most);
        *taken += more as u64;
        self.room.add_permits(more);
    }
}

impl Desk {
    /// The receiver gives the control messages to send.
    pub(crate) fn new(service: &Arc<str>, metrics: Arc<MessageMetrics>) -> (Self, mpsc::UnboundedReceiver<Letter>) {
        let (outbox, letters) = mpsc::unbounded_channel();
        let inner = Inner {
            service: Arc::clone(service),
            metrics,
            asked: Mutex::default(),
            answered: Mutex::default(),
            late: Mutex::default(),
            late_count: AtomicU64::new(0),
            inbox: watch::Sender::new(Inbox::NotOpen),
            outbox,
        };
        let inner = Arc::new(inner);
        let close = Arc::new(CloseOnDrop(Arc::clone(&inner)));
        (Self(inner, Some(close)), letters)
    }

    /// A clone for an asker, which may outlive the service.
    pub(crate) fn for_asker(&self) -> Self {
        Self(Arc::clone(&self.0), None)
    }

    pub(crate) fn service(&self) -> &Arc<str> {
        &self.0.service
    }

    pub(crate) fn late_replies(&self) -> u64 {
        self.0.late_count.load(Ordering::Relaxed)
    }

    pub(crate) fn set_address(&self, address: Option<SmolStr>) {
        self.0.inbox.send_replace(address.map_or(Inbox::NotOpen, Inbox::Open));
    }

    /// The address of the inbox, if it is open.
    pub(crate) fn address(&self) -> Option<SmolStr> {
        match &*self.0.inbox.borrow() {
            Inbox::Open(address) => Some(address.clone()),
            Inbox::NotOpen | Inbox::Closed => None,
        }
    }

    /// Waits until the inbox is open. Returns `None` if the service has ended.
    pub(crate) async fn opened(&self) -> Option<SmolStr> {
        let mut inbox = self.0.inbox.subscribe();
        inbox.wait_for(|inbox| !matches!(inbox, Inbox::NotOpen)).await.ok()?;
        self.address()
    }

    /// Whether the service has ended.
    pub(crate) fn is_closed(&self) -> bool {
        matches!(&*self.0.inbox.borrow(), Inbox::Closed)
    }

    /// Waits for the replies to a question, until the wait is dropped.
    pub(crate) fn wait(&self, key: &str) -> Wait {
        let (sender, frames) = mpsc::channel(CAPACITY);
        let mut asked = lock(&self.0.asked);
        // The senders of a closed desk are dropped.
        if !self.is_closed() {
            asked.insert(key.to_owned(), sender);
        }
        drop(asked);
        Wait { desk: self.clone(), key: key.to_owned(), frames }
    }

    /// Registers a question of this topic that is being answered, until the registration is dropped.
    pub(crate) fn answering(&self, topic: &Topic, question: &Message) -> Answered {
        let call = Call {
            topic: topic.name().into(),
            address: question.reply_to.clone(),
            framing: Framing::new(question, &self.0.service, self.address()),
            room: Arc::new(Semaphore::new(WINDOW)),
            taken: Arc::default(),
            stop: Arc::default(),
        };
        let of = identity(question);
        lock(&self.0.answered).insert(of.clone(), call.clone());
        Answered { desk: self.clone(), identity: of, framing: call.framing, room: call.room, stop: call.stop }
    }

    /// The addresses and ends of the questions of this topic that are still being answered when the responder is shut down:
    /// failures that time heals.
    pub(crate) fn interrupted(&self, topic: &Topic) -> Vec<(SmolStr, Message)> {
        let answered = lock(&self.0.answered);
        let calls = answered.values().filter(|call| *call.topic == *topic.name());
        calls
            .filter_map(|call| {
                let reason = "the responder was shut down before its handler returned".to_owned();
                let end = End { replies: 0, failure: Some(Failure { transient: true, reason }) };
                Some((call.address.clone()?, call.framing.end(&end)))
            })
            .collect()
    }

    /// Takes a signal of the inbox.
    pub(crate) fn take_signal(&self, signal: &InboxSignal) {
        match signal {
            InboxSignal::Message(message) => self.take(message),
            InboxSignal::Malformed(malformed) => {
                tracing::warn!(service = %self.0.service, %malformed, "a reply has an envelope that can't be read: dropped");
            }
            InboxSignal::NoResponders { request } => self.deliver(request, Frame::NoResponders),
        }
    }

    /// Takes a message of the inbox.
    pub(crate) fn take(&self, message: &Message) {
        match read(message) {
            Read::Frame(frame) => self.deliver(key(message), frame),
            Read::Order(order) => self.obey(&identity(message), order),
        }
    }

    fn obey(&self, identity: &str, order: Order) {
        let Some(call) = lock(&self.0.answered).get(identity).cloned() else { return };
        match order {
            Order::Stop => call.stop.notify_one(),
            Order::Taken(replies) => call.has_taken(replies),
        }
    }

    fn deliver(&self, key: &str, frame: Frame) {
        let mut asked = lock(&self.0.asked);
        let unsent = match asked.get(key) {
            Some(sender) => match sender.try_send(frame) {
                Ok(()) => return,
                // Without a sender the asker learns that replies were dropped.
                Err(mpsc::error::TrySendError::Full(_)) => {
                    asked.remove(key);
                    return;
                }
                Err(mpsc::error::TrySendError::Closed(frame)) => frame,
            },
            None => frame,
        };
        drop(asked);
        self.late(key, unsent);
    }

    /// Counts a reply that came late, and tells its responder to stop. The end of replies is none that an asker misses.
    fn late(&self, key: &str, frame: Frame) {
        let responder = match frame {
            Frame::NoResponders | Frame::End(End { failure: None, .. }) => return,
            Frame::Reply { responder, .. } => responder,
            Frame::End(_) | Frame::Unreadable(_) => None,
        };
        self.0.metrics.late_reply();
        self.0.late_count.fetch_add(1, Ordering::Relaxed);
        let mut late = lock(&self.0.late);
        if late.iter().any(|logged| logged == key) {
            return;
        }
        if late.len() >= REMEMBERED {
            late.pop_front();
        }
        late.push_back(key.to_owned());
        drop(late);
        tracing::info!(service = %self.0.service, question = key, "a reply came late: its question has ended; further ones are only counted");
        if let Some(responder) = responder {
            self.tell(&responder, key, Order::Stop, Instant::now() + LATE_LIMIT);
        }
    }

    /// Sends a control message to a responder, by the task that reads the inbox. It is sent again until this moment while the
    /// broker can't be reached.
    pub(crate) fn tell(&self, responder: &SmolStr, key: &str, what: Order, until: Instant) {
        let message = order(&self.0.service, key, what);
        // Without an inbox there is no responder that waits for it.
        let _ = self.0.outbox.send(Letter { address: responder.clone(), message, until });
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The identity of a question: two services may use the same key.
fn identity(message: &Message) -> String {
    envelope::identity(&message.source, key(message))
}

/// A wait for replies. It ends when it is dropped; later replies are late.
pub(crate) struct Wait {
    pub(crate) desk: Desk,
    pub(crate) key: String,
    pub(crate) frames: mpsc::Receiver<Frame>,
}

impl Wait {
    /// Ends the wait. Returns the messages that came and were not taken.
    pub(crate) fn end(&mut self) -> Vec<Frame> {
        // No further message comes once its sender is removed.
        lock(&self.desk.0.asked).remove(&self.key);
        std::iter::from_fn(|| self.frames.try_recv().ok()).collect()
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        lock(&self.desk.0.asked).remove(&self.key);
    }
}

/// A question that is being answered, which its asker can stop.
pub(crate) struct Answered {
    desk: Desk,
    identity: String,
    pub(crate) framing: Framing,
    pub(crate) room: Arc<Semaphore>,
    pub(crate) stop: Arc<Notify>,
}

impl Drop for Answered {
    fn drop(&mut self) {
        lock(&self.desk.0.answered).remove(&self.identity);
    }
}

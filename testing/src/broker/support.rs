//! Helpers for writing the promises: names, messages, publishing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use recount_messaging::{
    Binding, Broker, BrokerError, Change, Fate, Group, Message, MessageId, Order, Outgoing, Plan, Signal, SmolStr,
    Topic,
};
use tokio::time::{Instant, sleep, timeout};

use super::{Harness, Reader};

/// The longest time that a single call of an adapter may take, its own retries and reconnects included.
pub(super) const CALL: Duration = Duration::from_secs(40);

/// The pause after a call that failed in an outage.
pub(super) const AFTER_ERROR: Duration = Duration::from_millis(50);

/// Waits for a call, but not for ever.
#[track_caller]
pub(super) fn bounded<T>(call: impl Future<Output = T>) -> impl Future<Output = T> {
    let caller = std::panic::Location::caller();
    async move {
        match timeout(CALL, call).await {
            Ok(answer) => answer,
            Err(_) => panic!("the call at {caller} has not returned within {CALL:?}"),
        }
    }
}

/// Makes a call, again for up to a minute while the server can't be reached: a busy machine may stand still for seconds.
///
/// # Panics
/// After that minute, at other errors, or if a call does not return.
pub(super) async fn patiently<T, F: Future<Output = Result<T, BrokerError>>>(mut call: impl FnMut() -> F) -> T {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        match bounded(call()).await {
            Ok(answer) => return answer,
            Err(error) => assert!(error.is_transient() && Instant::now() < deadline, "{error:?}"),
        }
        sleep(Duration::from_millis(200)).await;
    }
}

/// The answer of a consumer, or none if time heals its error.
#[track_caller]
pub(super) fn unless_outage(answer: Result<Signal, BrokerError>) -> Option<Signal> {
    answer.map_err(|error| assert!(error.is_transient(), "{error:?}")).ok()
}

/// A binding of these names.
pub(super) fn binding(topic: &str, group: &str) -> Binding {
    Binding::new(Topic::new(topic).unwrap(), Group::new(group).unwrap())
}

/// A binding of names that no other test uses, with 4 lanes.
pub(super) fn unique() -> Binding {
    super::by_hand::unique(4)
}

/// Another group of the same topic.
pub(super) fn other_group(of: &Binding) -> Binding {
    let mut binding = of.clone();
    binding.group = Group::new(&name("g")).unwrap();
    binding
}

pub(super) fn name(start: &str) -> String {
    format!("{start}-{}", uuid::Uuid::now_v7().simple())
}

/// Declares bindings.
pub(super) async fn ensure(broker: &dyn Broker, bindings: &[&Binding]) -> Vec<Change> {
    let plan = Plan { topics: Vec::new(), bindings: bindings.iter().copied().cloned().collect() };
    patiently(|| broker.ensure(&plan, false)).await
}

/// A connection, and a binding in this order that is declared.
pub(super) async fn bound(h: &dyn Harness, order: Order) -> (Arc<dyn Broker>, Binding) {
    let (broker, binding) = (h.broker().await, unique().order(order));
    ensure(&*broker, &[&binding]).await;
    (broker, binding)
}

/// A connection, a declared binding, and its first consumer.
pub(super) async fn consumed(h: &dyn Harness, order: Order) -> (Arc<dyn Broker>, Binding, Reader) {
    let (broker, binding) = bound(h, order).await;
    let reader = Reader::new(&broker, &binding).await;
    (broker, binding, reader)
}

/// The message with this number: of a key, with an id that no other message has.
pub fn message(key: &str, number: usize) -> Message {
    let id = MessageId::new(uuid::Uuid::now_v7().to_string()).unwrap();
    Message::new(id, "tests", "tests.numbered", number.to_string()).with_key(key)
}

/// Messages with the numbers from 0, spread over this many keys.
pub(super) fn messages(count: usize, keys: usize) -> Vec<Message> {
    (0..count).map(|number| message(&format!("key-{}", number % keys), number)).collect()
}

/// The number of a message.
#[track_caller]
pub fn number(message: &Message) -> usize {
    std::str::from_utf8(&message.data).unwrap().parse().unwrap()
}

/// Messages on their way out.
pub(super) fn outgoing(messages: &[Message]) -> Vec<Outgoing> {
    messages.iter().cloned().map(Outgoing::new).collect()
}

/// Publishes messages in one batch and returns their fates.
pub async fn fates(broker: &dyn Broker, topic: &Topic, messages: &[Message]) -> Vec<Fate> {
    let fates = bounded(broker.publish(topic, outgoing(messages))).await;
    assert_eq!(fates.len(), messages.len(), "as many fates as messages");
    fates
}

/// Publishes messages in one batch, all of which must be stored.
pub async fn publish(broker: &dyn Broker, topic: &Topic, messages: &[Message]) {
    for (fate, message) in fates(broker, topic, messages).await.iter().zip(messages) {
        assert!(matches!(fate, Fate::Stored(_)), "message {}: {fate:?}", message.id);
    }
}

/// Publishes messages as a relay does: a message that is not stored is published again with the same id, the messages
/// of a key in their order, for two minutes at most.
pub(super) async fn relay(broker: &dyn Broker, topic: &Topic, messages: &[Message]) {
    let deadline = Instant::now() + Duration::from_secs(120);
    let mut open: Vec<Message> = messages.to_vec();
    while !open.is_empty() {
        let fates = fates(broker, topic, &open).await;
        if let Some(Fate::Refused(refusal)) = fates.iter().find(|fate| matches!(fate, Fate::Refused(_))) {
            panic!("{refusal}");
        }
        open = first_open_of_each_key(open, &fates);
        assert!(Instant::now() < deadline, "{} messages can't be published, such as {:?}", open.len(), fates.last());
        if !open.is_empty() {
            sleep(Duration::from_millis(200)).await;
        }
    }
}

/// The messages that are still to be published: of each key from the first one that was not stored.
fn first_open_of_each_key(batch: Vec<Message>, fates: &[Fate]) -> Vec<Message> {
    let mut stopped: BTreeMap<Option<SmolStr>, ()> = BTreeMap::new();
    let pairs = batch.into_iter().zip(fates);
    pairs
        .filter_map(|(message, fate)| {
            let open = stopped.contains_key(&message.key) || !fate.is_stored();
            if open {
                stopped.insert(message.key.clone(), ());
            }
            open.then_some(message)
        })
        .collect()
}

/// Panics unless the messages of each key come in the order of their numbers, where only the first arrival of each counts.
#[track_caller]
pub(super) fn assert_order_per_key(arrived: &[Message]) {
    let mut last: BTreeMap<&str, usize> = BTreeMap::new();
    let mut seen = std::collections::BTreeSet::new();
    for message in arrived.iter().filter(|message| seen.insert(message.id.clone())) {
        let (key, number) = (message.key.as_deref().unwrap(), number(message));
        if let Some(previous) = last.insert(key, number) {
            assert!(previous < number, "of {key:?} message {number} came behind {previous}");
        }
    }
}

/// Panics unless exactly these messages have arrived, each at least once.
#[track_caller]
pub(super) fn assert_complete(arrived: &[Message], published: &[Message]) {
    let sorted = |messages: &[Message]| -> BTreeMap<MessageId, Message> {
        messages.iter().map(|message| (message.id.clone(), message.clone())).collect()
    };
    let (arrived, published) = (sorted(arrived), sorted(published));
    let missing: Vec<_> = published.keys().filter(|id| !arrived.contains_key(*id)).collect();
    assert!(missing.is_empty(), "{} of {} are missing, such as {:?}", missing.len(), published.len(), missing.first());
    for (id, message) in &arrived {
        assert_eq!(Some(message), published.get(id), "message {id} is not the one that was published");
    }
}

/// That much of a load, by the harness's [effort](Harness::effort). Set `RECOUNT_EFFORT` (in percent) for long runs.
pub(super) fn scaled(h: &dyn Harness, usual: usize) -> usize {
    let asked_for = std::env::var("RECOUNT_EFFORT").ok().and_then(|percent| percent.parse().ok());
    (usual * h.effort() * asked_for.unwrap_or(100) / 10_000).max(1)
}

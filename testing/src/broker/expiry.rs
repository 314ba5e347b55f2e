//! A broker removes groups that are not used, and old messages of topics that say so.

use std::time::Duration;

use recount_messaging::{Binding, Broker, Order, Plan};
use tokio::time::{Instant, sleep};

use super::harness::{can_wait, declared};
use super::support::{assert_complete, bounded, ensure, messages, other_group, publish, unique};
use super::{Harness, Reader};

/// The time after which groups expire and messages are forgotten.
const TIME: Duration = Duration::from_secs(3);
/// How long the server may take beyond it: some look for unused groups each five seconds.
const LATE: Duration = Duration::from_secs(60);

/// A group that expires stays while it has a consumer. Without one it is removed after its time, and its topic takes
/// messages as before.
pub async fn an_expiring_group_is_removed_when_it_is_not_used(h: &dyn Harness) {
    let (broker, binding) = (h.broker().await, unique().order(Order::Unordered).expires_after(TIME));
    let expiry = broker.capabilities(&binding).idle_expiry;
    let Some(expiry) = expiry else {
        declared(false, "groups that expire");
        return;
    };
    assert!(expiry >= TIME, "a group expires after {expiry:?}, before the time of its binding");
    if !can_wait(h, expiry * 2, "the expiry of a group") {
        return;
    }
    assert_eq!(expiry, TIME, "the declared expiry is that of the binding");
    let mut stays = other_group(&binding);
    stays.expires_after = None;
    ensure(&*broker, &[&binding, &stays]).await;
    let mut reader = Reader::new(&broker, &binding).await;
    reader.stays_quiet(TIME * 2).await;
    assert!(exists(&*broker, &binding).await, "a group with a consumer has expired");
    let published = messages(10, 5);
    publish(&*broker, &binding.topic, &published).await;
    assert_complete(&reader.consume(10).await, &published);
    reader.drain().await;
    let until = Instant::now() + TIME + LATE;
    loop {
        // Longer than the expiry: a look may count as a use.
        sleep(TIME + Duration::from_secs(1)).await;
        if !exists(&*broker, &binding).await {
            break;
        }
        assert!(Instant::now() < until, "the group is still there");
    }
    assert!(exists(&*broker, &stays).await, "a group that does not expire is gone");
    publish(&*broker, &binding.topic, &messages(1, 1)).await;
}

/// A topic forgets messages that are older than it keeps them: a late group does not get them. It gets later ones.
pub async fn a_topic_forgets_messages_after_its_time(h: &dyn Harness) {
    let broker = h.broker().await;
    let mut binding = unique();
    binding.topic = binding.topic.keep_for(TIME);
    let history = broker.capabilities(&binding).late_group_gets_history;
    if !declared(history, "history for late groups") || !can_wait(h, TIME * 3, "the age of messages") {
        return;
    }
    let plan = Plan { topics: vec![binding.topic.clone()], bindings: Vec::new() };
    bounded(broker.ensure(&plan, false)).await.unwrap();
    let old = messages(10, 5);
    publish(&*broker, &binding.topic, &old).await;
    ensure(&*broker, &[&binding]).await;
    assert_complete(&Reader::new(&broker, &binding).await.consume(10).await, &old);
    sleep(TIME * 2).await;
    let late = other_group(&binding);
    ensure(&*broker, &[&late]).await;
    let new = messages(10, 5);
    publish(&*broker, &binding.topic, &new).await;
    let arrived = Reader::new(&broker, &late).await.consume(10).await;
    assert_complete(&arrived, &new);
    assert_eq!(arrived.len(), 10, "old messages came: {arrived:?}");
}

/// Whether a group is declared, with the same settings.
async fn exists(broker: &dyn Broker, binding: &Binding) -> bool {
    let plan = Plan { topics: Vec::new(), bindings: vec![binding.clone()] };
    bounded(broker.ensure(&plan, true)).await.unwrap().is_empty()
}

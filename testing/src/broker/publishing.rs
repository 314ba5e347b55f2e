//! A published message arrives, equal in all its parts, and its fate is told.

use std::sync::Arc;
use std::time::Duration;

use recount_messaging::{Dedupe, Fate, Message, MessageId, Order};
use tokio::task::JoinSet;

use super::harness::{can_wait, capabilities, declared};
use super::reader::distinct;
use super::support::{
    assert_complete, bound, bounded, consumed, ensure, fates, message, messages, other_group, publish, relay, scaled,
    unique,
};
use super::{Harness, Reader};

/// A hundred messages arrive with all their parts.
pub async fn a_hundred_messages_arrive_equal(h: &dyn Harness) {
    let (broker, binding, mut reader) = consumed(h, Order::PerKey).await;
    let published = messages(100, 10);
    publish(&*broker, &binding.topic, &published).await;
    let arrived = reader.consume(100).await;
    assert_complete(&arrived, &published);
    reader.assert_once(&arrived, &published);
}

/// Fifty publishers and fifty groups: each group gets every message.
pub async fn many_publishers_and_many_groups_get_everything(h: &dyn Harness) {
    let (publishers, groups) = (scaled(h, 50), scaled(h, 50));
    let (broker, first) = bound(h, Order::Unordered).await;
    let bindings: Vec<_> = (0..groups).map(|_| other_group(&first)).collect();
    ensure(&*broker, &bindings.iter().collect::<Vec<_>>()).await;
    let all: Vec<Message> = (0..publishers).flat_map(|_| messages(20, 5)).collect();
    let mut tasks = JoinSet::new();
    for batch in all.chunks(20).map(<[Message]>::to_vec) {
        let (broker, topic) = (Arc::clone(&broker), first.topic.clone());
        tasks.spawn(async move { relay(&*broker, &topic, &batch).await });
    }
    for binding in bindings {
        let (broker, all) = (Arc::clone(&broker), all.clone());
        tasks.spawn(async move {
            let arrived = Reader::new(&broker, &binding).await.consume(all.len()).await;
            assert_complete(&arrived, &all);
        });
    }
    while let Some(outcome) = tasks.join_next().await {
        outcome.unwrap();
    }
}

/// Messages of one topic do not appear in another, even if one name is the start of the other's.
pub async fn topics_do_not_cross(h: &dyn Harness) {
    let (broker, one) = bound(h, Order::PerKey).await;
    let mut two = one.clone();
    two.topic = recount_messaging::Topic::new(&format!("{}-2", one.topic)).unwrap().with_lanes(one.topic.lanes());
    ensure(&*broker, &[&two]).await;
    let (first, second) = (messages(20, 4), messages(20, 4));
    publish(&*broker, &one.topic, &first).await;
    publish(&*broker, &two.topic, &second).await;
    for (binding, published) in [(one, first), (two, second)] {
        let mut reader = Reader::new(&broker, &binding).await;
        let mut arrived = reader.consume(published.len()).await;
        arrived.extend(reader.arrivals(0, Duration::from_secs(1)).await);
        assert_complete(&arrived, &published);
    }
}

/// Closing the connection right after publishing loses nothing.
pub async fn closing_right_after_publishing_loses_nothing(h: &dyn Harness) {
    let (broker, binding) = bound(h, Order::PerKey).await;
    let published = messages(1000, 50);
    publish(&*broker, &binding.topic, &published).await;
    bounded(broker.close(Duration::from_secs(10))).await;
    let arrived = Reader::new(&h.broker().await, &binding).await.consume(published.len()).await;
    assert_complete(&arrived, &published);
}

/// Closing the connection while messages are being published loses none that is reported as stored.
pub async fn closing_while_publishing_tells_every_fate(h: &dyn Harness) {
    let (broker, binding) = bound(h, Order::PerKey).await;
    let published = messages(1000, 50);
    let publishing = {
        let (broker, topic, published) = (Arc::clone(&broker), binding.topic.clone(), published.clone());
        tokio::spawn(async move { fates(&*broker, &topic, &published).await })
    };
    tokio::task::yield_now().await;
    bounded(broker.close(Duration::from_secs(10))).await;
    let fates = publishing.await.unwrap();
    let stored: Vec<_> = published.iter().zip(&fates).filter(|(_, fate)| fate.is_stored()).map(|(m, _)| m).collect();
    let mut reader = Reader::new(&h.broker().await, &binding).await;
    let arrived = reader.arrivals(stored.len(), Duration::from_secs(2)).await;
    for message in stored {
        assert!(arrived.contains(message), "{} was stored", message.id);
    }
}

/// A message that is published again with its id within the window is a duplicate, if the broker tells, and is delivered
/// once.
pub async fn the_same_id_within_the_window_is_stored_once(h: &dyn Harness) {
    let (broker, binding, mut reader) = consumed(h, Order::PerKey).await;
    let dedupe = broker.capabilities(&binding).dedupe;
    if !declared(matches!(dedupe, Dedupe::Window(_) | Dedupe::Silent(_)), "dedupe by id within a window") {
        return;
    }
    let one = message("k", 1);
    publish(&*broker, &binding.topic, std::slice::from_ref(&one)).await;
    for connection in [broker, h.broker().await] {
        let fate = fates(&*connection, &binding.topic, std::slice::from_ref(&one)).await.pop();
        match dedupe {
            Dedupe::Silent(_) => assert!(matches!(fate, Some(Fate::Stored(_))), "{fate:?}"),
            _ => assert!(matches!(fate, Some(Fate::Duplicate)), "{fate:?}"),
        }
    }
    let arrived = reader.arrivals(1, Duration::from_secs(1)).await;
    assert_eq!(arrived, [one]);
}

/// Source and id together identify a message: the same id from another source is another message,
/// also where source and id read the same when joined.
pub async fn the_same_id_from_another_source_is_stored(h: &dyn Harness) {
    let (broker, binding, mut reader) = consumed(h, Order::PerKey).await;
    let one = message("k", 1);
    let identified = |source: &str, id: &str| Message {
        source: source.into(),
        id: MessageId::new(id).expect("a name"),
        ..one.clone()
    };
    let others = [identified("another/source", one.id.as_str()), identified("a/b", "c"), identified("a", "b/c")];
    let all: Vec<Message> = std::iter::once(one.clone()).chain(others).collect();
    for message in &all {
        publish(&*broker, &binding.topic, std::slice::from_ref(message)).await;
    }
    assert_eq!(reader.arrivals(4, Duration::from_secs(1)).await, all);
}

/// After the window an id is new again: the declared window is the one that is observed.
pub async fn the_same_id_after_the_window_is_stored_again(h: &dyn Harness) {
    let (broker, binding, mut reader) = consumed(h, Order::PerKey).await;
    let (Dedupe::Window(window) | Dedupe::Silent(window)) = broker.capabilities(&binding).dedupe else {
        declared(false, "dedupe by id within a window");
        return;
    };
    if !can_wait(h, window, "a dedupe window") {
        return;
    }
    let one = message("k", 1);
    publish(&*broker, &binding.topic, std::slice::from_ref(&one)).await;
    tokio::time::sleep(window + Duration::from_secs(1)).await;
    publish(&*broker, &binding.topic, std::slice::from_ref(&one)).await;
    assert_eq!(reader.arrivals(2, Duration::from_secs(1)).await, [one.clone(), one]);
}

/// Without dedupe a message that is published again with its id is stored again.
pub async fn without_dedupe_the_same_id_is_stored_twice(h: &dyn Harness) {
    let (broker, binding, mut reader) = consumed(h, Order::PerKey).await;
    if !declared(broker.capabilities(&binding).dedupe == Dedupe::None, "no dedupe") {
        return;
    }
    let one = message("k", 1);
    publish(&*broker, &binding.topic, &[one.clone(), message("other", 2)]).await;
    publish(&*broker, &binding.topic, std::slice::from_ref(&one)).await;
    let arrived = reader.arrivals(3, Duration::from_secs(1)).await;
    assert_eq!(arrived.iter().filter(|message| **message == one).count(), 2);
    assert_eq!(distinct(&arrived), 2);
}

/// A new group gets the messages from before it was declared, if that is declared, and none of them otherwise.
pub async fn a_late_group_gets_history_as_declared(h: &dyn Harness) {
    let (broker, early) = bound(h, Order::PerKey).await;
    let before = messages(50, 5);
    publish(&*broker, &early.topic, &before).await;
    assert_complete(&Reader::new(&broker, &early).await.consume(50).await, &before);
    let late = other_group(&early);
    ensure(&*broker, &[&late]).await;
    let mut reader = Reader::new(&broker, &late).await;
    if capabilities(&*broker, Order::PerKey).late_group_gets_history {
        assert_complete(&reader.consume(50).await, &before);
    } else {
        reader.stays_quiet(Duration::from_secs(1)).await;
    }
    let after = messages(10, 5);
    publish(&*broker, &early.topic, &after).await;
    assert_complete(&reader.consume(10).await, &after);
}

/// A group that starts at the latest gets no message from before it was declared.
pub async fn a_group_that_starts_at_the_latest_gets_no_history(h: &dyn Harness) {
    let (broker, early) = bound(h, Order::PerKey).await;
    publish(&*broker, &early.topic, &messages(20, 5)).await;
    let late = other_group(&early).start(recount_messaging::StartFrom::Latest);
    ensure(&*broker, &[&late]).await;
    let mut reader = Reader::new(&broker, &late).await;
    reader.stays_quiet(Duration::from_secs(1)).await;
    let after = messages(10, 5);
    publish(&*broker, &early.topic, &after).await;
    assert_complete(&reader.consume(10).await, &after);
}

/// A topic of which no group is declared takes messages, or refuses them: it does not lose them silently when it declares
/// that late groups get history.
pub async fn a_topic_without_groups_keeps_history_as_declared(h: &dyn Harness) {
    let (broker, binding) = (h.broker().await, unique());
    if !declared(broker.capabilities(&binding).late_group_gets_history, "history for late groups") {
        return;
    }
    let plan = recount_messaging::Plan { topics: vec![binding.topic.clone()], bindings: Vec::new() };
    bounded(broker.ensure(&plan, false)).await.unwrap();
    let published = messages(20, 5);
    publish(&*broker, &binding.topic, &published).await;
    ensure(&*broker, &[&binding]).await;
    assert_complete(&Reader::new(&broker, &binding).await.consume(20).await, &published);
}

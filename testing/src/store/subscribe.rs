//! Subscriptions on the store: history, then live, across instances.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use recount_core::{Delivery, Position, Query, Recount, Store, Subscription};
use tokio::time::timeout;

use super::Harness;
use super::support::*;

const LONG: Duration = Duration::from_secs(60);

fn subscribe(store: &Arc<dyn Store>, query: Query, after: Position) -> Subscription {
    Recount::new(Arc::clone(store)).subscribe(query, after)
}

async fn next(subscription: &mut Subscription) -> Delivery {
    timeout(LONG, subscription.next()).await.expect("something is delivered").expect("it goes on").unwrap()
}

/// The positions of the next events.
async fn take(subscription: &mut Subscription, count: usize) -> Vec<u64> {
    let mut positions = Vec::new();
    while positions.len() < count {
        if let Delivery::Event(event) = next(subscription).await {
            positions.push(event.position.get());
        }
    }
    positions
}

/// Subscribers of two instances that start at random moments while writers are at work see every event, once, in order.
pub async fn a_subscription_goes_from_history_to_live_without_a_seam(h: &dyn Harness) {
    let instances = [h.open().await, h.open().await];
    let (writers, each) = (8, scaled(h, 100));
    let mut random = random();
    let subscribers: Vec<_> = (0..6)
        .map(|n| {
            let store = instances[n % 2].clone();
            let delay = Duration::from_micros(random.u64(0..100_000));
            tokio::spawn(async move {
                tokio::time::sleep(delay).await;
                take(&mut subscribe(&store, Query::all(), Position::START), writers * each).await
            })
        })
        .collect();
    race(writers, |writer| {
        let store = instances[writer % 2].clone();
        async move {
            for _ in 0..each {
                add(&*store, &stream(&format!("s{writer}")), event()).await;
            }
        }
    })
    .await;
    let all = positions(&everything(&*instances[0]).await);
    assert_eq!(all.len(), writers * each);
    for subscriber in subscribers {
        assert_eq!(subscriber.await.unwrap(), all);
    }
}

/// A subscription starts behind the given position. A position beyond the head is refused: see `history`.
pub async fn a_subscription_starts_behind_a_position(h: &dyn Harness) {
    let store = h.open().await;
    let history = positions(&fill(&*store, &stream("s"), 5).await);
    let from_the_third = take(&mut subscribe(&store, Query::all(), Position::new(history[2])), 2).await;
    assert_eq!(from_the_third, history[3..]);
    let head = store.head().await.unwrap();
    let mut from_the_head = subscribe(&store, Query::all(), head);
    assert_eq!(next(&mut from_the_head).await, Delivery::CaughtUp(head));
    let live = add(&*store, &stream("s"), event()).await;
    assert_eq!(take(&mut from_the_head, 1).await, [live.position.get()]);
}

/// Events that the query does not select still move the subscriber on.
pub async fn a_subscription_that_selects_nothing_still_advances(h: &dyn Harness) {
    let store = h.open().await;
    let mut subscription = subscribe(&store, Query::category("nothing"), Position::START);
    assert_eq!(next(&mut subscription).await, Delivery::CaughtUp(Position::START));
    let appended = add(&*store, &stream("s"), event()).await;
    while next(&mut subscription).await != Delivery::CaughtUp(appended.position) {}
}

/// Left in the middle of a page and taken up again, it neither misses nor repeats.
pub async fn a_subscription_is_left_and_taken_up_anywhere(h: &dyn Harness) {
    let store = h.open().await;
    let count = scaled(h, 1_500);
    let all = positions(&fill(&*store, &stream("s"), count).await);
    let mut random = random();
    let (mut seen, mut after) = (Vec::new(), Position::START);
    while seen.len() < count {
        let some = random.usize(1..=700).min(count - seen.len());
        seen.extend(take(&mut subscribe(&store, Query::all(), after), some).await);
        after = Position::new(*seen.last().unwrap());
    }
    assert_eq!(seen, all);
}

/// One that isn't polled holds up neither writers nor other subscribers, and has everything when it is.
pub async fn a_slow_subscriber_holds_nobody_up(h: &dyn Harness) {
    let store = h.open().await;
    fill(&*store, &stream("s"), 10).await;
    let mut slow = subscribe(&store, Query::all(), Position::START);
    let first = take(&mut slow, 1).await;
    for _ in 0..scaled(h, 100) {
        add(&*store, &stream("s"), event()).await;
    }
    let all = positions(&everything(&*store).await);
    assert_eq!(take(&mut subscribe(&store, Query::all(), Position::START), all.len()).await, all);
    let rest = take(&mut slow, all.len() - 1).await;
    assert_eq!([first, rest].concat(), all);
}

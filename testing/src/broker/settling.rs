//! Release, retry, counts and limits of attempts: the observed abilities are the declared ones.

use std::time::Duration;

use recount_messaging::{AttemptCount, Attempts, NativeRetry, Order, Release, Settle, Settled};
use tokio::time::{Instant, sleep};

use super::harness::{can_wait, declared};
use super::support::{consumed, ensure, message, messages, number, other_group, publish, unique};
use super::{Harness, Reader};

/// A released message goes to the declared end of its lane.
pub async fn a_released_message_goes_where_it_is_declared(h: &dyn Harness) {
    for order in [Order::PerKey, Order::Unordered] {
        let (broker, binding, mut reader) = consumed(h, order).await;
        let release = broker.capabilities(&binding).release;
        let expected = match release {
            Release::Front { .. } => [0, 1, 2, 3],
            Release::Back { .. } => [1, 2, 3, 0],
            Release::Anywhere { .. } => {
                declared(false, &format!("the place of a released message ({order:?})"));
                continue;
            }
        };
        publish(&*broker, &binding.topic, &messages(4, 1)).await;
        let first = reader.one().await;
        assert_eq!(number(first.message.as_ref().unwrap()), 0);
        reader.mark(first, Settle::Release).await;
        let mut numbers = Vec::new();
        for _ in 0..4 {
            let delivery = reader.one().await;
            numbers.push(number(&reader.mark(delivery, Settle::Ack).await));
        }
        assert_eq!(numbers, expected, "{order:?}, {release:?}");
    }
}

/// Deliveries are counted as declared, and a release counts as declared.
pub async fn deliveries_are_counted_as_declared(h: &dyn Harness) {
    let (broker, binding, mut reader) = consumed(h, Order::PerKey).await;
    let capabilities = broker.capabilities(&binding);
    let (Release::Front { counts } | Release::Back { counts } | Release::Anywhere { counts }) = capabilities.release;
    publish(&*broker, &binding.topic, &messages(1, 1)).await;
    for earlier in 0..4_u32 {
        let delivery = reader.one().await;
        let counted = if counts { earlier } else { 0 };
        match (capabilities.attempts, delivery.attempts) {
            (AttemptCount::Exact, attempts) => assert_eq!(attempts, Attempts::Exact(counted)),
            (AttemptCount::Volatile | AttemptCount::Approximate, Attempts::Exact(n)) => assert_eq!(n, counted),
            (AttemptCount::Volatile | AttemptCount::Approximate, Attempts::AtLeast(n)) => assert!(n <= earlier, "{n}"),
            (AttemptCount::None, Attempts::Exact(n)) => assert_eq!((n, earlier), (0, 0), "only a first one is known"),
            (AttemptCount::None, Attempts::AtLeast(n)) => assert!(n <= earlier.min(1), "{n}"),
            (_, Attempts::Unknown) => {}
        }
        reader.mark(delivery, Settle::Release).await;
    }
}

/// A first delivery is never reported as a repeated one for certain.
pub async fn a_first_delivery_has_no_earlier_ones(h: &dyn Harness) {
    let (broker, binding, mut reader) = consumed(h, Order::PerKey).await;
    publish(&*broker, &binding.topic, &messages(5, 5)).await;
    for delivery in reader.take_up_to(4).await {
        let plausible = matches!(delivery.attempts, Attempts::Exact(0) | Attempts::AtLeast(0) | Attempts::Unknown);
        assert!(plausible, "{:?}", delivery.attempts);
        reader.mark(delivery, Settle::Ack).await;
    }
}

/// After a lost connection the count is kept where it is exact, and a message that was delivered is never reported as new.
/// Where a consumer outlives its connection, its delivery does not come again, and can be acknowledged.
pub async fn the_count_after_a_reconnect_is_as_declared(h: &dyn Harness) {
    if !declared(h.abilities().cut, "connections are cut") {
        return;
    }
    let (broker, mut binding) = (h.broker().await, unique());
    binding.lease = h.short_lease();
    ensure(&*broker, &[&binding]).await;
    let mut reader = Reader::new(&broker, &binding).await;
    let capabilities = broker.capabilities(&binding);
    publish(&*broker, &binding.topic, &messages(1, 1)).await;
    let held = reader.one().await;
    h.cut_connections().await;
    if !h.abilities().cut_releases {
        reader.stays_quiet(Duration::from_secs(1)).await;
        reader.mark(held, Settle::Ack).await;
        return reader.stays_quiet(Duration::from_secs(1)).await;
    }
    let again = reader.one_within(Duration::from_secs(60) + h.patience()).await;
    match capabilities.attempts {
        AttemptCount::Exact => assert_eq!(again.attempts, Attempts::Exact(1)),
        _ => assert!(again.attempts.may_repeat(), "{:?}", again.attempts),
    }
    let stale = reader.settle(vec![(held.ticket, Settle::Ack)]).await.pop();
    assert!(matches!(stale, Some(Settled::Stale)), "the delivery from before the cut: {stale:?}");
    reader.mark(again, Settle::Ack).await;
}

/// The broker removes a message by itself after the declared number of deliveries, and not before.
pub async fn the_attempt_limit_is_as_declared(h: &dyn Harness) {
    let (broker, binding, mut reader) = consumed(h, Order::PerKey).await;
    let Some(limit) = broker.capabilities(&binding).attempt_limit.filter(|limit| *limit <= 100) else {
        declared(false, "a limit of attempts up to 100");
        return;
    };
    publish(&*broker, &binding.topic, &messages(1, 1)).await;
    for attempt in 0..limit {
        let delivery = reader.one_within(Duration::from_secs(10)).await;
        assert!(reader.settle(vec![(delivery.ticket, Settle::Release)]).await[0].is_done(), "delivery {attempt}");
    }
    reader.stays_quiet(Duration::from_secs(2)).await;
}

fn native(h: &dyn Harness, retry: Option<NativeRetry>) -> Option<(NativeRetry, Duration)> {
    let Some(retry) = retry else {
        declared(false, "native delayed retry");
        return None;
    };
    let delay = retry.min.max(Duration::from_secs(2)).min(retry.max);
    can_wait(h, delay, "a delay").then_some((retry, delay))
}

/// A retried message comes again after the delay, not before, and others are not held up by it.
pub async fn a_native_retry_waits_for_its_delay(h: &dyn Harness) {
    for order in [Order::PerKey, Order::Unordered] {
        let (broker, binding, mut reader) = consumed(h, order).await;
        let Some((_, delay)) = native(h, broker.capabilities(&binding).retry) else { continue };
        publish(&*broker, &binding.topic, &messages(1, 1)).await;
        let first = reader.one().await;
        let start = Instant::now();
        reader.mark(first, Settle::Retry { after: delay }).await;
        let again = reader.one_within(delay + Duration::from_secs(10)).await;
        let waited = start.elapsed();
        assert!(waited + Duration::from_millis(100) >= delay, "it came after {waited:?} instead of {delay:?}");
        reader.mark(again, Settle::Ack).await;
        reader.stays_quiet(Duration::from_secs(1)).await;
    }
}

/// Whether later messages of the key wait behind a retried one is as declared.
pub async fn a_native_retry_keeps_the_order_as_declared(h: &dyn Harness) {
    for order in [Order::PerKey, Order::Unordered] {
        let (broker, binding, mut reader) = consumed(h, order).await;
        let Some((retry, delay)) = native(h, broker.capabilities(&binding).retry) else { continue };
        publish(&*broker, &binding.topic, &messages(3, 1)).await;
        let first = reader.one().await;
        reader.mark(first, Settle::Retry { after: delay }).await;
        let mut numbers = Vec::new();
        for _ in 0..3 {
            let delivery = reader.one_within(delay + Duration::from_secs(10)).await;
            numbers.push(number(&reader.mark(delivery, Settle::Ack).await));
        }
        let expected = if retry.keeps_order { [0, 1, 2] } else { [1, 2, 0] };
        assert_eq!(numbers, expected, "{order:?}, {retry:?}");
    }
}

/// Without native retry it is answered with `Unsupported`, and the delivery is not lost: it is open until it comes again.
pub async fn without_native_retry_it_is_unsupported(h: &dyn Harness) {
    let (broker, binding, mut reader) = consumed(h, Order::PerKey).await;
    if !declared(broker.capabilities(&binding).retry.is_none(), "no native retry") {
        return;
    }
    publish(&*broker, &binding.topic, &messages(1, 1)).await;
    let first = reader.one().await;
    let outcome = reader.settle(vec![(first.ticket, Settle::Retry { after: Duration::from_secs(1) })]).await.pop();
    assert!(matches!(outcome, Some(Settled::Unsupported)), "{outcome:?}");
    let again = reader.one_within(Duration::from_secs(60)).await;
    reader.mark(again, Settle::Ack).await;
}

/// One call settles many deliveries in different ways: each outcome belongs to its mark, and each mark to its delivery. One
/// of them can't be taken: a retry without native retry, or a delivery with an ended lease.
pub async fn each_outcome_belongs_to_its_mark(h: &dyn Harness) {
    let (broker, binding) = (h.broker().await, unique().order(Order::Unordered).lease(h.short_lease()));
    ensure(&*broker, &[&binding]).await;
    let mut reader = Reader::new(&broker, &binding).await;
    let capabilities = broker.capabilities(&binding);
    publish(&*broker, &binding.topic, &messages(4, 4)).await;
    let odd = reader.one().await;
    let odd_number = number(odd.message.as_ref().unwrap());
    let odd_mark = if capabilities.retry.is_none() {
        Settle::Retry { after: Duration::from_secs(1) }
    } else {
        let Some(lease) = capabilities.lease.filter(|lease| can_wait(h, lease.default, "a lease")) else { return };
        sleep(lease.default + Duration::from_millis(500)).await;
        Settle::Ack
    };
    let mut others = reader.take(3).await.into_iter();
    let numbers: Vec<_> = others.as_slice().iter().map(|other| number(other.message.as_ref().unwrap())).collect();
    let mut next = || others.next().unwrap().ticket;
    let marks = vec![(next(), Settle::Ack), (odd.ticket, odd_mark), (next(), Settle::Release), (next(), Settle::Ack)];
    let outcomes = reader.settle(marks).await;
    assert!(matches!(outcomes[1], Settled::Stale | Settled::Unsupported), "{outcomes:?}");
    assert!([0, 2, 3].iter().all(|index: &usize| outcomes[*index].is_done()), "{outcomes:?}");
    let returning = if numbers.contains(&odd_number) { 1 } else { 2 };
    let again: Vec<_> = reader.arrivals(returning, Duration::from_secs(3)).await.iter().map(number).collect();
    assert!(again.contains(&numbers[1]), "{} was released, but only {again:?} came again", numbers[1]);
    assert!(numbers.contains(&odd_number) || again.contains(&odd_number), "{odd_number} is lost: {again:?}");
    assert!(!again.contains(&numbers[0]) && !again.contains(&numbers[2]), "of {numbers:?} came again {again:?}");
}

/// The ticket of one consumer settles nothing at another one: its delivery comes again, and the other's stays open.
pub async fn a_ticket_of_another_consumer_settles_nothing(h: &dyn Harness) {
    let (broker, binding, mut first) = consumed(h, Order::PerKey).await;
    let other = other_group(&binding);
    ensure(&*broker, &[&other]).await;
    let mut second = Reader::new(&broker, &other).await;
    publish(&*broker, &binding.topic, &[message("k", 1)]).await;
    let (of_first, of_second) = (first.one().await, second.one().await);
    let settled = second.settle(vec![(of_first.ticket, Settle::Ack)]).await;
    assert!(matches!(settled[..], [Settled::Stale]), "{settled:?}");
    second.mark(of_second, Settle::Ack).await;
    assert_eq!(first.consume(1).await.len(), 1);
}

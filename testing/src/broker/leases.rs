//! A delivery is out for the time of its lease, and no longer.

use std::time::Duration;

use recount_messaging::{Binding, Broker, Extend, Lease, Order, Settle, Settled};
use std::sync::Arc;
use tokio::time::{Instant, sleep};

use super::harness::{can_wait, declared};
use super::support::{ensure, messages, number, publish, unique};
use super::{Harness, Reader};

/// A consumer of a binding with a short lease, if the broker has leases that can be waited for.
async fn leased(h: &dyn Harness) -> Option<(Arc<dyn Broker>, Binding, Reader, Lease)> {
    let (broker, binding) = (h.broker().await, unique().order(Order::PerKey).lease(h.short_lease()));
    let Some(lease) = broker.capabilities(&binding).lease else {
        declared(false, "leases");
        return None;
    };
    let timed = matches!(lease.extend, Extend::Call | Extend::No);
    if !declared(timed, "leases that end while the consumer is alive") || !can_wait(h, lease.default, "a lease") {
        return None;
    }
    ensure(&*broker, &[&binding]).await;
    let reader = Reader::new(&broker, &binding).await;
    Some((broker, binding, reader, lease))
}

/// A delivery says when its lease ends: about the declared time from now.
pub async fn a_delivery_says_when_its_lease_ends(h: &dyn Harness) {
    let Some((broker, binding, mut reader, lease)) = leased(h).await else { return };
    publish(&*broker, &binding.topic, &messages(1, 1)).await;
    let delivery = reader.one().await;
    let left = delivery.lease_until.expect("a time").saturating_duration_since(Instant::now());
    assert!(left <= lease.default && left >= lease.default * 3 / 4, "{left:?} of {lease:?}");
    reader.mark(delivery, Settle::Ack).await;
}

/// An acknowledgement after the end of the lease is stale, and the message comes again.
pub async fn an_acknowledgement_after_the_lease_is_stale(h: &dyn Harness) {
    let Some((broker, binding, mut reader, lease)) = leased(h).await else { return };
    publish(&*broker, &binding.topic, &messages(1, 1)).await;
    let late = reader.one().await;
    sleep(lease.default + Duration::from_millis(500)).await;
    let outcome = reader.settle(vec![(late.ticket, Settle::Ack)]).await.pop();
    assert!(matches!(outcome, Some(Settled::Stale)), "{outcome:?}");
    let again = reader.one_within(Duration::from_secs(10)).await;
    assert!(again.attempts.may_repeat(), "{:?}", again.attempts);
    reader.mark(again, Settle::Ack).await;
    reader.stays_quiet(lease.default + Duration::from_millis(500)).await;
}

/// After the end of the lease another member gets the message, and the first one's acknowledgement takes nothing away.
pub async fn another_member_gets_a_message_whose_lease_ended(h: &dyn Harness) {
    let Some((broker, binding, mut one, lease)) = leased(h).await else { return };
    if !declared(lease.extend == Extend::Call, "a lease that ends without the connection") {
        return;
    }
    publish(&*broker, &binding.topic, &messages(1, 1)).await;
    let late = one.one().await;
    let mut two = Reader::new(&h.broker().await, &binding).await;
    let again = two.one_within(lease.default + Duration::from_secs(10)).await;
    let outcome = one.settle(vec![(late.ticket, Settle::Ack)]).await.pop();
    assert!(matches!(outcome, Some(Settled::Stale)), "{outcome:?}");
    two.mark(again, Settle::Release).await;
    let third = two.one_within(Duration::from_secs(10)).await;
    two.mark(third, Settle::Ack).await;
}

/// An extended lease is kept: the message does not come again meanwhile, and its acknowledgement counts.
pub async fn an_extended_lease_is_kept(h: &dyn Harness) {
    let Some((broker, binding, mut reader, lease)) = leased(h).await else { return };
    if !declared(lease.extend == Extend::Call, "leases are extended by a call") {
        return;
    }
    publish(&*broker, &binding.topic, &messages(1, 1)).await;
    let delivery = reader.one().await;
    let held = [delivery.ticket];
    for _ in 0..4 {
        let extended = reader.extend(&held, lease.default).await.pop();
        assert!(extended.as_ref().is_some_and(Settled::is_done), "{extended:?}");
        let half = tokio::time::Instant::now() + lease.default / 2;
        while Instant::now() < half {
            let early = reader.poll_briefly(lease.default / 8).await;
            assert!(early.is_empty(), "its lease was extended, but {early:?}");
        }
    }
    let [ticket] = held;
    let outcome = reader.settle(vec![(ticket, Settle::Ack)]).await.pop();
    assert!(outcome.as_ref().is_some_and(Settled::is_done), "{outcome:?}");
    reader.stays_quiet(lease.default + Duration::from_millis(500)).await;
}

/// A lease that has ended can't be extended: it is stale.
pub async fn an_ended_lease_is_not_extended(h: &dyn Harness) {
    let Some((broker, binding, mut reader, lease)) = leased(h).await else { return };
    if !declared(lease.extend == Extend::Call, "leases are extended by a call") {
        return;
    }
    publish(&*broker, &binding.topic, &messages(1, 1)).await;
    let held = [reader.one().await.ticket];
    sleep(lease.default + Duration::from_millis(500)).await;
    let extended = reader.extend(&held, lease.default).await.pop();
    assert!(matches!(extended, Some(Settled::Stale)), "{extended:?}");
}

/// When a lease ends, the later messages of its key do not pass the first one.
pub async fn order_survives_the_end_of_a_lease(h: &dyn Harness) {
    let Some((broker, binding, mut reader, lease)) = leased(h).await else { return };
    publish(&*broker, &binding.topic, &messages(4, 1)).await;
    let late = reader.one().await;
    sleep(lease.default + Duration::from_millis(500)).await;
    let mut numbers = Vec::new();
    for _ in 0..4 {
        let delivery = reader.one_within(Duration::from_secs(20)).await;
        numbers.push(number(&reader.mark(delivery, Settle::Ack).await));
    }
    assert_eq!(numbers, [0, 1, 2, 3]);
    drop(late);
}

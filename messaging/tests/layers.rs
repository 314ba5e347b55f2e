//! Layers around the handling of messages: limits, back-pressure, and layers of the application.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that panics has failed")]

extern crate recount_core as recount;

mod common;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::layers::{Lane, Observed, Observer, Step, Stepping};
use common::profiles::{in_each_profile, place_through_troubles};
use common::{Enter, Fail, Ledger, World, live, quick};
use recount_core::{BoxError, IdempotencyKey};
use recount_messaging::{
    Binding, GatewayBuilder, InProcess, LetterState, PermanentError, Profile, RequestError, RetryPlan, Service,
    Subscriber, Topic,
};
use tokio::time::Instant;
use tower::ServiceBuilder;
use tower::limit::{ConcurrencyLimitLayer, GlobalConcurrencyLimitLayer, RateLimitLayer};
use tower::load_shed::LoadShedLayer;
use tower::timeout::TimeoutLayer;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

fn world() -> (World, InProcess) {
    let broker = InProcess::with_profile(Profile::Nats);
    (World::new(broker.connect()), broker)
}

/// Waits until this is so, for an hour at most.
async fn until(mut reached: impl FnMut() -> bool) {
    let waiting = async {
        while !reached() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(240 * MINUTE, waiting).await.expect("it happens within four hours");
}

/// The largest number of calls that began within a span of this length.
fn busiest(calls: &[Instant], span: Duration) -> usize {
    let within = |first: &Instant| calls.iter().filter(|call| *call >= first && **call < *first + span).count();
    calls.iter().map(within).max().unwrap_or_default()
}

#[test]
fn all_lanes_share_a_rate_limit() {
    in_each_profile(async |world, _| {
        let observer = Observer::default();
        let layers = ServiceBuilder::new().layer(RateLimitLayer::new(5, SECOND)).layer(observer.clone());
        let running = (world.inbox(world.subscriber().layer(layers)), world.relay());
        live(&running.0).await;
        for n in 0..4 {
            for order in 0..10 {
                world.place(&format!("order {order}"), [n]).await;
            }
        }
        for order in 0..10 {
            world.becomes(&format!("order {order}"), &[0, 1, 2, 3]).await;
        }
        let calls: Vec<_> = observer.seen().iter().map(|observed| observed.at).collect();
        assert_eq!(calls.len(), 40);
        // The windows of tower's limit follow one another: the end of one and the start of the next may meet.
        assert!(busiest(&calls, SECOND) <= 10, "{calls:?}");
        let took = *calls.last().unwrap() - calls[0];
        assert!(took >= 7 * SECOND && took < 60 * SECOND, "{took:?}");
        drop(running);
    });
}

#[tokio::test(start_paused = true)]
async fn all_lanes_share_a_limit_of_concurrency() {
    let (world, _) = world();
    let observer = Observer::taking(Duration::from_millis(100));
    let layers = ServiceBuilder::new().layer(ConcurrencyLimitLayer::new(3)).layer(observer.clone());
    let running = (world.inbox(world.subscriber().layer(layers)), world.relay());
    for order in 0..30 {
        world.place(&format!("order {order}"), [0]).await;
    }
    for order in 0..30 {
        world.becomes(&format!("order {order}"), &[0]).await;
    }
    assert_eq!(observer.most_at_once(), 3);
    drop(running);
}

#[tokio::test(start_paused = true)]
async fn several_subscribers_share_a_global_limit_and_none_holds_it_without_a_message() {
    let broker = InProcess::with_profile(Profile::Nats);
    let (first, second) = (World::new(broker.connect()), World::new(broker.connect()));
    let observer = Observer::taking(Duration::from_millis(100));
    let layers = ServiceBuilder::new().layer(GlobalConcurrencyLimitLayer::new(1)).layer(observer.clone());
    let other = recount_messaging::Group::new("others").unwrap();
    let binding = recount_messaging::Binding::new(common::topic(), other);
    let others = recount_messaging::Subscriber::new(binding).handle(common::Enters(second.plan.clone())).unwrap();
    let inboxes = (first.inbox(first.subscriber().layer(layers.clone())), second.inbox(others.layer(layers)));
    live(&inboxes.0).await;
    live(&inboxes.1).await;
    let relay = first.relay();
    for order in 0..10 {
        first.place(&format!("order {order}"), [0]).await;
    }
    for order in 0..10 {
        first.becomes(&format!("order {order}"), &[0]).await;
        second.becomes(&format!("order {order}"), &[0]).await;
    }
    assert_eq!((observer.most_at_once(), observer.seen().len()), (1, 20));
    drop((inboxes, relay));
}

#[test]
fn slow_readiness_fails_no_message_and_keeps_the_order_of_keys() {
    in_each_profile(async |world, _| {
        world.plan.fail("a", 1, Fail::Times(2));
        let subscriber = world.subscriber().retry(RetryPlan { in_place: 1, ..quick() }).time_limit(SECOND);
        let inbox = world.inbox(subscriber.layer(RateLimitLayer::new(1, MINUTE)));
        live(&inbox).await;
        let relay = world.relay();
        for order in ["a", "b", "c"] {
            world.place(order, 0..4).await;
        }
        for order in ["a", "b", "c"] {
            world.becomes(order, &[0, 1, 2, 3]).await;
        }
        assert_eq!(world.parked(0).await, []);
        assert_eq!(world.plan.calls("a", 1), 3);
        drop((inbox, relay));
    });
}

#[tokio::test(start_paused = true)]
async fn a_parked_message_that_waits_for_readiness_stays_claimed() {
    let (world, _) = world();
    world.plan.fail("a", 0, Fail::Once);
    let once_in_place = RetryPlan { in_place: 1, ..quick() };
    let observer = Observer::default();
    let inbox = || {
        let layers = ServiceBuilder::new().layer(RateLimitLayer::new(1, 5 * MINUTE)).layer(observer.clone());
        world.inbox(world.subscriber().retry(once_in_place).time_limit(SECOND).layer(layers))
    };
    let (first, second) = (inbox(), inbox());
    live(&first).await;
    live(&second).await;
    let relay = world.relay();
    // Both have used up their limit when the message is due.
    for order in 0..40 {
        world.place(&format!("order {order}"), [0]).await;
    }
    world.place("a", [0]).await;
    // It may be handled from the store at once, if one of them may handle a message again by then.
    until(|| world.plan.calls("a", 0) > 0).await;
    world.becomes("a", &[0]).await;
    tokio::time::sleep(30 * MINUTE).await;
    assert_eq!(world.plan.calls("a", 0), 2, "once as it came, and once from the store");
    drop((first, second, relay));
}

#[tokio::test(start_paused = true)]
async fn a_parked_message_that_waits_at_a_shutdown_uses_up_no_attempt() {
    let (world, _) = world();
    let plan = RetryPlan { in_place: 1, stored: 3, ..quick() };
    let subscriber = || world.subscriber().retry(plan).time_limit(120 * MINUTE);
    world.plan.fail("a", 0, Fail::Once);
    let first = world.inbox(subscriber());
    let relay = world.relay();
    world.place("a", [0]).await;
    world.some_parked().await;
    first.shutdown().await;
    for _ in 0..5 {
        let never_ready = Stepping::new(|_| Step::NeverReady);
        let inbox = world.inbox(subscriber().layer(never_ready.clone()));
        until(|| never_ready.asked() > 0).await;
        inbox.shutdown().await;
    }
    let start = tokio::time::Instant::now();
    let inbox = world.inbox(subscriber());
    world.becomes("a", &[0]).await;
    assert_eq!(world.plan.calls("a", 0), 2);
    assert!(start.elapsed() < MINUTE, "no earlier program has it for itself: {:?}", start.elapsed());
    drop((inbox, relay));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_expires_while_it_waits_for_readiness_has_no_effect() {
    let (world, _) = world();
    let commands = Binding::new(Topic::new("ledger-commands").unwrap(), common::binding().group);
    let inbox = world.inbox(Subscriber::new(commands).commands().layer(RateLimitLayer::new(1, MINUTE)));
    let service = Service::new(world.orders(), Arc::clone(&world.broker), "orders").unwrap().unannounced();
    let gateway = GatewayBuilder::new().aggregate::<Ledger>(Topic::new("ledger-commands").unwrap());
    let (service, gateway) = service.gateway(gateway).unwrap();
    let orders = service.start();
    live(&inbox).await;
    live(&orders).await;
    let send = async |n: u32, within| {
        let key = IdempotencyKey::new(format!("{n}")).unwrap();
        gateway.send(&Enter { order: "a".to_owned(), n }, &key, within).await
    };
    send(1, 10 * SECOND).await.unwrap();
    let second = send(2, 5 * SECOND).await;
    assert!(matches!(second, Err(RequestError::TimedOut { .. })), "{second:?}");
    tokio::time::sleep(10 * MINUTE).await;
    assert_eq!(world.entered("a").await, [1]);
    drop((inbox, orders));
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_ends_the_wait_for_readiness_and_uses_up_no_attempt() {
    let (world, broker) = world();
    let relay = world.relay();
    world.place("a", 0..2).await;
    for _ in 0..8 {
        let never_ready = Stepping::new(|_| Step::NeverReady);
        let inbox = world.inbox(world.subscriber().crashes(3).layer(never_ready.clone()));
        until(|| never_ready.asked() > 0).await;
        tokio::time::timeout(MINUTE, inbox.shutdown()).await.expect("the shutdown ends in time");
    }
    assert_eq!(world.plan.calls("a", 0), 0);
    assert_eq!(broker.faults().backlog(&common::binding()).unwrap(), 2);
    let inbox = world.inbox(world.subscriber().crashes(3));
    world.becomes("a", &[0, 1]).await;
    assert_eq!(world.parked(0).await, []);
    drop((relay, inbox));
}

#[tokio::test(start_paused = true)]
async fn a_buried_message_gives_its_place_in_a_limit_back() {
    let (world, _) = world();
    world.plan.fail("a", 0, Fail::Hang);
    let relay = world.relay();
    world.place("a", [0]).await;
    let limit = Arc::new(tokio::sync::Semaphore::new(1));
    let subscriber = || {
        let layer = GlobalConcurrencyLimitLayer::with_semaphore(Arc::clone(&limit));
        world.subscriber().crashes(1).time_limit(60 * MINUTE).layer(layer)
    };
    for program in 1..=2 {
        let inbox = world.inbox(subscriber());
        until(|| world.plan.calls("a", 0) >= program).await;
        assert_eq!(limit.available_permits(), 0);
        // The program dies: nothing is settled or released.
        drop(inbox);
        tokio::time::sleep(MINUTE).await;
    }
    let inbox = world.inbox(subscriber());
    let parked = world.parked(1).await;
    assert!(parked[0].reason.contains("never finished"), "{parked:?}");
    assert_eq!(limit.available_permits(), 1);
    drop((relay, inbox));
}

#[tokio::test(start_paused = true)]
async fn the_error_of_a_layer_is_retried_and_then_a_dead_letter() {
    let (world, _) = world();
    let layer = Stepping::new(|call| if call < 2 { Step::Fail("not signed".into()) } else { Step::Through });
    let running = (world.inbox(world.subscriber().layer(layer.clone())), world.relay());
    world.place("a", 0..2).await;
    world.becomes("a", &[0, 1]).await;
    assert_eq!(layer.attempts(), [1, 2, 3, 1], "twice in place, then from the store");
    layer.change(|_| Step::Fail("not signed".into()));
    world.place("a", [2, 3]).await;
    let parked = world.parked(1).await;
    assert!(parked[0].reason.contains("not signed"), "{parked:?}");
    assert_eq!((parked[0].attempts, parked[1].state), (4, LetterState::Queued), "{parked:?}");
    assert_eq!(layer.attempts()[4..], [1, 2, 3, 4]);
    drop(running);
}

#[tokio::test(start_paused = true)]
async fn the_permanent_error_of_a_layer_is_a_dead_letter_at_once_and_a_transient_one_never() {
    let (world, _) = world();
    let layer = Stepping::new(|_| Step::Fail(PermanentError::new("forged").into()));
    let running = (world.inbox(world.subscriber().layer(layer.clone())), world.relay());
    world.place("a", [0]).await;
    let parked = world.parked(1).await;
    assert!(parked[0].reason.contains("forged") && layer.attempts() == [1], "{parked:?}");
    layer.change(|_| Step::Fail(recount_core::TransientError::new("the key server is away").into()));
    world.place("b", [0]).await;
    tokio::time::sleep(30 * MINUTE).await;
    assert_eq!(world.parked(1).await.len(), 1);
    layer.change(|_| Step::Through);
    world.becomes("b", &[0]).await;
    drop(running);
}

#[tokio::test(start_paused = true)]
async fn a_failed_or_panicking_layer_fails_the_message_alone_and_is_made_anew() {
    let (world, _) = world();
    let layer = Stepping::new(|call| match call {
        0 => Step::Unready("its worker has ended".into()),
        1 => Step::PanicInReadiness,
        2 => Step::PanicInCall,
        3 => Step::PanicInFuture,
        _ => Step::Through,
    });
    let plan = RetryPlan { in_place: 10, ..quick() };
    let running = (world.inbox(world.subscriber().retry(plan).layer(layer.clone())), world.relay());
    world.place("a", 0..3).await;
    world.becomes("a", &[0, 1, 2]).await;
    assert_eq!(layer.made(), 4, "once at first, and after each failure of readiness or panic in a call");
    drop(running);
}

#[tokio::test(start_paused = true)]
async fn the_time_limit_is_that_of_the_handler_and_its_layers() {
    let (world, _) = world();
    let layer = Observer::taking(MINUTE);
    let subscriber = world.subscriber().retry(RetryPlan::never()).time_limit(30 * SECOND);
    let running = (world.inbox(subscriber.layer(layer)), world.relay());
    world.place("a", [0]).await;
    let parked = world.parked(1).await;
    assert!(parked[0].reason.contains("has not returned within 30s"), "{parked:?}");
    assert_eq!(world.plan.calls("a", 0), 0);
    drop(running);
}

#[tokio::test(start_paused = true)]
async fn layers_see_message_consumer_and_attempt_and_the_last_one_added_is_outermost() {
    let (world, _) = world();
    world.plan.fail("a", 0, Fail::Once);
    let order = Arc::new(Mutex::new(Vec::new()));
    let (inner, outer) = (Observer::named("inner", &order), Observer::named("outer", &order));
    let running = (world.inbox(world.subscriber().layer(inner.clone()).layer(outer)), world.relay());
    world.place("a", [0]).await;
    world.becomes("a", &[0]).await;
    assert_eq!(*order.lock().unwrap(), ["outer", "inner", "outer", "inner"]);
    let seen = inner.seen();
    let as_seen = |observed: &Observed| (observed.consumer.clone(), observed.key.clone(), observed.attempt);
    let expected = |attempt| ("ledgers/orders".to_owned(), Some("order/a".to_owned()), attempt);
    assert_eq!(seen.iter().map(as_seen).collect::<Vec<_>>(), [expected(1), expected(2)]);
    drop(running);
}

#[tokio::test(start_paused = true)]
async fn a_layer_may_drop_a_message_and_may_change_its_data() {
    let (world, _) = world();
    let layer = Stepping::new(|call| match call {
        0 => Step::Drop,
        1 => Step::WithData(r#"{"order":"a","n":10}"#.into()),
        _ => Step::Through,
    });
    let running = (world.inbox(world.subscriber().layer(layer)), world.relay());
    world.place("a", 0..3).await;
    world.becomes("a", &[10, 2]).await;
    assert_eq!(world.parked(0).await, []);
    drop(running);
}

#[tokio::test(start_paused = true)]
async fn a_layer_that_sheds_load_makes_dead_letters_of_it() {
    // Documented: with a limit inside, messages fail instead of waiting.
    let (world, _) = world();
    let observer = Observer::taking(10 * SECOND);
    let layers = ServiceBuilder::new().layer(LoadShedLayer::new()).concurrency_limit(1).layer(observer);
    let subscriber = world.subscriber().retry(RetryPlan::never()).layer(layers);
    let running = (world.inbox(subscriber), world.relay());
    for order in ["a", "b", "c"] {
        world.place(order, [0]).await;
    }
    let parked = world.parked(2).await;
    assert!(parked.iter().all(|letter| letter.reason.contains("overloaded")), "{parked:?}");
    drop(running);
}

#[tokio::test(start_paused = true)]
async fn no_message_is_called_while_the_circuit_is_open() {
    let (world, _) = world();
    let down = Arc::new(AtomicUsize::new(1));
    let state = Arc::clone(&down);
    let layer = Stepping::new(move |_| match state.load(Ordering::SeqCst) {
        1 => Step::Fail(recount_core::TransientError::new("away").into()),
        _ => Step::Through,
    });
    let layers = ServiceBuilder::new().layer(RateLimitLayer::new(20, SECOND)).layer(layer.clone());
    let running = (world.inbox(world.subscriber().layer(layers)), world.relay());
    for order in 0..50 {
        world.place(&format!("order {order}"), [0]).await;
    }
    tokio::time::sleep(10 * MINUTE).await;
    let calls = layer.attempts().len();
    assert!((5..100).contains(&calls), "at the pace of the circuit, not of the limit: {calls}");
    down.store(0, Ordering::SeqCst);
    for order in 0..50 {
        world.becomes(&format!("order {order}"), &[0]).await;
    }
    drop(running);
}

#[test]
fn layers_keep_the_promises_through_faults() {
    in_each_profile(async |world, broker| {
        let layers = || {
            let limits = ServiceBuilder::new().rate_limit(50, SECOND).concurrency_limit(4);
            limits.layer(TimeoutLayer::new(10 * SECOND)).layer(Lane::default())
        };
        let first = world.inbox(world.subscriber().layer(layers()));
        let second = world.inbox(world.subscriber().layer(layers()));
        live(&first).await;
        let relay = world.relay();
        world.plan.fail("b", 3, Fail::Times(3));
        place_through_troubles(&world, &broker, 40).await;
        let all: Vec<u32> = (0..40).collect();
        world.becomes("a", &all).await;
        world.becomes("b", &all).await;
        assert_eq!(world.parked(0).await, []);
        drop((first, second, relay));
    });
}

/// A layer's error type is the application's: anything that becomes a [`BoxError`].
#[test]
fn errors_of_any_type_fit() {
    fn takes<E: Into<BoxError>>(_: E) {}
    takes(std::io::Error::other("x"));
    takes("x");
}

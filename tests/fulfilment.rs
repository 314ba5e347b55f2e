//! The process of the example `fulfilment`, tested as a user would, and the excerpts of `docs/processes.md`.

#![allow(unreachable_pub, reason = "the modules are those of the example")]

use recount::InstanceState::{Compensated, Ended, Waiting};
use recount::memory::MemoryStore;
use recount::{Moment, RequestOutcome, Step, Timestamp};
use recount_testing::{RunningProcess, any_order, given_facts};

#[path = "../examples/fulfilment/domain.rs"]
mod domain;
#[path = "../examples/fulfilment/process.rs"]
mod process;

use domain::{
    Capture, Declined, LIMIT, Order, OrderEvent, OrderId, PaymentEvent, Refund, Release, Reserve, Ship, ShipmentEvent,
    Stock, StockError, StockEvent,
};
use process::{Fact, Fulfilment, FulfilmentTimer, Input, PAYMENT_TIME, RESTOCK_TIME};

const ORDER: OrderId = OrderId(1);

fn article() -> String {
    "harp".to_owned()
}

fn placed(order: OrderId, cents: u64) -> OrderEvent {
    OrderEvent::Placed { order, article: article(), pieces: 1, cents }
}

fn started() -> Fact {
    Fact::Started { order: ORDER, article: article(), pieces: 1, cents: 500 }
}

fn reserve(order: OrderId) -> Reserve {
    Reserve { article: article(), order, pieces: 1 }
}

fn reserved() -> Step<Fulfilment> {
    Step::new().run(reserve(ORDER), Release { article: article(), order: ORDER, pieces: 1 })
}

#[test]
fn an_order_is_reserved() {
    let now = Timestamp::from_second(1_000_000).unwrap();
    given_facts::<Fulfilment>([])
        .at(now)
        .when_input(Input::Order(placed(ORDER, 500)))
        .then(reserved().fact(started()).timer(FulfilmentTimer::PaymentOverdue, Moment::new(now).after(PAYMENT_TIME)));
}

#[test]
fn a_reserved_order_is_paid_and_shipped() {
    given_facts::<Fulfilment>([started()])
        .when_input(Input::Stock(StockEvent::Reserved { order: ORDER, pieces: 1 }))
        .then(Step::new().run(Capture { order: ORDER, cents: 500 }, Refund { order: ORDER }));
    given_facts::<Fulfilment>([started()])
        .when_input(Input::Payment(PaymentEvent::Captured { order: ORDER, cents: 500 }))
        .then(Step::new().fact(Fact::Paid).cancel(FulfilmentTimer::PaymentOverdue).send(Ship { order: ORDER }));
    given_facts::<Fulfilment>([started(), Fact::Paid])
        .when_input(Input::Shipment(ShipmentEvent::Shipped { order: ORDER }))
        .then(Step::new().end());
}

#[test]
fn an_order_can_be_cancelled_until_it_is_paid() {
    let cancelled = || Input::Order(OrderEvent::Cancelled { order: ORDER });
    given_facts::<Fulfilment>([started()]).when_input(cancelled()).then(Step::new().compensate());
    given_facts::<Fulfilment>([started(), Fact::Paid]).when_input(cancelled()).then_ignored();
    given_facts::<Fulfilment>([started()]).when_input(Input::Order(placed(ORDER, 500))).then_unexpected();
}

#[test]
fn stock_is_asked_for_three_times() {
    let soon = Moment::new(Timestamp::UNIX_EPOCH).after(RESTOCK_TIME);
    let too_few = || StockError::TooFew { left: 0 };
    given_facts::<Fulfilment>([started(), Fact::OutOfStock])
        .when_refused(reserve(ORDER), too_few())
        .then(Step::new().fact(Fact::OutOfStock).timer(FulfilmentTimer::Restock, soon));
    given_facts::<Fulfilment>([started(), Fact::OutOfStock]).when_due(FulfilmentTimer::Restock).then(reserved());
    given_facts::<Fulfilment>([started(), Fact::OutOfStock, Fact::OutOfStock])
        .when_refused(reserve(ORDER), too_few())
        .then(Step::new().compensate());
}

#[test]
fn what_is_refused_or_overdue_is_compensated() {
    given_facts::<Fulfilment>([started()])
        .when_refused(Capture { order: ORDER, cents: 500 }, Declined)
        .then(Step::new().fact(Fact::Declined).compensate());
    given_facts::<Fulfilment>([started()]).when_already_exists(Ship { order: ORDER }).then(Step::new().compensate());
    given_facts::<Fulfilment>([started()]).when_due(FulfilmentTimer::PaymentOverdue).then(Step::new().compensate());
}

#[tokio::test(start_paused = true)]
async fn the_whole_of_it_runs_on_a_store() {
    let mut run = RunningProcess::<Fulfilment>::start(MemoryStore::new());
    run.append::<Order>(&ORDER, [placed(ORDER, LIMIT + 1)]).await;
    run.idle().await;
    let instance = run.instance(&ORDER).await;
    assert_eq!(instance.state, Waiting);
    assert_eq!(instance.timers.len(), 2, "{:?}", instance.timers);
    assert_eq!(instance.requests[0].outcome, RequestOutcome::Refused);

    run.append::<Stock>(&article(), [StockEvent::Arrived { pieces: 1 }]).await;
    run.pass(RESTOCK_TIME).await;
    let instance = run.instance(&ORDER).await;
    assert_eq!(instance.state, Compensated, "the payment is declined");
    assert_eq!(run.events::<PaymentEvent>().await, []);
    assert!(run.timeline(&ORDER).await.iter().any(|entry| entry.cause.contains("restock")));
}

/// Pieces and money: what was reserved is shipped or released, what was captured is shipped or refunded.
async fn books_balance(run: &RunningProcess<Fulfilment>) {
    let shipped = run.events::<ShipmentEvent>().await.len();
    let stock = run.events::<StockEvent>().await;
    let reserved = stock.iter().filter(|event| matches!(event, StockEvent::Reserved { .. })).count();
    let released = stock.iter().filter(|event| matches!(event, StockEvent::Released { .. })).count();
    assert_eq!(reserved - released, shipped, "reserved − released = shipped");
    let payments = run.events::<PaymentEvent>().await;
    let captured = payments.iter().filter(|event| matches!(event, PaymentEvent::Captured { .. })).count();
    assert_eq!(2 * captured - payments.len(), shipped, "captured − refunded = shipped");
}

#[tokio::test(start_paused = true)]
async fn the_books_balance_in_any_order() {
    let (second, third) = (OrderId(2), OrderId(3));
    any_order::<Fulfilment>()
        .given::<Stock>(&article(), [StockEvent::Arrived { pieces: 1 }])
        .input::<Order>(&ORDER, [placed(ORDER, 500), OrderEvent::Cancelled { order: ORDER }])
        .input::<Order>(&second, [placed(second, 700)])
        .input::<Order>(&third, [placed(third, LIMIT + 1)])
        .input::<Stock>(&article(), [StockEvent::Arrived { pieces: 1 }])
        .then_wait(4 * PAYMENT_TIME)
        .keeps(MemoryStore::new, async |run| {
            for order in [ORDER, second, third] {
                let state = run.instance(&order).await.state;
                assert!(matches!(state, Ended | Compensated), "order {} is {state}", order.0);
            }
            books_balance(run).await;
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn an_order_that_nobody_cancels_is_shipped_in_any_order() {
    any_order::<Fulfilment>()
        .input::<Order>(&ORDER, [placed(ORDER, 500)])
        .input::<Stock>(&article(), [StockEvent::Arrived { pieces: 1 }])
        .runs(20)
        .then_wait(PAYMENT_TIME)
        .agrees(MemoryStore::new, async |run| {
            (run.instance(&ORDER).await.state, run.events::<PaymentEvent>().await, run.events::<ShipmentEvent>().await)
        })
        .await;
}

/// The excerpts of the chapter stand in the files that they name.
#[test]
fn the_chapter_shows_the_code_that_runs() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let chapter = std::fs::read_to_string(root.join("docs/processes.md")).unwrap();
    let excerpts: Vec<&str> =
        chapter.split("```rust\n// ").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(excerpts.len() > 5, "only {} excerpts", excerpts.len());
    assert_eq!(excerpts.len(), chapter.matches("```rust").count(), "each excerpt names its file");
    for excerpt in excerpts {
        let (file, code) = excerpt.split_once('\n').unwrap();
        let source = std::fs::read_to_string(root.join(file)).unwrap();
        assert!(source.contains(code), "{file} has another text than the chapter:\n{code}");
    }
}

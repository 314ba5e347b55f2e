//! A process manager: an order across stock, payment and shipment. The chapter is `docs/processes.md`.
//!
//! ```sh
//! cargo run --example fulfilment
//! ```

#![allow(unreachable_pub, reason = "tests share the modules")]

mod domain;
mod process;

use std::time::Duration;

use domain::{Arrive, Cancel, LIMIT, OrderId, Place};
use process::Fulfilment;
use recount::prelude::*;
use recount::{InstanceState, Processes, StartAt};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    let recount = recount::connect("memory://").await?;
    let running = recount.consumers().process::<Fulfilment>(StartAt::Beginning).start();

    let place =
        |order, article: &str, cents| Place { order: OrderId(order), article: article.into(), pieces: 1, cents };
    let _ = recount.dispatch(Arrive { article: "ocarina".into(), pieces: 5 }).await?;
    let _ = recount.dispatch(place(1, "ocarina", 4_900)).await?;
    let _ = recount.dispatch(place(2, "ocarina", LIMIT + 1)).await?;
    let _ = recount.dispatch(place(3, "harp", 25_000)).await?;

    let processes = recount.processes();
    reaches(&processes, "1", InstanceState::Ended).await?;
    reaches(&processes, "2", InstanceState::Compensated).await?;
    // The harp is sold out: the process asks again in five minutes, unless the customer cancels.
    reaches(&processes, "3", InstanceState::Waiting).await?;
    let _ = recount.dispatch(Cancel { order: OrderId(3) }).await?;
    reaches(&processes, "3", InstanceState::Compensated).await?;

    for order in ["1", "2", "3"] {
        println!("order {order}");
        for entry in processes.timeline("fulfilment", order).await?.unwrap_or_default() {
            println!("  {:>2} {}: {}", entry.version, entry.kind, entry.cause);
            for request in entry.requests {
                println!("       {}: {:?}", request.command.unwrap_or_default(), request.outcome);
            }
        }
    }
    println!("\n{}", recount::diagram::<Fulfilment>());
    running.shutdown().await;
    Ok(())
}

async fn reaches(processes: &Processes, order: &str, state: InstanceState) -> Result<(), BoxError> {
    let looking = async {
        while processes.instance("fulfilment", order).await?.is_none_or(|instance| instance.state != state) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok::<(), BoxError>(())
    };
    tokio::time::timeout(Duration::from_secs(10), looking).await?
}

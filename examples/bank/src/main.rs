//! The first half hour: a bank account, from nothing to durable events and a read model. `cargo run -p bank`, twice.
//!
//! Less would do. From nothing to a durable event and a read model takes the imports, `main`, and the four statements
//! marked with a star, 15 lines in all; the rest looks around.
#![allow(unreachable_pub, reason = "in a program, `pub` is what modules show each other")]

mod account;

use std::{collections::BTreeMap, sync::Arc};

use account::{Account, Book, TooLittle};
use recount::prelude::*;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    // 1.* One durable file. `memory://` would do for a test.
    let recount = recount::connect("sqlite://bank.db").await?;

    // 2.* Dispatch a command. The receipt holds the recorded events, which are on disk.
    let receipt = recount.dispatch(Book { account: "ada".to_owned(), cents: 500 }).await?;
    println!("deposited: version {} of the account, {:?}", receipt.version, receipt.events);

    // 3. A refusal is your own error, typed.
    match recount.dispatch(Book { account: "ada".to_owned(), cents: -1_000_000 }).await {
        Err(DispatchError::Rejected(TooLittle(balance))) => println!("refused: there are only {balance} cents"),
        other => println!("not refused: {other:?}"),
    }

    // 4. The state, now and at any point of its history.
    let ada = "ada".to_owned();
    let account: Account = recount.load(&ada).await?;
    let first: Account = recount.load(&ada).at_version(1).await?;
    println!("balance: {} cents, {} after the first deposit", account.balance, first.balance);

    // 5.* A read model: all accounts, followed event by event. Its state here reuses the domain's own type.
    let accounts = Arc::new(Fold::new(BTreeMap::<String, Account>::new(), |accounts, event, at| {
        accounts.entry(at.stream.id().to_owned()).or_default().apply(event);
    }));
    let projections = recount.consumers().projection(Arc::clone(&accounts), InMemory::new()).start();

    // 6.* Read your own writes: wait until the read model has seen this position.
    projections.wait_for(receipt.position.unwrap_or_default()).await.map_err(|late| anyhow::anyhow!("{late:?}"))?;
    println!("read model: {:?}", *accounts.state());

    // 7. Leave tidily. A `kill -9` would lose nothing either.
    projections.shutdown().await;
    recount.close().await;
    Ok(())
}

//! The first half hour: a bank account, from nothing to durable events and a read model. `cargo run -p bank`, twice.
#![allow(unreachable_pub, reason = "in a program, `pub` is what modules show each other")]

mod account;

use std::collections::BTreeMap;
use std::sync::Arc;

use account::{Account, AccountEvent, Book, TooLittle};
use recount::prelude::*;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    // 1. One durable file. `memory://` would do for a test.
    let recount = recount::connect("sqlite://bank.db").await?;

    // 2. Ask for something. What comes back is what happened, and it is on disk.
    let ada = "ada".to_owned();
    let receipt = recount.dispatch(Book { account: ada.clone(), cents: 500 }).await?;
    println!("deposited: version {} of the account, {:?}", receipt.version, receipt.events);

    // 3. A refusal is your own error, typed.
    match recount.dispatch(Book { account: ada.clone(), cents: -1_000_000 }).await {
        Err(DispatchError::Rejected(TooLittle(balance))) => println!("refused: there are only {balance} cents"),
        other => println!("a rich customer: {other:?}"),
    }

    // 4. The state, now and at any point of its history.
    let account: Account = recount.load(&ada).await?;
    let first: Account = recount.load(&ada).at_version(1).await?;
    println!("balance: {} cents, {} after the first deposit", account.balance, first.balance);

    // 5. A read model: all accounts, followed event by event.
    let balances = Arc::new(Fold::new(BTreeMap::new(), |balances: &mut BTreeMap<String, i64>, event, at| {
        let balance = balances.entry(at.stream.id().to_owned()).or_default();
        match event {
            AccountEvent::Deposited { cents } => *balance += cents,
            AccountEvent::Withdrawn { cents } => *balance -= cents,
        }
    }));
    let projections = recount.projections().add(Arc::clone(&balances), InMemory::new()).start();

    // 6. Read your own writes: wait until the read model has seen this position.
    if let Some(position) = receipt.position {
        projections.wait_for(position).await.map_err(|stopped| anyhow::anyhow!("{:?}", stopped.status))?;
    }
    println!("read model: {:?}", *balances.state());

    // 7. Leave tidily. A `kill -9` would lose nothing either.
    projections.shutdown().await;
    recount.close().await;
    Ok(())
}

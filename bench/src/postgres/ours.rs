//! recount, as it is measured: each turn in a process of its own, as the others.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, anyhow, ensure};
use protocol::{Answer, Scenario, Turn, go, load, now_us, once};
use recount::memory::MemoryStore;
use recount::postgres::PostgresStore;
use recount::{
    Append, AppendCondition, Event, EventStore, ExpectedVersion, Fold, InMemory, Position, Query, Recount, StreamId,
    Tag,
};
use tokio::sync::Mutex;

use super::totals::Totals;
use crate::domain::{Sell, Till, TillEvent, sold};

/// After how many commands a client goes on to another stream.
pub const STREAM: u32 = 20;

pub async fn run(turn: Turn) -> Result<Option<Answer>> {
    if turn.scenario == Scenario::Memory {
        return commands(Recount::new(MemoryStore::new()), &turn).await.map(Some);
    }
    let store = PostgresStore::open(&turn.url).await?;
    let answer = match turn.scenario {
        Scenario::Fill => fill(&store, &turn).await?,
        Scenario::Commands | Scenario::History | Scenario::Cold | Scenario::Hot => {
            commands(Recount::new(store.clone()), &turn).await?
        }
        Scenario::Batch => batches(&store, &turn).await?,
        Scenario::Conditions => conditions(&store, &turn).await?,
        Scenario::Rehydrate => rehydrate(&store, &turn).await?,
        Scenario::CatchUp => catch_up(&Recount::new(store.clone())).await?,
        Scenario::CatchUpTable => Totals::catch_up(&store, turn.turn).await?,
        Scenario::Listen => listen(&Recount::new(store.clone()), &turn).await?,
        Scenario::Announce => announce(&Recount::new(store.clone()), &turn).await?,
        Scenario::Inserts | Scenario::Memory => return Ok(None),
    };
    store.close().await;
    Ok(Some(answer))
}

async fn fill(store: &PostgresStore, turn: &Turn) -> Result<Answer> {
    // Whole streams, a few thousand events at a time.
    let (length, mut streams) = (turn.length, 0..turn.streams);
    loop {
        let names: Vec<u32> = streams.by_ref().take((10_000 / length).max(1) as usize).collect();
        if names.is_empty() {
            return Ok(Answer::default());
        }
        let mut append = Append::default();
        for name in names {
            let stream = StreamId::new("till", format!("past-{name}"))?;
            let events = (0..length).map(|number| sold(name * length + number).encode()).collect::<Result<_, _>>()?;
            append.streams.extend(Append::to(stream, ExpectedVersion::NoStream, events).streams);
        }
        store.append(append).await?;
    }
}

/// What each client sells at: see [`Scenario`].
fn till(turn: &Turn, client: u32, number: u32) -> String {
    let Turn { scenario, streams, turn: round, .. } = *turn;
    let clients = u32::try_from(turn.clients).unwrap_or(u32::MAX);
    match scenario {
        Scenario::History => format!("past-{}", (client + clients * (number % 10)) % streams),
        Scenario::Cold => format!("past-{}", (client + clients * number + round * 1500) % streams),
        Scenario::Hot => format!("hot-{round}"),
        _ => format!("new-{round}-{client}-{}", number / STREAM),
    }
}

async fn commands(recount: Recount, turn: &Turn) -> Result<Answer> {
    let shared = Arc::new((recount, turn.clone()));
    load(turn, move |client, number| {
        let shared = Arc::clone(&shared);
        async move {
            let (recount, turn) = &*shared;
            let _ = recount.dispatch(Sell { till: till(turn, client, number), number }).await?;
            Ok((1, 0))
        }
    })
    .await
}

async fn batches(store: &PostgresStore, turn: &Turn) -> Result<Answer> {
    let shared = Arc::new((store.clone(), turn.clone()));
    load(turn, move |client, number| {
        let shared = Arc::clone(&shared);
        async move {
            let (store, turn) = &*shared;
            let stream = StreamId::new("till", till(turn, client, number))?;
            let batch = crate::batch::batch()?;
            let events = batch.len() as u64;
            store.append(Append::to(stream, ExpectedVersion::Any, batch)).await?;
            Ok((events, 0))
        }
    })
    .await
}

/// Each client is the only one with its tag, and knows up to where it has seen that.
async fn conditions(store: &PostgresStore, turn: &Turn) -> Result<Answer> {
    let seen: Vec<Mutex<Position>> = (0..turn.clients).map(|_| Mutex::new(Position::START)).collect();
    let shared = Arc::new((store.clone(), turn.turn, seen));
    load(turn, move |client, number| {
        let shared = Arc::clone(&shared);
        async move {
            let (store, round, seen) = &*shared;
            let tag = Tag::new(format!("customer:{round}-{client}"))?;
            let mut event = sold(number).encode()?;
            event.tags = vec![tag.clone(), Tag::new(format!("article:{}", number % 5000))?];
            let mut seen = seen[client as usize].lock().await;
            let condition = AppendCondition { fail_if: Query::tags([tag]), after: *seen };
            let stream = StreamId::new("sale", format!("{round}-{client}-{number}"))?;
            let append = Append::to(stream, ExpectedVersion::NoStream, vec![event]).condition(condition);
            *seen = store.append(append).await?.position;
            Ok((1, 0))
        }
    })
    .await
}

async fn rehydrate(store: &PostgresStore, turn: &Turn) -> Result<Answer> {
    let (store, length) = (store.clone(), u64::from(turn.length));
    load(turn, move |_, _| {
        // Nothing is warm in a new one.
        let recount = Recount::new(store.clone());
        async move {
            let _: Till = recount.load(&"past-0".to_owned()).await?;
            Ok((length, 0))
        }
    })
    .await
}

async fn catch_up(recount: &Recount) -> Result<Answer> {
    let head = recount.store().head().await?;
    let sales = Arc::new(Fold::new((0_u64, 0), |(count, cents): &mut (u64, i64), event: &TillEvent, _| {
        *count += 1;
        if let TillEvent::Sold { cents: more, .. } = event {
            *cents += more;
        }
    }));
    once(|| async {
        let projections = recount.consumers().projection(Arc::clone(&sales), InMemory::new()).start();
        projections.wait_for(head).await.map_err(|stopped| anyhow!("the projection stopped: {:?}", stopped.status))?;
        let count = sales.state().0;
        ensure!(count > 0, "nothing was there");
        Ok(count)
    })
    .await
}

/// A projection notes when it gets each event.
async fn listen(recount: &Recount, turn: &Turn) -> Result<Answer> {
    let head = recount.store().head().await?;
    let times = Arc::new(Fold::new(Vec::new(), |times: &mut Vec<u64>, _: &TillEvent, _| times.push(now_us())));
    let projections = recount.consumers().projection(Arc::clone(&times), InMemory::new()).start();
    projections.wait_for(head).await.map_err(|stopped| anyhow!("the projection stopped: {:?}", stopped.status))?;
    let before = times.state().len();
    go().await?;
    let mut heard = before;
    while heard < before + turn.streams as usize {
        tokio::time::sleep(Duration::from_millis(20)).await;
        heard = times.state().len();
    }
    projections.shutdown().await;
    let times = times.state()[before..].to_vec();
    Ok(Answer { times, ..Answer::default() })
}

async fn announce(recount: &Recount, turn: &Turn) -> Result<Answer> {
    go().await?;
    let mut times = Vec::new();
    for number in 0..turn.streams {
        let _ = recount.dispatch(Sell { till: format!("live-{}-{number}", turn.turn), number }).await?;
        times.push(now_us());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(Answer { times, ..Answer::default() })
}

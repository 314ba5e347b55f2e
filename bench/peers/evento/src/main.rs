//! evento on Postgres. Its snapshots are always on: each command loads one and saves one.

mod domain;
mod fill;
mod handlers;

use anyhow::Result;
use evento::migrator::{Migrate, Plan};
use evento::{Postgres, ReadError, WriteError};
use protocol::{Answer, Scenario, Turn, go, load, sale, serve};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;

use domain::{Sold, Till};

/// After how many commands a client goes on to another stream.
const STREAM: u32 = 20;

#[tokio::main]
async fn main() -> Result<()> {
    serve(run).await
}

async fn run(turn: Turn) -> Result<Option<Answer>> {
    if turn.scenario == Scenario::Memory {
        return Ok(None);
    }
    let pool = PgPoolOptions::new().max_connections(turn.clients.clamp(4, 64) as u32).connect(&turn.url).await?;
    let executor: Postgres = pool.clone().into();
    Ok(Some(match turn.scenario {
        Scenario::Fill => {
            migrate(&pool).await?;
            fill::fill(&executor, &turn).await?;
            Answer::default()
        }
        Scenario::Commands | Scenario::Cold | Scenario::History | Scenario::Hot | Scenario::Batch => {
            commands(executor, &turn).await?
        }
        Scenario::CatchUp => handlers::catch_up(&pool, executor, turn.seconds, false).await?,
        Scenario::CatchUpTable => handlers::catch_up(&pool, executor, turn.seconds, true).await?,
        Scenario::Listen => handlers::listen(executor, turn.streams).await?,
        Scenario::Announce => announce(executor, &turn).await?,
        _ => return Ok(None),
    }))
}

async fn migrate(pool: &PgPool) -> Result<()> {
    let mut connection = pool.acquire().await?;
    let migrator = evento::sql_migrator::new::<sqlx::Postgres>()?;
    Ok(migrator.run(&mut *connection, &Plan::apply_all()).await?)
}

async fn commands(executor: Postgres, turn: &Turn) -> Result<Answer> {
    let Turn { scenario, streams, clients, turn: round, .. } = *turn;
    let clients = clients as u32;
    load(turn, move |client, number| {
        let executor = executor.clone();
        async move {
            let till = match scenario {
                Scenario::History => format!("past-{}", (client + clients * (number % 10)) % streams),
                Scenario::Cold => format!("past-{}", (client + clients * number + round * 1500) % streams),
                Scenario::Hot => format!("hot-{round}"),
                _ => format!("new-{round}-{client}-{}", number / STREAM),
            };
            let count = if scenario == Scenario::Batch { 100 } else { 1 };
            let mut again = 0;
            while !sell(&executor, &till, number, count).await? {
                again += 1;
            }
            Ok((u64::from(count), again))
        }
    })
    .await
}

/// Loads the till and sells; whether no other was faster.
async fn sell(executor: &Postgres, till: &str, number: u32, count: u32) -> Result<bool> {
    let loaded = match evento::load::<Till, _>(executor, till).await {
        Ok(loaded) => Some(loaded),
        Err(ReadError::NotFound(..)) => None,
        Err(error) => return Err(error.into()),
    };
    let mut save = match loaded {
        Some(loaded) => evento::save_with(loaded),
        None => evento::create_with::<Till>(till),
    };
    for number in number..number + count {
        save = save.data(&Sold::from(sale(number)))?;
    }
    match save.commit(executor).await {
        Ok(_) => Ok(true),
        Err(WriteError::InvalidOriginalVersion) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

async fn announce(executor: Postgres, turn: &Turn) -> Result<Answer> {
    go().await?;
    let mut times = Vec::new();
    for number in 0..turn.streams {
        sell(&executor, &format!("live-{}-{number}", turn.turn), number, 1).await?;
        times.push(protocol::now_us());
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    Ok(Answer { times, ..Answer::default() })
}

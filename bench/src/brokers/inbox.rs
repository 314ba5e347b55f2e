//! Commands that come as messages, into a store on Postgres.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use recount::messaging::{
    Binding, Broker, Group, Message, MessageId, Order, Outgoing, Plan, Service, Subscriber, Topic,
};
use recount::nats::NatsBroker;
use recount::postgres::PostgresStore;
use recount::prelude::*;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, PgConnection};
use tokio::time::sleep;

use super::unique;
use crate::domain::Till;
use crate::figures::{Figures, Floor};
use crate::rounds::Rounds;

const MESSAGES: usize = 12_000;
const TILLS: usize = 1000;
const ROUNDS: usize = 3;
/// As many messages are handled at once as an inbox handles.
const LANES: u16 = 256;
const LIMIT: Duration = Duration::from_secs(120);

pub async fn measure(figures: &mut Figures, nats: &str, postgres: &str) -> Result<()> {
    let mut rounds = Rounds::default();
    for _ in 0..ROUNDS {
        rounds.push(round(nats, postgres).await?);
    }
    let detail = format!("over NATS, order per key, {LANES} lanes, {TILLS} aggregates; {}", rounds.spread(0));
    figures.add("inbox_postgres_per_s", rounds.median(), Floor::AtLeast(3000.0), detail);
    Ok(())
}

/// Commands per second, from the start of the service to the event of the last one.
async fn round(nats: &str, postgres: &str) -> Result<f64> {
    let options: PgConnectOptions = postgres.parse()?;
    let options = options.disable_statement_logging();
    let database = unique("bench").replace('-', "_");
    let mut server = options.connect().await?;
    sqlx::raw_sql(AssertSqlSafe(format!("CREATE DATABASE {database}"))).execute(&mut server).await?;
    let options = options.database(&database);
    let store = PostgresStore::open(options.to_url_lossy().as_str()).await?;
    let broker: Arc<dyn Broker> = Arc::new(NatsBroker::connect(nats).await?);
    let topic = Topic::new(&unique("commands"))?.with_lanes(LANES.try_into()?);
    let binding = Binding::new(topic, Group::new("tills")?).order(Order::PerKey);
    broker.ensure(&Plan { topics: Vec::new(), bindings: vec![binding.clone()] }, false).await?;
    let fates = broker.publish(&binding.topic, commands()?).await;
    ensure!(fates.iter().all(|fate| fate.is_stored()), "not all commands were stored");

    let recount = Recount::builder(store).register::<Till>().build();
    let service = Service::new(recount, broker, "tills")?.subscribe(Subscriber::new(binding).commands());
    let mut counter = options.connect().await?;
    let started = Instant::now();
    let running = service.start();
    while count(&mut counter).await? < MESSAGES as i64 {
        ensure!(started.elapsed() < LIMIT, "{} of {MESSAGES} after {LIMIT:?}", count(&mut counter).await?);
        sleep(Duration::from_millis(20)).await;
    }
    let rate = MESSAGES as f64 / started.elapsed().as_secs_f64();
    running.shutdown().await;
    Ok(rate)
}

fn commands() -> Result<Vec<Outgoing>> {
    let command = |number: usize| {
        let till = (number % TILLS).to_string();
        let id = MessageId::new(uuid::Uuid::now_v7().to_string())?;
        let data = serde_json::json!({ "till": till, "number": number }).to_string();
        Ok(Outgoing::new(Message::new(id, "bench", "till.sell", data).with_key(&till)))
    };
    (0..MESSAGES).map(command).collect()
}

/// The events of tills.
async fn count(connection: &mut PgConnection) -> Result<i64> {
    Ok(sqlx::query_scalar("SELECT count(*) FROM recount.events").fetch_one(connection).await?)
}

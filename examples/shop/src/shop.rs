//! The shop as a whole: its parts, wired together by the events they hear of.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use recount::memory::MemoryStore;
use recount::postgres::PostgresStore;
use recount::sqlite::{SqliteReadModel, SqliteStore};
use recount::telemetry::OpenTelemetryContext;
use recount::{
    Address, ConsumerKind, Consumers, FilterChange, Position, Progress, Recount, RecountBuilder, StartAt, Status, Store,
};
use tempfile::TempDir;

use crate::analytics::Sales;
use crate::cdnow::Orders;
use crate::customers::Customers;
use crate::fulfilment::Fulfilment;
use crate::import::import;
use crate::inventory::StockLevels;
use crate::notification::Notifications;
use crate::progress::{Bars, Count, EVERY};
use crate::tables::{Postgres, ReadModels, Sqlite, Tables};

/// How long the parts have to finish their current work.
const PATIENCE: Duration = Duration::from_secs(60);

/// The parts that run, and the store they share.
pub struct Shop {
    pub recount: Recount,
    pub read_models: ReadModels,
    consumers: Consumers,
    /// Where the read models are when the events are in memory. Dropped last, it takes its files along.
    scratch: Option<TempDir>,
}

impl Shop {
    /// The parts that follow the events.
    pub const FOLLOWERS: [&'static str; 2] = ["fulfilment", "read models"];

    /// Opens the store, and starts everything that listens.
    pub async fn open(url: &str) -> Result<Self> {
        let address: Address = url.parse().context("--store")?;
        let opened = format!("can't open the store {address}");
        let (recount, read_models, scratch) = connect(address, |builder| builder).await.context(opened)?;
        read_models.renew().await?;
        let consumers = match &read_models {
            ReadModels::Sqlite(tables) => follow(&recount, tables, &tables.0),
            ReadModels::Postgres(tables) => follow(&recount, tables, tables.read_model()),
        };
        Ok(Self { recount, read_models, consumers, scratch })
    }

    /// Imports the orders, and waits until every part of the shop has handled the resulting events.
    pub async fn take_in(&mut self, orders: &Orders, bars: &Bars) -> Result<()> {
        let Self { recount, consumers, read_models, .. } = self;
        let count = Count::default();
        let drawn = async {
            let head = recount.store().watch();
            loop {
                bars.show(&count, &positions(&consumers.progress()), *head.borrow());
                tokio::time::sleep(EVERY).await;
            }
        };
        let work = async {
            let caught_up = async |position| wait_for(consumers, &FULFILMENT, position).await;
            import(recount, orders, |done| count.set(done), caught_up).await?;
            bars.orders_done(&count);
            let head = settled(recount, consumers, read_models).await?;
            (0..Self::FOLLOWERS.len()).for_each(|part| bars.part_done(part, head));
            Ok(())
        };
        tokio::select! {
            outcome = work => outcome,
            () = drawn => Ok(()),
        }
    }

    /// Lets the parts finish their current work, closes the store, and leaves no temporary data behind.
    pub async fn close(self) {
        if let Err(unfinished) = self.recount.shutdown(PATIENCE).await {
            eprintln!("{unfinished}");
        }
        if self.scratch.is_some() {
            self.read_models.close().await;
        }
    }
}

/// The consumers that carry the process: the one that takes its inputs, and the one that sends its commands.
const FULFILMENT: [&str; 2] = ["fulfilment", "fulfilment/send"];
/// The time without an event after which nothing is to come any more: longer than any timer of the process.
const SILENCE: Duration = Duration::from_secs(10);

/// Starts everything that follows the events.
fn follow<T: Tables<ReadModel: Clone>>(recount: &Recount, tables: &T, read_model: &T::ReadModel) -> Consumers {
    // Earlier shops' read models start over: they were made of fewer events.
    recount
        .consumers()
        .process::<Fulfilment>(StartAt::Beginning)
        .reaction(Customers::Answering)
        .projection(Sales(tables.clone()), read_model.clone())
        .on_filter_change(FilterChange::StartOver)
        .projection(StockLevels(tables.clone()), read_model.clone())
        .on_filter_change(FilterChange::StartOver)
        .projection(Notifications(tables.clone()), read_model.clone())
        .on_filter_change(FilterChange::StartOver)
        .start()
}

/// Waits until these consumers have handled everything up to a position.
async fn wait_for(consumers: &Consumers, names: &[&str], position: Position) -> Result<()> {
    for name in names {
        consumers.wait_for_one(name, position).await.map_err(stopped)?;
    }
    Ok(())
}

/// Waits until each order has its outcome, and the read models know it. Returns the end of the log.
///
/// An order that an operator must see to has none. So the wait ends also when nothing has happened for long.
async fn settled(recount: &Recount, consumers: &Consumers, read_models: &ReadModels) -> Result<Position> {
    let (mut head, mut since) = (Position::START, Instant::now());
    loop {
        let now = recount.store().head().await?;
        if now != head {
            (head, since) = (now, Instant::now());
        }
        consumers.wait_for(head).await.map_err(stopped)?;
        let over = open_orders(read_models).await? == 0 || since.elapsed() > SILENCE;
        if over && recount.store().head().await? == head {
            return Ok(head);
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// The number of orders without an outcome.
async fn open_orders(read_models: &ReadModels) -> Result<i64> {
    let open: Vec<(i64,)> = read_models.rows("SELECT count(*) FROM shop.orders WHERE outcome IS NULL", []).await?;
    Ok(open.first().map_or(0, |(open,)| *open))
}

/// How far the process and the read models are.
fn positions(progress: &[Progress]) -> [Position; 2] {
    let slowest = |of: &dyn Fn(&Progress) -> bool| {
        progress.iter().filter(|it| of(it)).map(|it| it.position).min().unwrap_or_default()
    };
    [slowest(&|it| FULFILMENT.contains(&&*it.name)), slowest(&|it| it.kind == ConsumerKind::Projection)]
}

/// A part that has stopped, as an error.
fn stopped(progress: Progress) -> anyhow::Error {
    let Progress { kind, name, position, status, .. } = progress;
    match status {
        Status::Stopped { error } => anyhow!("{kind} {name} stopped at {position}: {error}"),
        status => anyhow!("{kind} {name} is at {position}: {status:?}"),
    }
}

/// Opens the store with its read models. `build` adds to the handle.
pub async fn connect(
    address: Address,
    build: impl FnOnce(RecountBuilder) -> RecountBuilder,
) -> Result<(Recount, ReadModels, Option<TempDir>)> {
    match address {
        Address::Sqlite { path, create } => {
            let store = SqliteStore::builder(path).create(create).open().await?;
            let read_model = store.read_model();
            Ok((traced(store, build), ReadModels::Sqlite(Sqlite(read_model)), None))
        }
        Address::Memory => {
            // The read models want SQL; like the events they are gone afterwards.
            let (read_model, scratch) = scratch().await?;
            Ok((traced(MemoryStore::new(), build), ReadModels::Sqlite(Sqlite(read_model)), Some(scratch)))
        }
        Address::Postgres { url } => {
            let store = PostgresStore::open(&url).await?;
            let tables = Postgres::open(store.read_model(), &url).await?;
            Ok((traced(store, build), ReadModels::Postgres(tables), None))
        }
        other => bail!("the shop has no use for {other}"),
    }
}

/// The handle; its events carry the trace that they belong to if traces are exported.
fn traced(store: impl Store, build: impl FnOnce(RecountBuilder) -> RecountBuilder) -> Recount {
    build(Recount::builder(store).trace_context(OpenTelemetryContext)).build()
}

/// A read model that goes with the program.
async fn scratch() -> Result<(SqliteReadModel, TempDir)> {
    let scratch = tempfile::Builder::new().prefix("shop-").tempdir()?;
    let read_model = SqliteReadModel::open(scratch.path().join("read-model.db")).await?;
    Ok((read_model, scratch))
}

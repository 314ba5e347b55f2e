//! `recount projection …`

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use recount::RebuildError;
use serde_json::{Value, json};

use crate::Failure;
use crate::model::Place;
use crate::report::{self, Row, VERSION, table};

/// How often `rebuild --wait` looks.
const LOOK: Duration = Duration::from_millis(200);

#[derive(Subcommand)]
pub(crate) enum Task {
    /// Lists the projections of a read model: how far each is, and how far behind the store.
    Ls {
        #[command(flatten)]
        at: At,
    },
    /// Shows one projection.
    Show {
        /// The projection's name
        name: String,
        #[command(flatten)]
        at: At,
    },
    /// Orders a projection to start over: its runner deletes the projection's data and handles all events anew, in place.
    ///
    /// The runner notices within about two seconds; if none runs, at its next start. A projection without `reset` drops
    /// the order, and says so in its log.
    Rebuild {
        /// The projection's name
        name: String,
        /// Waits until the projection is where it was, at most so many seconds
        #[arg(long, value_name = "SECONDS")]
        wait: Option<u64>,
        #[command(flatten)]
        at: At,
    },
}

/// Where the projections are.
#[derive(Args)]
pub(crate) struct At {
    /// The store that they follow: sqlite://FILE or postgres://HOST/DATABASE
    #[arg(long, value_name = "URL")]
    store: String,
    /// The read model, if it is not in the store's file or database
    #[arg(long, value_name = "URL")]
    read_model: Option<String>,
    /// Prints JSON instead of text
    #[arg(long)]
    json: bool,
}

impl At {
    async fn open(&self) -> Result<Place, Failure> {
        Place::open(&self.store, self.read_model.as_deref()).await
    }

    fn print(&self, json: &Value, text: &str) -> Result<(), Failure> {
        Ok(report::print(self.json, json, text)?)
    }
}

pub(crate) async fn run(task: &Task) -> Result<(), Failure> {
    match task {
        Task::Ls { at } => list(at).await,
        Task::Show { name, at } => show(name, at).await,
        Task::Rebuild { name, wait, at } => rebuild(name, wait.map(Duration::from_secs), at).await,
    }
}

async fn rows(place: &Place) -> Result<(Vec<Row>, u64), Failure> {
    let stored = place.model.checkpoints().await?;
    let head = place.head().await?;
    Ok((stored.into_iter().map(|stored| Row::new(stored, head)).collect(), head.position.get()))
}

async fn row(place: &Place, name: &str) -> Result<(Row, u64), Failure> {
    let (rows, head) = rows(place).await?;
    let row = rows.into_iter().find(|row| row.stored.projection == name);
    Ok((row.ok_or_else(|| unknown(name))?, head))
}

fn unknown(name: &str) -> Failure {
    Failure::No(format!("the read model has no projection {name:?}: `recount projection ls` lists its projections"))
}

async fn list(at: &At) -> Result<(), Failure> {
    let (rows, head) = rows(&at.open().await?).await?;
    let all: Vec<_> = rows.iter().map(Row::json).collect();
    at.print(&json!({"v": VERSION, "head": head, "projections": all}), &table(&rows))
}

async fn show(name: &str, at: &At) -> Result<(), Failure> {
    let (row, head) = row(&at.open().await?, name).await?;
    at.print(&json!({"v": VERSION, "head": head, "projection": row.json()}), &row.lines())
}

async fn rebuild(name: &str, wait: Option<Duration>, at: &At) -> Result<(), Failure> {
    let place = at.open().await?;
    let before = row(&place, name).await?.0.stored.checkpoint.position.get();
    match place.model.order_rebuild(name).await {
        Err(RebuildError::Unknown { .. }) => return Err(unknown(name)),
        Err(error @ RebuildError::Inline { .. }) => return Err(Failure::No(error.to_string())),
        outcome => outcome?,
    }
    let Some(limit) = wait else {
        let text =
            format!("projection {name} starts over when its runner notices: within seconds, or at its next start\n");
        return at.print(&json!({"v": VERSION, "name": name, "rebuild": "ordered", "from": before}), &text);
    };
    let position = follow(&place, name, before, limit).await?;
    let text = format!("projection {name} started over and is at position {position}\n");
    at.print(&json!({"v": VERSION, "name": name, "rebuild": "done", "from": before, "position": position}), &text)
}

/// Waits until the order is followed and the projection is where it was. Shows how far it is on a terminal.
async fn follow(place: &Place, name: &str, before: u64, limit: Duration) -> Result<u64, Failure> {
    let (started, mut shown) = (Instant::now(), false);
    loop {
        let stored = row(place, name).await?.0.stored;
        let (ordered, position) = (stored.is_rebuild_ordered(), stored.checkpoint.position.get());
        let done = !ordered && position >= before;
        if std::io::stderr().is_terminal() {
            let state = if ordered { "waiting for its runner".to_owned() } else { format!("{position} of {before}") };
            eprint!("\r{name}: {state}   ");
            shown = true;
        }
        if shown && (done || started.elapsed() >= limit) {
            eprintln!();
        }
        if done {
            return Ok(position);
        }
        if started.elapsed() >= limit {
            let cure = if ordered { "start its application" } else { "wait longer" };
            return Err(Failure::No(format!(
                "projection {name} is not where it was after {} s: the order stays, {cure}",
                limit.as_secs()
            )));
        }
        tokio::time::sleep(LOOK).await;
    }
}

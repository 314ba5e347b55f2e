//! The conductor starts the services, lets orders flow, causes chaos if asked for, and compares the books in the end.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;
use serde::Serialize;
use tokio::sync::watch;

use super::archive::Archive;
use super::books::Books;
use super::broker::IN_PROCESS;
use super::chaos::{self, Kills};
use super::clerk::Clerk;
use super::crew::{Crew, Settings};
use super::feed::{self, ANSWER_WITHIN, Feed, Pace, Submissions, Tally};
use super::parts::Fulfilling;
use super::stores::Stores;
use super::topology::{Names, Part};
use super::{compare, watch as view};
use crate::cdnow::{Orders, Row};
use crate::import::place_order;
use crate::stop::Stop;

/// How often the books are compared while they may still change.
const LOOK: Duration = Duration::from_secs(1);

/// The options of the six services.
#[derive(Args)]
pub struct ServicesOptions {
    /// The broker: nats://HOST, amqp://HOST/VHOST, or inprocess:// with all services in this process; with a feature of its
    /// name kafka://HOST, pulsar://HOST?admin=http://HOST:8080, sqs://REGION/ACCOUNT (aws) or pubsub://PROJECT (google)
    #[arg(long, value_name = "URL", env = "SHOP_BROKER", hide_env_values = true)]
    broker: String,
    /// The stores: a directory for SQLite files, or postgres://HOST/DATABASE, which gets a database a service beside it
    #[arg(long, value_name = "PLACE", default_value = "shop-stores")]
    stores: String,
    /// The name of the shop at the broker: shops with different names share a broker and nothing else
    #[arg(long, value_name = "NAME", default_value = "shop")]
    name: String,
    /// The orders, plain or .gz [default: the CDNOW orders of 1997 and 1998]
    #[arg(long, value_name = "FILE")]
    orders: Option<PathBuf>,
    /// Only so many of them
    #[arg(long, value_name = "N")]
    orders_limit: Option<usize>,
    /// Kill a random service each second for so long, while orders flow
    #[arg(long, value_name = "SECONDS")]
    chaos: Option<u64>,
    /// The seed of the chaos [default: a random one, which is printed]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Wait until all orders have their outcome, end the services, and compare their books
    #[arg(long)]
    check: bool,
    /// How many seconds the services have for that
    #[arg(long, value_name = "SECONDS", default_value_t = 180)]
    patience: u64,
    /// Print the result as one JSON object
    #[arg(long)]
    json: bool,
    /// Place so many orders by events and so many by requests, at the same rate, and compare the times of the answers
    #[arg(long, value_name = "N", conflicts_with_all = ["chaos", "check", "orders_limit"])]
    compare: Option<usize>,
    /// Send traces to this OTLP endpoint, such as http://localhost:4318
    #[arg(long, value_name = "URL")]
    pub otlp: Option<String>,
}

/// The result of a check.
#[derive(Serialize)]
struct Verdict {
    #[serde(flatten)]
    books: Books,
    accepted: u64,
    accepted_percent: f64,
    submissions: Submissions,
    seconds: f64,
    kills: Kills,
    restarts: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<u64>,
}

/// Runs the services.
pub async fn run(options: &ServicesOptions) -> Result<ExitCode> {
    let mut stop = Stop::listen()?;
    if options.chaos.is_some() && options.broker.starts_with(IN_PROCESS) {
        bail!("--chaos kills processes, and with {IN_PROCESS} all services are in one: use another broker");
    }
    let settings = Settings {
        broker: options.broker.clone(),
        stores: Stores::new(&options.stores)?,
        names: Names::new(&options.name).context("--name")?,
        fulfilling: Fulfilling::ByEvents,
        otlp: options.otlp.clone(),
    };
    let orders = Orders::read(&options.orders.clone().unwrap_or_else(crate::all_orders))?;
    for malformed in &orders.malformed {
        eprintln!("{malformed}");
    }
    if let Some(count) = options.compare {
        return compare::run(&settings, &orders, count, options.json, &mut stop).await;
    }
    let session = Session { options, settings: &settings, orders: &orders };
    let crew = tokio::select! {
        crew = Crew::start(&settings) => crew?,
        code = stop.asked() => return Ok(code),
    };
    let outcome = tokio::select! {
        outcome = session.conduct(&crew) => outcome.map(|played| End::Played(Box::new(played))),
        error = crew.failed() => Err(error),
        code = stop.asked() => Ok(End::Asked(code)),
    };
    let restarts = crew.restarts();
    let stopped = crew.stop().await;
    let end = outcome?;
    stopped?;
    match end {
        End::Played(played) => session.check(*played, restarts).await,
        End::Asked(code) => Ok(code),
    }
}

/// How a session ends.
enum End {
    /// All orders are through, or time is up.
    Played(Box<Played>),
    /// Asked to stop.
    Asked(ExitCode),
}

/// The facts about a session.
struct Played {
    accepted: BTreeSet<String>,
    tally: Tally,
    kills: Kills,
    seconds: f64,
    seed: Option<u64>,
}

struct Session<'a> {
    options: &'a ServicesOptions,
    settings: &'a Settings,
    orders: &'a Orders,
}

impl Session<'_> {
    fn rows(&self) -> &[Row] {
        feed::first(self.orders, self.options.orders_limit)
    }

    /// Lets the orders flow. Without `--check` it does not end.
    async fn conduct(&self, crew: &Crew) -> Result<Played> {
        let started = Instant::now();
        let clerk = Clerk::new(crew.entry());
        let (tally, mut kills) = (Tally::default(), Kills::new());
        let (known_sender, known) = watch::channel(0);
        let stores = &self.settings.stores;
        let chaos = self.options.chaos.map(Duration::from_secs);
        let seed = chaos.map(|_| self.options.seed.unwrap_or_else(|| fastrand::u64(..)));
        if let Some(seed) = seed {
            eprintln!("the seed of the chaos is {seed}");
        }
        let mut accepted = self.earlier().await?;
        let play = async {
            clerk.wait_until_up().await;
            let source = &self.orders.source;
            let pace = chaos.map_or(Pace::Outcomes(known.clone()), Pace::Over);
            let feed = Feed { clerk: &clerk, source, pace, within: ANSWER_WITHIN };
            let feeding = feed.run(self.rows(), &tally);
            let killing = async {
                if let (Some(time), Some(seed)) = (chaos, seed) {
                    chaos::cause(crew, time, seed, &mut kills).await;
                }
            };
            let (fed, ()) = tokio::join!(feeding, killing);
            fed?;
            accepted.extend(self.rows().iter().map(|row| place_order(source, row).order.to_string()));
            if !self.options.check {
                eprintln!("\nall orders are accepted; Ctrl-C ends the services");
                return std::future::pending().await;
            }
            self.settle(&accepted, known).await;
            anyhow::Ok(())
        };
        tokio::select! {
            settled = play => settled?,
            () = view::follow(stores, crew, &tally, &known_sender, !self.options.json) => {}
        }
        let seconds = started.elapsed().as_secs_f64();
        Ok(Played { accepted, tally, kills, seconds, seed })
    }

    /// The orders that were recorded before.
    async fn earlier(&self) -> Result<BTreeSet<String>> {
        let Some(mut archive) = Archive::open(&self.settings.stores, Part::Order).await? else {
            return Ok(BTreeSet::new());
        };
        let events = archive.events().await?.unwrap_or_default();
        archive.close().await?;
        let placed = events.into_iter().filter(|event| event.category == "order" && event.kind == "order.placed");
        Ok(placed.map(|event| event.name).collect())
    }

    /// Waits until the books agree, or time is up. `known` is the number of orders with an outcome.
    async fn settle(&self, accepted: &BTreeSet<String>, mut known: watch::Receiver<u64>) {
        let agree = async {
            // To read all books is much work: it waits until they can agree.
            let _ = known.wait_for(|known| *known >= accepted.len() as u64).await;
            // A store that is being opened by its service can be busy.
            while !Books::read(&self.settings.stores, accepted).await.is_ok_and(|books| books.books_agree) {
                tokio::time::sleep(LOOK).await;
            }
        };
        let _ = tokio::time::timeout(Duration::from_secs(self.options.patience), agree).await;
    }

    /// Compares the books of the services, which have ended.
    async fn check(&self, played: Played, restarts: u64) -> Result<ExitCode> {
        let Played { accepted, tally, kills, seconds, seed } = played;
        let books = Books::read(&self.settings.stores, &accepted).await?;
        let (agree, submissions) = (books.books_agree, tally.submissions());
        for difference in &books.differences {
            eprintln!("{difference}");
        }
        let verdict = Verdict {
            books,
            accepted: tally.accepted(),
            accepted_percent: submissions.accepted_percent(),
            submissions,
            seconds,
            kills,
            restarts,
            seed,
        };
        if self.options.json {
            println!("{}", serde_json::to_string(&verdict)?);
        } else {
            println!("\n{}", verdict.text());
        }
        Ok(if agree { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

impl Verdict {
    fn text(&self) -> String {
        let Books { orders, lost, doubled, compensated, money, shipped_cds, .. } = &self.books;
        let outcomes: Vec<String> =
            self.books.outcomes.iter().map(|(news, count)| format!("{} {count}", news.replace('_', " "))).collect();
        let differences = self.books.differences.len() as u64 + self.books.more_differences;
        let agree = if differences == 0 { "agree".to_owned() } else { format!("have {differences} differences") };
        format!(
            "{orders} orders in {:.1} s: {}; {compensated} compensated\n\
             {} accepted, {:.2} % of them at the first try while the order service was up\n\
             {} kills, {} restarts\n\
             the books of six services {agree}: {lost} lost, {doubled} doubled; {money} USD kept, {shipped_cds} CDs shipped",
            self.seconds,
            outcomes.join(", "),
            self.accepted,
            self.accepted_percent,
            self.kills.values().sum::<u64>(),
            self.restarts,
        )
    }
}

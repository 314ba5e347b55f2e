//! From an append in one service to a handler of another one, with nothing else going on.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use recount::messaging::{Binding, Broker, Group, Incoming, MessageHandler, Publication, Service, Subscriber, Topic};
use recount::nats::NatsBroker;
use recount::prelude::*;
use recount::sqlite::SqliteStore;
use recount::{BoxError, Commands};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::time::{sleep, timeout};

use super::unique;
use crate::domain::{Sell, TillEvent};
use crate::figures::{Figures, Floor};
use crate::rounds::Rounds;

const MESSAGES: u32 = 200;
const PAUSE: Duration = Duration::from_millis(50);
const LIMIT: Duration = Duration::from_secs(60);

/// What other services hear of tills.
#[derive(Event, Clone, Debug)]
#[event(name = "sales", published)]
enum SaleMessage {
    Sold { article: String },
}

struct Hears(UnboundedSender<Instant>);

impl MessageHandler for Hears {
    type Message = SaleMessage;

    async fn handle(&self, _: &SaleMessage, _: &Incoming<'_>) -> Result<Commands, BoxError> {
        self.0.send(Instant::now())?;
        Ok(Commands::none())
    }
}

pub async fn measure(figures: &mut Figures, nats: &str) -> Result<()> {
    let scratch = tempfile::Builder::new().prefix("bench-").tempdir_in(crate::beside_the_build()?)?;
    let store = async |name: &str| anyhow::Ok(Recount::new(SqliteStore::open(scratch.path().join(name)).await?));
    let (tills, watch) = (store("tills.db").await?, store("watch.db").await?);
    let connect = async || anyhow::Ok(Arc::new(NatsBroker::connect(nats).await?) as Arc<dyn Broker>);
    let topic = Topic::new(&unique("sales"))?;
    let publication = Publication::new("sales", topic.clone()).map(|event: &TillEvent, _| match event {
        TillEvent::Sold { article, .. } => Some(SaleMessage::Sold { article: article.clone() }),
        TillEvent::Closed { .. } => None,
    });
    let (sender, mut heard) = unbounded_channel();
    let subscriber = Subscriber::new(Binding::new(topic, Group::new("watch")?)).handle(Hears(sender))?;
    let relay = Service::new(tills.clone(), connect().await?, "tills")?.publish(publication).start();
    let inbox = Service::new(watch, connect().await?, "watch")?.subscribe(subscriber).start();
    let mut times = Rounds::default();
    for number in 0..MESSAGES {
        let started = Instant::now();
        let _ = tills.dispatch(Sell { till: "1".to_owned(), number }).await?;
        let arrived = timeout(LIMIT, heard.recv()).await.context("no message has come")?.context("no handler")?;
        // The first ones wait for both services to start.
        if number >= MESSAGES / 10 {
            times.push((arrived - started).as_secs_f64() * 1000.0);
        }
        sleep(PAUSE).await;
    }
    relay.shutdown().await;
    inbox.shutdown().await;
    let detail = format!("from the command's dispatch on SQLite, over NATS; {} ms", times.spread(2));
    figures.add("append_to_remote_handler_p50_ms", times.median(), Floor::AtMost(10.0), detail);
    Ok(())
}

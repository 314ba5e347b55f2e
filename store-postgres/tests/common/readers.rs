//! Two subscribers in another process, each of which writes its events to a file.

use std::io::{BufRead, BufReader, BufWriter, Lines, Write};
use std::path::{Path, PathBuf};
use std::process::ChildStdout;
use std::time::Duration;

use futures_util::StreamExt;
use recount_core::{Delivery, Position, Query, RecordedEvent, Recount};
use recount_store_postgres::PostgresStore;
use tokio::sync::watch;

use super::process::{self, Killed};

/// The parent's handle of the process.
pub struct Readers {
    process: Killed,
    heard: Lines<BufReader<ChildStdout>>,
}

impl Readers {
    /// Starts the process, whose part is `read`, and waits until both subscribe.
    pub fn start(url: &str, directory: &Path) -> Self {
        let told = [("URL", url.to_owned()), ("DIRECTORY", directory.display().to_string())];
        let mut process = Killed(process::spawn("read", &told));
        let mut heard = BufReader::new(process.0.stdout.take().unwrap()).lines();
        for _ in 0..2 {
            while !heard.next().expect("the readers live").unwrap().contains("ready") {}
        }
        Self { process, heard }
    }

    /// Waits until both subscribers have reached this position.
    pub async fn end(mut self, head: i64) {
        writeln!(self.process.0.stdin.as_mut().unwrap(), "{head}").unwrap();
        let waiting = tokio::task::spawn_blocking(move || {
            let ended = self.heard.any(|line| line.unwrap().contains("ended"));
            assert!(ended && self.process.0.wait().unwrap().success(), "a reader failed");
        });
        tokio::time::timeout(Duration::from_secs(30), waiting).await.expect("readers come to the end").unwrap();
    }
}

/// The main function of the process: subscribes on two instances of the store, and calls `record` with each
/// subscriber's file and each event.
pub async fn read(poll: Duration, record: fn(&mut dyn Write, &RecordedEvent)) {
    let (url, directory) = (process::told("URL"), PathBuf::from(process::told("DIRECTORY")));
    let (head, end) = watch::channel(None::<u64>);
    let subscribers: Vec<_> = (0..2)
        .map(|number| {
            let (url, end) = (url.clone(), end.clone());
            let file = std::fs::File::create(directory.join(number.to_string())).unwrap();
            tokio::spawn(async move {
                let store = PostgresStore::builder(&url).poll(poll).open().await.unwrap();
                process::say("ready");
                subscribe(store, BufWriter::new(file), record, end).await;
            })
        })
        .collect();
    // The parent sends the position of the end.
    let told = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        std::io::stdin().read_line(&mut line).unwrap();
        line.trim().parse().unwrap()
    });
    head.send(Some(told.await.unwrap())).unwrap();
    for subscriber in subscribers {
        subscriber.await.unwrap();
    }
    process::say("ended");
}

async fn subscribe(
    store: PostgresStore,
    mut seen: impl Write,
    record: fn(&mut dyn Write, &RecordedEvent),
    mut end: watch::Receiver<Option<u64>>,
) {
    let mut subscription = Recount::new(store).subscribe(Query::all(), Position::START);
    loop {
        let delivery = tokio::select! {
            delivery = subscription.next() => delivery.unwrap().unwrap(),
            Ok(()) = end.changed() => continue,
        };
        if let Delivery::Event(event) = &delivery {
            record(&mut seen, event);
        }
        if end.borrow().is_some_and(|end| delivery.position().get() >= end) {
            break seen.flush().unwrap();
        }
    }
}

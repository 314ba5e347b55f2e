//! The in-process broker in a SQLite file, in programs that are killed under load: each confirmed message is delivered, a
//! confirmed acknowledgement is kept, and each key keeps its order.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that panics has failed")]

use std::collections::{HashMap, HashSet};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use recount::messaging::{
    Binding, Broker, Group, Message, MessageId, Outgoing, Plan, Room, Settle, Settled, Signal, Topic,
};
use tempfile::TempDir;

const CHILD: &str = "RECOUNT_TEST_CHILD";
const ROUND: &str = "RECOUNT_TEST_ROUND";
const KEYS: usize = 8;
/// A program that was killed keeps its claim for ten seconds, so each round takes at least as long.
const ROUNDS: u64 = 3;

fn binding() -> Binding {
    Binding::new(Topic::new("orders").unwrap(), Group::new("mail").unwrap())
}

async fn open(file: &Path) -> Arc<dyn Broker> {
    let broker = recount::broker::connect(&format!("inprocess://sqlite://{}", file.display())).await.unwrap();
    broker.ensure(&Plan { topics: Vec::new(), bindings: vec![binding()] }, false).await.unwrap();
    broker
}

/// This test program once more, as a process that runs only `child` on this file.
fn spawn(file: &Path, round: u64) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["child", "--exact", "--nocapture", "--test-threads=1"])
        .env(CHILD, file)
        .env(ROUND, round.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    // A parent that is gone has killed this process or is about to.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// Publishes numbered messages of a key, in batches, and tells which are confirmed.
async fn publish(broker: Arc<dyn Broker>, key: usize, round: u64) {
    for number in (0..u64::MAX).step_by(5) {
        let ids: Vec<_> = (number..number + 5).map(|number| format!("{key}-{round}-{number}")).collect();
        let message = |id: &String| -> Outgoing {
            Message::new(MessageId::new(id.clone()).unwrap(), "shop", "orders.placed", "{}")
                .with_key(&format!("order/{key}"))
                .into()
        };
        let fates = broker.publish(&binding().topic, ids.iter().map(message).collect()).await;
        for (id, fate) in ids.iter().zip(&fates) {
            assert!(fate.is_stored(), "{fate:?}");
            say(&format!("confirmed {id}"));
        }
    }
}

/// Takes messages, tells which came and which are settled, until nothing comes any more.
async fn consume(broker: &dyn Broker, pause: Duration, mut tell: impl FnMut(&str, &str)) {
    let mut consumer = broker.subscribe(&binding()).await.unwrap();
    let mut quiet = 0;
    while quiet < 3 {
        let Signal::Deliveries(deliveries) = consumer.next(&Room::of(50)).await.unwrap() else {
            quiet += 1;
            continue;
        };
        quiet = 0;
        let ids: Vec<_> = deliveries.iter().map(|delivery| delivery.message.as_ref().unwrap().id.to_string()).collect();
        ids.iter().for_each(|id| tell("came", id));
        tokio::time::sleep(pause).await;
        let settled = consumer.settle(deliveries.into_iter().map(|d| (d.ticket, Settle::Ack)).collect()).await;
        for (id, outcome) in ids.iter().zip(&settled) {
            assert!(matches!(outcome, Settled::Confirmed), "{outcome:?}");
            tell("settled", id);
        }
    }
}

/// The work of the spawned processes; nothing in an ordinary run.
#[tokio::test(flavor = "multi_thread")]
async fn child() {
    let Some(file) = std::env::var_os(CHILD) else { return };
    let round: u64 = std::env::var(ROUND).unwrap().parse().unwrap();
    let broker = open(Path::new(&file)).await;
    let publishers: Vec<_> = (0..KEYS).map(|key| tokio::spawn(publish(broker.clone(), key, round))).collect();
    consume(&*broker, Duration::from_millis(2), |what, id| say(&format!("{what} {id}"))).await;
    publishers.into_iter().for_each(|publisher| publisher.abort());
}

/// The reports of the programs.
#[derive(Default)]
struct Told {
    confirmed: HashSet<String>,
    came: Vec<String>,
    settled: HashSet<String>,
}

impl Told {
    fn hear(&mut self, what: &str, id: &str) {
        match what {
            "confirmed" => drop(self.confirmed.insert(id.to_owned())),
            "came" => {
                assert!(!self.settled.contains(id), "{id} came again after its acknowledgement was confirmed");
                self.came.push(id.to_owned());
            }
            "settled" => drop(self.settled.insert(id.to_owned())),
            _ => {}
        }
    }

    fn check(&self) {
        let came: HashSet<_> = self.came.iter().collect();
        let lost: Vec<_> = self.confirmed.iter().filter(|id| !came.contains(id)).collect();
        assert!(lost.is_empty(), "{} of {} confirmed messages are lost: {lost:?}", lost.len(), self.confirmed.len());
        let (mut last, mut seen) = (HashMap::new(), HashSet::new());
        for id in self.came.iter().filter(|id| seen.insert(*id)) {
            let mut parts = id.split('-').map(|part| part.parse::<u64>().unwrap());
            let (key, place) = (parts.next().unwrap(), (parts.next().unwrap(), parts.next().unwrap()));
            let before = last.insert(key, place);
            assert!(before < Some(place), "{id} came behind {before:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_that_are_killed_lose_no_confirmed_message() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("broker.db");
    let mut told = Told::default();
    for round in 0..ROUNDS {
        let mut child = spawn(&file, round);
        let (lines, mut settled) = (BufReader::new(child.stdout.take().unwrap()).lines(), 0);
        for line in lines.map(|line| line.unwrap()) {
            // The first line begins with words of the test harness.
            let mut words = line.rsplit(' ');
            let (Some(id), Some(what)) = (words.next(), words.next()) else { continue };
            told.hear(what, id);
            settled += u64::from(what == "settled");
            if settled == 400 + round * 157 {
                // SIGKILL. The lines that the pipe still holds are read before it ends.
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();
        assert!(settled >= 400, "the program has ended by itself");
    }
    let open_before = told.confirmed.iter().filter(|id| !told.settled.contains(*id)).count();
    let broker = open(&file).await;
    consume(&*broker, Duration::ZERO, |what, id| told.hear(what, id)).await;
    assert!(open_before > 0 && told.settled.len() > 1200, "{open_before} open, {} settled", told.settled.len());
    told.check();
    broker.close(Duration::from_secs(5)).await;
}

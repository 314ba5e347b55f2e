//! The shop as a program, in a directory of its own, and what SQL finds in its file.
#![allow(dead_code, unreachable_pub, reason = "not every test needs everything")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that panics has failed")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, query_as};
use tempfile::TempDir;

/// Orders, customers, CDs and cents of a file of orders.
pub type Totals = (i64, i64, i64, i64);
pub const WHOLE: Totals = (69_659, 23_570, 167_881, 250_031_563);
/// Of the sample.
pub const SAMPLE: Totals = (6_919, 2_357, 16_479, 24_409_194);

/// A directory where the shop is run.
pub struct Place {
    directory: TempDir,
}

impl Place {
    pub fn new() -> Self {
        let directory = TempDir::new().unwrap();
        std::fs::create_dir(directory.path().join("tmp")).unwrap();
        Self { directory }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), content).unwrap();
    }

    /// What is there, apart from the directory for temporary files, and what is in that.
    pub fn files(&self) -> (Vec<String>, Vec<String>) {
        let list = |directory: &Path| {
            let names = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name());
            let mut names: Vec<String> = names.map(|name| name.to_string_lossy().into_owned()).collect();
            names.sort();
            names
        };
        let mut here = list(self.directory.path());
        here.retain(|name| name != "tmp");
        (here, list(&self.path("tmp")))
    }

    /// The program; its store is `shop.db` unless told otherwise.
    pub fn shop(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_shop"));
        command.current_dir(self.directory.path()).env("TMPDIR", self.path("tmp")).env_remove("RUST_LOG");
        command
    }

    /// Runs it to its end.
    pub fn run(&self, arguments: &[&str]) -> Output {
        self.shop().args(arguments).output().unwrap()
    }

    /// Runs it with `--json`: the report.
    pub fn report(&self, arguments: &[&str]) -> Value {
        let output = self.run(&[arguments, &["--json"]].concat());
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// The file with the events and the read models, to ask.
    pub async fn database(&self) -> SqliteConnection {
        SqliteConnectOptions::new().filename(self.path("shop.db")).connect().await.unwrap()
    }
}

/// A file that the shop comes with.
pub fn data(name: &str) -> String {
    format!("{}/data/{name}", env!("CARGO_MANIFEST_DIR"))
}

pub fn sample() -> String {
    data("cdnow-sample.txt.gz")
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The four numbers that a report says.
pub fn totals(report: &Value) -> Totals {
    let number = |name: &str| report[name].as_i64().unwrap();
    let cents = report["revenue"].as_str().unwrap().replace('.', "").parse().unwrap();
    (number("orders"), number("customers"), number("cds"), cents)
}

/// The four numbers as SQL counts them in the read model.
pub async fn totals_of_the_read_model(database: &mut SqliteConnection) -> Totals {
    query_as("SELECT count(*), count(DISTINCT customer), sum(cds), sum(paid) FROM orders")
        .fetch_one(database)
        .await
        .unwrap()
}

/// The four numbers as SQL counts them in the events themselves; fails if any order was placed, paid or shipped
/// other than once.
pub async fn totals_of_the_log(database: &mut SqliteConnection) -> Totals {
    let (orders, different, customers, cds, total): (i64, i64, i64, i64, i64) = query_as(
        "SELECT count(*), count(DISTINCT payload ->> 'order'), count(DISTINCT payload ->> 'customer'), \
                sum(payload ->> 'cds'), sum(payload ->> '$.total.cents') FROM event_log WHERE type = 'order.placed'",
    )
    .fetch_one(&mut *database)
    .await
    .unwrap();
    assert_eq!(orders, different, "orders placed, and different ones among them");
    let (payments, different, paid): (i64, i64, i64) = query_as(
        "SELECT count(*), count(DISTINCT payload ->> 'order'), sum(coalesce(payload ->> '$.amount.cents', 0)) \
         FROM event_log WHERE type IN ('payment.captured', 'payment.waived')",
    )
    .fetch_one(&mut *database)
    .await
    .unwrap();
    assert_eq!((payments, different, paid), (orders, orders, total), "payments, of different orders, in cents");
    let shipped: (i64, i64, i64) = query_as(
        "SELECT count(*), count(DISTINCT payload ->> 'order'), sum(payload ->> 'cds') \
         FROM event_log WHERE type = 'stock.shipped'",
    )
    .fetch_one(&mut *database)
    .await
    .unwrap();
    assert_eq!(shipped, (orders, orders, cds), "shipments, of different orders, in CDs");
    let (registered,): (i64,) = query_as("SELECT count(*) FROM event_log WHERE type = 'customer.registered'")
        .fetch_one(&mut *database)
        .await
        .unwrap();
    assert_eq!(registered, customers, "customers registered");
    (orders, customers, cds, total)
}

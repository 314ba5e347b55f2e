//! The shop as a program, in a directory of its own, and what SQL finds in its file.
#![allow(dead_code, unreachable_pub, reason = "not every test needs everything")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that panics has failed")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection, query_as};
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

/// Checks what a report says of the processes: each order is over, and the books balance.
pub fn balances(report: &Value) {
    let processes = &report["processes"];
    let over = processes["ended"].as_i64().unwrap() + processes["compensated"].as_i64().unwrap();
    assert_eq!((processes["waiting"].as_i64(), processes["stuck"].as_i64()), (Some(0), Some(0)), "{processes}");
    let orders: i64 = report["outcomes"].as_array().unwrap().iter().map(|it| it["orders"].as_i64().unwrap()).sum();
    assert_eq!((over, orders), (orders, report["orders"].as_i64().unwrap()), "{report}");
    let books = &report["books"];
    assert_eq!(books["captured_minus_refunded"], books["revenue_of_shipped"], "{books}");
    assert_eq!(books["reserved_minus_released"], books["shipped_cds"], "{books}");
}

/// The number of orders with an outcome.
pub fn outcome(report: &Value, outcome: &str) -> i64 {
    let outcomes = report["outcomes"].as_array().unwrap();
    outcomes.iter().find(|it| it["outcome"] == outcome).map_or(0, |it| it["orders"].as_i64().unwrap())
}

/// The statement in the README that compares the rule with the outcomes of the orders.
pub fn rule() -> String {
    let readme = include_str!("../../README.md");
    let (_, from) = readme.split_once("```sql\n").unwrap();
    from.split_once("```").unwrap().0.to_owned()
}

/// SQL that counts the orders to which something happened twice, or only in part: an order is placed and its customer told, and
/// it is paid and shipped, or all of it is undone. It is the same statement for both databases.
pub fn broken_orders(log: &str) -> String {
    let count = |event_type: &str| format!("count(*) FILTER (WHERE type = '{event_type}')");
    let [placed, told] = ["order.placed", "notification.told"].map(count);
    let [captured, waived, refunded] = ["payment.captured", "payment.waived", "payment.refunded"].map(count);
    let [reserved, released, shipped] = ["stock.reserved", "stock.released", "stock.shipped"].map(count);
    format!(
        "SELECT count(*) FROM (SELECT payload ->> 'order' AS about FROM {log} \
         WHERE (type LIKE 'order.%' OR type LIKE 'payment.%' OR type LIKE 'stock.%' OR type LIKE 'notification.%') \
           AND payload ->> 'order' IS NOT NULL \
         GROUP BY about HAVING NOT ({placed} = 1 AND {told} = 1 \
         AND {captured} + {waived} <= 1 AND {refunded} <= {captured} AND {reserved} <= 1 AND {released} <= {reserved} \
         AND {shipped} = {reserved} - {released} \
         AND ({shipped} = 1 AND {captured} + {waived} = 1 AND {refunded} = 0 \
              OR {shipped} = 0 AND {captured} = {refunded}))) AS broken"
    )
}

/// The four numbers as SQL counts them in the read model.
pub async fn totals_of_the_read_model(database: &mut SqliteConnection) -> Totals {
    query_as("SELECT count(*), count(DISTINCT customer), sum(cds), sum(total) FROM orders")
        .fetch_one(database)
        .await
        .unwrap()
}

/// The four numbers as SQL counts them in the events themselves; fails if anything happened twice to an order, or if one was
/// paid but not shipped.
pub async fn totals_of_the_log(database: &mut SqliteConnection) -> Totals {
    let (orders, different, customers, cds, total): (i64, i64, i64, i64, i64) = query_as(
        "SELECT count(*), count(DISTINCT payload ->> 'order'), count(DISTINCT payload ->> 'customer'), \
                sum(payload ->> 'cds'), sum(payload ->> '$.total.cents') FROM event_log WHERE type = 'order.placed'",
    )
    .fetch_one(&mut *database)
    .await
    .unwrap();
    assert_eq!(orders, different, "orders placed, and different ones among them");
    let (broken,): (i64,) =
        query_as(AssertSqlSafe(broken_orders("event_log"))).fetch_one(&mut *database).await.unwrap();
    assert_eq!(broken, 0, "orders that are not whole");
    let (registered,): (i64,) = query_as("SELECT count(*) FROM event_log WHERE type = 'customer.registered'")
        .fetch_one(&mut *database)
        .await
        .unwrap();
    assert_eq!(registered, customers, "customers registered");
    (orders, customers, cds, total)
}

/// The outcomes of the orders by the rule, and their true outcomes.
pub async fn ruled(database: &mut SqliteConnection) -> Vec<(String, String, i64)> {
    query_as(AssertSqlSafe(rule())).fetch_all(database).await.unwrap()
}

/// A database of its own on the server for the tests.
pub struct Postgres {
    admin: PgConnection,
    name: String,
    pub url: String,
}

impl Postgres {
    pub async fn create() -> Self {
        let server = std::env::var("RECOUNT_TEST_POSTGRES")
            .expect("RECOUNT_TEST_POSTGRES names no server: run `cargo xtask test`, which starts one");
        let name = format!("shop_{}_{:08x}", std::process::id(), fastrand::u32(..));
        let mut admin = PgConnection::connect(&server).await.unwrap();
        sqlx::raw_sql(AssertSqlSafe(format!("CREATE DATABASE {name}"))).execute(&mut admin).await.unwrap();
        let (base, options) = server.split_once('?').unwrap_or((&server, ""));
        let url = format!("{}/{name}?{options}", base.rsplit_once('/').unwrap().0);
        Self { admin, name, url }
    }

    pub async fn connect(&self) -> PgConnection {
        PgConnection::connect(&self.url).await.unwrap()
    }

    /// Drops it, and the databases of services beside it.
    pub async fn drop(mut self) {
        let databases: Vec<String> = sqlx::query_scalar(
            "SELECT datname::text FROM pg_database WHERE datname = $1 OR starts_with(datname, $1 || '_')",
        )
        .bind(&self.name)
        .fetch_all(&mut self.admin)
        .await
        .unwrap();
        for database in databases {
            let drop = format!("DROP DATABASE {database} WITH (FORCE)");
            sqlx::raw_sql(AssertSqlSafe(drop)).execute(&mut self.admin).await.unwrap();
        }
    }
}

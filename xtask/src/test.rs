//! `cargo xtask test`: every suite, beside servers of their own, which go afterwards, however that comes.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use recount_servers::{Nats, NatsSettings, Postgres, Programs, RabbitMq};

use crate::{mutants, run};

/// Tells the tests where a server is.
const VARIABLE: &str = "RECOUNT_TEST_POSTGRES";
/// Tells the tests that the server goes after them, so that they need not drop databases, which takes a checkpoint each.
const DISPOSABLE: &str = "RECOUNT_TEST_POSTGRES_DISPOSABLE";

/// The tests that run again on the newest version of Postgres, by test program and filter: those of requests to the
/// server, not those of the store's wrappers.
const NEWEST: &[(&str, Option<&str>)] = &[
    ("suite", Some("itself::")),
    ("server", None),
    ("order", None),
    ("overtaking", None),
    ("campaign", None),
    ("taken_back", None),
    ("replaced", None),
    ("sequences", None),
    ("transaction", None),
    ("read_model_suite", None),
    ("silent_read_model", None),
];

pub(crate) type Environment = Vec<(&'static str, String)>;

/// Runs the tests that cargo's options name; everything without any, and that on the newest version of Postgres as well.
pub(crate) fn test(only_newest: bool, options: &[String]) -> Result<()> {
    let place = Place::new()?;
    if only_newest {
        return newest(&place, None);
    }
    let everything = options.is_empty();
    let mut environment = place.postgres(&[])?;
    if everything {
        // Alone, a test program starts the broker that it needs.
        environment.extend(place.nats(NatsSettings::default())?);
        environment.extend(place.rabbitmq()?);
    }
    let major = place.major()?;
    let options: Vec<&str> =
        if everything { vec!["--workspace", "--no-fail-fast"] } else { options.iter().map(String::as_str).collect() };
    let started = Instant::now();
    if has_nextest() {
        run::cargo_with(&[&["nextest", "run"], &options[..]].concat(), &environment)?;
        if everything {
            run::cargo_with(&["test", "--workspace", "--doc"], &environment)?;
        }
    } else {
        run::cargo_with(&[&["test"], &options[..]].concat(), &environment)?;
    }
    println!("the tests took {} s", started.elapsed().as_secs());
    if everything {
        mutants::run(None)?;
    }
    match major {
        Some(major) if everything => newest(&place, Some(major)),
        None if everything => {
            println!("NOT TESTED: the newest version of Postgres, because {VARIABLE} names a server");
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Tests the Postgres store on the newest version, unless that was just tested; one that can't be had is a failure.
fn newest(place: &Place, tested: Option<u32>) -> Result<()> {
    // The first one isn't needed any more.
    place.clear();
    let server = Postgres::start_in(&place.directory, Programs::newest, &[])
        .context("the newest version of Postgres for the tests")?;
    let major = server.programs().major()?;
    if tested == Some(major) {
        println!("Postgres {major} is the newest version that is tested");
        return Ok(());
    }
    let mut environment: Environment = vec![
        (recount_servers::PLACE, place.directory.display().to_string()),
        (recount_servers::PROGRAMS, server.programs().directory.display().to_string()),
    ];
    environment.extend(place.keep(server));
    let started = Instant::now();
    let options = ["--no-fail-fast", "-p", "recount-store-postgres"];
    if has_nextest() {
        let programs: Vec<&str> = NEWEST.iter().flat_map(|(program, _)| ["--test", *program]).collect();
        let filters = NEWEST.iter().map(|(program, only)| match only {
            Some(only) => format!("(binary(={program}) & test(/^{only}/))"),
            None => format!("binary(={program})"),
        });
        let filter = filters.collect::<Vec<_>>().join(" | ");
        run::cargo_with(&[&["nextest", "run"], &options[..], &programs, &["-E", &filter]].concat(), &environment)?;
    } else {
        for (program, only) in NEWEST {
            let only: Vec<&str> = only.iter().flat_map(|only| ["--", *only]).collect();
            run::cargo_with(&[&["test"], &options[..], &["--test", program], &only].concat(), &environment)?;
        }
    }
    println!("the tests on Postgres {major} took {} s", started.elapsed().as_secs());
    Ok(())
}

fn has_nextest() -> bool {
    run::succeeds("cargo", &["nextest", "--version"])
}

/// A directory for servers. It is removed with this value, or when this program is told to end.
pub(crate) struct Place {
    directory: PathBuf,
    servers: Arc<Mutex<Servers>>,
}

/// The servers that run.
#[derive(Default)]
struct Servers {
    postgres: Vec<Postgres>,
    nats: Vec<Nats>,
    rabbits: Vec<RabbitMq>,
}

impl Place {
    pub(crate) fn new() -> Result<Self> {
        let directory = std::env::temp_dir().join(format!("recount-test-{}", std::process::id()));
        fs::create_dir(&directory).with_context(|| format!("creating {}", directory.display()))?;
        let servers: Arc<Mutex<Servers>> = Arc::default();
        let (on_signal, to_remove) = (Arc::clone(&servers), directory.clone());
        ctrlc::set_handler(move || {
            run::end_children();
            clear(&on_signal);
            remove(&to_remove);
            std::process::exit(130);
        })?;
        Ok(Self { directory, servers })
    }

    /// Starts a server with these settings, unless the environment names one. Returns the variables for tests and programs.
    pub(crate) fn postgres(&self, settings: &[&str]) -> Result<Environment> {
        let mut environment: Environment = vec![(recount_servers::PLACE, self.directory.display().to_string())];
        if std::env::var(VARIABLE).is_ok_and(|url| !url.is_empty()) {
            return Ok(environment);
        }
        let server = Postgres::start_in(&self.directory, Programs::find, settings)
            .with_context(|| format!("no Postgres: install one, or set {VARIABLE} to the URL of a server for tests"))?;
        environment.push((recount_servers::PROGRAMS, server.programs().directory.display().to_string()));
        environment.extend(self.keep(server));
        Ok(environment)
    }

    /// Starts a NATS server with these settings, unless the environment names one. Returns the variables for tests and
    /// programs.
    pub(crate) fn nats(&self, settings: NatsSettings) -> Result<Environment> {
        if std::env::var(recount_servers::NATS).is_ok_and(|url| !url.is_empty()) {
            return Ok(Vec::new());
        }
        let server = Nats::start_in(&self.directory, settings)
            .with_context(|| format!("no NATS: set {} to the URL of a server for tests", recount_servers::NATS))?;
        println!("NATS for the tests: {}", server.url());
        let environment = vec![(recount_servers::NATS, server.url())];
        self.servers().nats.push(server);
        Ok(environment)
    }

    /// Starts a RabbitMQ server, unless the environment names one. Returns the variables for tests and programs.
    pub(crate) fn rabbitmq(&self) -> Result<Environment> {
        if std::env::var(recount_servers::AMQP).is_ok_and(|url| !url.is_empty()) {
            return Ok(Vec::new());
        }
        let server = RabbitMq::start_in(&self.directory)
            .with_context(|| format!("no RabbitMQ: set {} to the URL of a server for tests", recount_servers::AMQP))?;
        println!("RabbitMQ for the tests: 127.0.0.1:{}", server.port());
        let environment = vec![(recount_servers::AMQP, server.url())];
        self.servers().rabbits.push(server);
        Ok(environment)
    }

    /// The version of the server that was started, if one was.
    fn major(&self) -> Result<Option<u32>> {
        self.servers().postgres.first().map(|server| server.programs().major()).transpose()
    }

    /// Keeps the server, and returns the variables for the environment of the tests.
    fn keep(&self, server: Postgres) -> Environment {
        println!("Postgres for the tests: {}", server.url());
        let environment = vec![(VARIABLE, server.url()), (DISPOSABLE, "1".to_owned())];
        self.servers().postgres.push(server);
        environment
    }

    fn servers(&self) -> MutexGuard<'_, Servers> {
        self.servers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn clear(&self) {
        clear(&self.servers);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.clear();
        remove(&self.directory);
    }
}

fn clear(servers: &Mutex<Servers>) {
    *servers.lock().unwrap_or_else(PoisonError::into_inner) = Servers::default();
}

/// Removes the directory. A server that is still running ends with it: from time to time it looks for its lock file.
fn remove(directory: &Path) {
    let started = Instant::now();
    // A process that was told to end may still write.
    while let Err(error) = fs::remove_dir_all(directory) {
        if started.elapsed() > Duration::from_secs(5) {
            return eprintln!("{} could not be removed: {error}", directory.display());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

//! `cargo xtask test`: every suite, beside servers of their own, which go afterwards, however that comes.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use recount_servers::{
    Aws, AwsKind, Kafka, KafkaSettings, Nats, NatsSettings, Postgres, Programs, PubSub, Pulsar, PulsarSettings,
    RabbitMq,
};

use crate::programs::{self, Job};
use crate::run;

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

/// Features of programs that are off unless asked for, because they take long to build, or more than Rust. They are tested.
pub(crate) const OPTIONAL: &str = "recount-cli/aws,recount-cli/google,recount-cli/kafka,recount-cli/pulsar,\
                                   shop/aws,shop/google,shop/kafka,shop/pulsar";

pub(crate) type Environment = Vec<(&'static str, String)>;

/// Runs the tests that cargo's options name; everything without any, and that on the newest version of Postgres as well.
pub(crate) fn test(only_newest: bool, options: &[String]) -> Result<()> {
    let place = Place::new()?;
    if only_newest {
        let jobs = programs::build(&["-p", "recount-store-postgres", "--tests"])?;
        return newest(&place, None, on_newest(&jobs)?, None);
    }
    if options.is_empty() {
        return everything(&place);
    }
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    // Alone, a test program starts the broker that it needs.
    run::cargo_with(&[&["test"], &options[..]].concat(), &place.postgres(&[])?)
}

fn everything(place: &Place) -> Result<()> {
    let started = Instant::now();
    // Installing servers waits for downloads: meanwhile the tests are built.
    let (environment, jobs) = std::thread::scope(|scope| {
        let servers = scope.spawn(|| place.all().inspect_err(|error| eprintln!("no tests without servers: {error:#}")));
        let jobs = programs::build(&["--workspace", "--features", OPTIONAL]);
        (servers.join(), jobs)
    });
    let mut jobs = jobs?;
    let mut environment = environment.map_err(|_| anyhow!("starting the servers panicked"))??;
    println!("{} test programs and their servers were there after {} s", jobs.len(), started.elapsed().as_secs());
    environment.extend(run::protoc()?);
    let major = place.major()?;
    let again = on_newest(&jobs)?;
    jobs.insert(0, Job::cargo(&["test", "--workspace", "--features", OPTIONAL, "--doc"])?);
    let mutants = Job::cargo(&["xtask", "mutants"])?;
    let Some(major) = major else {
        jobs.insert(0, mutants);
        programs::run(jobs, &environment, &place.directory)?;
        println!("NOT TESTED: the newest version of Postgres, because {VARIABLE} names a server");
        return Ok(());
    };
    let first = programs::run(jobs, &environment, &place.directory);
    let second = newest(place, Some(major), again, Some(mutants));
    println!("the tests took {} s", started.elapsed().as_secs());
    first.and(second)
}

/// The tests that run again on the newest version of Postgres.
fn on_newest(jobs: &[Job]) -> Result<Vec<Job>> {
    let again = |(program, only): &(&str, Option<&'static str>)| {
        let found = jobs.iter().find(|job| job.is("store-postgres", program));
        let found = found.with_context(|| format!("the store for Postgres has no test program {program}"))?;
        Ok(found.again(only.as_slice()))
    };
    NEWEST.iter().map(again).collect()
}

/// Runs these on the newest version of Postgres, unless that was just tested, and another job beside them; a version that
/// can't be had is a failure.
fn newest(place: &Place, tested: Option<u32>, mut jobs: Vec<Job>, beside: Option<Job>) -> Result<()> {
    // The first one isn't needed any more.
    place.clear();
    let server = Postgres::start_in(&place.directory, Programs::newest, &[])
        .context("the newest version of Postgres for the tests")?;
    let major = server.programs().major()?;
    if tested == Some(major) {
        println!("Postgres {major} is the newest version that is tested");
        jobs.clear();
    }
    let mut environment: Environment = vec![
        (recount_servers::PLACE, place.directory.display().to_string()),
        (recount_servers::PROGRAMS, server.programs().directory.display().to_string()),
    ];
    environment.extend(place.keep(server));
    programs::run(beside.into_iter().chain(jobs).collect(), &environment, &place.directory)
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
    /// They only need to end.
    brokers: Vec<Box<dyn Send>>,
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

    /// Starts every server that several test programs share. Returns the variables for the tests.
    fn all(&self) -> Result<Environment> {
        let mut environment = self.postgres(&[])?;
        environment.extend(self.nats(NatsSettings::default())?);
        environment.extend(self.rabbitmq()?);
        environment.extend(self.aws(recount_servers::SQS, AwsKind::ElasticMq)?);
        environment.extend(self.aws(recount_servers::SNS, AwsKind::FauxqsInMemory)?);
        environment.extend(self.pulsar()?);
        environment.extend(self.kafka()?);
        Ok(environment)
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
        self.broker(recount_servers::NATS, |place| Nats::start_in(place, settings), Nats::url)
    }

    /// The same for RabbitMQ.
    pub(crate) fn rabbitmq(&self) -> Result<Environment> {
        self.broker(recount_servers::AMQP, RabbitMq::start_in, RabbitMq::url)
    }

    /// The same for a server that stands in for AWS.
    pub(crate) fn aws(&self, variable: &'static str, kind: AwsKind) -> Result<Environment> {
        self.broker(variable, |place| Aws::start_in(place, kind), Aws::url)
    }

    /// The same for Pulsar.
    pub(crate) fn pulsar(&self) -> Result<Environment> {
        self.broker(recount_servers::PULSAR, |place| Pulsar::start_in(place, PulsarSettings::default()), Pulsar::url)
    }

    /// The same for Kafka.
    pub(crate) fn kafka(&self) -> Result<Environment> {
        self.broker(recount_servers::KAFKA, |place| Kafka::start_in(place, KafkaSettings::default()), Kafka::url)
    }

    /// The same for the fake of Pub/Sub.
    pub(crate) fn pubsub(&self) -> Result<Environment> {
        self.broker(recount_servers::PUBSUB, PubSub::start_in, |server| server.url("bench"))
    }

    /// Starts a server of messages, unless this variable names one. Returns the variable.
    fn broker<S: Send + 'static>(
        &self,
        variable: &'static str,
        start: impl FnOnce(&Path) -> Result<S>,
        url: impl FnOnce(&S) -> String,
    ) -> Result<Environment> {
        if std::env::var(variable).is_ok_and(|url| !url.is_empty()) {
            return Ok(Vec::new());
        }
        let server = start(&self.directory)
            .with_context(|| format!("a server for the tests is missing: set {variable} to the address of one"))?;
        let url = url(&server);
        // Behind a login.
        println!("{variable}: {}", url.rsplit('@').next().unwrap_or_default());
        self.servers().brokers.push(Box::new(server));
        Ok(vec![(variable, url)])
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

    /// Where its servers keep their data.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Stops its servers.
    pub(crate) fn clear(&self) {
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

//! Test programs, of which several run at once: one after the other, as cargo runs them, those of the brokers would wait
//! for their servers, leases and time-outs for most of an hour.

use std::collections::VecDeque;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::run;
use crate::test::Environment;

/// How long a test program may take.
const LIMIT: Duration = Duration::from_secs(20 * 60);
/// The variable of the test harness for the number of tests that run at once.
const THREADS: &str = "RUST_TEST_THREADS";
/// The workers that prefer programs that wait, by their number.
const WAITING: usize = 2;
/// The workers that prefer programs that compute.
const COMPUTING: usize = 1;

/// A test program, or something else that runs beside others.
pub(crate) struct Job {
    name: String,
    /// It waits most of the time: its tests can't keep a processor busy.
    waits: bool,
    command: Command,
}

/// Builds the test programs of the workspace.
pub(crate) fn build(options: &[&str]) -> Result<Vec<Job>> {
    let (mut command, shown) =
        run::cargo_command(&[&["test", "--no-run", "--message-format", "json-render-diagnostics"], options].concat())?;
    command.stdout(Stdio::piped());
    println!("\n$ {shown}");
    let mut cargo = run::Group::start(command, &shown)?;
    let messages = cargo.child.stdout.take().context("cargo has no output")?;
    let messages = serde_json::Deserializer::from_reader(BufReader::new(messages)).into_iter::<Value>();
    let mut jobs = Vec::new();
    for message in messages {
        jobs.extend(job(&message?));
    }
    cargo.succeed()?;
    Ok(jobs)
}

/// The test program that cargo tells of, if it does.
fn job(message: &Value) -> Option<Job> {
    let program = message["executable"].as_str()?;
    if message["profile"]["test"] != true {
        return None;
    }
    let package = Path::new(message["manifest_path"].as_str()?).parent()?;
    let directory = package.file_name()?.to_str()?;
    let target = message["target"]["name"].as_str()?;
    let mut command = Command::new(program);
    command.current_dir(package).env("CARGO_MANIFEST_DIR", package);
    let broker = directory.starts_with("broker-");
    if broker && std::env::var_os(THREADS).is_none() {
        // A server of Pulsar takes a processor for some ten seconds to start.
        command.env(THREADS, if directory == "broker-pulsar" { "2" } else { "4" });
    }
    let waits = broker || (directory == "shop" && matches!(target, "chaos" | "services"));
    Some(Job { name: format!("{directory} {target}"), waits, command })
}

impl Job {
    /// Runs cargo.
    pub(crate) fn cargo(arguments: &[&str]) -> Result<Self> {
        let (command, name) = run::cargo_command(arguments)?;
        Ok(Self { name, waits: false, command })
    }

    /// The same program with these arguments.
    pub(crate) fn again(&self, arguments: &[&str]) -> Self {
        let mut command = Command::new(self.command.get_program());
        if let Some(directory) = self.command.get_current_dir() {
            command.current_dir(directory).env("CARGO_MANIFEST_DIR", directory);
        }
        command.args(arguments);
        Self { name: format!("{} again", self.name), waits: self.waits, command }
    }

    /// Whether it is the test program of this name in this package.
    pub(crate) fn is(&self, package: &str, target: &str) -> bool {
        self.name == format!("{package} {target}")
    }
}

/// Runs them all, and fails at the end if one failed. The output of one that failed is shown, without the tests that passed.
pub(crate) fn run(jobs: Vec<Job>, environment: &Environment, place: &Path) -> Result<()> {
    let all = jobs.len();
    let queue = Mutex::new(VecDeque::from(jobs));
    let done = Mutex::new((0, Vec::new()));
    std::thread::scope(|scope| {
        for worker in 0..WAITING + COMPUTING {
            let (queue, done) = (&queue, &done);
            scope.spawn(move || {
                while let Some(job) = next(queue, worker < WAITING) {
                    let name = job.name.clone();
                    let started = Instant::now();
                    let output = place.join(format!("output-{worker}"));
                    let outcome = one(job, environment, &output);
                    let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
                    done.0 += 1;
                    let seconds = started.elapsed().as_secs_f64();
                    match outcome {
                        Ok(()) => println!("[{}/{all}] {name}: passed in {seconds:.1} s", done.0),
                        Err(error) => {
                            println!("[{}/{all}] {name}: FAILED after {seconds:.1} s: {error:#}", done.0);
                            println!("{}", trouble(&std::fs::read_to_string(&output).unwrap_or_default()));
                            done.1.push(name);
                        }
                    }
                }
            });
        }
    });
    let (_, failed) = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    ensure!(failed.is_empty(), "{} of {all} test programs failed: {}", failed.len(), failed.join(", "));
    Ok(())
}

/// The output of a test program without the tests that passed: among hundreds of them a failure would be overlooked.
fn trouble(output: &str) -> String {
    output
        .lines()
        .filter(|line| !(line.starts_with("test ") && line.ends_with(" ... ok")))
        .collect::<Vec<_>>()
        .join("\n")
}

/// The next job for a worker: of its kind, while there is one.
fn next(queue: &Mutex<VecDeque<Job>>, waits: bool) -> Option<Job> {
    let mut queue = queue.lock().unwrap_or_else(PoisonError::into_inner);
    let place = queue.iter().position(|job| job.waits == waits).unwrap_or_default();
    queue.remove(place)
}

/// Runs a job, which writes to this file.
fn one(job: Job, environment: &Environment, output: &Path) -> Result<()> {
    let Job { name, mut command, .. } = job;
    let file = File::create(output)?;
    command.stderr(file.try_clone()?).stdout(file).stdin(Stdio::null());
    command.envs(environment.iter().map(|(name, value)| (name, value)));
    let mut group = run::Group::start(command, &name)?;
    let started = Instant::now();
    while started.elapsed() < LIMIT {
        if group.child.try_wait()?.is_some() {
            return group.succeed();
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    group.kill();
    bail!("it did not end within {} minutes", LIMIT.as_secs() / 60)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn message(package: &str, target: &str, test: bool) -> Value {
        json!({
            "reason": "compiler-artifact",
            "manifest_path": format!("/there/{package}/Cargo.toml"),
            "target": { "name": target },
            "profile": { "test": test },
            "executable": "/there/target/program",
        })
    }

    fn shell(name: &str, script: &str) -> Job {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Job { name: name.to_owned(), waits: false, command }
    }

    #[test]
    fn test_programs_run_in_the_directory_of_their_package() {
        let found = job(&message("core", "dead", true)).unwrap();
        assert!(found.is("core", "dead") && !found.waits);
        assert_eq!(found.command.get_current_dir(), Some(Path::new("/there/core")));
        assert!(job(&message("core", "core", false)).is_none(), "no test program");
        assert!(job(&json!({ "reason": "build-finished", "success": true })).is_none());
    }

    #[test]
    fn a_worker_takes_programs_of_its_kind_first_and_then_the_others() {
        let jobs = [("core", "a"), ("broker-nats", "b"), ("core", "c"), ("broker-kafka", "d")];
        let queue =
            Mutex::new(jobs.iter().filter_map(|(package, target)| job(&message(package, target, true))).collect());
        let taken: Vec<_> = std::iter::from_fn(|| next(&queue, true)).map(|job| job.name).collect();
        assert_eq!(taken, ["broker-nats b", "broker-kafka d", "core a", "core c"]);
    }

    #[test]
    fn the_output_of_a_failure_leaves_out_the_tests_that_passed() {
        let output = "running 2 tests\ntest a ... ok\ntest b ... FAILED\nfailures:\n    b\n";
        assert_eq!(trouble(output), "running 2 tests\ntest b ... FAILED\nfailures:\n    b");
    }

    #[test]
    fn failures_are_named_after_all_programs_have_run() {
        let place = std::env::temp_dir().join(format!("recount-programs-{}", std::process::id()));
        std::fs::create_dir(&place).unwrap();
        let done = place.join("done").display().to_string();
        let jobs = vec![shell("good", "true"), shell("bad", "exit 3"), shell("last", "echo \"$WORD\" > \"$DONE\"")];
        let environment = vec![("WORD", "here".to_owned()), ("DONE", done.clone())];
        let error = run(jobs, &environment, &place).unwrap_err().to_string();
        let written = std::fs::read_to_string(done).unwrap();
        std::fs::remove_dir_all(&place).unwrap();
        assert_eq!((error.as_str(), written.trim()), ("1 of 3 test programs failed: bad", "here"));
    }
}

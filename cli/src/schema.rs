//! `cargo recount schema …`

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::SystemTime;

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, Subcommand, ValueEnum};
use recount_schema::{Compatibility, Lock, LockError, PATH, changes, sarif};
use serde_json::Value;

/// Begins the names of the tests that the derive writes.
const TESTS: &str = "event_schema_of_";
/// The environment variable that tells these tests their task.
const VARIABLE: &str = "RECOUNT_SCHEMA";

/// A file to which they add the names of their types.
const SEEN: &str = "RECOUNT_SCHEMA_SEEN";

#[derive(Subcommand)]
pub(crate) enum Task {
    /// Writes the current form of a crate's events into its lock, by its tests; makes the lock if there is none.
    Lock {
        #[command(flatten)]
        which: Which,
    },
    /// Fails if locking would change anything, or a sample can't be read: for CI.
    Check {
        #[command(flatten)]
        which: Which,
    },
    /// Lists the changes between two locks, and their compatibility. Exit status: 1 if something breaks, 2 if there is nothing to compare.
    Diff {
        /// The lock of then: a file, or a revision of git
        old: String,
        /// The lock of now
        #[arg(default_value = PATH)]
        new: PathBuf,
        /// Which programs must go on reading
        #[arg(long, value_enum, default_value = "backward")]
        compatibility: Wanted,
        /// Also writes a report in the SARIF format to this file
        #[arg(long, value_name = "FILE")]
        sarif: Option<PathBuf>,
    },
}

#[derive(Args)]
pub(crate) struct Which {
    /// Which crate of the workspace [default: the one of this directory]
    #[arg(short, long)]
    package: Option<String>,
    /// Options for cargo's build of the tests, such as `-- --all-features`
    #[arg(last = true, value_name = "OPTIONS")]
    cargo: Vec<String>,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Wanted {
    /// New programs read the events of old ones
    Backward,
    /// Old programs read the events of new ones
    Forward,
    /// Both
    Full,
}

pub(crate) fn run(task: &Task) -> Result<ExitCode> {
    match task {
        Task::Lock { which } => {
            let package = Package::find(which.package.as_deref())?;
            package.prepare()?;
            let (code, _) = package.test("lock", &which.cargo)?;
            if code == ExitCode::SUCCESS {
                let lock = Lock::read(&package.directory)?.unwrap_or_default();
                let versions: usize = lock.events.values().map(|event| event.versions.len()).sum();
                let (file, events) = (package.directory.join(PATH), lock.events.len());
                println!("{}: {events} events, {versions} versions", file.display());
            }
            Ok(code)
        }
        Task::Check { which } => {
            let package = Package::find(which.package.as_deref())?;
            let file = package.directory.join(PATH);
            ensure!(file.is_file(), "there is no {}: run `cargo recount schema lock`", file.display());
            let lock = Lock::read(&package.directory).with_context(|| file.display().to_string())?.unwrap_or_default();
            let (code, seen) = package.test("check", &which.cargo)?;
            Ok(if Package::missing(&lock, &seen) { ExitCode::FAILURE } else { code })
        }
        Task::Diff { old, new, compatibility, sarif } => diff(old, new, *compatibility, sarif.as_deref()),
    }
}

/// A crate with a lock, or about to have one.
struct Package {
    directory: PathBuf,
    /// Cargo's options for its library and its programs, and their first files.
    options: Vec<&'static str>,
    sources: Vec<PathBuf>,
}

impl Package {
    fn find(name: Option<&str>) -> Result<Self> {
        let output = cargo()
            .args(["metadata", "--format-version", "1", "--no-deps"])
            .output()
            .context("cargo can't be started")?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr).trim());
        let metadata: Value = serde_json::from_slice(&output.stdout).context("reading cargo's metadata")?;
        let here = std::env::current_dir()?;
        let packages = metadata["packages"].as_array().map(Vec::as_slice).unwrap_or_default();
        let manifest = |package: &Value| package["manifest_path"].as_str().map(PathBuf::from).unwrap_or_default();
        let found = packages.iter().find(|package| match name {
            Some(name) => package["name"] == name,
            None => manifest(package).parent() == Some(&here),
        });
        let Some(package) = found else {
            match name {
                Some(name) => bail!("this workspace has no crate `{name}`"),
                None => bail!("there is no crate in this directory: name one with `--package`"),
            }
        };
        let mut it = Self { directory: PathBuf::new(), options: Vec::new(), sources: Vec::new() };
        manifest(package).parent().unwrap_or(&here).clone_into(&mut it.directory);
        for target in package["targets"].as_array().map(Vec::as_slice).unwrap_or_default() {
            let is = |kind: &str| target["kind"].as_array().is_some_and(|kinds| kinds.iter().any(|k| k == kind));
            let option = if is("lib") {
                "--lib"
            } else if is("bin") {
                "--bins"
            } else {
                continue;
            };
            if !it.options.contains(&option) {
                it.options.push(option);
            }
            it.sources.extend(target["src_path"].as_str().map(PathBuf::from));
        }
        Ok(it)
    }

    /// Makes the lock if there is none: the derive looks for it. Cargo can't know that, so its sources are touched then.
    fn prepare(&self) -> Result<()> {
        let file = self.directory.join(PATH);
        if file.is_file() {
            return Ok(());
        }
        Lock::update(&self.directory, |_| Ok::<_, LockError>(()))?;
        for source in &self.sources {
            let touched = File::options().append(true).open(source).and_then(|it| it.set_modified(SystemTime::now()));
            touched.with_context(|| source.display().to_string())?;
        }
        Ok(())
    }

    /// Says which locked events no type in the code is responsible for, if any.
    fn missing(lock: &Lock, seen: &str) -> bool {
        let gone = |event: &recount_schema::LockedEvent| !event.erased && !seen.lines().any(|it| it == event.rust_type);
        let mut missing = false;
        for (name, event) in lock.events.iter().filter(|(_, event)| gone(event)) {
            missing = true;
            eprintln!(
                "`{name}` was released, but its type `{}` is gone: bring it back, with `#[event(retired)]` if it is no longer \
                 written; or put `\"erased\": true` beside its type in {PATH}, once nothing of it is stored",
                event.rust_type
            );
        }
        missing
    }

    /// Runs the derive's tests. Returns also the types that they are of, a line each.
    fn test(&self, mode: &str, options: &[String]) -> Result<(ExitCode, String)> {
        let seen = tempfile::NamedTempFile::new()?;
        let status = cargo()
            .args(["test", "--quiet"])
            .args(&self.options)
            .args(options)
            .arg(TESTS)
            .current_dir(&self.directory)
            .env(VARIABLE, mode)
            .env(SEEN, seen.path())
            .status()
            .context("cargo can't be started")?;
        let code = if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
        Ok((code, fs::read_to_string(seen.path())?))
    }
}

/// The cargo that started this command.
fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // Variables of `cargo run` for the package that it runs: build scripts that read them would run again.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            cargo.env_remove(name);
        }
    }
    cargo
}

fn diff(old: &str, new: &Path, wanted: Wanted, report: Option<&Path>) -> Result<ExitCode> {
    let text = fs::read_to_string(new).with_context(|| new.display().to_string())?;
    let lock = Lock::parse(&text).with_context(|| new.display().to_string())?;
    let before = Lock::parse(&old_text(old, new)?).with_context(|| format!("the lock of {old}"))?;
    let wanted = match wanted {
        Wanted::Backward => Compatibility::Backward,
        Wanted::Forward => Compatibility::Forward,
        Wanted::Full => Compatibility::Full,
    };
    let changes = changes(&before, &lock);
    for change in &changes {
        println!("{} {change}", if change.breaks(wanted) { "!" } else { " " });
    }
    let broken = changes.iter().filter(|change| change.breaks(wanted)).count();
    println!("{} changes, {broken} of them break what must hold", changes.len());
    if let Some(report) = report {
        let sarif = sarif(&changes, wanted, &new.display().to_string(), &text);
        let sarif = serde_json::to_string_pretty(&sarif)? + "\n";
        fs::write(report, sarif).with_context(|| report.display().to_string())?;
    }
    Ok(if broken == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A file, or the lock in a revision of git.
fn old_text(old: &str, new: &Path) -> Result<String> {
    if Path::new(old).is_file() {
        return fs::read_to_string(old).with_context(|| old.to_owned());
    }
    let directory = new.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = new.file_name().unwrap_or_default().to_string_lossy();
    ensure!(!old.starts_with('-'), "`{old}` is neither a file nor a revision of git");
    let output = Command::new("git")
        .arg("-C")
        .arg(directory)
        .args(["show", &format!("{old}:./{name}")])
        .output()
        .with_context(|| format!("`{old}` is no file, and git can't be started"))?;
    let error = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    ensure!(output.status.success(), "`{old}` is neither a file nor a revision of git that has the lock: {error}");
    String::from_utf8(output.stdout).context("the lock is no text")
}

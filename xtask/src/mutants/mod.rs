//! `cargo xtask mutants`: builds the sources with deliberate defects, and demands that the tests find each.
//!
//! The product's sources know nothing of it: the defects are put into a copy of the workspace, all at once, and an environment
//! variable chooses one when a test runs.

mod copy;
mod messaging;
mod questions;
mod routes;
mod table;

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use table::{Edit, Mutant, Tests};

/// Chooses the defect.
const VARIABLE: &str = "RECOUNT_MUTANT";
/// How long a test may take.
const LIMIT: Duration = Duration::from_secs(60);
/// How many seeds of a simulation are run.
const SEEDS: &str = "60";

/// Where the function is that the edits call.
const LIBRARIES: [&str; 2] = ["core/src/lib.rs", "messaging/src/lib.rs"];
/// The function.
const CHOICE: &str = r#"
/// Whether this defect is chosen.
pub(crate) fn mutant(name: &str) -> bool {
    static CHOSEN: std::sync::LazyLock<Option<String>> = std::sync::LazyLock::new(|| std::env::var("RECOUNT_MUTANT").ok());
    CHOSEN.as_deref() == Some(name)
}
"#;

fn mutants() -> impl Iterator<Item = &'static Mutant> {
    table::MUTANTS.iter().chain(messaging::MUTANTS).chain(questions::MUTANTS).chain(routes::MUTANTS)
}

fn edits() -> impl Iterator<Item = &'static Edit> {
    table::EDITS.iter().chain(messaging::EDITS).chain(questions::EDITS).chain(routes::EDITS)
}

/// Tests all mutants, or one.
pub(crate) fn run(only: Option<&str>) -> Result<()> {
    let started = Instant::now();
    let chosen: Vec<&Mutant> = mutants().filter(|mutant| only.is_none_or(|only| only == mutant.name)).collect();
    if chosen.is_empty() {
        let names: Vec<_> = mutants().map(|mutant| mutant.name).collect();
        bail!("there is no such mutant, only {}", names.join(", "));
    }
    check_names()?;
    let root = std::env::current_dir()?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |target| root.join(target));
    // A target directory of its own: cargo takes the packages of the copy for those of the workspace.
    let (copy, target) = (target.join("mutants/source"), target.join("mutants/target"));
    copy::mirror(&root, &copy, &mutate(&root)?)?;
    let programs = Programs::build(&copy, &target, &chosen)?;
    // Without a defect all of the tests pass, so a failure is the defect's.
    let mut passed = BTreeSet::new();
    for mutant in chosen.iter().filter(|mutant| passed.insert((mutant.tests.place(), mutant.test))) {
        let (status, output) = test(&programs, &copy, mutant, None)?;
        ensure!(status.success(), "without a defect {} fails:\n{output}", mutant.test);
    }
    let mut survivors = Vec::new();
    for mutant in &chosen {
        let began = Instant::now();
        let (status, output) = test(&programs, &copy, mutant, Some(mutant.name))?;
        let found = !status.success() && output.contains("panicked at");
        let word = if found { "found" } else { "SURVIVED" };
        println!("{word:>8} {} by {} in {} ms", mutant.name, mutant.test, began.elapsed().as_millis());
        if !found {
            survivors.push(mutant.name);
        }
    }
    println!("{} mutants took {} s", chosen.len(), started.elapsed().as_secs());
    ensure!(survivors.is_empty(), "the tests do not find {}", survivors.join(", "));
    Ok(())
}

/// Fails unless each mutant has an edit, and each edit a mutant.
fn check_names() -> Result<()> {
    for mutant in mutants() {
        let asks = format!("crate::mutant(\"{}\")", mutant.name);
        ensure!(edits().any(|edit| edit.replace.contains(&asks)), "no edit makes the mutant {}", mutant.name);
    }
    for edit in edits() {
        for asked in edit.replace.split("crate::mutant(\"").skip(1) {
            let name = asked.split('"').next().unwrap_or_default();
            ensure!(mutants().any(|mutant| mutant.name == name), "the mutant {name} is in no table");
        }
    }
    Ok(())
}

/// The files with defects.
fn mutate(root: &Path) -> Result<BTreeMap<&'static str, String>> {
    let read = |file: &str| std::fs::read_to_string(root.join(file)).with_context(|| file.to_owned());
    let mut files = BTreeMap::new();
    for library in LIBRARIES {
        files.insert(library, read(library)? + CHOICE);
    }
    for Edit { file, find, replace } in edits() {
        let text = match files.entry(*file) {
            Entry::Occupied(text) => text.into_mut(),
            Entry::Vacant(place) => place.insert(read(file)?),
        };
        let count = text.matches(find).count();
        ensure!(count == 1, "`{find}` occurs {count} times in {file}: mend the table of mutants");
        *text = text.replacen(find, replace, 1);
    }
    Ok(files)
}

/// The test programs of the copy.
struct Programs(BTreeMap<&'static str, PathBuf>);

impl Programs {
    /// Builds the test programs that the mutants need.
    fn build(copy: &Path, target: &Path, chosen: &[&Mutant]) -> Result<Self> {
        let needed = Tests::ALL.into_iter().filter(|tests| chosen.iter().any(|mutant| mutant.tests == *tests));
        let built = needed.map(|tests| {
            let (package, program, _) = tests.place();
            Ok((program, build(copy, target, package, program)?))
        });
        Ok(Self(built.collect::<Result<_>>()?))
    }
}

/// Builds a test program of the copy.
fn build(copy: &Path, target: &Path, package: &str, program: &str) -> Result<PathBuf> {
    let output = Command::new("cargo")
        .args(["test", "-p", package, "--test", program, "--no-run"])
        .current_dir(copy)
        .env("CARGO_TARGET_DIR", target)
        .stdout(Stdio::inherit())
        .output()
        .context("cargo can't be started")?;
    let log = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "the mutants don't compile: mend the table of mutants\n{log}");
    let shown =
        log.lines().find_map(|line| line.trim().strip_prefix("Executable ")?.split('(').nth(1)?.strip_suffix(')'));
    Ok(copy.join(shown.with_context(|| format!("cargo names no test program:\n{log}"))?))
}

/// Runs the test of a mutant. Returns its output, too.
fn test(programs: &Programs, copy: &Path, mutant: &Mutant, chosen: Option<&str>) -> Result<(ExitStatus, String)> {
    let (_, program, prefix) = mutant.tests.place();
    let program = programs.0.get(program).with_context(|| format!("{program} was not built"))?;
    let name = format!("{prefix}{}", mutant.test);
    // A file, as a full pipe would block the test: with backtraces a defect writes megabytes.
    let path = copy.with_file_name("output.txt");
    let output = File::create(&path)?;
    let mut child = Command::new(program)
        .args(["--exact", &name])
        .envs(chosen.map(|chosen| (VARIABLE, chosen)))
        .env("RECOUNT_SEEDS", SEEDS)
        .current_dir(copy)
        .stdout(output)
        .stderr(Stdio::null())
        .spawn()
        .with_context(|| program.display().to_string())?;
    let started = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if started.elapsed() > LIMIT {
            child.kill()?;
            child.wait()?;
            bail!("{name} takes longer than {LIMIT:?} with the mutant {chosen:?}");
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let output = String::from_utf8_lossy(&std::fs::read(&path)?).into_owned();
    ensure!(output.contains("running 1 test\n"), "there is no test {name}");
    Ok((status, output))
}

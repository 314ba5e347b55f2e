//! What the derive costs at compile time, and the lock on top of it.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::crates::{self, Crate, LOCKED, OURS, PLAIN, UNLOCKED};
use crate::figures::{Figures, Floor};
use crate::import::cargo;
use crate::rounds::Rounds;

const ROUNDS: usize = 16;

/// Checks one crate and the other in turn, each as often first. What else the machine does only ever adds, so the least of each is compared.
pub fn measure(figures: &mut Figures, directory: &Path) -> Result<()> {
    crates::write(directory)?;
    lock(directory)?;
    check(directory, &["--workspace"])?;
    compare(figures, directory, "compile_ratio_50", (&OURS, &PLAIN), Floor::AtMost(1.5))?;
    compare(figures, directory, "compile_lock_200", (&LOCKED, &UNLOCKED), Floor::Below(1.05))
}

fn compare(
    figures: &mut Figures,
    directory: &Path,
    name: &'static str,
    (one, other): (&Crate, &Crate),
    floor: Floor,
) -> Result<()> {
    let (mut ours, mut plain) = (Rounds::default(), Rounds::default());
    for round in 0..ROUNDS {
        if round % 2 == 0 {
            ours.push(recompile(directory, one)?);
            plain.push(recompile(directory, other)?);
        } else {
            plain.push(recompile(directory, other)?);
            ours.push(recompile(directory, one)?);
        }
    }
    let detail = format!("{:.2} s over {:.2} s of processor time; {ROUNDS} rounds", ours.least(), plain.least());
    figures.add(name, ours.least() / plain.least(), floor, detail);
    Ok(())
}

/// Writes the lock, by the tests that the derive writes.
fn lock(directory: &Path) -> Result<()> {
    let schemas = directory.join(LOCKED.name).join("schemas");
    std::fs::create_dir_all(&schemas)?;
    std::fs::write(schemas.join("lock.json"), "{\"format\": 1, \"events\": {}}")?;
    let status = Command::new(cargo())
        .args(["test", "--quiet", "--offline", "--target-dir", "target", "--lib", "-p", LOCKED.name])
        .env("RECOUNT_SCHEMA", "lock")
        .current_dir(directory)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .context("cargo can't be started")?;
    ensure!(status.success(), "the generated crate can't be locked: {status}");
    Ok(())
}

/// Seconds of processor time to check this crate alone.
fn recompile(directory: &Path, one: &Crate) -> Result<f64> {
    one.touch(directory)?;
    let before = children()?;
    check(directory, &["-p", one.name])?;
    Ok(children()? - before)
}

fn check(directory: &Path, what: &[&str]) -> Result<()> {
    let status = Command::new(cargo())
        .args(["check", "--quiet", "--offline", "--target-dir", "target"])
        .args(what)
        .env("CARGO_INCREMENTAL", "0")
        .current_dir(directory)
        .stdin(Stdio::null())
        .status()
        .context("cargo can't be started")?;
    ensure!(status.success(), "the generated crates don't compile: {status}");
    Ok(())
}

/// Processor time, in seconds, of all processes that this one started and waited for, and of theirs.
fn children() -> Result<f64> {
    /// What Linux counts in for programs, whatever its own clock does.
    const TICKS_PER_SECOND: f64 = 100.0;
    let stat = std::fs::read_to_string("/proc/self/stat").context("processor time is only known on Linux")?;
    // The second field is the program's name in parentheses, which may hold spaces; children's times are 16 and 17.
    let (_, fields) = stat.rsplit_once(')').context("no name in /proc/self/stat")?;
    let mut fields = fields.split_whitespace().skip(13);
    let mut ticks =
        || fields.next().context("too few fields in /proc/self/stat")?.parse::<f64>().map_err(anyhow::Error::from);
    Ok((ticks()? + ticks()?) / TICKS_PER_SECOND)
}

//! What the derive costs at compile time.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::crates::{self, Crate, OURS, PLAIN};
use crate::figures::{Figures, Floor};
use crate::import::cargo;
use crate::rounds::Rounds;

const ROUNDS: usize = 9;

/// Checks one crate and the other in turn. What else the machine does only ever adds, so the least of each is compared.
pub fn measure(figures: &mut Figures, directory: &Path) -> Result<()> {
    crates::write(directory)?;
    check(directory, &["--workspace"])?;
    let (mut ours, mut plain) = (Rounds::default(), Rounds::default());
    for _ in 0..ROUNDS {
        ours.push(recompile(directory, &OURS)?);
        plain.push(recompile(directory, &PLAIN)?);
    }
    let detail = format!("{:.2} s over {:.2} s of processor time; {ROUNDS} rounds", ours.least(), plain.least());
    figures.add("compile_ratio_50", ours.least() / plain.least(), Floor::AtMost(1.5), detail);
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

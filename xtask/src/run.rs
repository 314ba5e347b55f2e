//! Running other programs, loudly.

use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

/// The process groups of the running programs.
static CHILDREN: Mutex<Vec<u32>> = Mutex::new(Vec::new());
/// How long a running program may take to end when it is told to.
const END: Duration = Duration::from_secs(5);

/// Runs cargo in this workspace.
pub(crate) fn cargo(arguments: &[&str]) -> Result<()> {
    cargo_with(arguments, &[])
}

/// Runs cargo in this workspace with these environment variables.
pub(crate) fn cargo_with(arguments: &[&str], environment: &[(&str, String)]) -> Result<()> {
    let shown = format!("cargo {}", arguments.join(" "));
    println!("\n$ {shown}");
    let mut child = Command::new("cargo")
        .args(arguments)
        .envs(environment.iter().map(|(name, value)| (name, value)))
        // A group of its own, so that all of it can be ended together.
        .process_group(0)
        .spawn()
        .with_context(|| format!("`{shown}` can't be started"))?;
    children(|all| all.push(child.id()));
    let status = child.wait();
    children(|all| all.retain(|group| *group != child.id()));
    let status = status.with_context(|| format!("`{shown}` was lost"))?;
    ensure!(status.success(), "`{shown}` failed: {status}");
    Ok(())
}

/// Ends the running programs, with the processes that they started.
pub(crate) fn end_children() {
    let groups = children(|all| all.clone());
    for signal in ["-TERM", "-KILL"] {
        for group in &groups {
            succeeds("kill", &[signal, "--", &format!("-{group}")]);
        }
        let told = Instant::now();
        while told.elapsed() < END && groups.iter().any(|group| succeeds("kill", &["-0", "--", &format!("-{group}")])) {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn children<T>(of: impl FnOnce(&mut Vec<u32>) -> T) -> T {
    of(&mut CHILDREN.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Whether the program is there and ends well.
pub(crate) fn succeeds(program: &str, arguments: &[&str]) -> bool {
    let quiet = Command::new(program).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status();
    quiet.is_ok_and(|status| status.success())
}

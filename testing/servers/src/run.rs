//! Running other programs, quietly.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};

/// Whether the program is there and ends well.
pub(crate) fn succeeds(program: &str, arguments: &[&str]) -> bool {
    let quiet = Command::new(program).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status();
    quiet.is_ok_and(|status| status.success())
}

/// The output of the program.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("running {command:?}"))?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// A number that `id` prints.
pub(crate) fn id(arguments: &[&str]) -> Result<u32> {
    Ok(output(Command::new("id").args(arguments))?.parse()?)
}

/// Sends a signal to the process, if it runs.
pub(crate) fn signal(server: Option<&Child>, signal: &str) {
    if let Some(server) = server {
        succeeds("kill", &[signal, &server.id().to_string()]);
    }
}

/// Ends a process by SIGKILL, if it runs.
pub(crate) fn kill(server: &mut Option<Child>) {
    if let Some(mut server) = server.take() {
        let _ = server.kill();
        let _ = server.wait();
    }
}

/// Prints the end of a server's log, if the test of the server is failing.
pub(crate) fn show_failure(log: impl FnOnce() -> String) {
    if std::thread::panicking() {
        let log = log();
        let lines: Vec<&str> = log.lines().collect();
        eprintln!("the end of the server's log:\n{}", lines[lines.len().saturating_sub(40)..].join("\n"));
    }
}

/// Removes the directory of a server that has ended.
pub(crate) fn remove(directory: &Path) {
    if let Err(error) = fs::remove_dir_all(directory) {
        eprintln!("{} could not be removed: {error}", directory.display());
    }
}

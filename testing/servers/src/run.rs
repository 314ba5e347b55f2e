//! Running other programs, quietly.

use std::fs;
use std::path::{Path, PathBuf};
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

/// The program of this name on the PATH.
pub(crate) fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).map(|place| place.join(name)).find(|program| program.is_file())
}

/// The program of this name on the PATH, if the version that it prints behind this argument is not older.
pub(crate) fn at_least(name: &str, argument: &str, minimum: (u32, u32)) -> Option<PathBuf> {
    let program = on_path(name)?;
    let text = output(Command::new(&program).arg(argument)).ok()?;
    version(&text).is_some_and(|version| version >= minimum).then_some(program)
}

/// The first major and minor version in a text, such as `go version go1.27.3 linux/amd64`.
fn version(text: &str) -> Option<(u32, u32)> {
    let mut words = text.split(|c: char| !c.is_ascii_digit() && c != '.');
    words.find_map(|word| {
        let (major, rest) = word.split_once('.')?;
        Some((major.parse().ok()?, rest.split('.').next()?.parse().ok()?))
    })
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

/// Whether threads of a process run that was told to stop. Only Linux tells.
pub(crate) fn has_running_threads(process: &Child) -> bool {
    let threads = fs::read_dir(format!("/proc/{}/task", process.id()));
    let states = threads.into_iter().flatten().flatten().filter_map(|thread| {
        let stat = fs::read_to_string(thread.path().join("stat")).ok()?;
        // The name of the thread stands in parentheses before its state, and may hold some itself.
        stat.rsplit_once(')')?.1.trim_start().chars().next()
    });
    states.into_iter().any(|state| !"TtZX".contains(state))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_that_a_program_prints_is_read() {
        for (text, read) in [
            ("nats-server: v2.15.1", Some((2, 15))),
            ("v24.19.0", Some((24, 19))),
            ("go version go1.27.3 linux/amd64", Some((1, 27))),
            ("no version", None),
        ] {
            assert_eq!(version(text), read, "{text}");
        }
    }
}

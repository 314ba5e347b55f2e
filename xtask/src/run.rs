//! Running other programs, loudly.

use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

/// The process groups of the running programs. `None`: this program was told to end, and no more are started.
static CHILDREN: Mutex<Option<Vec<u32>>> = Mutex::new(Some(Vec::new()));
/// How long a running program may take to end when it is told to.
const END: Duration = Duration::from_secs(5);

/// Runs cargo in this workspace.
pub(crate) fn cargo(arguments: &[&str]) -> Result<()> {
    cargo_with(arguments, &[])
}

/// Runs cargo in this workspace with these environment variables.
pub(crate) fn cargo_with(arguments: &[&str], environment: &[(&str, String)]) -> Result<()> {
    let (mut command, shown) = cargo_command(arguments)?;
    println!("\n$ {shown}");
    command.envs(environment.iter().map(|(name, value)| (name, value)));
    Group::start(command, &shown)?.succeed()
}

/// Runs a program of this workspace that was built, which is beside this one.
pub(crate) fn beside(name: &str, arguments: &[&str]) -> Result<()> {
    let mut command = Command::new(std::env::current_exe()?.with_file_name(name));
    let shown = format!("{name} {}", arguments.join(" "));
    println!("\n$ {shown}");
    command.args(arguments).envs(protoc()?);
    Group::start(command, &shown)?.succeed()
}

/// Cargo in this workspace, able to build all crates, and the text for this call.
pub(crate) fn cargo_command(arguments: &[&str]) -> Result<(Command, String)> {
    if let Err(missing) = recount_servers::build_tools() {
        // Not every command builds them.
        println!("the client library of Kafka can't be built: {missing:#}");
    }
    let mut command = Command::new("cargo");
    // Variables of `cargo run` for this program: build scripts that read them would run again.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(name);
        }
    }
    command.args(arguments).envs(protoc()?);
    Ok((command, format!("cargo {}", arguments.join(" "))))
}

/// The variable that names the program which the client library of Pulsar needs to build, unless that is on the path.
pub(crate) fn protoc() -> Result<Option<(&'static str, String)>> {
    let protoc = recount_servers::protoc().context("no protoc: install the Debian package protobuf-compiler")?;
    Ok(protoc.map(|program| ("PROTOC", program.display().to_string())))
}

/// A running program and the processes that it starts: a process group, so that all of it can be ended together.
pub(crate) struct Group {
    pub(crate) child: Child,
    /// How the program is called in errors.
    shown: String,
}

impl Group {
    pub(crate) fn start(mut command: Command, shown: &str) -> Result<Self> {
        let mut children = CHILDREN.lock().unwrap_or_else(PoisonError::into_inner);
        let children = children.as_mut().with_context(|| format!("`{shown}` is not started any more"))?;
        let child = command.process_group(0).spawn().with_context(|| format!("`{shown}` can't be started"))?;
        children.push(child.id());
        Ok(Self { child, shown: shown.to_owned() })
    }

    /// Waits for the end of the program, and fails unless that is a good one.
    pub(crate) fn succeed(mut self) -> Result<()> {
        let status = self.child.wait().with_context(|| format!("`{}` was lost", self.shown))?;
        ensure!(status.success(), "`{}` failed: {status}", self.shown);
        Ok(())
    }

    /// Ends all of it.
    pub(crate) fn kill(&mut self) {
        signal("-KILL", self.child.id());
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(children) = CHILDREN.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            children.retain(|group| *group != self.child.id());
        }
    }
}

/// Ends the running programs, with the processes that they started. No more are started afterwards.
pub(crate) fn end_children() {
    let groups = CHILDREN.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or_default();
    for name in ["-TERM", "-KILL"] {
        for group in &groups {
            signal(name, *group);
        }
        let told = Instant::now();
        while told.elapsed() < END && groups.iter().any(|group| signal("-0", *group)) {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Sends a signal to a process group. Returns whether there is one.
fn signal(name: &str, group: u32) -> bool {
    succeeds("kill", &[name, "--", &format!("-{group}")])
}

/// Whether the program is there and ends well.
pub(crate) fn succeeds(program: &str, arguments: &[&str]) -> bool {
    let quiet = Command::new(program).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status();
    quiet.is_ok_and(|status| status.success())
}

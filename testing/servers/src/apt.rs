//! Installing Debian packages, where that is possible.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::run;

/// Installs packages. Services are not started: a service of the machine is none of the tests' business.
pub(crate) fn install(packages: &[&str]) -> Result<()> {
    let cure = || format!("install the Debian packages {}", packages.join(" "));
    ensure!(run::id(&["-u"])? == 0 && run::succeeds("apt-get", &["--version"]), cure());
    println!("installing {} by apt-get", packages.join(", "));
    run::succeeds("apt-get", &["update"]);
    let mut command = Command::new("apt-get");
    command.env("RUNLEVEL", "1").env("DEBIAN_FRONTEND", "noninteractive");
    command.args(["install", "-y", "--no-install-recommends"]).args(packages);
    run::output(command.stdin(Stdio::null())).with_context(cure).map(drop)
}

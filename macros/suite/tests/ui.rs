//! What must not compile, and what the compiler then says.

use std::process::Command;

/// The compiler that the messages in `ui/*.stderr` were taken from.
const RUSTC: &str = "rustc 1.95.0 ";

#[test]
fn mistakes_are_reported_where_they_are() {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = Command::new(rustc).arg("--version").output().unwrap().stdout;
    let version = String::from_utf8(version).unwrap();
    assert!(
        version.starts_with(RUSTC),
        "the expected messages are those of {RUSTC}, but this is {version}: run the test with that compiler; to move \
         on to a newer one, change RUSTC here, run this test with TRYBUILD=overwrite and read the difference"
    );
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}

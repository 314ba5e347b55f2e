//! `cargo recount schema` as a user runs it.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn recount(directory: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_cargo-recount"))
        .args(["recount", "schema"])
        .args(arguments)
        .current_dir(directory)
        .output()
        .unwrap()
}

fn git(directory: &Path, arguments: &[&str]) {
    let identity = ["-c", "user.name=Ada", "-c", "user.email=ada@example.com", "-c", "init.defaultBranch=main"];
    let output = Command::new("git").args(identity).args(arguments).current_dir(directory).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn lock(form: &str) -> String {
    format!(
        r#"{{
  "format": 1,
  "events": {{
    "order.placed": {{
      "type": "OrderEvent",
      "versions": {{ "1": {{ "hash": "0", "form": {form}, "schema": {{}}, "samples": [] }} }}
    }}
  }}
}}
"#
    )
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn a_difference_is_said_and_decides_the_exit_status() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    fs::write(here.join("old.json"), lock(r#"{"object": {"total": "u32"}}"#)).unwrap();
    fs::write(here.join("new.json"), lock(r#"{"object": {"total": "u64"}}"#)).unwrap();
    let output = recount(here, &["diff", "old.json", "new.json"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(said(&output).contains("order.placed version 1 total: u32 became u64 (backward compatible)"));

    let output = recount(here, &["diff", "old.json", "new.json", "--compatibility", "full", "--sarif", "report.sarif"]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let report: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(here.join("report.sarif")).unwrap()).unwrap();
    let result = &report["runs"][0]["results"][0];
    assert_eq!((&result["level"], &result["ruleId"]), (&"error".into(), &"breaking-change".into()));
    assert_eq!(result["locations"][0]["physicalLocation"]["region"]["startLine"], 4);
}

#[test]
fn a_revision_of_git_is_compared() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    fs::create_dir(here.join("schemas")).unwrap();
    fs::write(here.join("schemas/lock.json"), lock(r#"{"object": {"total": "u32"}}"#)).unwrap();
    git(here, &["init", "-q"]);
    git(here, &["add", "."]);
    git(here, &["commit", "-qm", "first"]);
    fs::write(here.join("schemas/lock.json"), lock(r#"{"object": {}}"#)).unwrap();
    let output = recount(here, &["diff", "HEAD"]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("! order.placed version 1 total: is gone (breaking)"), "{}", said(&output));
}

#[test]
fn what_can_not_be_compared_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    fs::write(here.join("new.json"), lock("\"u8\"")).unwrap();
    fs::write(here.join("cut.json"), "{\"format\": 1,").unwrap();
    for (old, wanted) in [("nowhere", "`nowhere` is neither a file nor a revision"), ("cut.json", "it is damaged: EOF")]
    {
        let output = recount(here, &["diff", old, "new.json"]);
        assert_eq!(output.status.code(), Some(2), "{}", said(&output));
        assert!(said(&output).contains(wanted), "{}", said(&output));
    }
    let output = recount(here, &["diff", "new.json", "missing.json"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).contains("missing.json"), "{}", said(&output));
}

const ORDERS: &str = "
#[derive(recount::Event)]
#[event(name = \"order\")]
pub enum OrderEvent { Placed { total: u32 } }
";
const PAYMENTS: &str = "
#[derive(recount::Event)]
#[event(name = \"payment\")]
pub enum PaymentEvent { Captured { cents: i64 } }
";

/// A crate of its own workspace, with the versions of this one, whose crates are there already.
fn make_crate(directory: &Path) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let manifest = format!(
        "[package]\nname = \"sales\"\nedition = \"2024\"\n\n[workspace]\n\n\
         [dependencies]\nrecount = {{ path = {root:?}, default-features = false }}\n"
    );
    fs::create_dir_all(directory.join("src")).unwrap();
    fs::write(directory.join("Cargo.toml"), manifest).unwrap();
    fs::copy(root.join("Cargo.lock"), directory.join("Cargo.lock")).unwrap();
    fs::write(directory.join("src/lib.rs"), ORDERS.to_owned() + PAYMENTS).unwrap();
}

#[test]
fn a_type_that_is_gone_is_named_by_check() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    make_crate(here);
    let run = |what: &str| {
        let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from);
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_cargo-recount"))
            .args(["recount", "schema", what])
            .current_dir(here)
            .env("CARGO_TARGET_DIR", root.join(target).join("cli"))
            .env("CARGO_NET_OFFLINE", "true")
            .output()
            .unwrap();
        (output.status.code(), said(&output))
    };

    let (code, said) = run("lock");
    assert!(code == Some(0) && said.contains("lock.json: 2 events, 2 versions"), "{said}");
    let (code, said) = run("check");
    assert_eq!(code, Some(0), "{said}");

    fs::write(here.join("src/lib.rs"), ORDERS).unwrap();
    let (code, said) = run("check");
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("`payment.captured` was released, but its type `PaymentEvent` is gone: bring it back"),
        "{said}"
    );
    assert!(said.contains("put `\"erased\": true` beside its type in schemas/lock.json"), "{said}");

    let lock = here.join("schemas/lock.json");
    let text = fs::read_to_string(&lock).unwrap();
    fs::write(&lock, text.replace("\"type\": \"PaymentEvent\"", "\"type\": \"PaymentEvent\", \"erased\": true"))
        .unwrap();
    let (code, said) = run("check");
    assert_eq!(code, Some(0), "{said}");
}

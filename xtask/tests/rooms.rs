//! The rooms of the house: who may depend on whom. ARCHITECTURE.md draws the same picture.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that panics has failed")]

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

/// Each crate of the workspace and the workspace crates that it may use outside of tests.
const ARROWS: &[(&str, &[&str])] = &[
    ("recount-schema", &[]),
    ("recount-macros", &["recount-schema"]),
    ("recount-core", &["recount-macros", "recount-schema"]),
    ("recount-catalogue", &["recount-core", "recount-messaging", "recount-schema"]),
    ("recount-cli", &["recount", "recount-schema"]),
    ("recount-macros-suite", &["recount-core"]),
    ("recount-store-memory", &["recount-core"]),
    ("recount-store-sqlite", &["recount-core"]),
    ("recount-store-postgres", &["recount-core"]),
    ("recount-telemetry", &["recount-core"]),
    ("recount-messaging", &["recount-core"]),
    ("recount-broker-aws", &["recount-core", "recount-messaging"]),
    ("recount-broker-google", &["recount-core", "recount-messaging"]),
    ("recount-broker-kafka", &["recount-core", "recount-messaging"]),
    ("recount-broker-nats", &["recount-core", "recount-messaging"]),
    ("recount-broker-pulsar", &["recount-core", "recount-messaging"]),
    ("recount-broker-rabbitmq", &["recount-core", "recount-messaging"]),
    ("recount-testing", &["recount-core", "recount-messaging"]),
    (
        "recount",
        &[
            "recount-broker-aws",
            "recount-broker-google",
            "recount-broker-kafka",
            "recount-broker-nats",
            "recount-core",
            "recount-messaging",
            "recount-catalogue",
            "recount-store-memory",
            "recount-store-sqlite",
            "recount-store-postgres",
            "recount-telemetry",
            "recount-broker-pulsar",
            "recount-broker-rabbitmq",
        ],
    ),
    ("bank", &["recount"]),
    ("shop", &["recount"]),
    ("bench", &["bench-protocol", "recount"]),
    ("bench-protocol", &[]),
    ("recount-servers", &[]),
    ("xtask", &["recount-servers"]),
];

/// What the core must never see: databases, brokers, the network, the file system.
const NOT_IN_CORE: &[&str] = &[
    "sqlx",
    "rusqlite",
    "reqwest",
    "hyper",
    "async-nats",
    "lapin",
    "aws-sdk-sqs",
    "pulsar",
    "google-cloud-pubsub",
    "rdkafka",
    "notify",
    "opentelemetry",
    "axum",
];

fn packages() -> BTreeMap<String, Value> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .output()
        .expect("cargo metadata runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo metadata prints JSON");
    let packages = metadata["packages"].as_array().expect("packages").iter();
    packages.map(|package| (package["name"].as_str().expect("a name").to_owned(), package.clone())).collect()
}

/// The dependencies that are compiled into the crate itself.
fn dependencies(package: &Value) -> BTreeSet<&str> {
    let all = package["dependencies"].as_array().expect("dependencies").iter();
    all.filter(|dependency| dependency["kind"].as_str() != Some("dev")).filter_map(|d| d["name"].as_str()).collect()
}

#[test]
fn arrows_point_one_way() {
    let packages = packages();
    let inside: BTreeSet<&str> = packages.keys().map(String::as_str).collect();
    for (name, package) in &packages {
        let Some((_, allowed)) = ARROWS.iter().find(|(room, _)| room == name) else {
            panic!("{name} has no place in the house: add it to ARROWS here and to ARCHITECTURE.md");
        };
        for dependency in dependencies(package).intersection(&inside) {
            assert!(allowed.contains(dependency), "{name} must not depend on {dependency}");
        }
    }
}

#[test]
fn the_core_has_no_input_or_output() {
    let packages = packages();
    for dependency in dependencies(&packages["recount-core"]) {
        assert!(!NOT_IN_CORE.contains(&dependency), "recount-core must not depend on {dependency}");
    }
}

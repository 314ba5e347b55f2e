//! AsyncAPI's own parser accepts the document of the shop.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that panics has failed")]

use std::process::Command;

use recount_servers::node_package;
use serde_json::Value;

#[test]
fn the_parser_of_asyncapi_accepts_the_document_of_the_shop() {
    let directory = tempfile::TempDir::new().unwrap();
    let shop = Command::new(env!("CARGO_BIN_EXE_shop")).arg("catalogue").arg(directory.path()).output().unwrap();
    assert!(shop.status.success(), "{}", String::from_utf8_lossy(&shop.stderr));
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/asyncapi.mjs");
    let mut parser = node_package("@asyncapi/parser@3.6.6", script).unwrap();
    let document = directory.path().join("asyncapi.json");
    let output = parser.arg(&document).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let read: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(read["problems"], Value::Array(Vec::new()), "{read:#}");
    // Six services: five topics of events, four of commands, and the replies.
    assert_eq!(read["channels"], 14, "{read:#}");
    let text = std::fs::read_to_string(&document).unwrap();
    let operations = serde_json::from_str::<Value>(&text).unwrap()["operations"].as_object().unwrap().len();
    assert_eq!(read["operations"], operations);
    // A document with a mistake is not accepted.
    std::fs::write(&document, text.replace("\"action\": \"send\"", "\"action\": \"shout\"")).unwrap();
    let output = parser.output().unwrap();
    let read: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(!read["problems"].as_array().unwrap().is_empty(), "{read:#}");
}

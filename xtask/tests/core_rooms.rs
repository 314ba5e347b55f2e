//! The rooms inside of core: each file names only what its own room and the rooms below hold. ARCHITECTURE.md draws them.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that panics has failed")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Each room and the rooms that it may use, beside itself. `private` holds the derives' own code, and is no room.
const BELOW: &[(&str, &[&str])] = &[
    ("store", &["redact"]),
    ("domain", &["store"]),
    ("telemetry", &["store", "domain"]),
    ("dispatch", &["store", "domain", "telemetry"]),
    ("run", &["store", "domain", "dispatch", "telemetry"]),
    ("process", &["store", "domain", "dispatch", "run", "telemetry"]),
    ("redact", &[]),
];

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../core/src")
}

fn read(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let text = text.split("#[cfg(test)]").next().unwrap_or_default();
    text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

/// The first segments of the paths in a `{…}`, or of one path.
fn heads(tree: &str) -> Vec<String> {
    let tree = tree.trim_start();
    let word =
        |text: &str| -> String { text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect() };
    let Some(inner) = tree.strip_prefix('{') else { return vec![word(tree)] };
    let (mut depth, mut start, mut found) = (0, 0, Vec::new());
    for (at, c) in inner.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => {
                found.push(word(&inner[start..at]));
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                found.push(word(&inner[start..at]));
                start = at + 1;
            }
            _ => {}
        }
    }
    found.retain(|name| !name.is_empty());
    found
}

/// What a file names behind `crate::`.
fn named(text: &str) -> BTreeSet<String> {
    let paths = text.match_indices("crate::").filter(|(at, _)| !text[..*at].ends_with(['_', '$']));
    paths.flat_map(|(at, prefix)| heads(&text[at + prefix.len()..])).collect()
}

/// The room from which `lib.rs` re-exports each name.
fn homes() -> BTreeMap<String, String> {
    let mut homes = BTreeMap::new();
    let text = read(&source().join("lib.rs"));
    for statement in text.split(';').filter_map(|part| part.split_once("pub use ").map(|(_, path)| path)) {
        let Some((room, tree)) = statement.split_once("::") else { continue };
        for name in heads(tree) {
            // The derives come last, and have the names of their traits.
            homes.entry(name).or_insert_with(|| room.trim().to_owned());
        }
    }
    homes
}

fn files(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn arrows_inside_of_core_point_one_way() {
    let (homes, mut all, mut rooms) = (homes(), Vec::new(), BTreeSet::new());
    files(&source(), &mut all);
    for path in all {
        let file = path.strip_prefix(source()).unwrap().to_str().unwrap().replace('\\', "/");
        let room = file.split(['/', '.']).next().unwrap_or_default().to_owned();
        let Some((_, below)) = BELOW.iter().find(|(name, _)| *name == room) else { continue };
        let is_above = |name: &String| {
            let home = homes.get(name).unwrap_or(name);
            home != "__private" && *home != room && !below.contains(&home.as_str())
        };
        let above: Vec<_> = named(&read(&path)).into_iter().filter(is_above).collect();
        assert!(above.is_empty(), "core/src/{file} must not name {above:?}: its room is below theirs");
        rooms.insert(room);
    }
    assert_eq!(rooms.len(), BELOW.len(), "rooms with files: {rooms:?}");
}

#[test]
fn paths_are_found_in_every_form() {
    let text = "use crate::{A, b::{C, D}, e::F as G};\nfn f(x: crate::h::I) -> crate::J {}\n";
    let names: Vec<_> = named(text).into_iter().collect();
    assert_eq!(names, ["A", "J", "b", "e", "h"]);
}

//! An error does not print its source: reports print the whole chain, and would say the same twice.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that panics has failed")]

use std::fs;
use std::path::{Path, PathBuf};

fn files(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            files(&path, found);
        } else if name.ends_with(".rs") {
            found.push(path);
        }
    }
}

/// The messages of `#[error("…")]` that print the error's source.
fn repeating(text: &str) -> Vec<&str> {
    let attributes = text.split("#[error(").skip(1).filter_map(|rest| rest.split_once(")]\n"));
    let repeats = |(message, item): &(&str, &str)| {
        let item = item.lines().map(str::trim).find(|line| !line.starts_with(['/', '#'])).unwrap_or_default();
        let unnamed = ["#[from]", "#[source]"].iter().any(|mark| item.contains(mark));
        // thiserror takes a field of this name for the source.
        message.contains("{source") || unnamed && (message.contains("{0}") || message.contains("{0:"))
    };
    attributes.filter(repeats).map(|(message, _)| message).collect()
}

#[test]
fn no_error_prints_its_source() {
    let mut all = Vec::new();
    files(&Path::new(env!("CARGO_MANIFEST_DIR")).join(".."), &mut all);
    all.retain(|path| !path.ends_with("xtask/tests/error_texts.rs"));
    assert!(all.len() > 400, "{} files", all.len());
    for path in all {
        let text = fs::read_to_string(&path).unwrap();
        let found = repeating(&text);
        assert!(found.is_empty(), "{}: {found:?} prints the source that it also returns", path.display());
    }
}

#[test]
fn both_forms_of_repetition_are_found() {
    let text = "#[error(\"the lock: {0}\")]\nLock(#[from] E),\n#[error(\n    \"{path}: {source}\"\n)]\nFile {\n#[error(\"{0} cents\")]\nFew(u64),\n\
                #[error(\"it failed\")]\nFailed(#[source] E),\n";
    assert_eq!(repeating(text), ["\"the lock: {0}\"", "\n    \"{path}: {source}\"\n"]);
}

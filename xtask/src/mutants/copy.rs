//! A copy of the workspace's sources. A file that does not change keeps its time, so that builds of it are incremental.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Directories that the build does not need.
const SKIPPED: &[&str] = &["target", "docs", "peers"];

/// Copies the files that differ, some of them with another text, and removes those that are gone.
pub(crate) fn mirror(from: &Path, to: &Path, changed: &BTreeMap<&str, String>) -> Result<()> {
    fs::create_dir_all(to)?;
    let (mut files, mut copied) = (BTreeSet::new(), BTreeSet::new());
    collect(from, Path::new(""), &mut files)?;
    collect(to, Path::new(""), &mut copied)?;
    for gone in copied.difference(&files) {
        fs::remove_file(to.join(gone))?;
    }
    for file in files {
        let (source, target) = (from.join(&file), to.join(&file));
        let text = match file.to_str().and_then(|name| changed.get(name)) {
            Some(text) => text.clone().into_bytes(),
            None => fs::read(&source).with_context(|| source.display().to_string())?,
        };
        if fs::read(&target).is_ok_and(|was| was == text) {
            continue;
        }
        if let Some(directory) = target.parent() {
            fs::create_dir_all(directory)?;
        }
        fs::write(&target, text).with_context(|| target.display().to_string())?;
    }
    Ok(())
}

/// Collects the files of a directory, by their paths below the root.
fn collect(root: &Path, directory: &Path, found: &mut BTreeSet<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(root.join(directory))? {
        let entry = entry?;
        let (name, path) = (entry.file_name(), directory.join(entry.file_name()));
        let name = name.to_string_lossy();
        if name.starts_with('.') && name != ".cargo" {
            continue;
        }
        let kind = entry.file_type()?;
        if kind.is_file() {
            found.insert(path);
        } else if kind.is_dir() && !SKIPPED.contains(&&*name) {
            collect(root, &path, found)?;
        }
    }
    Ok(())
}

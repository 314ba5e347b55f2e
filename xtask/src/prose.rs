//! Counts comment lines that use a pronoun where a noun would say more, such as "whoever" for "the caller". The count
//! may only fall.

use std::path::Path;

use anyhow::{Context, Result, bail};

/// The words that stand in for a noun.
const WORDS: &[&str] = &["who", "whoever", "whom", "whose", "what", "whatever", "nobody", "somebody"];
/// The file with the greatest count that passes.
const RECORD: &str = "xtask/prose.txt";

/// Fails if there are more such lines than recorded; lowers the record if there are fewer.
pub(crate) fn check() -> Result<()> {
    let mut found = Vec::new();
    collect(Path::new("."), &mut found)?;
    let recorded = std::fs::read_to_string(RECORD).context(RECORD)?;
    let recorded: usize = recorded.trim().parse().context(RECORD)?;
    if found.len() > recorded {
        bail!(
            "{}\n{} comment lines use one of {WORDS:?} for a noun, {recorded} are recorded in {RECORD}: name the thing",
            found.join("\n"),
            found.len()
        );
    }
    if found.len() < recorded {
        println!("{} comment lines use a pronoun for a noun, {recorded} were recorded: lowering {RECORD}", found.len());
        std::fs::write(RECORD, format!("{}\n", found.len())).context(RECORD)?;
    }
    Ok(())
}

/// Collects the lines of all Rust files of a directory, except for tests, benches, and built files.
fn collect(directory: &Path, found: &mut Vec<String>) -> Result<()> {
    const SKIPPED: &[&str] = &["target", "tests", "tests.rs", "bench", "snapshots"];
    let mut entries = directory.read_dir()?.collect::<Result<Vec<_>, _>>()?;
    entries.sort_by_key(|entry| entry.file_name());
    for entry in entries {
        let (path, name) = (entry.path(), entry.file_name());
        let name = name.to_string_lossy();
        if SKIPPED.contains(&&*name) || name.starts_with('.') {
            continue;
        }
        if entry.file_type()?.is_dir() {
            collect(&path, found)?;
        } else if name.ends_with(".rs") {
            let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
            found.extend(lines(&text).map(|(number, line)| format!("{}:{number}: {}", path.display(), line.trim())));
        }
    }
    Ok(())
}

/// The comment lines with such a word, up to the module of unit tests, with their numbers.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let code = text.lines().enumerate().take_while(|(_, line)| line.trim() != "#[cfg(test)]");
    code.filter(|(_, line)| line.trim_start().starts_with("//") && has_word(line))
        .map(|(index, line)| (index + 1, line))
}

fn has_word(line: &str) -> bool {
    let mut words = line.split(|letter: char| !letter.is_alphanumeric());
    words.any(|word| WORDS.iter().any(|stand_in| word.eq_ignore_ascii_case(stand_in)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comment_lines_before_the_tests_are_found() {
        let text = "//! Who asks.\nlet what = 1; // what\n    /// Whatever.\n// whatsoever\n#[cfg(test)]\n// what\n";
        assert_eq!(lines(text).map(|(number, _)| number).collect::<Vec<_>>(), [1, 3]);
    }
}

//! What the first half hour promises: little code, and money that is still there the next day.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that panics has failed")]

use std::path::Path;
use std::process::Command;

fn run(directory: &Path) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_bank")).current_dir(directory).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_second_run_goes_on_with_the_balance_of_the_first() {
    let directory = tempfile::tempdir().unwrap();
    let first = run(directory.path());
    assert!(first.contains("version 1 of the account"), "{first}");
    assert!(first.contains("balance: 500 cents, 500 after the first deposit"), "{first}");
    assert!(first.contains("refused: there are only 500 cents"), "{first}");
    assert!(first.contains(r#"read model: {"ada": Account { balance: 500 }}"#), "{first}");
    let second = run(directory.path());
    assert!(second.contains("version 2 of the account"), "{second}");
    assert!(second.contains("balance: 1000 cents, 500 after the first deposit"), "{second}");
    assert!(second.contains(r#"read model: {"ada": Account { balance: 1000 }}"#), "{second}");
    let files = std::fs::read_dir(directory.path()).unwrap().map(|file| file.unwrap().file_name());
    assert_eq!(files.collect::<Vec<_>>(), ["bank.db"]);
}

/// Lines that are neither blank nor a comment.
fn lines_of_code(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("//"))
}

#[test]
fn the_domain_takes_40_lines_and_the_wiring_15() {
    let source = |file: &str| std::fs::read_to_string(format!("{}/src/{file}", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let domain = source("account.rs");
    let (domain, _) = domain.split_once("#[cfg(test)]").unwrap();
    assert!(lines_of_code(domain).count() <= 40, "{} lines of domain", lines_of_code(domain).count());

    // What comes before the steps, the steps with a star, and the end of `main`; the allowance for the linter and what
    // is printed wire nothing.
    let main = source("main.rs");
    let mut wiring = Vec::new();
    let mut wanted = true;
    for line in main.lines() {
        if let Some(step) = line.trim().strip_prefix("// ").filter(|step| step.starts_with(char::is_numeric)) {
            wanted = step[1..].starts_with(".*");
        }
        if wanted || line == "    Ok(())" || line == "}" {
            wiring.extend(lines_of_code(line).filter(|line| !line.starts_with("#!") && !line.starts_with("println!")));
        }
    }
    assert!(wiring.len() <= 15, "{} lines of wiring:\n{}", wiring.len(), wiring.join("\n"));
    assert!(wiring.len() > 10, "the steps are no longer found:\n{}", wiring.join("\n"));
}

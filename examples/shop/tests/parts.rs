//! The parts of the shop talk through events only, so that each can become a service of its own.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that panics has failed")]

const PARTS: [&str; 6] = ["user", "order", "payment", "inventory", "notification", "analytics"];

#[test]
fn a_part_knows_nothing_of_another_but_its_events() {
    for part in PARTS {
        let file = format!("{}/src/{part}.rs", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(file).unwrap();
        let (program, _) = text.split_once("#[cfg(test)]").unwrap_or((&text, ""));
        for path in program.split("crate::").skip(1) {
            let Some((module, names)) = path.split_once("::") else { panic!("{part} names all of {path}") };
            if !PARTS.contains(&module) {
                continue;
            }
            let end = names.find(';').unwrap_or(names.len());
            for name in names[..end].trim_matches(['{', '}']).split(',').map(str::trim) {
                assert!(name.ends_with("Event"), "{part} knows {module}::{name}, which is no event");
            }
        }
    }
}

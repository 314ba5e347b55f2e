//! What a lock makes of changes: a crate is locked, changed in one place, and compiled.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod mutation;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use mutation::{LOCK, MUTATIONS, Mutation, SALES, VALUES};

/// Where the outcomes are written to as well, if set: a JSON array.
const JSON: &str = "RECOUNT_MUTATIONS_JSON";
const TABLE_STARTS: &str = "<!-- mutations: this table is written by the test of the same name -->\n";

const SOURCES: &[&str] = &[SALES, VALUES, LOCK];

/// A copy of the two crates, as a workspace of its own.
struct Copy(PathBuf);

impl Copy {
    fn make() -> Self {
        let suite = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = suite.parent().and_then(Path::parent).unwrap();
        let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
        let copy = Self(root.join(target).join("mutations"));
        let depends = format!(
            "recount = {{ path = {root:?}, default-features = false }}\nserde = {{ version = \"1\", features = [\"derive\"] }}\n\
             schemars = {{ version = \"1.2\", default-features = false, features = [\"derive\", \"std\"] }}\n"
        );
        let package =
            |name: &str| format!("[package]\nname = \"{name}\"\nedition = \"2024\"\n\n[dependencies]\n{depends}");
        copy.write(
            "Cargo.toml",
            "[workspace]\nmembers = [\"sales\", \"values\"]\nresolver = \"3\"\n\n[profile.dev]\ndebug = false\n",
        );
        copy.write("values/Cargo.toml", &package("values"));
        copy.write("sales/Cargo.toml", &(package("sales") + "values = { path = \"../values\" }\n"));
        for source in [SALES, VALUES] {
            copy.write(source, &fs::read_to_string(suite.join("mutated").join(source)).unwrap());
        }
        // The versions of the workspace, whose crates are there already.
        fs::copy(root.join("Cargo.lock"), copy.0.join("Cargo.lock")).unwrap();
        copy.write(LOCK, "{\"format\": 1, \"events\": {}}");
        copy
    }

    fn path(&self, file: &str) -> PathBuf {
        self.0.join(file)
    }

    fn read(&self, file: &str) -> String {
        fs::read_to_string(self.path(file)).unwrap()
    }

    fn write(&self, file: &str, text: &str) {
        let path = self.path(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn cargo(&self, arguments: &[&str], mode: &str) -> Output {
        Command::new(env!("CARGO"))
            .args(arguments)
            .args(["--offline", "--color", "never"])
            .current_dir(&self.0)
            .env("CARGO_TARGET_DIR", self.path("target"))
            .env("CARGO_INCREMENTAL", "0")
            .env("RECOUNT_SCHEMA", mode)
            .output()
            .unwrap()
    }
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// What became of a mutation.
struct Outcome {
    compiled: bool,
    names_the_field: bool,
    said: String,
}

fn compile(copy: &Copy, mutation: &Mutation, originals: &[String]) -> Outcome {
    for (file, from, to) in mutation.edits {
        let text = copy.read(file);
        assert!(text.contains(from), "{}: {file} does not contain {from:?}", mutation.name);
        copy.write(file, &text.replacen(from, to, 1));
    }
    let output = copy.cargo(&["check", "-p", "sales"], "");
    for (file, original) in SOURCES.iter().zip(originals) {
        if copy.read(file) != *original {
            copy.write(file, original);
        }
    }
    let said = said(&output);
    let names_the_field = said.contains(&format!("`{}`", mutation.field));
    Outcome { compiled: output.status.success(), names_the_field, said }
}

fn check(mutation: &Mutation, outcome: &Outcome) -> Result<(), String> {
    let Outcome { compiled, names_the_field, said } = outcome;
    match (mutation.breaking, compiled) {
        (true, true) => Err(format!("{}: compiles, but breaks what is stored", mutation.name)),
        (false, false) => Err(format!("{}: is harmless, but does not compile\n{said}", mutation.name)),
        (true, false) if !names_the_field => {
            Err(format!("{}: `{}` is not named\n{said}", mutation.name, mutation.field))
        }
        // An error of the lock, not a slip in the mutation.
        (true, false) if !said.contains("version ") && !said.contains("was released") => {
            Err(format!("{}: another error\n{said}", mutation.name))
        }
        _ => Ok(()),
    }
}

fn table(outcomes: &[(&Mutation, Outcome)]) -> String {
    let mut table = "| change | what is stored | compiles | the error names |\n|---|---|---|---|\n".to_owned();
    for (mutation, outcome) in outcomes {
        let stored = if mutation.breaking { "breaks" } else { "reads" };
        let (compiles, names) =
            if outcome.compiled { ("yes", String::new()) } else { ("no", format!("`{}`", mutation.field)) };
        table += &format!("| {} | {stored} | {compiles} | {names} |\n", mutation.name);
    }
    table
}

/// A lock that can't be read is one error, whatever is wrong with it.
fn damaged(copy: &Copy) {
    let (source, lock) = (copy.read(SALES), copy.read(LOCK));
    copy.write(SALES, &(source.clone() + "#[derive(Event)]\n#[event(name = \"order.seen\")]\npub struct Seen;\n"));
    let damages = [
        ("<<<<<<< HEAD\n".to_owned() + &lock, "is a conflict marker of git"),
        (lock.replace("\"format\": 1", "\"format\": 2"), "this recount knows 1: update recount"),
        (lock.chars().take(lock.len() / 2).collect(), "it is damaged: EOF"),
        (lock.replace("\"bool\"", "7"), "has no form: `7` is no form"),
    ];
    for (text, wanted) in damages {
        copy.write(LOCK, &text);
        let output = copy.cargo(&["check", "-p", "sales"], "");
        let said = said(&output);
        assert!(!output.status.success() && said.contains(wanted), "{wanted}: {said}");
        assert_eq!(said.matches("error: schemas/lock.json can't be read").count(), 1, "{said}");
        assert_eq!(said.matches("\nerror").count(), 2, "one, and cargo's own: {said}");
        assert!(!said.contains("panicked"), "{said}");
    }
    copy.write(LOCK, &lock);
    copy.write(SALES, &source);
}

/// Fields that no longer read what is stored are all reported, in all variants.
fn in_all_fields(copy: &Copy) {
    let source = copy.read(SALES);
    let edits = [
        ("gift: bool", "gift: u8", "version 1 of `order.placed` is stored with `bool` for `gift`"),
        (
            "note: Option<String>",
            "note: Option<u64>",
            "version 1 of `order.placed` is stored with null or `string` for `note`",
        ),
        ("Moved(u32, u32)", "Moved(u32, String)", "version 1 of `order.moved` is stored with `u32` for `1`"),
    ];
    copy.write(SALES, &edits.iter().fold(source.clone(), |text, (from, to, _)| text.replace(from, to)));
    let said = said(&copy.cargo(&["check", "-p", "sales"], ""));
    for (_, _, wanted) in edits {
        assert!(said.contains(wanted), "{wanted}: {said}");
    }
    copy.write(SALES, &source);
}

#[test]
fn breaking_changes_do_not_compile_and_harmless_ones_do() {
    let copy = Copy::make();
    let locked = copy.cargo(&["test", "-p", "sales", "--lib"], "lock");
    assert!(locked.status.success(), "{}", said(&locked));
    assert!(said(&locked).contains("event_schema_of_OrderEvent ... ok"), "{}", said(&locked));
    let unchanged = copy.cargo(&["test", "-p", "sales", "--lib"], "check");
    assert!(unchanged.status.success(), "{}", said(&unchanged));

    let originals: Vec<_> = SOURCES.iter().map(|file| copy.read(file)).collect();
    let outcomes: Vec<_> = MUTATIONS.iter().map(|mutation| (mutation, compile(&copy, mutation, &originals))).collect();

    if let Some(file) = std::env::var_os(JSON) {
        let each = outcomes.iter().map(|(mutation, outcome)| {
            serde_json::json!({
                "mutation": mutation.name, "breaking": mutation.breaking, "compiled": outcome.compiled,
                "names_the_field": outcome.names_the_field,
            })
        });
        fs::write(file, serde_json::to_string_pretty(&each.collect::<Vec<_>>()).unwrap() + "\n").unwrap();
    }
    let failures: Vec<_> = outcomes.iter().filter_map(|(mutation, outcome)| check(mutation, outcome).err()).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));

    in_all_fields(&copy);
    damaged(&copy);
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/schema-lock.md");
    let text = fs::read_to_string(&document).unwrap();
    let (before, _) = text.split_once(TABLE_STARTS).unwrap();
    let written = format!("{before}{TABLE_STARTS}{}", table(&outcomes));
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        fs::write(&document, &written).unwrap();
    } else {
        assert_eq!(text, written, "docs/schema-lock.md says otherwise: run this test with UPDATE_EXPECT=1");
    }
}

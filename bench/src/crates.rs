//! The crates whose compile times are compared: the same fifty variants, derived by recount and by serde and schemars; and two hundred
//! events with a lock and without.

use std::path::Path;

use anyhow::{Context, Result};

const VARIANTS: usize = 50;
const FIELDS: [&str; 6] =
    ["owner: String", "amount: i64", "branch: u32", "note: Option<String>", "items: Vec<String>", "when: u64"];

pub struct Crate {
    pub name: &'static str,
    derive: &'static str,
    /// How many enums of fifty variants.
    enums: usize,
    /// Derives cost little until somebody calls them.
    uses: &'static str,
}

pub const OURS: Crate = Crate { name: "with-recount", derive: RECOUNT, enums: 1, uses: USES };

/// What is locked.
pub const LOCKED: Crate = Crate { name: "with-lock", derive: RECOUNT, enums: 4, uses: USES };
/// The same without a lock.
pub const UNLOCKED: Crate = Crate { name: "without-lock", ..LOCKED };

const RECOUNT: &str = "#[derive(recount::Event)]\n#[event(name = \"thing\")]";
const USES: &str = "
pub fn write(event: &Thing) -> Option<Vec<u8>> { recount::Event::encode(event).ok().map(|data| data.payload.to_vec()) }
pub fn read(json: &[u8]) -> Option<Thing> { recount::Event::decode(\"thing.happened00\", 1, json).ok() }
pub fn schemas() -> Vec<recount::EventVariant> { <Thing as recount::Event>::variants() }
";

pub const PLAIN: Crate = Crate {
    name: "with-serde",
    derive: "#[derive(serde::Serialize, serde::Deserialize, schemars::JsonSchema)]",
    enums: 1,
    uses: "
pub fn write(event: &Thing) -> Option<Vec<u8>> { serde_json::to_vec(event).ok() }
pub fn read(json: &[u8]) -> Option<Thing> { serde_json::from_slice(json).ok() }
pub fn schema() -> schemars::Schema { schemars::schema_for!(Thing) }
",
};

const ALL: [&Crate; 4] = [&OURS, &PLAIN, &LOCKED, &UNLOCKED];

/// Writes the crates as a workspace with the lock file of this one, so that nothing is to be resolved or downloaded.
pub fn write(directory: &Path) -> Result<()> {
    let recount = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the bench is in no workspace")?;
    std::fs::create_dir_all(directory)?;
    std::fs::copy(recount.join("Cargo.lock"), directory.join("Cargo.lock"))?;
    let members = format!("[workspace]\nresolver = \"3\"\nmembers = {:?}\n", ALL.map(|one| one.name));
    std::fs::write(directory.join("Cargo.toml"), members)?;
    for one in ALL {
        std::fs::create_dir_all(directory.join(one.name).join("src"))?;
        std::fs::write(directory.join(one.name).join("Cargo.toml"), one.manifest(recount))?;
        one.touch(directory)?;
    }
    Ok(())
}

impl Crate {
    /// Writes the source: cargo sees that it is newer than what was compiled.
    pub fn touch(&self, directory: &Path) -> Result<()> {
        Ok(std::fs::write(directory.join(self.name).join("src/lib.rs"), self.source())?)
    }

    fn source(&self) -> String {
        let fields = |variant: usize| (0..=variant % 4).map(move |field| FIELDS[(variant + field) % FIELDS.len()]);
        let variants = (0..VARIANTS).map(|variant| {
            let fields: Vec<&str> = fields(variant).collect();
            format!("    Happened{variant:02} {{ {} }},\n", fields.join(", "))
        });
        let variants: String = variants.collect();
        let first = format!("{}\npub enum Thing {{\n{variants}}}\n{}", self.derive, self.uses);
        let more = (1..self.enums).map(|more| {
            let derive = self.derive.replace("\"thing\"", &format!("\"thing{more}\""));
            format!("{derive}\npub enum Thing{more} {{\n{variants}}}\n")
        });
        first + &more.collect::<String>()
    }

    /// Both depend on the same crates.
    fn manifest(&self, recount: &Path) -> String {
        format!(
            r#"[package]
name = "{}"
version = "0.1.0"
edition = "2024"

[dependencies]
recount = {{ path = '{}', default-features = false }}
schemars = {{ version = "1", default-features = false, features = ["derive", "std"] }}
serde = {{ version = "1", features = ["derive"] }}
serde_json = "1"
"#,
            self.name,
            recount.display()
        )
    }
}

//! The test that the derive writes beside an event type if the crate has a lock.

use std::path::Path;

use recount_schema::{Lock, LockError, LockedEvent, LockedVersion, PATH, SAMPLES, choose};

use super::drawn::{Lossy, drawn};
use super::payload::Payload;
use crate::store::error_chain;
use crate::{Event, EventVariant};

/// The mode of the test, beside reading the samples: `lock` writes the lock, `check` fails if the lock is behind.
const VARIABLE: &str = "RECOUNT_SCHEMA";

/// A file to which each test adds its type, so that types that are gone can be told from those that are there.
const SEEN: &str = "RECOUNT_SCHEMA_SEEN";

/// Reads the samples of all released versions of an event type, draws payloads that it must keep, and locks it if asked to.
///
/// # Panics
/// If a sample can't be read any more, or the lock is wrong otherwise: it is the body of a test.
#[allow(clippy::panic, reason = "a test that panics has failed")]
pub fn check_schema<E: Event + Payload>(manifest_directory: &str, rust_type: &str) {
    let directory = Path::new(manifest_directory);
    let mode = std::env::var(VARIABLE).unwrap_or_default();
    let seen = std::env::var_os(SEEN).map_or(Ok(()), |file| recount_schema::add_line(Path::new(&file), rust_type));
    if let Err(failure) = seen.map_err(Failure::from).and_then(|()| check::<E>(directory, rust_type, &mode)) {
        panic!("{rust_type}: {}", error_chain(&failure));
    }
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{PATH}")]
    Lock(#[from] LockError),
    #[error("{VARIABLE} is `lock`, `check` or not set, not `{0}`")]
    Mode(String),
    #[error("version {version} of `{name}` can't be read any more: {error}\n\n    {sample}\n")]
    Sample { name: String, version: u32, error: String, sample: String },
    #[error(
        "the JSON Schema of version {version} of `{name}` changed in a part whose form is not known at compile time. If all stored \
         events still read, lock it again; else write a new version. A type that derives `Shape` is seen at compile time"
    )]
    Schema { name: String, version: u32 },
    #[error(transparent)]
    Lossy(#[from] Lossy),
    #[error("{0}, but that is not in {PATH}: run `cargo recount schema lock`, and commit the file")]
    Behind(String),
    #[error(
        "no sample of `{0}` can be made from its JSON Schema that the event reads: give the type an example, such as \
         `#[schemars(extend(\"examples\" = [\"…\"]))]`"
    )]
    NoSample(String),
}

fn check<E: Event + Payload>(directory: &Path, rust_type: &str, mode: &str) -> Result<(), Failure> {
    match mode {
        "lock" => Lock::update(directory, |lock| lock_type::<E>(lock, rust_type)),
        "check" | "" => {
            let lock = Lock::read(directory)?.unwrap_or_default();
            for variant in E::variants() {
                drawn::<E>(&variant, variant.event_type, &schema(&variant))?;
                match released(&lock, &variant) {
                    Some((name, locked)) => check_variant::<E>(&variant, name, locked)?,
                    None if mode == "check" => return Err(Failure::Behind(format!("`{}` is new", variant.event_type))),
                    None => {}
                }
            }
            if mode == "check" { up_to_date::<E>(&lock, rust_type) } else { Ok(()) }
        }
        other => Err(Failure::Mode(other.to_owned())),
    }
}

/// The lock's entry of an event, under its name or an earlier one.
fn released<'l>(lock: &'l Lock, variant: &EventVariant) -> Option<(&'l str, &'l LockedEvent)> {
    let names = [variant.event_type].into_iter().chain(variant.aliases.iter().copied());
    let (name, locked) = names.filter_map(|name| lock.events.get_key_value(name)).next()?;
    (!locked.erased).then_some((name, locked))
}

fn check_variant<E: Event>(variant: &EventVariant, name: &str, locked: &LockedEvent) -> Result<(), Failure> {
    for (&version, locked) in &locked.versions {
        for sample in &locked.samples {
            E::decode(name, version, sample.as_bytes()).map_err(|error| Failure::Sample {
                name: name.to_owned(),
                version,
                error: error_chain(&error),
                sample: sample.clone(),
            })?;
        }
        let opaque = locked.form().is_ok_and(|form| form.is_partly_opaque());
        if version == variant.schema_version && opaque && bare(&locked.schema) != bare(&schema(variant)) {
            return Err(Failure::Schema { name: name.to_owned(), version });
        }
    }
    Ok(())
}

fn schema(variant: &EventVariant) -> serde_json::Value {
    (variant.schema)().to_value()
}

/// A schema without words for people, which may change.
fn bare(schema: &serde_json::Value) -> serde_json::Value {
    match schema {
        serde_json::Value::Object(map) => {
            let told = |key: &str, value: &serde_json::Value| {
                value.is_string() && matches!(key, "title" | "description" | "$comment")
            };
            map.iter().filter(|(key, value)| !told(key, value)).map(|(key, value)| (key.clone(), bare(value))).collect()
        }
        serde_json::Value::Array(values) => values.iter().map(bare).collect(),
        other => other.clone(),
    }
}

fn up_to_date<E: Event + Payload>(lock: &Lock, rust_type: &str) -> Result<(), Failure> {
    let mut next = lock.clone();
    lock_type::<E>(&mut next, rust_type)?;
    // A lock that only lacks samples is up to date.
    let bare = |event: &LockedEvent| {
        let mut event = event.clone();
        event.versions.values_mut().for_each(|version| version.samples.clear());
        event
    };
    let changed = next.events.iter().find(|(name, locked)| lock.events.get(*name).map(bare) != Some(bare(locked)));
    match changed {
        Some((name, _)) => Err(Failure::Behind(format!("`{name}` changed"))),
        None => Ok(()),
    }
}

fn lock_type<E: Event + Payload>(lock: &mut Lock, rust_type: &str) -> Result<(), Failure> {
    for variant in E::variants() {
        let name = released(lock, &variant).map_or(variant.event_type, |(name, _)| name).to_owned();
        let locked = lock.events.entry(name.clone()).or_default();
        locked.erased = false;
        rust_type.clone_into(&mut locked.rust_type);
        let before = locked.versions.get(&variant.schema_version);
        let version = lock_version::<E>(&variant, &name, before)?;
        locked.versions.insert(variant.schema_version, version);
    }
    Ok(())
}

/// The version as stored now. Samples that were locked before stay; new ones only add the cases that these lack.
fn lock_version<E: Event + Payload>(
    variant: &EventVariant,
    name: &str,
    before: Option<&LockedVersion>,
) -> Result<LockedVersion, Failure> {
    let hash = format!("{:016x}", variant.form.hash());
    let (form, schema) = (variant.form.to_json(), schema(variant));
    let kept = before.map_or(&[][..], |before| &before.samples);
    let changed = before.is_some_and(|before| before.form != form || before.schema != schema);
    let most = if changed { kept.len() + SAMPLES } else { SAMPLES };
    let samples = choose(&schema, kept, &drawn::<E>(variant, name, &schema)?, most);
    if samples.is_empty() {
        return Err(Failure::NoSample(name.to_owned()));
    }
    Ok(LockedVersion { hash, form, schema, samples })
}

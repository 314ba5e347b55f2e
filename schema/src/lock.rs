//! The file.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::form::{Form, FormError};

/// Where the lock of a crate is, from the directory of its manifest.
pub const PATH: &str = "schemas/lock.json";
/// The format that is written, and the newest that is read.
pub const FORMAT: u32 = 1;

/// The stored form of every released version of a crate's events.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    /// The format of the file.
    pub format: u32,
    /// The events, by stored name.
    pub events: BTreeMap<String, LockedEvent>,
}

/// An event that was released.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedEvent {
    /// The Rust type that it belongs to.
    #[serde(rename = "type")]
    pub rust_type: String,
    /// Set by hand once nothing of it is stored any more: then it may go from the code.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub erased: bool,
    /// Its versions.
    pub versions: BTreeMap<u32, LockedVersion>,
}

/// A version of an event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedVersion {
    /// Stands for the form, in hexadecimal digits.
    pub hash: String,
    /// The stored form: see [`Form`].
    pub form: Value,
    /// The JSON Schema of the payload.
    pub schema: Value,
    /// Payloads that must stay readable, byte for byte.
    pub samples: Vec<String>,
}

impl LockedEvent {
    /// The newest version.
    #[must_use]
    pub fn newest(&self) -> Option<(u32, &LockedVersion)> {
        self.versions.last_key_value().map(|(version, locked)| (*version, locked))
    }
}

impl LockedVersion {
    /// The form, read.
    ///
    /// # Errors
    /// [`FormError`] if it is none.
    pub fn form(&self) -> Result<Form, FormError> {
        Form::from_json(&self.form)
    }
}

/// Why a lock can't be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LockError {
    /// Two branches of a version control system were merged, and a conflict is left to resolve.
    #[error("line {line} is a conflict marker of git: keep the events of both sides, then lock again")]
    Conflict {
        /// The line, from 1.
        line: usize,
    },
    /// It was written by a newer recount.
    #[error("it has format {found}, this recount knows {FORMAT}: update recount")]
    Newer {
        /// The format of the file.
        found: u32,
    },
    /// It isn't a lock.
    #[error("it is damaged: {error}; take it from version control")]
    Damaged {
        /// The mistake, and its place.
        error: serde_json::Error,
    },
    /// A form in it isn't one.
    #[error("it is damaged: version {version} of `{event}` has no form: {error}; take it from version control")]
    Form {
        /// The event.
        event: String,
        /// Its version.
        version: u32,
        /// The mistake in the form.
        error: FormError,
    },
    /// The file can't be read or written.
    #[error("{path}: {error}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

#[derive(Deserialize)]
struct Head {
    format: u32,
}

/// A lock, read without decoding its schemas and samples: many times faster, and enough for the derive.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Outline {
    format: u32,
    events: BTreeMap<String, EventOutline>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EventOutline {
    #[serde(rename = "type")]
    rust_type: String,
    #[serde(default)]
    erased: bool,
    versions: BTreeMap<u32, VersionOutline>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct VersionOutline {
    hash: String,
    form: Value,
    #[serde(rename = "schema")]
    _schema: IgnoredAny,
    #[serde(rename = "samples")]
    _samples: IgnoredAny,
}

impl From<Outline> for Lock {
    fn from(Outline { format, events }: Outline) -> Self {
        let version = |VersionOutline { hash, form, .. }: VersionOutline| LockedVersion {
            hash,
            form,
            schema: Value::Null,
            samples: Vec::new(),
        };
        let event = |EventOutline { rust_type, erased, versions }: EventOutline| LockedEvent {
            rust_type,
            erased,
            versions: versions.into_iter().map(|(number, outline)| (number, version(outline))).collect(),
        };
        Self { format, events: events.into_iter().map(|(name, outline)| (name, event(outline))).collect() }
    }
}

impl Default for Lock {
    fn default() -> Self {
        Self { format: FORMAT, events: BTreeMap::new() }
    }
}

impl Lock {
    /// Reads the text of a lock.
    ///
    /// # Errors
    /// [`LockError`] if it isn't one that this version of recount knows, whole.
    pub fn parse(text: &str) -> Result<Self, LockError> {
        Self::parse_as::<Self>(text)
    }

    fn parse_as<T: DeserializeOwned + Into<Self>>(text: &str) -> Result<Self, LockError> {
        let marker = |line: &str| ["<<<<<<<", "=======", ">>>>>>>"].iter().any(|marker| line.starts_with(marker));
        let newer = |format: u32| (format > FORMAT).then_some(LockError::Newer { found: format });
        let read: Result<T, serde_json::Error> = serde_json::from_str(text);
        let lock: Self = match read {
            Ok(lock) => lock.into(),
            Err(error) => {
                if let Some(line) = text.lines().position(marker) {
                    return Err(LockError::Conflict { line: line + 1 });
                }
                // A newer one may say more than this one reads.
                let format = serde_json::from_str(text).map_or(FORMAT, |Head { format }| format);
                return Err(newer(format).unwrap_or(LockError::Damaged { error }));
            }
        };
        if let Some(error) = newer(lock.format) {
            return Err(error);
        }
        for (event, locked) in &lock.events {
            for (&version, locked) in &locked.versions {
                if let Err(error) = locked.form() {
                    return Err(LockError::Form { event: event.clone(), version, error });
                }
            }
        }
        Ok(lock)
    }

    /// Reads the lock of a crate; none if it has none.
    ///
    /// # Errors
    /// See [`parse`](Self::parse), and if the file can't be read.
    pub fn read(manifest_directory: &Path) -> Result<Option<Self>, LockError> {
        Self::read_as::<Self>(manifest_directory)
    }

    /// The same without JSON Schemas and samples, which takes much less time.
    ///
    /// # Errors
    /// See [`read`](Self::read).
    pub fn read_forms(manifest_directory: &Path) -> Result<Option<Self>, LockError> {
        Self::read_as::<Outline>(manifest_directory)
    }

    fn read_as<T: DeserializeOwned + Into<Self>>(manifest_directory: &Path) -> Result<Option<Self>, LockError> {
        let path = manifest_directory.join(PATH);
        match fs::read_to_string(&path) {
            Ok(text) => Self::parse_as::<T>(&text).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(LockError::File { path, error }),
        }
    }

    /// The text of the file, the same for the same lock.
    #[must_use]
    pub fn to_text(&self) -> String {
        // Nothing in it has no JSON form.
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }

    /// Changes the lock of a crate; it is made if there is none. Concurrent callers, in any process, wait.
    ///
    /// The file is replaced as a whole, and not touched if nothing changed. Without events it is written too: the derive looks for it.
    ///
    /// # Errors
    /// See [`read`](Self::read), if the file can't be written, or the error of `change`.
    pub fn update<E: From<LockError>>(
        manifest_directory: &Path,
        change: impl FnOnce(&mut Self) -> Result<(), E>,
    ) -> Result<(), E> {
        let path = manifest_directory.join(PATH);
        let failed = |error| LockError::File { path: path.clone(), error };
        let directory = path.parent().unwrap_or(manifest_directory);
        fs::create_dir_all(directory).map_err(failed)?;
        let guard = File::open(directory).map_err(failed)?;
        guard.lock().map_err(failed)?;
        let before = Self::read(manifest_directory)?;
        let mut lock = before.clone().unwrap_or_default();
        change(&mut lock)?;
        if before.as_ref() == Some(&lock) {
            return Ok(());
        }
        let next = path.with_extension("json.next");
        let write = || {
            let mut file = File::create(&next)?;
            file.write_all(lock.to_text().as_bytes())?;
            file.sync_all()?;
            fs::rename(&next, &path)
        };
        write().map_err(failed)?;
        Ok(())
    }
}

/// Adds a line to a file, as a whole, also if other processes do so at the same time.
///
/// # Errors
/// [`LockError::File`] if it can't be written.
pub fn add_line(file: &Path, line: &str) -> Result<(), LockError> {
    let write = || File::options().append(true).create(true).open(file)?.write_all(format!("{line}\n").as_bytes());
    write().map_err(|error| LockError::File { path: file.to_owned(), error })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCK: &str = r#"{"format":1,"events":{"a.b":{"type":"A","versions":{"1":
        {"hash":"0f","form":{"object":{"x":"u32"}},"schema":{},"samples":["{}"]}}}}}"#;

    fn error(text: &str) -> String {
        Lock::parse(text).unwrap_err().to_string()
    }

    #[test]
    fn a_lock_reads_what_it_writes() {
        let lock = Lock::parse(LOCK).unwrap();
        assert_eq!(Lock::parse(&lock.to_text()).unwrap(), lock);
        assert_eq!(lock.events["a.b"].newest().unwrap().1.hash, "0f");
    }

    #[test]
    fn each_damage_is_said_in_one_sentence() {
        let merged = LOCK.replace("\"versions\"", "\n<<<<<<< ours\n\"versions\"");
        assert_eq!(
            error(&merged),
            "line 2 is a conflict marker of git: keep the events of both sides, then lock again"
        );
        let newer = error(r#"{"format":2,"something":"else"}"#);
        assert_eq!(newer, "it has format 2, this recount knows 1: update recount");
        assert_eq!(
            error(""),
            "it is damaged: EOF while parsing a value at line 1 column 0; take it from version control"
        );
        assert_eq!(
            error(&LOCK.replace("\"u32\"", "[1]")),
            "it is damaged: version 1 of `a.b` has no form: `[1]` is no form; take it from version control"
        );
        assert!(error(&LOCK.replace("\"hash\"", "\"hush\"")).contains("unknown field `hush`"));
    }

    #[test]
    fn no_text_makes_it_panic() {
        for end in 0..LOCK.len() {
            assert!(Lock::parse(&LOCK[..end]).is_err(), "{}", &LOCK[..end]);
            let mut bytes = LOCK.as_bytes().to_vec();
            bytes[end] = b'"';
            let _ = Lock::parse(&String::from_utf8_lossy(&bytes));
        }
    }
}

//! Keys of the state store, and the namespaces that keep an application's keys apart from recount's own.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};

use smol_str::{SmolStr, format_smolstr};

use super::name::check;
use crate::NameError;

/// The greatest length in bytes of a key's name, without its namespace.
const MAX_NAME: usize = 1024;

/// A part of the [`StateStore`](crate::StateStore) with keys of its own. Keys of two namespaces are never equal,
/// even if their names are.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Namespace(&'static str);

/// To add a namespace, add a line here. A name has no slash, and is never changed: it is stored.
impl Namespace {
    /// Keys of the application, made by [`StateKey::new`].
    pub const USER: Self = Self("user");
    /// Snapshots of aggregates, by stream.
    pub const SNAPSHOT: Self = Self("snapshot");
    /// Leases, by name.
    pub const LEASE: Self = Self("lease");
    /// Checkpoints of consumers, such as reactions, by the consumer's name.
    pub const CONSUMER: Self = Self("consumer");
    /// Attempts of calls of activities, by the activity's name and the event.
    pub const ATTEMPT: Self = Self("attempt");
    /// Timers of processes, by process and due time.
    pub const TIMER: Self = Self("timer");
    /// Messages that wait for a retry or an operator, by the name of their consumer.
    pub const PARKED: Self = Self("parked");
    /// Topics, groups and messages of a durable in-process broker.
    pub const BROKER: Self = Self("broker");

    /// The name, as stored keys begin.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.0
    }

    /// A key in this namespace. Applications use [`StateKey::new`]; the other namespaces are written by recount.
    ///
    /// # Errors
    /// [`NameError`] if the name is empty, longer than 1024 bytes, or contains NUL.
    pub fn key(self, name: impl fmt::Display) -> Result<StateKey, NameError> {
        let stored = format_smolstr!("{}/{name}", self.0);
        check("state key", MAX_NAME, b"\0", &stored[self.0.len() + 1..])?;
        Ok(StateKey { stored, namespace: self.0.len() })
    }

    /// The start of all stored keys of this namespace with a name that starts with this text, or `None` without any.
    /// For authors of stores.
    #[must_use]
    pub fn stored_prefix(self, prefix: &str) -> Option<String> {
        let possible = prefix.len() <= MAX_NAME && !prefix.contains('\0');
        possible.then(|| format!("{}/{prefix}", self.0))
    }

    /// A text that no stored key with this [prefix](Self::stored_prefix) is greater than, in byte order. For authors of stores.
    #[must_use]
    pub fn last_with_prefix(stored_prefix: &str) -> String {
        // The prefix, filled up with the greatest character to the greatest length.
        format!("{stored_prefix}{}", char::MAX.to_string().repeat(MAX_NAME / char::MAX.len_utf8()))
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl fmt::Debug for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.0, f)
    }
}

/// The key of an entry of the [`StateStore`](crate::StateStore): a [namespace](Namespace) and a name within it.
///
/// An application's key never equals one of recount's, even if its name looks alike. Displayed and stored as
/// `namespace/name`.
///
/// ```
/// # use recount_core::{Namespace, StateKey};
/// let key = StateKey::new("lease/report")?;
/// assert_eq!((key.name(), key.to_string().as_str()), ("lease/report", "user/lease/report"));
/// assert_ne!(key, Namespace::LEASE.key("report")?);
/// # Ok::<(), recount_core::NameError>(())
/// ```
#[derive(Clone)]
pub struct StateKey {
    stored: SmolStr,
    /// The length of the namespace, with which the stored form starts.
    namespace: usize,
}

impl StateKey {
    /// A key of the application. The name is any text: not empty, no NUL, at most 1024 bytes.
    ///
    /// # Errors
    /// [`NameError`] if the name is empty, too long, or contains NUL.
    pub fn new(name: impl AsRef<str>) -> Result<Self, NameError> {
        Namespace::USER.key(name.as_ref())
    }

    /// Reads back the [stored form](Self::as_stored). For authors of stores.
    ///
    /// # Errors
    /// [`NameError`] if no key has this stored form.
    pub fn from_stored(stored: impl AsRef<str>) -> Result<Self, NameError> {
        let stored = stored.as_ref();
        let (namespace, name) = stored.split_once('/').unwrap_or((stored, ""));
        check("namespace of state keys", MAX_NAME, b"\0", namespace)?;
        check("state key", MAX_NAME, b"\0", name)?;
        Ok(Self { stored: SmolStr::new(stored), namespace: namespace.len() })
    }

    /// The stored form, `namespace/name`. The byte order of the stored forms is the order of keys.
    #[must_use]
    pub fn as_stored(&self) -> &str {
        &self.stored
    }

    /// The name within the namespace.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.stored[self.namespace + 1..]
    }

    /// Whether the key is in this namespace.
    #[must_use]
    pub fn is_in(&self, namespace: Namespace) -> bool {
        self.stored[..self.namespace] == *namespace.as_str()
    }
}

// By the stored form alone, as `Borrow<str>` promises.
impl PartialEq for StateKey {
    fn eq(&self, other: &Self) -> bool {
        self.stored == other.stored
    }
}

impl Eq for StateKey {}

impl PartialOrd for StateKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for StateKey {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_stored().cmp(other.as_stored())
    }
}

impl Hash for StateKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_stored().hash(state);
    }
}

impl Borrow<str> for StateKey {
    fn borrow(&self) -> &str {
        self.as_stored()
    }
}

impl fmt::Display for StateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.stored)
    }
}

impl fmt::Debug for StateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_stored(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_users_key_never_meets_one_of_recounts() {
        for namespace in [
            Namespace::SNAPSHOT,
            Namespace::LEASE,
            Namespace::CONSUMER,
            Namespace::ATTEMPT,
            Namespace::TIMER,
            Namespace::PARKED,
            Namespace::BROKER,
        ] {
            let own = namespace.key("a").unwrap();
            for name in ["a", own.as_stored(), "/a", "../a", &format!("../{own}"), "recount.a"] {
                let key = StateKey::new(name).unwrap();
                assert_ne!(key, own);
                assert!(key.is_in(Namespace::USER) && !key.is_in(namespace), "{key}");
                assert_eq!((key.name(), StateKey::from_stored(key.as_stored()).unwrap()), (name, key.clone()));
            }
        }
    }

    #[test]
    fn a_refused_key_says_what_is_wrong() {
        assert_eq!(StateKey::new("").unwrap_err().to_string(), "a state key must not be empty");
        assert!(StateKey::new("a".repeat(1024)).is_ok() && Namespace::SNAPSHOT.key("a".repeat(1024)).is_ok());
        assert!(StateKey::new("a".repeat(1025)).unwrap_err().to_string().starts_with("a state key of 1025 bytes"));
        assert!(StateKey::new("a\0b").is_err() && StateKey::from_stored("user").is_err());
        assert!(StateKey::from_stored("/a").is_err());
    }
}

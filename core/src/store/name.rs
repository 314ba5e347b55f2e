//! Validated names: event types, tags, keys. Names of streams are in `stream_id.rs`.
//!
//! A name is data. Any text is accepted and comes back byte for byte (`%`, `'; DROP`, `../`, emoji, either
//! Unicode normal form), with three exceptions that every store shares, so that no name works on one store
//! and fails on another: a name is not empty, holds no NUL character, and keeps to a stated length.

use std::fmt;
use std::str::FromStr;

use smol_str::SmolStr;

use crate::EventId;

/// Why a text cannot be a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// The text is empty.
    #[error("a {kind} must not be empty")]
    Empty {
        /// The kind of name.
        kind: &'static str,
    },
    /// The text is longer than this kind of name may be.
    #[error("a {kind} of {length} bytes is longer than the {limit} bytes allowed: {start:?}…")]
    TooLong {
        /// The kind of name.
        kind: &'static str,
        /// The length of the text in bytes.
        length: usize,
        /// The greatest allowed length in bytes.
        limit: usize,
        /// The first characters of the text.
        start: String,
    },
    /// The text begins with the prefix of recount's own names.
    #[error(
        "a {kind} must not begin with `{RESERVED}`, as {name:?} does: such names are recount's own, choose another"
    )]
    Reserved {
        /// The kind of name.
        kind: &'static str,
        /// The whole text.
        name: String,
    },
    /// The text holds a character that this kind of name may not hold.
    #[error("a {kind} must not contain {character:?}: {name:?}")]
    Forbidden {
        /// The kind of name.
        kind: &'static str,
        /// The offending character.
        character: char,
        /// The whole text.
        name: String,
    },
}

/// The start of recount's own event types and stream categories. Applications can read them, but not declare or write them.
pub(crate) const RESERVED: &str = "recount.";

/// `forbidden` are ASCII characters.
pub(super) fn check(kind: &'static str, limit: usize, forbidden: &[u8], name: &str) -> Result<(), NameError> {
    if name.is_empty() {
        return Err(NameError::Empty { kind });
    }
    if name.len() > limit {
        let start = name.chars().take(32).collect();
        return Err(NameError::TooLong { kind, length: name.len(), limit, start });
    }
    // No byte of a longer character is ASCII.
    if let Some(byte) = name.bytes().find(|byte| forbidden.contains(byte)) {
        let character = char::from(byte);
        return Err(NameError::Forbidden { kind, character, name: name.to_owned() });
    }
    Ok(())
}

/// The same for names that applications choose beside recount's own.
fn check_unreserved(kind: &'static str, limit: usize, forbidden: &[u8], name: &str) -> Result<(), NameError> {
    if name.starts_with(RESERVED) {
        return Err(NameError::Reserved { kind, name: name.chars().take(64).collect() });
    }
    check(kind, limit, forbidden, name)
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $kind:literal, $limit:literal, $check:ident) => {
        $(#[$doc])*
        ///
        #[doc = concat!("Not empty, no NUL, at most ", $limit, " bytes.")]
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $type(SmolStr);

        impl $type {
            /// Checks the text and makes it a name.
            ///
            /// # Errors
            /// [`NameError`] if the text is empty, too long or contains NUL.
            pub fn new(name: impl AsRef<str>) -> Result<Self, NameError> {
                let name = name.as_ref();
                $check($kind, $limit, b"\0", name)?;
                Ok(Self(SmolStr::new(name)))
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(self.as_str(), f)
            }
        }

        impl FromStr for $type {
            type Err = NameError;
            fn from_str(name: &str) -> Result<Self, NameError> {
                Self::new(name)
            }
        }

        impl AsRef<str> for $type {
            fn as_ref(&self) -> &str {
                self.as_str()
            }
        }
    };
}

name!(
    /// The stored name of a kind of event, such as `account.deposited`.
    EventType, "event type", 128, check
);
name!(
    /// A label on an event that queries and append conditions select by, such as `course:c1`.
    Tag, "tag", 512, check
);
name!(
    /// The caller's name for one attempt at something: the same key again returns the first outcome.
    ///
    /// Keys that begin with `recount.` are recount's own, such as those of [reactions](Self::of_reaction); `new` refuses them.
    IdempotencyKey, "idempotency key", 512, check_unreserved
);

impl IdempotencyKey {
    /// The key under which a reaction sends a command, if the command has no other: by the reaction's name, the event, and the
    /// command's index among the commands for this event.
    ///
    /// # Errors
    /// [`NameError`] if the reaction's name is too long or contains NUL.
    pub fn of_reaction(reaction: &str, event: EventId, index: usize) -> Result<Self, NameError> {
        Self::of_response("reaction", reaction, event, Some(index))
    }

    /// The key of the response of a reaction or an activity to an event, or of one of its commands.
    pub(crate) fn of_response(kind: &str, name: &str, event: EventId, index: Option<usize>) -> Result<Self, NameError> {
        match index {
            Some(index) => Self::from_stored(format!("{RESERVED}{kind}/{name}/{event}/{index}")),
            None => Self::from_stored(format!("{RESERVED}{kind}/{name}/{event}")),
        }
    }

    /// The key as a store keeps it, which may be one of recount's own. For stores.
    ///
    /// # Errors
    /// [`NameError`] if the text is empty, too long or contains NUL.
    pub fn from_stored(name: impl AsRef<str>) -> Result<Self, NameError> {
        let name = name.as_ref();
        check("idempotency key", 512, b"\0", name)?;
        Ok(Self(SmolStr::new(name)))
    }
}

impl EventType {
    /// A name that the `Event` derive has already checked; no allocation.
    #[doc(hidden)]
    #[must_use]
    pub const fn from_static(name: &'static str) -> Self {
        Self(SmolStr::new_static(name))
    }
}

impl Tag {
    /// The tag `key:value`, the form that `#[event(tag)]` writes.
    ///
    /// # Errors
    /// [`NameError`] if the result is too long or contains NUL.
    ///
    /// ```
    /// # use recount_core::Tag;
    /// assert_eq!(Tag::pair("course", "c1")?.as_str(), "course:c1");
    /// # Ok::<(), recount_core::NameError>(())
    /// ```
    pub fn pair(key: &str, value: impl fmt::Display) -> Result<Self, NameError> {
        Self::new(smol_str::format_smolstr!("{key}:{value}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::StreamId;

    #[test]
    fn names_are_data() {
        for hostile in ["x'); drop table e; --", "%", "_", "$all", "../../etc", "a b", "\u{202e}", "*", ">"] {
            assert_eq!(Tag::new(hostile).unwrap().as_str(), hostile);
            assert_eq!(StreamId::new("c", hostile).unwrap().id(), hostile);
        }
    }

    #[test]
    fn every_refusal_says_what_is_wrong() {
        assert_eq!(Tag::new("").unwrap_err().to_string(), "a tag must not be empty");
        assert!(Tag::new("a".repeat(513)).unwrap_err().to_string().starts_with("a tag of 513 bytes is longer"));
        assert_eq!(
            StreamId::new("a/b", "c").unwrap_err().to_string(),
            "a stream category must not contain '/': \"a/b\""
        );
        assert_eq!("account".parse::<StreamId>().unwrap_err().to_string(), "a stream id must not be empty");
    }

    #[test]
    fn keys_of_recount_are_not_for_applications() {
        for name in ["recount.", "recount.reaction/saving/1/0", "recount.x"] {
            let refused = IdempotencyKey::new(name);
            assert!(matches!(refused, Err(NameError::Reserved { kind: "idempotency key", .. })), "{refused:?}");
            assert!(name.parse::<IdempotencyKey>().is_err());
            assert_eq!(IdempotencyKey::from_stored(name).map(|key| key.as_str() == name), Ok(true));
        }
        for name in ["recount", "Recount.x", "x/recount.", "recounting"] {
            assert!(IdempotencyKey::new(name).is_ok(), "{name}");
        }
        let event = EventId::new();
        let key = IdempotencyKey::of_reaction("saving", event, 1).map(|key| key.to_string());
        assert_eq!(key, Ok(format!("recount.reaction/saving/{event}/1")));
        assert!(IdempotencyKey::from_stored("").is_err());
        // Foreign events come as they are: imports must be able to keep their names.
        assert!(EventType::new("recount.refused").is_ok() && Tag::new("recount.x").is_ok());
    }
}

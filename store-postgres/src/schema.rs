//! The schema that holds everything, as SQL names it, and the keys of its advisory locks.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use foldhash::fast::RandomState;
use recount_core::{StoreError, StoreId, StreamId};
use sqlx::AssertSqlSafe;
use sqlx::postgres::types::Oid;

use crate::lifecycle::{ARCHIVED, ERASED};

/// A schema's name, checked.
#[derive(Clone)]
pub(crate) struct Schema {
    name: String,
    quoted: String,
    statements: Arc<RwLock<HashMap<Template, Arc<str>, RandomState>>>,
    /// The SQL condition that fails in every store but this one; `true` while the store is being opened.
    this: Arc<str>,
    /// The common prefix of all locks of one purpose, hashed, in the order of [`Lock`].
    locks: [u64; 4],
}

/// The text that a statement in another store fails to cast to boolean, so that the server's error contains it.
const NOT_THIS: &str = "not the store that was opened";

/// Where a text of this program is, and how long.
type Template = (usize, usize);

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.quoted)
    }
}

impl Schema {
    pub(crate) fn new(name: &str) -> Result<Self, StoreError> {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if name.is_empty() || name.len() > 63 || !name.chars().all(plain) || name.to_lowercase().starts_with("pg_") {
            let source = format!(
                "{name:?} is no name for a schema: use up to 63 letters, digits, '_' and '-', and no \"pg_\" at the start"
            );
            return Err(StoreError::Backend { operation: "opening the store", source: source.into() });
        }
        let lock = |purpose| feed(feed(feed(feed(feed(BASIS, "recount/"), purpose), "/"), name), "/");
        let locks = ["streams", "tags", "keys", "state"].map(lock);
        Ok(Self {
            name: name.to_owned(),
            quoted: format!("\"{name}\""),
            statements: Arc::default(),
            this: "true".into(),
            locks,
        })
    }

    /// The same schema, with statements that fail in every store but this one: `{this}` in their text.
    ///
    /// The condition looks up the view of the store's identity by its name, which is unique to the store, and compares
    /// its OID, which changes when a dump is restored. Both are constants, so the server evaluates the condition only
    /// when it plans the statement. It plans again when a name may have changed its meaning.
    #[must_use]
    pub(crate) fn of(&self, store: StoreId, mark: Oid) -> Self {
        let Oid(mark) = mark;
        let this = format!(
            "CASE WHEN '{}.store_{}'::regclass::oid = {mark} THEN true ELSE '{NOT_THIS}'::text::boolean END",
            self.quoted,
            store.0.simple()
        );
        Self { this: this.into(), statements: Arc::default(), ..self.clone() }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// A script of this crate, for this schema. Safe: the name was checked, the rest is this program's.
    pub(crate) fn sql(&self, template: &str) -> AssertSqlSafe<String> {
        AssertSqlSafe(self.text(template))
    }

    /// The same of a statement that is used again and again, made once.
    pub(crate) fn statement(&self, template: &'static str) -> Arc<str> {
        let place = (template.as_ptr().addr(), template.len());
        if let Some(text) = self.statements.read().unwrap_or_else(PoisonError::into_inner).get(&place) {
            return Arc::clone(text);
        }
        let text: Arc<str> = self.text(template).into();
        self.statements.write().unwrap_or_else(PoisonError::into_inner).insert(place, Arc::clone(&text));
        text
    }

    pub(crate) fn text(&self, template: &str) -> String {
        let text = template.replace("{schema}", &self.quoted);
        if !text.contains('{') {
            return text;
        }
        text.replace("{name}", &self.name)
            .replace("{this}", &self.this)
            .replace("{position_key}", &self.position_key().to_string())
            .replace("{gate_key}", &self.gate_key().to_string())
            .replace("{archived}", &ARCHIVED.to_string())
            .replace("{erased}", &ERASED.to_string())
    }

    /// The advisory lock under which the schema is migrated.
    pub(crate) fn migration_key(&self) -> i64 {
        self.key("migrations")
    }

    /// The advisory lock that all appends share.
    pub(crate) fn gate_key(&self) -> i64 {
        self.key("gate")
    }

    /// The channel on which appends are announced.
    pub(crate) fn channel(&self) -> String {
        format!("recount_{:016x}", self.key("channel").cast_unsigned())
    }

    /// The advisory lock of something that has a name. Two that happen to share one only wait for each other.
    pub(crate) fn lock(&self, what: Lock, name: &str) -> i64 {
        finish(feed(self.locks[what as usize], name)).cast_signed()
    }

    pub(crate) fn stream_lock(&self, stream: &StreamId) -> i64 {
        self.lock(Lock::Stream, stream.as_str())
    }

    /// Unlike the keys of any other schema or application, as far as 64 bits go.
    fn key(&self, purpose: &str) -> i64 {
        hash(&["recount/", purpose, "/", &self.name]).cast_signed()
    }

    /// The first of the two keys that mark positions as not yet safe; never negative.
    fn position_key(&self) -> u64 {
        hash(&["recount/positions/", &self.name]) & 0x7fff_ffff
    }
}

/// The purposes that have locks of their own.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Lock {
    Stream,
    Tag,
    Key,
    State,
}

/// FNV-1a with a finish: the same in every build, for ever, since processes of different versions must agree.
fn hash(pieces: &[&str]) -> u64 {
    finish(pieces.iter().fold(BASIS, |hash, piece| feed(hash, piece)))
}

const BASIS: u64 = 0xcbf2_9ce4_8422_2325;

fn feed(hash: u64, text: &str) -> u64 {
    text.bytes().fold(hash, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

fn finish(hash: u64) -> u64 {
    let hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^ (hash >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_and_quoted() {
        let schema = Schema::new("my-Schema_1").unwrap();
        assert_eq!(schema.text("SELECT * FROM {schema}.events"), "SELECT * FROM \"my-Schema_1\".events");
        for wrong in ["", "a b", "a\"b", "a;b", "pg_x", "PG_x", "é", &"a".repeat(64)] {
            assert!(Schema::new(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn keys_stay_what_they_are() {
        // Processes of different versions must agree on them.
        let schema = Schema::new("recount").unwrap();
        assert_eq!(schema.text("{position_key}"), (hash(&["recount/positions/recount"]) & 0x7fff_ffff).to_string());
        assert_ne!(schema.key("gate"), schema.key("migrations"));
        let lock = schema.stream_lock(&StreamId::new("order", "7").unwrap());
        assert_eq!(lock, hash(&["recount/streams/recount/order/7"]).cast_signed());
        assert_ne!(lock, schema.lock(Lock::Tag, "order/7"));
        assert_ne!(schema.key("gate"), Schema::new("other").unwrap().key("gate"));
    }
}

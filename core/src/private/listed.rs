//! What an event type reads, known at compile time, so that unions can be checked then.

use schemars::Schema;

use crate::EventVariant;

/// A variant, with its name in Rust.
#[derive(Clone, Copy, Debug)]
pub struct Listed {
    /// The variant's name in Rust.
    pub name: &'static str,
    /// What is stored.
    pub variant: EventVariant,
}

impl Listed {
    const NONE: Self = Self {
        name: "",
        variant: EventVariant {
            event_type: "",
            schema_version: 0,
            aliases: &[],
            retired: false,
            schema: Schema::default,
        },
    };

    /// A variant that is read and written.
    #[must_use]
    pub const fn new(
        name: &'static str,
        event_type: &'static str,
        schema_version: u32,
        aliases: &'static [&'static str],
        schema: fn() -> Schema,
    ) -> Self {
        Self { name, variant: EventVariant { event_type, schema_version, aliases, retired: false, schema } }
    }

    /// The same variant, but no longer written.
    #[must_use]
    pub const fn retired(mut self) -> Self {
        self.variant.retired = true;
        self
    }
}

/// A variant of a union.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    /// The variant's name in Rust.
    pub name: &'static str,
    /// What its event type reads; none if that type was written by hand.
    pub listed: Option<&'static [Listed]>,
    /// The names in Rust of the variants that matter; none for all.
    pub only: Option<&'static [&'static str]>,
}

impl Part {
    const fn takes(&self, listed: &Listed) -> bool {
        match self.only {
            None => true,
            Some(only) => any_same(only, listed.name),
        }
    }
}

/// How many variants the parts read.
#[must_use]
pub const fn count(parts: &[Part]) -> usize {
    let (mut count, mut p) = (0, 0);
    while p < parts.len() {
        if let Some(listed) = parts[p].listed {
            let mut i = 0;
            while i < listed.len() {
                if parts[p].takes(&listed[i]) {
                    count += 1;
                }
                i += 1;
            }
        }
        p += 1;
    }
    count
}

/// What the parts read, under the names of the parts.
#[must_use]
pub const fn join<const N: usize>(parts: &[Part]) -> [Listed; N] {
    let (mut all, mut count, mut p) = ([Listed::NONE; N], 0, 0);
    while p < parts.len() {
        if let Some(listed) = parts[p].listed {
            let mut i = 0;
            while i < listed.len() {
                if parts[p].takes(&listed[i]) {
                    all[count] = Listed { name: parts[p].name, variant: listed[i].variant };
                    count += 1;
                }
                i += 1;
            }
        }
        p += 1;
    }
    all
}

/// What a union reads; none if a part isn't known.
#[must_use]
pub const fn listed(parts: &[Part], joined: &'static [Listed]) -> Option<&'static [Listed]> {
    let mut p = 0;
    while p < parts.len() {
        if parts[p].listed.is_none() {
            return None;
        }
        p += 1;
    }
    Some(joined)
}

/// Whether there is a variant of this name.
#[must_use]
pub const fn contains(listed: Option<&[Listed]>, name: &str) -> bool {
    let Some(listed) = listed else { return false };
    let mut i = 0;
    while i < listed.len() {
        if same(listed[i].name, name) {
            return true;
        }
        i += 1;
    }
    false
}

/// Whether the part `at` reads a stored name that an earlier part reads too.
#[must_use]
pub const fn overlaps(parts: &[Part], at: usize) -> bool {
    let Some(mine) = parts[at].listed else { return false };
    let mut p = 0;
    while p < at {
        if let Some(theirs) = parts[p].listed {
            let mut i = 0;
            while i < mine.len() {
                let mut k = 0;
                while k < theirs.len() {
                    if parts[at].takes(&mine[i])
                        && parts[p].takes(&theirs[k])
                        && share_a_name(&mine[i].variant, &theirs[k].variant)
                    {
                        return true;
                    }
                    k += 1;
                }
                i += 1;
            }
        }
        p += 1;
    }
    false
}

const fn share_a_name(a: &EventVariant, b: &EventVariant) -> bool {
    if same(a.event_type, b.event_type) || any_same(b.aliases, a.event_type) {
        return true;
    }
    let mut i = 0;
    while i < a.aliases.len() {
        if same(a.aliases[i], b.event_type) || any_same(b.aliases, a.aliases[i]) {
            return true;
        }
        i += 1;
    }
    false
}

/// Whether the name is among the names.
#[must_use]
pub const fn any_same(names: &[&str], name: &str) -> bool {
    let mut i = 0;
    while i < names.len() {
        if same(names[i], name) {
            return true;
        }
        i += 1;
    }
    false
}

/// Compares from the end: names in one program differ there, their beginnings are often the same.
const fn same(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    if a.len() != b.len() {
        return false;
    }
    let mut i = a.len();
    while i > 0 {
        i -= 1;
        if a[i] != b[i] {
            return false;
        }
    }
    true
}

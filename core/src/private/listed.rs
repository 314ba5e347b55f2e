//! The variants that an event type reads, known at compile time, so that unions can be checked then.

use schemars::Schema;

use crate::domain::shape::{Fidelity, Form};
use crate::domain::text::{any_same, hash, same};
use crate::{EventVariant, RustType};

/// A variant, with its name in Rust.
#[derive(Clone, Copy, Debug)]
pub struct Listed {
    /// The variant's name in Rust.
    pub name: &'static str,
    /// The variant's stored form.
    pub variant: EventVariant,
    /// Whether JSON preserves every payload.
    pub(super) fidelity: Fidelity,
    /// Stands for the stored name where many are compared: comparing texts at compile time is slow.
    hash: u64,
}

impl Listed {
    const NONE: Self = Self::new("", "", 0, &[], Schema::default, Form::Opaque, Fidelity::Unknown);

    /// A variant that is read and written.
    #[must_use]
    pub const fn new(
        name: &'static str,
        event_type: &'static str,
        schema_version: u32,
        aliases: &'static [&'static str],
        schema: fn() -> Schema,
        form: Form,
        fidelity: Fidelity,
    ) -> Self {
        let variant = EventVariant {
            event_type,
            schema_version,
            aliases,
            retired: false,
            schema,
            form,
            upcasters: &[],
            rust_type: RustType::of::<()>,
        };
        Self { name, variant, fidelity, hash: hash(event_type) }
    }

    /// The same variant, with the functions that read its older versions.
    #[must_use]
    pub const fn upcasters(mut self, upcasters: &'static [&'static str]) -> Self {
        self.variant.upcasters = upcasters;
        self
    }

    /// The same variant, of this type.
    #[must_use]
    pub const fn of(mut self, rust_type: fn() -> RustType) -> Self {
        self.variant.rust_type = rust_type;
        self
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
    /// The variants that its event type reads; `None` if that type was written by hand.
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

/// Joins the variants that the parts read, under the names of the parts.
#[must_use]
pub const fn join<const N: usize>(parts: &[Part]) -> [Listed; N] {
    let (mut all, mut count, mut p) = ([Listed::NONE; N], 0, 0);
    while p < parts.len() {
        if let Some(listed) = parts[p].listed {
            let mut i = 0;
            while i < listed.len() {
                if parts[p].takes(&listed[i]) {
                    all[count] = Listed { name: parts[p].name, ..listed[i] };
                    count += 1;
                }
                i += 1;
            }
        }
        p += 1;
    }
    all
}

/// The variants that a union reads; `None` if those of a part aren't known.
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
    let mut i = 0;
    while i < mine.len() {
        if parts[at].takes(&mine[i]) {
            let variant = &mine[i].variant;
            if is_read(parts, at, variant.event_type, mine[i].hash) {
                return true;
            }
            let mut a = 0;
            while a < variant.aliases.len() {
                if is_read(parts, at, variant.aliases[a], hash(variant.aliases[a])) {
                    return true;
                }
                a += 1;
            }
        }
        i += 1;
    }
    false
}

/// Whether one of the parts before `end` reads the stored name.
const fn is_read(parts: &[Part], end: usize, name: &str, hash: u64) -> bool {
    let mut p = 0;
    while p < end {
        if let Some(listed) = parts[p].listed {
            let mut i = 0;
            while i < listed.len() {
                let other = &listed[i];
                if (other.hash == hash && same(other.variant.event_type, name)
                    || !other.variant.aliases.is_empty() && any_same(other.variant.aliases, name))
                    && parts[p].takes(other)
                {
                    return true;
                }
                i += 1;
            }
        }
        p += 1;
    }
    false
}

/// Fails with the message, at the place of the caller, unless a type reads the stored form.
///
/// # Panics
/// If `reads` is false. Derives call it in constants, so that the panic is an error of the compiler.
#[track_caller]
#[allow(clippy::panic, reason = "an error of the compiler")]
pub const fn must_read(reads: bool, message: &str) {
    if !reads {
        panic!("{}", message);
    }
}

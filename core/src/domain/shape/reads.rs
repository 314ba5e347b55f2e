//! Whether a form still reads the values that another form wrote, at compile time.

use recount_schema::WIDER;

use super::{Choice, Field, Form, Tagging};
use crate::domain::text::{any_same, same};

impl Form {
    /// Whether every value that was written in the `old` form is read, and nothing of it is lost.
    ///
    /// So fields may be added if they may be missing, variants may be added, integers widened and values made optional; the order of
    /// fields and variants is free. Nothing may go, for that would lose it.
    #[must_use]
    pub const fn reads(&self, old: &Self) -> bool {
        match (self, old) {
            // An unknown form can't be compared.
            (_, Self::Opaque) | (Self::Unit, Self::Unit) => true,
            (Self::Option(new), Self::Option(old)) | (Self::List(new), Self::List(old)) => new.reads(old),
            (Self::Option(new), old) => new.reads(old),
            (Self::Leaf(new), Self::Leaf(old)) => same(new, old) || is_wider(new, old),
            (Self::Tuple(new), Self::Tuple(old)) => new.len() == old.len() && all_read(new, old),
            (Self::List(new), Self::Tuple(old)) => reads_all(new, old),
            (Self::Map(new_key, new), Self::Map(old_key, old)) => new_key.reads(old_key) && new.reads(old),
            (Self::Object(new), Self::Object(old)) => reads_fields(new, old),
            (Self::Choice(new_tag, new), Self::Choice(old_tag, old)) => {
                new_tag.is(*old_tag) && reads_choices(*new_tag, new, old)
            }
            _ => false,
        }
    }
}

impl Tagging {
    const fn is(self, other: Self) -> bool {
        match (self, other) {
            (Self::External, Self::External) | (Self::Untagged, Self::Untagged) => true,
            (Self::Internal(a), Self::Internal(b)) => same(a, b),
            (Self::Adjacent(a, b), Self::Adjacent(c, d)) => same(a, c) && same(b, d),
            _ => false,
        }
    }
}

const fn all_read(new: &[Form], old: &[Form]) -> bool {
    let mut i = 0;
    while i < old.len() {
        if !new[i].reads(&old[i]) {
            return false;
        }
        i += 1;
    }
    true
}

const fn reads_all(new: &Form, old: &[Form]) -> bool {
    let mut i = 0;
    while i < old.len() {
        if !new.reads(&old[i]) {
            return false;
        }
        i += 1;
    }
    true
}

const fn reads_fields(new: &[Field], old: &[Field]) -> bool {
    let mut i = 0;
    while i < old.len() {
        match find_field(new, old[i].name) {
            Some(at) if reads_field(&new[at], &old[i]) => {}
            _ => return false,
        }
        i += 1;
    }
    let mut i = 0;
    while i < new.len() {
        if new[i].required && !is_in(&new[i], old) {
            return false;
        }
        i += 1;
    }
    true
}

const fn reads_field(new: &Field, old: &Field) -> bool {
    new.flat == old.flat
        && (old.required || !new.required)
        && all_known(new.name, new.aliases, old.aliases)
        && new.form.reads(&old.form)
}

const fn find_field(fields: &[Field], name: &str) -> Option<usize> {
    let mut i = 0;
    while i < fields.len() {
        if knows(fields[i].name, fields[i].aliases, name) {
            return Some(i);
        }
        i += 1;
    }
    None
}

/// Whether one of the old fields is this one.
const fn is_in(new: &Field, old: &[Field]) -> bool {
    let mut i = 0;
    while i < old.len() {
        if knows(new.name, new.aliases, old[i].name) {
            return true;
        }
        i += 1;
    }
    false
}

const fn reads_choices(tagging: Tagging, new: &[Choice], old: &[Choice]) -> bool {
    let mut i = 0;
    while i < old.len() {
        let at = match tagging {
            // Untagged choices are told apart by their order.
            Tagging::Untagged if i < new.len() => Some(i),
            Tagging::Untagged => None,
            _ => find_choice(new, old[i].name),
        };
        match at {
            Some(at) if new[at].form.reads(&old[i].form) => {
                if !matches!(tagging, Tagging::Untagged) && !all_known(new[at].name, new[at].aliases, old[i].aliases) {
                    return false;
                }
            }
            _ => return false,
        }
        i += 1;
    }
    true
}

const fn find_choice(choices: &[Choice], name: &str) -> Option<usize> {
    let mut i = 0;
    while i < choices.len() {
        if knows(choices[i].name, choices[i].aliases, name) {
            return Some(i);
        }
        i += 1;
    }
    None
}

const fn all_known(name: &str, aliases: &[&str], wanted: &[&str]) -> bool {
    let mut i = 0;
    while i < wanted.len() {
        if !knows(name, aliases, wanted[i]) {
            return false;
        }
        i += 1;
    }
    true
}

const fn knows(name: &str, aliases: &[&str], wanted: &str) -> bool {
    same(name, wanted) || any_same(aliases, wanted)
}

const fn is_wider(new: &str, old: &str) -> bool {
    let mut i = 0;
    while i < WIDER.len() {
        if same(WIDER[i].0, old) {
            return any_same(WIDER[i].1, new);
        }
        i += 1;
    }
    false
}

//! Whether a form still reads what another wrote, at compile time.

use recount_schema::WIDER;

use super::{Choice, Field, Form, Tagging};

impl Form {
    /// Whether every value that was written in the `old` form is read, and nothing of it is lost.
    ///
    /// So fields may be added if they may be missing, variants may be added, integers widened and values made optional; the order of
    /// fields and variants is free. Nothing may go, for that would lose it.
    #[must_use]
    pub const fn reads(&self, old: &Self) -> bool {
        match (self, old) {
            // What was unknown can't be compared.
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

    /// A number that stands for this form: the same wherever fields and variants have another order, another if anything
    /// else differs (but for one chance in 2^64).
    #[must_use]
    pub const fn hash(&self) -> u64 {
        match self {
            Self::Opaque => mix(1),
            Self::Unit => mix(2),
            Self::Leaf(name) => pair(3, text(name)),
            Self::Option(form) => pair(4, form.hash()),
            Self::List(form) => pair(5, form.hash()),
            Self::Tuple(forms) => {
                let (mut hash, mut i) = (mix(6), 0);
                while i < forms.len() {
                    hash = pair(hash, forms[i].hash());
                    i += 1;
                }
                hash
            }
            Self::Map(key, value) => pair(pair(7, key.hash()), value.hash()),
            Self::Object(fields) => {
                let (mut sum, mut i) = (0_u64, 0);
                while i < fields.len() {
                    sum = sum.wrapping_add(fields[i].hash());
                    i += 1;
                }
                pair(8, sum)
            }
            Self::Choice(tagging, choices) => {
                let ordered = matches!(tagging, Tagging::Untagged);
                let (mut sum, mut i) = (0_u64, 0);
                while i < choices.len() {
                    let one = pair(choices[i].hash(), if ordered { i as u64 } else { 0 });
                    sum = sum.wrapping_add(one);
                    i += 1;
                }
                pair(pair(9, tagging.hash()), sum)
            }
        }
    }
}

impl Field {
    const fn hash(&self) -> u64 {
        let flags = 10 + self.required as u64 + 2 * self.flat as u64;
        pair(pair(pair(flags, text(self.name)), texts(self.aliases)), self.form.hash())
    }
}

impl Choice {
    const fn hash(&self) -> u64 {
        pair(pair(text(self.name), texts(self.aliases)), self.form.hash())
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

    const fn hash(self) -> u64 {
        match self {
            Self::External => 1,
            Self::Internal(key) => pair(2, text(key)),
            Self::Adjacent(key, content) => pair(pair(3, text(key)), text(content)),
            Self::Untagged => 4,
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
            // Their order is what tells them apart.
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
    if same(name, wanted) {
        return true;
    }
    let mut i = 0;
    while i < aliases.len() {
        if same(aliases[i], wanted) {
            return true;
        }
        i += 1;
    }
    false
}

const fn is_wider(new: &str, old: &str) -> bool {
    let mut i = 0;
    while i < WIDER.len() {
        if same(WIDER[i].0, old) {
            return knows("", WIDER[i].1, new);
        }
        i += 1;
    }
    false
}

const fn same(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    if a.len() != b.len() {
        return false;
    }
    let mut i = 0;
    while i < a.len() {
        if a[i] != b[i] {
            return false;
        }
        i += 1;
    }
    true
}

/// FNV-1a.
const fn text(text: &str) -> u64 {
    let text = text.as_bytes();
    let (mut hash, mut i) = (0xcbf2_9ce4_8422_2325_u64, 0);
    while i < text.len() {
        hash = (hash ^ text[i] as u64).wrapping_mul(0x0100_0000_01b3);
        i += 1;
    }
    hash
}

/// In whatever order.
const fn texts(all: &[&str]) -> u64 {
    let (mut sum, mut i) = (0_u64, 0);
    while i < all.len() {
        sum = sum.wrapping_add(mix(text(all[i])));
        i += 1;
    }
    sum
}

const fn pair(a: u64, b: u64) -> u64 {
    mix(mix(a) ^ b.rotate_left(32))
}

/// The finalizer of `SplitMix64`: each bit changes half of the others. (Steele, Lea, Flood: Fast splittable pseudorandom
/// number generators, 2014.)
const fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    const U32: Form = Form::Leaf("u32");
    const TEXT: Form = Form::Leaf("string");

    const fn field(name: &'static str, required: bool, form: Form) -> Field {
        Field { name, aliases: &[], required, flat: false, form }
    }

    const fn choice(name: &'static str, form: Form) -> Choice {
        Choice { name, aliases: &[], form }
    }

    /// Pairs of forms: whether the first reads the second, and whether the second reads the first.
    const PAIRS: &[(Form, Form, bool, bool)] = &[
        (U32, U32, true, true),
        (U32, TEXT, false, false),
        (Form::Leaf("i64"), U32, true, false),
        (Form::Leaf("u64"), Form::Leaf("i8"), false, false),
        (Form::Option(&U32), U32, true, false),
        (Form::Option(&Form::Leaf("u64")), Form::Option(&U32), true, false),
        (Form::List(&U32), U32, false, false),
        (Form::List(&U32), Form::Tuple(&[U32, U32]), true, false),
        (Form::Tuple(&[U32]), Form::Tuple(&[U32, U32]), false, false),
        (Form::Map(&TEXT, &Form::Leaf("u64")), Form::Map(&TEXT, &U32), true, false),
        (Form::Opaque, Form::Opaque, true, true),
        (U32, Form::Opaque, true, false),
        (
            Form::Object(&[field("a", true, U32), field("b", true, TEXT)]),
            Form::Object(&[field("b", true, TEXT), field("a", true, U32)]),
            true,
            true,
        ),
        (
            Form::Object(&[field("a", true, U32), field("b", false, TEXT)]),
            Form::Object(&[field("a", true, U32)]),
            true,
            false,
        ),
        (Form::Object(&[field("a", true, U32)]), Form::Object(&[]), false, false),
        (Form::Object(&[field("a", false, U32)]), Form::Object(&[field("a", true, U32)]), true, false),
        (
            Form::Object(&[Field { name: "b", aliases: &["a"], required: true, flat: false, form: U32 }]),
            Form::Object(&[field("a", true, U32)]),
            true,
            false,
        ),
        (
            Form::Object(&[Field { flat: true, ..field("a", true, Form::Object(&[])) }]),
            Form::Object(&[field("a", true, Form::Object(&[]))]),
            false,
            false,
        ),
        (
            Form::Choice(Tagging::External, &[choice("A", Form::Unit), choice("B", U32)]),
            Form::Choice(Tagging::External, &[choice("B", U32)]),
            true,
            false,
        ),
        (
            Form::Choice(Tagging::External, &[choice("A", Form::Unit)]),
            Form::Choice(Tagging::Internal("kind"), &[choice("A", Form::Unit)]),
            false,
            false,
        ),
        (
            Form::Choice(Tagging::Untagged, &[choice("A", U32), choice("B", TEXT)]),
            Form::Choice(Tagging::Untagged, &[choice("B", TEXT), choice("A", U32)]),
            false,
            false,
        ),
        (
            Form::Choice(Tagging::Untagged, &[choice("Other", U32)]),
            Form::Choice(Tagging::Untagged, &[choice("A", U32)]),
            true,
            true,
        ),
    ];

    #[test]
    fn what_was_written_is_read_and_nothing_lost() {
        for (a, b, forth, back) in PAIRS {
            assert_eq!((a.reads(b), b.reads(a)), (*forth, *back), "{a:?} of {b:?}");
        }
    }

    #[test]
    fn every_form_reads_itself() {
        for (a, b, ..) in PAIRS {
            assert!(a.reads(a) && b.reads(b), "{a:?}, {b:?}");
        }
    }

    #[test]
    fn hashes_differ_where_forms_do_and_only_there() {
        let reordered =
            |a: &Form, b: &Form| matches!((a, b), (Form::Object(_), Form::Object(_))) && a.reads(b) && b.reads(a);
        for (a, b, ..) in PAIRS {
            let untagged_names = matches!(a, Form::Choice(Tagging::Untagged, _));
            if !untagged_names {
                assert_eq!(a.hash() == b.hash(), a == b || reordered(a, b), "{a:?}, {b:?}");
            }
        }
    }

    #[test]
    fn the_difference_of_two_locks_says_the_same() {
        let lock = |form: &Form| {
            let text = format!(
                r#"{{"format":1,"events":{{"a":{{"type":"A","versions":{{"1":
                {{"hash":"0","form":{},"schema":{{}},"samples":[]}}}}}}}}}}"#,
                form.to_json()
            );
            recount_schema::Lock::parse(&text).unwrap()
        };
        for (a, b, ..) in PAIRS {
            for (new, old) in [(a, b), (b, a)] {
                let changes = recount_schema::changes(&lock(old), &lock(new));
                assert_eq!(
                    changes.iter().all(|change| change.backward),
                    new.reads(old),
                    "{new:?} of {old:?}: {changes:?}"
                );
            }
        }
    }

    #[test]
    fn it_is_known_at_compile_time() {
        const READS: bool = Form::Option(&U32).reads(&U32);
        const HASH: u64 = Form::List(&U32).hash();
        const { assert!(READS) };
        assert_eq!(HASH, Form::List(&U32).hash());
    }
}

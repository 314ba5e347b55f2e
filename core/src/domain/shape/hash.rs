//! A number that stands for a form, at compile time.

use super::{Choice, Field, Form, Tagging};
use crate::domain::text::hash as text;

impl Form {
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
    const fn hash(self) -> u64 {
        match self {
            Self::External => 1,
            Self::Internal(key) => pair(2, text(key)),
            Self::Adjacent(key, content) => pair(pair(3, text(key)), text(content)),
            Self::Untagged => 4,
        }
    }
}

/// The hash of texts, independent of their order.
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

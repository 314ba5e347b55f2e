//! The differences between two texts, line by line.

use std::fmt::Write as _;

use similar::{ChangeTag, TextDiff};

/// The lines of both texts: `-` only in the first, `+` only in the second.
pub(crate) fn diff(expected: &str, actual: &str) -> String {
    let mut text = String::new();
    for change in TextDiff::from_lines(expected, actual).iter_all_changes() {
        let sign = match change.tag() {
            ChangeTag::Delete => '-',
            ChangeTag::Insert => '+',
            ChangeTag::Equal => ' ',
        };
        // Writing to a string can't fail.
        let _ = writeln!(text, "  {sign} {}", change.value().trim_end_matches('\n'));
    }
    text
}

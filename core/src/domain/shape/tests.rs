//! Forms beside each other.

use super::{Choice, Field, Form, Tagging};

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
            assert_eq!(changes.iter().all(|change| change.backward), new.reads(old), "{new:?} of {old:?}: {changes:?}");
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

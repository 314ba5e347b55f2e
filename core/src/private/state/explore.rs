//! Runs a type's `Deserialize` repeatedly, until all variants and values were tried.
//!
//! One run sees one variant of each enum, and ends at the first value that the type refuses. The next run tries the next
//! variant, or another value in place of the refused one. A field that refuses all values is left out, so that the fields
//! after it are seen: a type reports a missing field only at its end.

use std::collections::{BTreeMap, BTreeSet};

use super::join;
use super::probe::{Probe, Refused};

/// The maximum number of runs per type.
const RUNS: usize = 512;

/// Sample texts: each is valid for some common type.
pub(super) const TEXTS: &[&str] = &[
    "a",
    "1",
    "2000-01-01",
    "2000-01-01T00:00:00Z",
    "2000-01-01T00:00:00",
    "00:00:00",
    "00000000-0000-0000-0000-000000000000",
    "127.0.0.1",
    "::1",
    "127.0.0.1:1",
    "P1D",
    "EUR",
    "en",
    "https://a.a",
    "a@a.aa",
    "",
];

/// Sample numbers: each is valid for some common type.
pub(super) const NUMBERS: &[u8] = &[1, 0, 2, 10, 100];

/// The maximum number of requests to the deserializer in one run.
const STEPS: usize = 10_000;

/// Records the requests of one type's `Deserialize` over all runs. A place is identified by the hash of its path.
#[derive(Debug, Default)]
pub(super) struct Explorer {
    /// The hashes of all requests, each joined with its place.
    seen: BTreeSet<u64>,
    /// By place: the index of the sample to give next, and the number of samples.
    values: BTreeMap<u64, (usize, usize)>,
    /// By enum: the index of the variant to give next, and the number of variants.
    variants: BTreeMap<u64, (usize, usize)>,
    /// Fields to leave out: aliases of a field that was given, and fields that refuse all values.
    left_out: BTreeSet<u64>,
    run: Run,
}

#[derive(Debug, Default)]
struct Run {
    steps: usize,
    /// The last place at which a sample was given.
    value: Option<u64>,
    /// The last field with a name that was given and a value that was not yet requested.
    field: Option<u64>,
    /// The fields that enclose the current place; after a refusal, the fields that enclose the refused value.
    within: Vec<u64>,
    /// The enums that were met.
    enums: Vec<u64>,
}

impl Explorer {
    /// Runs the type until nothing is left to try. Returns the hash of all its requests.
    pub(super) fn explore(mut self, run: impl Fn(Probe<'_>) -> Result<(), Refused>) -> u64 {
        for _ in 0..RUNS {
            self.run = Run::default();
            let refused = run(Probe::new(&mut self)).is_err();
            let more = refused && (self.leave_out_name() || self.next_value()) || self.next_variant();
            if !(more || refused && self.leave_out_field()) {
                break;
            }
        }
        self.seen.iter().fold(0, |number, seen| join(number, *seen))
    }

    /// Records a request. Fails after [`STEPS`] requests in one run.
    pub(super) fn note(&mut self, place: u64, what: u64) -> Result<(), Refused> {
        self.seen.insert(join(place, what));
        self.run.steps += 1;
        if self.run.steps > STEPS { Err(Refused) } else { Ok(()) }
    }

    /// The index of the sample to give at this place.
    pub(super) fn value(&mut self, place: u64, count: usize) -> usize {
        self.run.value = Some(place);
        self.values.entry(place).or_insert((0, count)).0.min(count - 1)
    }

    /// The index of the variant of this enum to give. An enum nested within itself gets the next variants, so that the
    /// recursion ends.
    pub(super) fn variant(&mut self, named: u64, count: usize, within_itself: usize) -> usize {
        self.run.enums.push(named);
        let (at, _) = self.variants.entry(named).or_insert((0, count));
        (*at + within_itself) % count.max(1)
    }

    /// Whether to give the field. A field that is an alias of an earlier one is left out.
    pub(super) fn gives_field(&mut self, field: u64) -> bool {
        let given = !self.left_out.contains(&field);
        if given {
            self.run.field = Some(field);
        }
        given
    }

    /// The field that was named is asked for.
    pub(super) fn enters_field(&mut self, field: u64) {
        self.run.field = None;
        self.run.within.push(field);
    }

    /// The field took its value.
    pub(super) fn leaves_field(&mut self) {
        self.run.within.pop();
    }

    /// Whether it was a field's name that was refused: it is left out from now on.
    fn leave_out_name(&mut self) -> bool {
        self.run.field.is_some_and(|field| self.left_out.insert(field))
    }

    /// Whether it was refused within a field: it is left out from now on.
    fn leave_out_field(&mut self) -> bool {
        self.run.within.pop().is_some_and(|field| self.left_out.insert(field))
    }

    /// Selects the next sample in place of the refused one. Returns whether there is one.
    fn next_value(&mut self) -> bool {
        let tried = self.run.value.and_then(|place| self.values.get_mut(&place));
        tried.is_some_and(|(at, count)| {
            *at = (*at + 1).min(*count);
            at < count
        })
    }

    /// Selects the next variant of an enum. Returns whether there is one. Starts with the enum that was requested last,
    /// since it may be nested in the earlier ones.
    fn next_variant(&mut self) -> bool {
        let enums = std::mem::take(&mut self.run.enums);
        enums.iter().rev().any(|named| {
            self.variants.get_mut(named).is_some_and(|(at, count)| {
                let more = *at + 1 < *count;
                *at += usize::from(more);
                more
            })
        })
    }
}

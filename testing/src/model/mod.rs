//! The model test: random operations on two stores. Their answers must be the same.
//!
//! One of them is usually the memory store: it is simple, so it is the model. Positions and revisions may differ
//! (a store may leave gaps), so they are compared by the event or write that they belong to; times are not compared.

mod operation;
mod twin;

use std::collections::BTreeMap;

use recount_core::Store;

use self::operation::Generator;
use self::twin::Twin;
use crate::diff::diff;

/// How often each kind of outcome occurred, so that a test can assert that it tested something.
pub type Outcomes = BTreeMap<&'static str, usize>;

/// Carries out that many random operations on two empty stores and compares their answers.
///
/// # Panics
/// If the stores differ. The message tells the seed, the operation and both answers; the same seed repeats the run.
pub async fn run(seed: u64, steps: usize, one: &dyn Store, other: &dyn Store) -> Outcomes {
    let mut generator = Generator::new(seed);
    let (mut one, mut other) = (Twin::new(one), Twin::new(other));
    let mut outcomes = Outcomes::new();
    for step in 0..=steps {
        let last = step == steps;
        let operation = if last { generator.everything() } else { generator.next() };
        let (first, second) = (one.carry_out(&operation).await, other.carry_out(&operation).await);
        if first.text != second.text {
            diverged(seed, step, &format!("{operation:#?}"), &first.text, &second.text);
        }
        *outcomes.entry(first.kind).or_default() += 1;
        if let Some(appended) = &first.appended {
            generator.learn(appended, one.count());
        }
    }
    outcomes
}

#[expect(clippy::panic, reason = "a test reports by panicking")]
fn diverged(seed: u64, step: usize, operation: &str, first: &str, second: &str) -> ! {
    let diff = diff(first, second);
    panic!(
        "the stores differ with seed {seed} in step {step} (- first store, + second store):\n{diff}\nafter {operation}"
    );
}

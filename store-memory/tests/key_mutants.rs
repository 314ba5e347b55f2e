//! The suite of keys finds stores that mix up the outcomes of requests which share an append.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod common;

use std::time::Duration;

use async_trait::async_trait;
use common::Mutant;
use recount_core::{Append, AppendError, Appended, EventStore, Store, StoreError};
use recount_testing::StoreWrapper;
use recount_testing::store::support::everything;
use recount_testing::store::{Harness, check, idempotency, key_retention, shared_keys};

/// A defect of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Defect {
    /// The first two requests of a shared append get each other's outcome.
    SwapsOutcomes,
    /// Every request of a shared append gets the outcome of the whole append.
    GivesTheWholeOutcome,
    /// Only the first request of a shared append is recorded under its key.
    RecordsHalfOfTheKeys,
    /// A shared append with known keys is written without those keys.
    WritesKnownRequestsAgain,
    /// Of several known keys only one is reported.
    ReportsHalfOfTheKnownKeys,
    /// All keys of an append are reported if one is known.
    ReportsUnknownKeys,
    /// A key with other content gets the first outcome.
    IgnoresTheDigest,
    /// A repeated append is written again.
    WritesRepetitions,
    /// A repeated append is not marked as a repetition.
    HidesRepetitions,
    /// No key is ever forgotten.
    ForgetsNothing,
    /// Keys are forgotten whatever their age.
    ForgetsYoungKeys,
    /// All old keys are forgotten at once.
    IgnoresTheLimit,
    /// The events of all streams go with the keys.
    ErasesWhatItForgets,
}

const DEFECTS: [Defect; 13] = [
    Defect::SwapsOutcomes,
    Defect::GivesTheWholeOutcome,
    Defect::RecordsHalfOfTheKeys,
    Defect::WritesKnownRequestsAgain,
    Defect::ReportsHalfOfTheKnownKeys,
    Defect::ReportsUnknownKeys,
    Defect::IgnoresTheDigest,
    Defect::WritesRepetitions,
    Defect::HidesRepetitions,
    Defect::ForgetsNothing,
    Defect::ForgetsYoungKeys,
    Defect::IgnoresTheLimit,
    Defect::ErasesWhatItForgets,
];

impl Mutant<Defect> {
    async fn append_unless_known(&self, mut append: Append) -> Result<Appended, AppendError> {
        if self.has(Defect::SwapsOutcomes)
            && let [first, second, ..] = &mut *append.slices
        {
            std::mem::swap(&mut first.idempotency, &mut second.idempotency);
        }
        if self.has(Defect::GivesTheWholeOutcome) {
            for slice in &mut append.slices {
                slice.events = 0..append.streams.get(slice.stream).map_or(0, |part| part.events.len());
            }
        }
        if self.has(Defect::RecordsHalfOfTheKeys) {
            append.slices.truncate(1);
        }
        self.store.append(append).await
    }
}

#[async_trait]
impl StoreWrapper for Mutant<Defect> {
    fn inner(&self) -> &dyn Store {
        &self.store
    }
    async fn append(&self, mut append: Append) -> Result<Appended, AppendError> {
        append.validate()?;
        let repeated = append.clone();
        let all: Vec<_> = append.keys().cloned().collect();
        match self.append_unless_known(append.clone()).await {
            Err(AppendError::KeysKnown { keys }) if self.has(Defect::WritesKnownRequestsAgain) => {
                append.slices.retain(|slice| !keys.contains(&slice.idempotency.key));
                self.store.append(append).await
            }
            Err(AppendError::KeysKnown { mut keys }) if self.has(Defect::ReportsHalfOfTheKnownKeys) => {
                keys.truncate(1);
                Err(AppendError::KeysKnown { keys })
            }
            Err(AppendError::KeysKnown { .. }) if self.has(Defect::ReportsUnknownKeys) => {
                Err(AppendError::KeysKnown { keys: all })
            }
            Err(AppendError::KeyReused { .. }) if self.has(Defect::IgnoresTheDigest) => {
                let first = self.store.find_append(&all[0]).await?.unwrap();
                Ok(Appended { repeated: true, ..first.appended })
            }
            Ok(first) if first.repeated && self.has(Defect::WritesRepetitions) => {
                self.store.append(Append { idempotency: None, ..repeated }).await
            }
            Ok(first) if self.has(Defect::HidesRepetitions) => Ok(Appended { repeated: false, ..first }),
            outcome => outcome,
        }
    }
    async fn forget_keys(&self, older_than: Duration, limit: usize) -> Result<u64, StoreError> {
        match self.defect {
            Some(Defect::ForgetsNothing) => return Ok(0),
            Some(Defect::ForgetsYoungKeys) => self.store.forget_keys(Duration::ZERO, limit),
            Some(Defect::IgnoresTheLimit) => self.store.forget_keys(older_than, usize::MAX),
            Some(Defect::ErasesWhatItForgets) => {
                for event in everything(&self.store).await {
                    self.store.erase(&event.stream).await?;
                }
                self.store.forget_keys(older_than, limit)
            }
            _ => self.store.forget_keys(older_than, limit),
        }
        .await
    }
}

/// The promises of keys that a store with this defect breaks.
fn broken(defect: Option<Defect>) -> Vec<&'static str> {
    common::broken! { defect;
        idempotency::a_repeated_key_returns_the_first_outcome
        idempotency::a_key_is_not_used_for_other_content
        shared_keys::each_request_of_a_shared_append_has_its_own_outcome
        shared_keys::a_shared_append_with_a_known_key_writes_nothing
        shared_keys::a_request_of_a_shared_append_is_repeated_alone
        key_retention::old_keys_are_forgotten_and_young_ones_stay
        key_retention::no_more_keys_are_forgotten_than_asked
        key_retention::events_stay_when_their_keys_are_forgotten
    }
}

#[test]
fn a_store_without_a_defect_keeps_the_promises_of_keys() {
    assert_eq!(broken(None), Vec::<&str>::new());
}

#[test]
fn each_defect_breaks_a_promise_of_keys() {
    let unnoticed: Vec<_> = DEFECTS.into_iter().filter(|defect| broken(Some(*defect)).is_empty()).collect();
    assert_eq!(unnoticed, []);
}

//! The suite of state batches finds stores that do half of a batch, more than it, or answer for another one.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod common;

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use common::Mutant;
use recount_core::{
    ExpectedRevision, Namespace, Revision, StateDelete, StateEntry, StateError, StateKey, StatePut, StateStore, Store,
    StoreError, Timestamp,
};
use recount_testing::StoreWrapper;
use recount_testing::store::{Harness, check, state_batch};

/// A defect of a store, named after what it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Defect {
    PutsWithoutLaterExpectations,
    DeletesWithoutLaterExpectations,
    PutsUpToTheMismatch,
    DeletesUpToTheMismatch,
    PutsTheOthersDespiteTheMismatch,
    DeletesNeighbours,
    DeletesAllButTheLast,
    AnswersAllButTheLast,
    AnswersInReverse,
    ExchangesValues,
    NamesTheLastMismatch,
    PutsARepeatedKey,
    PutsAnyNumber,
    GivesAllTheFirstTimeToLive,
    KeepsAllForEver,
    IsInterruptible,
    RunsItsClockBack,
    StopsItsClock,
    MixesNamespaces,
    ListsAllNamespaces,
}

/// Each defect and a promise that it breaks.
const DEFECTS: [(Defect, &str); 20] = [
    (Defect::PutsWithoutLaterExpectations, "a_batch_with_a_mismatch_changes_nothing"),
    (Defect::DeletesWithoutLaterExpectations, "a_batch_with_a_mismatch_changes_nothing"),
    (Defect::PutsUpToTheMismatch, "a_batch_with_a_mismatch_changes_nothing"),
    (Defect::DeletesUpToTheMismatch, "a_batch_with_a_mismatch_changes_nothing"),
    (Defect::PutsTheOthersDespiteTheMismatch, "a_batch_with_a_mismatch_changes_nothing"),
    (Defect::DeletesNeighbours, "entries_are_written_and_deleted_together"),
    (Defect::DeletesAllButTheLast, "entries_are_written_and_deleted_together"),
    (Defect::AnswersAllButTheLast, "entries_are_written_and_deleted_together"),
    (Defect::AnswersInReverse, "entries_are_written_and_deleted_together"),
    (Defect::ExchangesValues, "entries_are_written_and_deleted_together"),
    (Defect::NamesTheLastMismatch, "a_batch_with_a_mismatch_changes_nothing"),
    (Defect::PutsARepeatedKey, "a_batch_beyond_the_limits_is_refused"),
    (Defect::PutsAnyNumber, "a_batch_beyond_the_limits_is_refused"),
    (Defect::GivesAllTheFirstTimeToLive, "entries_of_a_batch_expire_each_by_its_own_time"),
    (Defect::KeepsAllForEver, "entries_of_a_batch_expire_each_by_its_own_time"),
    (Defect::IsInterruptible, "a_cancelled_batch_is_whole_or_absent"),
    (Defect::RunsItsClockBack, "the_store_tells_the_time_that_expiry_goes_by"),
    (Defect::StopsItsClock, "the_store_tells_the_time_that_expiry_goes_by"),
    (Defect::MixesNamespaces, "keys_of_different_namespaces_never_meet"),
    (Defect::ListsAllNamespaces, "keys_of_different_namespaces_never_meet"),
];

impl Mutant<Defect> {
    /// Puts one entry after the other; returns the first failure.
    async fn put_each(&self, puts: Vec<StatePut>) -> Result<Vec<Revision>, StateError> {
        let mut revisions = Vec::new();
        for put in puts {
            revisions.push(self.store.put(&put.key, put.value, put.expected, put.time_to_live).await?);
            if self.has(Defect::IsInterruptible) {
                tokio::time::sleep(Duration::from_micros(100)).await;
            }
        }
        Ok(revisions)
    }

    /// The entry of this key in the namespace of the application.
    fn mixed(&self, key: &StateKey) -> StateKey {
        if self.has(Defect::MixesNamespaces) { StateKey::new(key.name()).unwrap() } else { key.clone() }
    }
}

fn distort(defect: Option<Defect>, puts: &mut Vec<StatePut>) {
    match defect {
        Some(Defect::PutsWithoutLaterExpectations) => {
            puts.iter_mut().skip(1).for_each(|put| put.expected = ExpectedRevision::Any);
        }
        Some(Defect::ExchangesValues) => {
            if let [first, second, ..] = &mut puts[..] {
                std::mem::swap(&mut first.value, &mut second.value);
            }
        }
        Some(Defect::NamesTheLastMismatch) => puts.reverse(),
        Some(Defect::PutsARepeatedKey) => {
            let mut seen = Vec::new();
            puts.retain(|put| !seen.contains(&put.key) && (seen.push(put.key.clone()), true).1);
        }
        Some(Defect::GivesAllTheFirstTimeToLive) => {
            let first = puts.first().and_then(|put| put.time_to_live);
            puts.iter_mut().for_each(|put| put.time_to_live = first);
        }
        Some(Defect::KeepsAllForEver) => puts.iter_mut().for_each(|put| put.time_to_live = None),
        _ => {}
    }
}

#[async_trait]
impl StoreWrapper for Mutant<Defect> {
    fn inner(&self) -> &dyn Store {
        &self.store
    }

    async fn put_many(&self, mut puts: Vec<StatePut>) -> Result<Vec<Revision>, StateError> {
        distort(self.defect, &mut puts);
        match self.defect {
            Some(Defect::PutsUpToTheMismatch | Defect::IsInterruptible) => self.put_each(puts).await,
            Some(Defect::PutsTheOthersDespiteTheMismatch) => match self.store.put_many(puts.clone()).await {
                Err(StateError::Mismatch { key, expected, actual }) => {
                    puts.retain(|put| put.key != key);
                    let _ = self.put_each(puts).await;
                    Err(StateError::Mismatch { key, expected, actual })
                }
                outcome => outcome,
            },
            Some(Defect::PutsAnyNumber) => {
                let mut revisions = Vec::new();
                for some in puts.chunks(100) {
                    revisions.extend(self.store.put_many(some.to_vec()).await?);
                }
                Ok(revisions)
            }
            _ => {
                let mut revisions = self.store.put_many(puts).await?;
                match self.defect {
                    Some(Defect::AnswersAllButTheLast) => drop(revisions.pop()),
                    Some(Defect::AnswersInReverse) => revisions.reverse(),
                    _ => {}
                }
                Ok(revisions)
            }
        }
    }

    async fn delete_many(&self, mut deletes: Vec<StateDelete>) -> Result<(), StateError> {
        match self.defect {
            Some(Defect::DeletesWithoutLaterExpectations) => {
                deletes.iter_mut().skip(1).for_each(|delete| delete.expected = ExpectedRevision::Any);
            }
            Some(Defect::NamesTheLastMismatch) => deletes.reverse(),
            Some(Defect::DeletesAllButTheLast) => drop(deletes.pop()),
            Some(Defect::DeletesUpToTheMismatch) => {
                for StateDelete { key, expected } in deletes {
                    self.store.delete(&key, expected).await?;
                }
                return Ok(());
            }
            Some(Defect::DeletesNeighbours) => {
                self.store.delete_many(deletes.clone()).await?;
                for StateDelete { key, .. } in deletes {
                    for (neighbour, _) in self.store.list(Namespace::USER, "", Some(&key), 1).await? {
                        self.store.delete(&neighbour, ExpectedRevision::Any).await?;
                    }
                }
                return Ok(());
            }
            _ => {}
        }
        self.store.delete_many(deletes).await
    }

    async fn now(&self) -> Result<Timestamp, StoreError> {
        let now = self.store.now().await?;
        Ok(match self.defect {
            Some(Defect::RunsItsClockBack) => Timestamp::UNIX_EPOCH + Timestamp::MAX.duration_since(now),
            Some(Defect::StopsItsClock) => Timestamp::from_second(now.as_second() / 3600 * 3600).unwrap(),
            _ => now,
        })
    }

    async fn get(&self, key: &StateKey) -> Result<Option<StateEntry>, StoreError> {
        self.store.get(&self.mixed(key)).await
    }

    async fn put(
        &self,
        key: &StateKey,
        value: Bytes,
        expected: ExpectedRevision,
        time_to_live: Option<Duration>,
    ) -> Result<Revision, StateError> {
        self.store.put(&self.mixed(key), value, expected, time_to_live).await
    }

    async fn list(
        &self,
        namespace: Namespace,
        prefix: &str,
        after: Option<&StateKey>,
        limit: usize,
    ) -> Result<Vec<(StateKey, StateEntry)>, StoreError> {
        let mut found = self.store.list(namespace, prefix, after, limit).await?;
        if self.has(Defect::ListsAllNamespaces) && namespace != Namespace::LEASE {
            found.extend(self.store.list(Namespace::LEASE, prefix, None, limit).await?);
        }
        Ok(found)
    }
}

/// The promises that a store with this defect breaks.
fn broken(defect: Option<Defect>) -> Vec<&'static str> {
    common::broken! { defect;
        state_batch::entries_are_written_and_deleted_together
        state_batch::a_batch_with_a_mismatch_changes_nothing
        state_batch::a_batch_beyond_the_limits_is_refused
        state_batch::entries_of_a_batch_expire_each_by_its_own_time
        state_batch::of_racing_batches_that_overlap_exactly_one_wins
        state_batch::a_cancelled_batch_is_whole_or_absent
        state_batch::the_store_tells_the_time_that_expiry_goes_by
        state_batch::keys_of_different_namespaces_never_meet
    }
}

#[test]
fn a_store_without_a_defect_keeps_the_promises_of_state_batches() {
    assert_eq!(broken(None), Vec::<&str>::new());
}

#[test]
fn each_defect_breaks_its_promise_of_state_batches() {
    let unnoticed: Vec<_> =
        DEFECTS.into_iter().filter(|(defect, promise)| !broken(Some(*defect)).contains(promise)).collect();
    assert_eq!(unnoticed, []);
}

//! The actual outcome, and the expected one.

use std::error::Error;
use std::fmt::Debug;

use recount_core::Event;

use super::storage::{causes, fail, stored};
use crate::diff::diff;

/// The outcome of a command or decision. Call a `then…` method, or the test tests nothing.
#[must_use = "say what should happen: `then(…)`, `then_nothing()`, `then_error(…)`"]
#[derive(Debug)]
pub struct Outcome<E, R> {
    pub(super) result: Result<Vec<E>, Refusal<R>>,
}

#[derive(Debug)]
pub(super) enum Refusal<R> {
    /// By the domain.
    Rejected(R),
    /// A command that creates an aggregate that is there already.
    Exists,
}

impl<E: Event + Debug + PartialEq, R: Error + 'static> Outcome<E, R> {
    /// Exactly these events happen.
    ///
    /// # Panics
    /// If they don't.
    #[track_caller]
    pub fn then(self, expected: impl IntoIterator<Item = E>) {
        let expected: Vec<E> = expected.into_iter().collect();
        let actual = match self.result {
            Ok(actual) => actual,
            Err(refusal) => fail(&format!("{}\nexpected events: {expected:#?}", refusal.describe())),
        };
        if actual != expected {
            let diff = diff(&format!("{expected:#?}"), &format!("{actual:#?}"));
            fail(&format!("other events happened than expected (- expected, + happened):\n{diff}"));
        }
        for event in actual {
            stored(event);
        }
    }

    /// It is accepted, but nothing needs to happen.
    ///
    /// # Panics
    /// If something happens, or it is refused.
    #[track_caller]
    pub fn then_nothing(self) {
        match self.result {
            Ok(events) if events.is_empty() => {}
            Ok(events) => fail(&format!("nothing was to happen, but this did: {events:#?}")),
            Err(refusal) => fail(&format!("{}\nexpected: accepted without events", refusal.describe())),
        }
    }

    /// It is refused for exactly this reason.
    ///
    /// # Panics
    /// If it is accepted, or refused for another reason.
    #[track_caller]
    pub fn then_error(self, expected: R)
    where
        R: PartialEq,
    {
        let actual = self.error(&format!("{expected:#?}"));
        if actual != expected {
            let diff = diff(&format!("{expected:#?}"), &format!("{actual:#?}"));
            fail(&format!("refused for another reason than expected (- expected, + actual):\n{diff}"));
        }
    }

    /// It is refused for a reason that the predicate accepts.
    ///
    /// # Panics
    /// If it is accepted, or refused for another reason.
    #[track_caller]
    pub fn then_error_matches(self, expected: impl FnOnce(&R) -> bool) {
        let actual = self.error("one that matches");
        if !expected(&actual) {
            fail(&format!("refused for another reason than expected: {}\n{actual:#?}", causes(&actual)));
        }
    }

    /// It is refused because it creates a stream that exists already.
    ///
    /// # Panics
    /// If it is accepted, or refused for another reason.
    #[track_caller]
    pub fn then_already_exists(self) {
        match self.result {
            Err(Refusal::Exists) => {}
            Err(refusal) => fail(&format!("{}\nexpected: refused because it exists already", refusal.describe())),
            Ok(events) => {
                fail(&format!("it was to be refused because it exists already, but it was accepted: {events:#?}"))
            }
        }
    }

    /// The events or the refusal, for assertions of your own.
    ///
    /// # Panics
    /// If it creates a stream that exists already: see [`then_already_exists`](Self::then_already_exists).
    #[track_caller]
    pub fn into_result(self) -> Result<Vec<E>, R> {
        self.result.map_err(|refusal| match refusal {
            Refusal::Rejected(error) => error,
            Refusal::Exists => fail(&refusal.describe()),
        })
    }

    #[track_caller]
    fn error(self, expected: &str) -> R {
        match self.result {
            Err(Refusal::Rejected(error)) => error,
            Err(Refusal::Exists) => fail(&format!("{}\nexpected error: {expected}", self::exists())),
            Ok(events) => fail(&format!("it was accepted, with events: {events:#?}\nexpected error: {expected}")),
        }
    }
}

impl<R: Error + 'static> Refusal<R> {
    fn describe(&self) -> String {
        match self {
            Self::Rejected(error) => format!("it was refused: {}\n{error:#?}", causes(error)),
            Self::Exists => exists(),
        }
    }
}

fn exists() -> String {
    "it was refused: the command creates what is there already, because events were given".into()
}

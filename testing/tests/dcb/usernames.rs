//! Unique user names: a name belongs to one account; a released one is kept free for a while, if so wished.

use recount_core::{Context, Decision, Event, NameError, Query, Tag};
use recount_testing::{given_events, given_nothing};

use super::{DAY, minute, minutes};

#[derive(Event, Clone, Debug, PartialEq)]
#[event(name = "user")]
pub(crate) enum UserEvent {
    Registered {
        #[event(tag)]
        username: String,
    },
    Closed {
        #[event(tag)]
        username: String,
        at: i64,
    },
    Renamed {
        #[event(tag)]
        username: String,
        #[event(tag = "username")]
        old: String,
        at: i64,
    },
}

#[derive(Debug, PartialEq, thiserror::Error)]
#[error("the user name is taken")]
pub(crate) struct Taken;

#[derive(Debug)]
pub(crate) struct Register {
    pub(crate) username: &'static str,
    /// For how many minutes a released name stays free.
    pub(crate) kept_free: i64,
}

#[derive(Default)]
pub(crate) enum Claim {
    #[default]
    Never,
    Taken,
    Released(i64),
}

impl Decision for Register {
    type Event = UserEvent;
    type State = Claim;
    type Error = Taken;

    fn boundary(&self) -> Result<Query, NameError> {
        Ok(Query::tags([Tag::pair("username", self.username)?]))
    }
    fn apply(&self, claim: &mut Claim, event: &UserEvent) {
        *claim = match event {
            UserEvent::Registered { .. } => Claim::Taken,
            UserEvent::Closed { at, .. } => Claim::Released(*at),
            UserEvent::Renamed { username, at, .. } if username != self.username => Claim::Released(*at),
            UserEvent::Renamed { .. } => Claim::Taken,
        };
    }
    fn decide(&self, claim: &Claim, context: &Context<'_>) -> Result<Vec<UserEvent>, Taken> {
        match claim {
            Claim::Taken => Err(Taken),
            Claim::Released(at) if minutes(context.now) <= at + self.kept_free => Err(Taken),
            Claim::Never | Claim::Released(_) => Ok(vec![registered(self.username)]),
        }
    }
}

fn registered(username: &str) -> UserEvent {
    UserEvent::Registered { username: username.into() }
}

fn closed(at: i64) -> UserEvent {
    UserEvent::Closed { username: "u1".into(), at }
}

fn renamed(at: i64) -> UserEvent {
    UserEvent::Renamed { username: "u1changed".into(), old: "u1".into(), at }
}

/// Registers a name that is free as soon as it was released.
fn register(username: &'static str) -> Register {
    Register { username, kept_free: -1 }
}

/// Registers a name that stays free for three days after it was released.
fn register_kept() -> Register {
    Register { username: "u1", kept_free: 3 * DAY }
}

#[test]
fn case_10_a_registered_name_is_taken() {
    given_events([registered("u1")]).when(register("u1")).then_error(Taken);
}

#[test]
fn case_11_a_new_name_is_registered() {
    given_nothing().when(register("u1")).then([registered("u1")]);
    given_events([registered("u2")]).when(register("u1")).then([registered("u1")]);
}

#[test]
fn case_12_the_name_of_a_closed_account_is_free() {
    given_events([registered("u1"), closed(0)]).when(register("u1")).then([registered("u1")]);
}

#[test]
fn case_13_a_name_that_was_changed_is_free() {
    given_events([registered("u1"), renamed(0)]).when(register("u1")).then([registered("u1")]);
}

#[test]
fn case_14_the_name_that_it_was_changed_to_is_taken() {
    given_events([registered("u1"), renamed(0)]).when(register("u1changed")).then_error(Taken);
}

#[test]
fn cases_15_to_18_a_released_name_is_kept_free_for_three_days() {
    for release in [closed, renamed] {
        for (days_ago, free) in [(3, false), (4, true)] {
            let given = given_events([registered("u1"), release((10 - days_ago) * DAY)]).at(minute(10 * DAY));
            let outcome = given.when(register_kept());
            if free { outcome.then([registered("u1")]) } else { outcome.then_error(Taken) }
        }
    }
}

//! Opt-in by a one-time code that is valid for an hour.

use recount_core::{Context, Decision, Event, NameError, Query, Tag};
use recount_testing::{given_events, given_nothing};

use super::{minute, minutes};

#[derive(Event, Clone, Debug, PartialEq)]
#[event(name = "sign_up")]
pub(crate) enum SignUpEvent {
    Initiated {
        #[event(tag)]
        email: String,
        #[event(tag)]
        code: u32,
        at: i64,
    },
    Confirmed {
        #[event(tag)]
        email: String,
        #[event(tag)]
        code: u32,
    },
}

#[derive(Debug, PartialEq, thiserror::Error)]
pub(crate) enum SignUpError {
    #[error("no sign-up is pending for this address and code")]
    NonePending,
    #[error("the code was used already")]
    Used,
    #[error("the code has expired")]
    Expired,
}

#[derive(Debug)]
pub(crate) struct Confirm {
    pub(crate) email: &'static str,
    pub(crate) code: u32,
}

#[derive(Default)]
pub(crate) enum Pending {
    #[default]
    None,
    Since(i64),
    Used,
}

impl Decision for Confirm {
    type Event = SignUpEvent;
    type State = Pending;
    type Error = SignUpError;

    fn boundary(&self) -> Result<Query, NameError> {
        Ok(Query::tags([Tag::pair("email", self.email)?, Tag::pair("code", self.code)?]))
    }
    fn apply(&self, pending: &mut Pending, event: &SignUpEvent) {
        *pending = match event {
            SignUpEvent::Initiated { at, .. } => Pending::Since(*at),
            SignUpEvent::Confirmed { .. } => Pending::Used,
        };
    }
    fn decide(&self, pending: &Pending, context: &Context<'_>) -> Result<Vec<SignUpEvent>, SignUpError> {
        match pending {
            Pending::None => Err(SignUpError::NonePending),
            Pending::Used => Err(SignUpError::Used),
            Pending::Since(at) if minutes(context.now) > at + 60 => Err(SignUpError::Expired),
            Pending::Since(_) => Ok(vec![confirmed(self.email, self.code)]),
        }
    }
}

pub(crate) fn initiated(email: &str, code: u32) -> SignUpEvent {
    SignUpEvent::Initiated { email: email.into(), code, at: 0 }
}

fn confirmed(email: &str, code: u32) -> SignUpEvent {
    SignUpEvent::Confirmed { email: email.into(), code }
}

const ADA: &str = "ada@example.com";

#[test]
fn case_21_nothing_is_confirmed_without_a_sign_up() {
    given_nothing().when(Confirm { email: ADA, code: 1111 }).then_error(SignUpError::NonePending);
}

#[test]
fn case_22_a_code_is_valid_for_the_address_it_was_issued_to() {
    given_events([initiated("bob@example.com", 1111), initiated(ADA, 2222)])
        .when(Confirm { email: ADA, code: 1111 })
        .then_error(SignUpError::NonePending);
}

#[test]
fn case_23_a_code_is_used_once() {
    given_events([initiated(ADA, 1111), confirmed(ADA, 1111)])
        .when(Confirm { email: ADA, code: 1111 })
        .then_error(SignUpError::Used);
}

#[test]
fn case_24_a_valid_code_confirms() {
    let given = given_events([initiated(ADA, 1111)]).at(minute(60));
    given.when(Confirm { email: ADA, code: 1111 }).then([confirmed(ADA, 1111)]);
}

#[test]
fn case_25_a_code_expires_after_an_hour() {
    let given = given_events([initiated(ADA, 1111)]).at(minute(61));
    given.clone().when(Confirm { email: ADA, code: 1 }).then_error(SignUpError::NonePending);
    given.when(Confirm { email: ADA, code: 1111 }).then_error(SignUpError::Expired);
}

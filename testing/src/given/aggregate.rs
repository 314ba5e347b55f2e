//! given / when / then for aggregates.

use std::fmt::Debug;

use recount_core::{Aggregate, Apply, Command, Context, HandleWith, Metadata, StreamVersion, Timestamp};

use super::outcome::{Outcome, Refusal};
use super::storage::{fail, stored};

/// An aggregate to which these events happened.
///
/// ```
/// # extern crate recount_core as recount;
/// # use recount_core::{Aggregate, Apply, Command, Event, Handle};
/// # #[derive(Event, Clone, Debug, PartialEq)]
/// # #[event(name = "account")]
/// # enum AccountEvent { Opened { owner: String }, Deposited { cents: u64 } }
/// # #[derive(Debug, PartialEq, thiserror::Error)]
/// # enum AccountError { #[error("the account is not open")] NotOpen }
/// # #[derive(Aggregate, Default, Clone)]
/// # #[aggregate(name = "account", id = String, event = AccountEvent, error = AccountError, commands(Deposit))]
/// # struct Account { open: bool }
/// # impl Apply for Account { fn apply(&mut self, event: &AccountEvent) { self.open |= matches!(event, AccountEvent::Opened { .. }); } }
/// # #[derive(Command, Clone)]
/// # #[command(aggregate = Account)]
/// # struct Deposit { #[command(id)] account: String, cents: u64 }
/// # impl Handle<Deposit> for Account {
/// #     fn handle(&self, deposit: Deposit) -> Result<Vec<AccountEvent>, AccountError> {
/// #         if self.open { Ok(vec![AccountEvent::Deposited { cents: deposit.cents }]) } else { Err(AccountError::NotOpen) }
/// #     }
/// # }
/// use recount_testing::given;
///
/// given::<Account>([AccountEvent::Opened { owner: "Ada".into() }])
///     .when(Deposit { account: "1".into(), cents: 500 })
///     .then([AccountEvent::Deposited { cents: 500 }]);
///
/// given::<Account>([])
///     .when(Deposit { account: "1".into(), cents: 500 })
///     .then_error(AccountError::NotOpen);
/// ```
///
/// # Panics
/// If an event can't be stored, or is another one when it is read again.
#[track_caller]
pub fn given<A>(events: impl IntoIterator<Item = A::Event>) -> Given<A>
where
    A: Apply,
    A::Event: Debug + PartialEq,
{
    let (mut state, mut version) = (A::default(), StreamVersion::EMPTY);
    for event in events {
        state.apply(&stored(event).1);
        version = version.next();
    }
    Given { state, version, now: Timestamp::UNIX_EPOCH, metadata: Metadata::default() }
}

/// An aggregate with a history. See [`given`].
#[must_use = "say what is asked for: `when(…)`"]
#[derive(Clone, Debug)]
pub struct Given<A> {
    state: A,
    version: StreamVersion,
    now: Timestamp,
    metadata: Metadata,
}

impl<A: Aggregate> Given<A> {
    /// Sets the time that handlers see; without it, the beginning of 1970.
    pub fn at(mut self, now: Timestamp) -> Self {
        self.now = now;
        self
    }

    /// Sets the metadata that handlers see.
    pub fn metadata(mut self, metadata: Metadata) -> Self {
        self.metadata = metadata;
        self
    }

    /// Asks for something.
    ///
    /// # Panics
    /// If the aggregate's id can't be part of a stream name.
    #[track_caller]
    pub fn when<C: Command<Aggregate = A>>(self, command: C) -> Outcome<A::Event, A::Error>
    where
        A: HandleWith<C>,
    {
        let stream = match A::stream(command.aggregate_id()) {
            Ok(stream) => stream,
            Err(error) => fail(&format!("the command's id can't name a stream: {error}")),
        };
        // As the dispatcher does: a command that creates is decided on nothing, then refused if there is something.
        let exists = C::CREATES && self.version > StreamVersion::EMPTY;
        let (state, version) =
            if C::CREATES { (A::default(), StreamVersion::EMPTY) } else { (self.state, self.version) };
        let context = Context { now: self.now, stream: Some(&stream), version, metadata: &self.metadata };
        let result = match state.handle_with(command, &context) {
            Ok(events) if exists && !events.is_empty() => Err(Refusal::Exists),
            decided => decided.map_err(Refusal::Rejected),
        };
        Outcome { result }
    }

    /// The state that the events led to, to assert on.
    pub fn state(self) -> A {
        self.state
    }
}

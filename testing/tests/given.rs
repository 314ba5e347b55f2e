//! given / when / then says clearly what went wrong.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

extern crate recount_core as recount;

use recount_core::{
    Aggregate, Apply, BoxError, Command, Context, DecodeError, EncodeError, Event, EventData, EventVariant, Handle,
    HandleWith, InMemory, Metadata, Projection, RecordedEvent, Timestamp,
};
use recount_testing::{given, given_events};

#[derive(Event, Clone, Debug, PartialEq)]
#[event(name = "account")]
enum AccountEvent {
    Opened {
        owner: String,
        at: i64,
    },
    Deposited {
        cents: u64,
    },
    #[event(retired)]
    Frozen {
        reason: String,
    },
}

#[derive(Debug, PartialEq, thiserror::Error)]
enum AccountError {
    #[error("the account is not open")]
    NotOpen,
    #[error("{cents} cents are too many")]
    TooMuch { cents: u64 },
}

#[derive(Aggregate, Default, Clone, Debug)]
#[aggregate(name = "account", id = String, event = AccountEvent, error = AccountError, commands(Open, Deposit))]
struct Account {
    open: bool,
    cents: u64,
}

impl Apply for Account {
    fn apply(&mut self, event: &AccountEvent) {
        match event {
            AccountEvent::Opened { .. } => self.open = true,
            AccountEvent::Deposited { cents } => self.cents += cents,
            AccountEvent::Frozen { .. } => self.open = false,
        }
    }
}

#[derive(Command, Clone)]
#[command(aggregate = Account, create)]
struct Open {
    #[command(id)]
    account: String,
    owner: String,
}

#[derive(Command, Clone)]
#[command(aggregate = Account)]
struct Deposit {
    #[command(id)]
    account: String,
    cents: u64,
}

impl HandleWith<Open> for Account {
    fn handle_with(&self, open: Open, context: &Context<'_>) -> Result<Vec<AccountEvent>, AccountError> {
        assert_eq!(context.stream.map(ToString::to_string), Some(format!("account/{}", open.account)));
        Ok(vec![AccountEvent::Opened { owner: open.owner, at: context.now.as_second() }])
    }
}

impl Handle<Deposit> for Account {
    fn handle(&self, deposit: Deposit) -> Result<Vec<AccountEvent>, AccountError> {
        match deposit.cents {
            _ if !self.open => Err(AccountError::NotOpen),
            0 => Ok(vec![]),
            cents @ 1..1000 => Ok(vec![AccountEvent::Deposited { cents }]),
            cents => Err(AccountError::TooMuch { cents }),
        }
    }
}

fn opened() -> AccountEvent {
    AccountEvent::Opened { owner: "Ada".into(), at: 0 }
}

fn deposit(cents: u64) -> Deposit {
    Deposit { account: "1".into(), cents }
}

fn open() -> Open {
    Open { account: "1".into(), owner: "Ada".into() }
}

/// What the assertion says when it fails.
#[track_caller]
fn message(assertion: impl FnOnce() + std::panic::UnwindSafe) -> String {
    let panic = std::panic::catch_unwind(assertion).expect_err("the assertion fails");
    panic.downcast_ref::<String>().expect("a message").clone()
}

#[test]
fn what_is_as_expected_passes() {
    given::<Account>([opened()]).when(deposit(5)).then([AccountEvent::Deposited { cents: 5 }]);
    given::<Account>([opened()]).when(deposit(0)).then_nothing();
    given::<Account>([]).when(deposit(5)).then_error(AccountError::NotOpen);
    given::<Account>([opened()]).when(deposit(5000)).then_error_matches(|e| matches!(e, AccountError::TooMuch { .. }));
    given::<Account>([opened()]).when(open()).then_already_exists();
    assert_eq!(given::<Account>([opened()]).when(deposit(0)).into_result(), Ok(vec![]));
    assert_eq!(given::<Account>([opened(), AccountEvent::Deposited { cents: 7 }]).state().cents, 7);
}

#[test]
fn the_clock_is_set_by_the_test() {
    let at = Timestamp::from_second(86_400).unwrap();
    given::<Account>([]).at(at).when(open()).then([AccountEvent::Opened { owner: "Ada".into(), at: 86_400 }]);
    given::<Account>([]).metadata(Metadata::default()).when(open()).then([opened()]);
}

#[test]
fn events_that_are_only_read_can_be_given() {
    let frozen = AccountEvent::Frozen { reason: "x".into() };
    given::<Account>([opened(), frozen]).when(deposit(5)).then_error(AccountError::NotOpen);
}

#[test]
fn other_events_are_shown_as_a_diff() {
    let text = message(|| {
        given::<Account>([opened()]).when(deposit(6)).then([AccountEvent::Deposited { cents: 5 }]);
    });
    assert_eq!(
        text,
        "other events happened than expected (- expected, + happened):\n\
         \x20   [\n\
         \x20       Deposited {\n\
         \x20 -         cents: 5,\n\
         \x20 +         cents: 6,\n\
         \x20       },\n\
         \x20   ]\n"
    );
}

#[test]
fn a_refusal_is_told_where_events_were_expected() {
    let text = message(|| given::<Account>([]).when(deposit(5)).then([AccountEvent::Deposited { cents: 5 }]));
    assert!(text.starts_with("it was refused: the account is not open\nNotOpen\nexpected events: ["), "{text}");
    let text = message(|| given::<Account>([]).when(deposit(5)).then_nothing());
    assert!(text.ends_with("expected: accepted without events"), "{text}");
    let text = message(|| given::<Account>([opened()]).when(open()).then([opened()]));
    assert!(text.starts_with("it was refused: the command creates what is there already"), "{text}");
}

#[test]
fn events_are_told_where_a_refusal_was_expected() {
    let text = message(|| given::<Account>([opened()]).when(deposit(5)).then_error(AccountError::NotOpen));
    assert!(text.starts_with("it was accepted, with events: [\n    Deposited {"), "{text}");
    assert!(text.ends_with("expected error: NotOpen"), "{text}");
    let text = message(|| given::<Account>([opened()]).when(deposit(5)).then_nothing());
    assert!(text.starts_with("nothing was to happen, but this did: ["), "{text}");
    let text = message(|| given::<Account>([]).when(open()).then_already_exists());
    assert!(text.starts_with("it was to be refused because it exists already, but it was accepted"), "{text}");
}

#[test]
fn another_reason_is_shown() {
    let text = message(|| given::<Account>([]).when(deposit(5)).then_error(AccountError::TooMuch { cents: 5 }));
    assert_eq!(
        text,
        "refused for another reason than expected (- expected, + actual):\n\
         \x20 - TooMuch {\n\
         \x20 -     cents: 5,\n\
         \x20 - }\n\
         \x20 + NotOpen\n"
    );
    let text = message(|| given::<Account>([]).when(deposit(5)).then_error_matches(|_| false));
    assert_eq!(text, "refused for another reason than expected: the account is not open\nNotOpen");
}

/// An event whose stored form is broken in one way or another.
#[derive(Debug, PartialEq)]
enum Broken {
    Forgets(u8),
    CantBeRead,
}

impl Event for Broken {
    fn variants() -> Vec<EventVariant> {
        vec![]
    }
    fn encode(&self) -> Result<EventData, EncodeError> {
        let name = if matches!(self, Self::Forgets(_)) { "forgets" } else { "unreadable" };
        Ok(EventData::new(recount_core::EventType::new(name)?, "{}"))
    }
    fn decode(event_type: &str, _: u32, _: &[u8]) -> Result<Self, DecodeError> {
        if event_type == "forgets" { Ok(Self::Forgets(0)) } else { Err(DecodeError::unknown_type(event_type)) }
    }
}

#[test]
fn an_event_that_does_not_survive_storage_is_found() {
    let text = message(|| drop(given_events([Broken::Forgets(7)])));
    assert!(text.starts_with("this event is not the same after storing it (- before, + after):"), "{text}");
    assert!(text.contains("-     7,\n  +     0,"), "{text}");
    let text = message(|| drop(given_events([Broken::CantBeRead])));
    let expected = "this event can be stored but not read again: event type unreadable is unknown here\nCantBeRead";
    assert_eq!(text, expected);
}

/// Sums deposits, wherever they are made.
#[derive(Default)]
struct Total(std::sync::Mutex<u64>);

impl Projection for Total {
    type Event = AccountEvent;
    type ReadModel = InMemory;
    fn name(&self) -> &str {
        "total"
    }

    async fn on(&self, event: &AccountEvent, recorded: &RecordedEvent, (): &mut ()) -> Result<(), BoxError> {
        match event {
            AccountEvent::Deposited { cents: 13 } => Err("an unlucky number".into()),
            AccountEvent::Deposited { cents } => {
                assert_eq!(recorded.recorded_at.as_second(), 60);
                *self.0.lock().unwrap() += cents;
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(future)
}

#[test]
fn a_projection_takes_each_given_event_once() {
    let (total, model) = (Total::default(), InMemory::new());
    let events = given_events([opened()])
        .at(Timestamp::from_second(60).unwrap())
        .and([AccountEvent::Deposited { cents: 3 }, AccountEvent::Deposited { cents: 4 }]);
    block_on(events.project(&total, &model));
    assert_eq!(*total.0.lock().unwrap(), 7);
    block_on(events.and([AccountEvent::Deposited { cents: 5 }]).project(&total, &model));
    assert_eq!(*total.0.lock().unwrap(), 12);
}

#[test]
fn a_failing_projection_is_told() {
    let text = message(|| {
        block_on(given_events([AccountEvent::Deposited { cents: 13 }]).project(&Total::default(), &InMemory::new()));
    });
    assert_eq!(text, "projection total: handling account.deposited failed: an unlucky number");
}

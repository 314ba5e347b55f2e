//! The definitions of processes, and the routes of their inputs.

#![allow(clippy::unwrap_used, reason = "a helper of tests is a test")]

extern crate recount_core as recount;

use recount::{
    Event, Moment, NoTimer, Process, ProcessCommand, ProcessDefinition, Route, RouteOf, Routed, Step, Timer,
    UnknownInstance,
};
use recount_macros_suite::process::{Captured, Fulfilment, Input, OrderEvent, OrderTimer, WaveEvent};
use recount_macros_suite::{AccountId, Open};

/// Every way to name an instance by a field.
#[derive(Event, Clone, Debug, PartialEq)]
#[event(name = "door")]
enum DoorEvent {
    Built { r#type: u64, by: String },
    Opened(u64, String),
    Closed(u64, String),
    Painted { r#type: u64 },
    Burned { text: String },
}

#[derive(Event, Clone, Debug, PartialEq)]
#[event(name = "key.cut")]
struct KeyCut(u64);

#[derive(Event, Clone, Debug, PartialEq)]
#[event(name = "key.lost")]
struct KeyLost {
    key: u64,
}

#[derive(Event, Route, Clone, Debug, PartialEq)]
#[event(union)]
#[route(to = u64)]
enum Doors {
    #[event(only(Built, Painted))]
    #[route(start, by = r#type)]
    ByField(DoorEvent),
    #[event(only(Opened, Closed))]
    #[route(by = 0, start(Closed))]
    ByPlace(DoorEvent),
    #[route(start, by = 0)]
    Cut(KeyCut),
    #[route(by = key)]
    Lost(KeyLost),
    #[event(only(Burned))]
    #[route(with = functions::by_text)]
    Burned(DoorEvent),
}

mod functions {
    use super::{DoorEvent, Routed};

    /// Starts the first number in the text, and tells the others.
    pub(super) fn by_text(event: &DoorEvent, routed: &mut Routed<u64>) {
        let DoorEvent::Burned { text } = event else { return };
        for (place, number) in text.split_whitespace().enumerate() {
            let number = number.parse().unwrap();
            if place == 0 { routed.start(number) } else { routed.to(number) }
        }
    }
}

/// Everything that need not be said is not said.
#[derive(Process, Clone, Default)]
#[process(name = "doors", id = u64, input = Doors, fact = DoorEvent, commands())]
struct Plain;

impl Process for Plain {
    fn apply(&mut self, _: &DoorEvent) {}
    fn on(&self, _: &Doors, _: &Moment) -> Step<Self> {
        Step::ignore()
    }
    fn due(&self, timer: &NoTimer, _: &Moment) -> Step<Self> {
        match *timer {}
    }
}

/// One command, and a tuple for a state.
#[derive(Process, Clone, Default)]
#[process(name = "one", id = AccountId, input = Input, fact = DoorEvent, timer = OrderTimer, commands(Open,),
          unknown = park)]
struct One(#[expect(dead_code, reason = "a state of any shape")] u8);

impl Process for One {
    fn apply(&mut self, _: &DoorEvent) {}
    fn on(&self, _: &Input, _: &Moment) -> Step<Self> {
        Step::ignore()
    }
    fn due(&self, _: &OrderTimer, _: &Moment) -> Step<Self> {
        Step::unexpected()
    }
}

fn routed<R: Route>(input: &R) -> Routed<R::Id> {
    let mut routed = Routed::new();
    input.route(&mut routed);
    routed
}

fn to<Id>(id: Id) -> Routed<Id> {
    let mut routed = Routed::new();
    routed.to(id);
    routed
}

fn start<Id>(id: Id) -> Routed<Id> {
    let mut routed = Routed::new();
    routed.start(id);
    routed
}

fn account(id: &str) -> AccountId {
    id.to_owned().into()
}

#[test]
fn a_field_names_the_instance() {
    let placed = OrderEvent::Placed { account: account("a"), owner: "Ada".into() };
    assert_eq!(routed(&Input::Order(placed)), start(account("a")));
    assert_eq!(routed(&Input::Order(OrderEvent::Cancelled { account: account("a") })), to(account("a")));
    assert_eq!(routed(&Input::Order(OrderEvent::Archived)), Routed::new());
    assert_eq!(routed(&Input::Captured(Captured { account: account("b"), cents: 1 })), to(account("b")));
}

#[test]
fn a_function_names_any_number_of_instances() {
    let accounts = vec![account("a"), account("b")];
    let mut both = to(account("a"));
    both.to(account("b"));
    assert_eq!(routed(&Input::Wave(WaveEvent::Released { accounts })), both);
    assert_eq!(routed(&Input::Wave(WaveEvent::Ended)), Routed::new());

    let mut three = start(1);
    three.to(2);
    three.to(3);
    assert_eq!(routed(&Doors::Burned(DoorEvent::Burned { text: "1 2 3".into() })), three);
}

#[test]
fn fields_may_have_any_name_or_none() {
    let text = String::new;
    for (input, expected) in [
        (Doors::ByField(DoorEvent::Built { r#type: 1, by: text() }), start(1)),
        (Doors::ByField(DoorEvent::Painted { r#type: 2 }), start(2)),
        (Doors::ByPlace(DoorEvent::Opened(3, text())), to(3)),
        (Doors::ByPlace(DoorEvent::Closed(4, text())), start(4)),
        (Doors::Cut(KeyCut(5)), start(5)),
        (Doors::Lost(KeyLost { key: 6 }), to(6)),
    ] {
        assert_eq!(routed(&input), expected, "{input:?}");
    }
}

#[test]
fn routes_are_listed() {
    let route = |variant, only, starts, by| RouteOf { variant, only, starts, by };
    assert_eq!(
        Input::ROUTES,
        [
            route("Order", &["Placed", "Cancelled"], &["Placed"], "account"),
            route("Captured", &[], &[], "account"),
            route("Wave", &[], &[], "accounts_of"),
        ]
    );
    assert_eq!(
        Doors::ROUTES,
        [
            route("ByField", &["Built", "Painted"], &["Built", "Painted"], "type"),
            route("ByPlace", &["Opened", "Closed"], &["Closed"], "0"),
            route("Cut", &[], &["KeyCut"], "0"),
            route("Lost", &[], &[], "key"),
            route("Burned", &["Burned"], &[], "functions::by_text"),
        ]
    );
}

fn names(commands: &[ProcessCommand]) -> Vec<(&str, &str)> {
    commands.iter().map(|command| (command.aggregate, command.command)).collect()
}

#[test]
fn a_process_lists_its_commands() {
    assert_eq!(names(&Fulfilment::commands()), [("account", "open"), ("account", "pay_in")]);
    assert_eq!(names(&One::commands()), [("account", "open")]);
    assert!(Plain::commands().is_empty());
}

#[test]
fn names_and_defaults() {
    assert_eq!((Fulfilment::NAME, Fulfilment::UNKNOWN), ("fulfilment", UnknownInstance::Hold));
    assert_eq!((One::NAME, One::UNKNOWN), ("one", UnknownInstance::Park));
    assert_eq!((Plain::NAME, Plain::UNKNOWN), ("doors", UnknownInstance::Ignore));
    assert_eq!(<<Plain as ProcessDefinition>::Timer as Timer>::NAMES, [""; 0]);
}

#[test]
fn an_input_is_read_and_routed() {
    let data = Captured { account: account("a"), cents: 1 }.encode().unwrap();
    let input = Input::decode(data.event_type.as_str(), data.schema_version, &data.payload).unwrap();
    assert_eq!(routed(&input), to(account("a")));
    let types: Vec<_> = Input::variants().iter().map(|variant| variant.event_type).collect();
    assert_eq!(types, ["order.placed", "order.cancelled", "payment.captured", "wave.released", "wave.ended"]);
}

//! The derives of recount. Use them through the `recount` crate, which exports them beside the traits of their names.
//!
//! Every derive takes `crate = "path"` for a program that knows recount under another name.

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

mod aggregate;
mod args;
mod command;
mod differing;
mod errors;
mod event;
mod form;
mod id;
mod lock;
mod mirror;
mod names;
mod process;
mod readable;
mod shape;
mod spelling;
mod state;
#[cfg(test)]
mod testing;
mod value;
mod wire;

/// Makes a type an event: with a stored name, versions, JSON payload, tags and JSON Schema.
///
/// Field types need serde's `Serialize` and `Deserialize` and schemars' `JsonSchema`; the event itself needs neither.
///
/// ```
/// use recount::Event;
///
/// #[derive(Event, Clone, Debug, PartialEq)]
/// #[event(name = "account")]
/// enum AccountEvent {
///     /// Stored as `account.opened` with the payload `{"owner":"…"}`.
///     Opened { owner: String },
///     /// Version 1 was a bare number of euros; `account.paid_in` is its name of old.
///     #[event(version = 2, upcast(deposited_v1), alias = "account.paid_in")]
///     Deposited { cents: i64, #[event(tag)] branch: Option<u32> },
///     /// Read, but no longer written.
///     #[event(retired)]
///     Frozen,
/// }
///
/// fn deposited_v1(euros: i64) -> Result<AccountEvent, &'static str> {
///     let cents = euros.checked_mul(100).ok_or("more cents than fit")?;
///     Ok(AccountEvent::Deposited { cents, branch: None })
/// }
///
/// let event = AccountEvent::Deposited { cents: 5, branch: Some(7) };
/// let data = event.encode()?;
/// assert_eq!(data.event_type.as_str(), "account.deposited");
/// assert_eq!(data.payload, r#"{"cents":5,"branch":7}"#);
/// assert_eq!(data.tags[0].as_str(), "branch:7");
///
/// let old = AccountEvent::decode("account.paid_in", 1, b"3")?;
/// assert_eq!(old, AccountEvent::Deposited { cents: 300, branch: None });
/// assert!(AccountEvent::decode("account.paid_in", 1, b"92233720368547759").is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// **Names are stored.** Renaming a variant, or the type's `name`, changes the stored name of the events written from
/// then on, and those already stored are no longer found: keep the old name as an `alias`.
///
/// # On an enum
///
/// | `#[event(…)]` | meaning |
/// |---|---|
/// | `name = "account"` | the first part of the stored names: a variant `MoneyPaidIn` is stored as `account.money_paid_in` |
/// | `union` | each variant holds another event type, see [below](#unions) |
/// | `published` | other services may read it: it is a `Published` event, which a message broker takes |
/// | `unlocked` | the [lock](#the-lock) of the crate is not about it: for events that only tests store |
/// | `crate = "path"` | where recount is, if not at `::recount` |
///
/// # On a variant, or on a struct
///
/// | `#[event(…)]` | meaning |
/// |---|---|
/// | `name = "opened"` | on a variant: the last part of the stored name; on a struct: the whole stored name (required) |
/// | `version = 2` | the version of the payload's shape that is written; 1 if not given |
/// | `upcast(f1, f2)` | how old versions are read: from version 1 to 2, from 2 to 3 |
/// | `alias = "full.old_name"` | another stored name that is read as this one; repeatable |
/// | `retired` | it is read, but `encode` refuses it |
///
/// Version *N* needs *N* - 1 upcasters: plain functions. The first takes what the payload of version 1 is read as (a
/// struct that is kept for it, or `serde_json::Value`), each next takes what the one before returns, and the last
/// returns the event itself, which may be another variant. The compiler checks each link.
///
/// Each may return a `Result` instead, for old values that the new version can't represent. An error fails the event,
/// like a payload that can't be decoded: loading fails, a projection stops there, and the error
/// (`DecodeError::Upcast`) names the function. A panic in an upcaster has the same effect. One event always becomes
/// exactly one event.
///
/// # Refused values
///
/// `encode` refuses an event that would not decode to an equal one. The error (`EncodeError::Lossy`) names the field,
/// such as `items[2].price`. Such values are:
///
/// - a NaN or an infinity,
/// - `Some(None)` and `Some(())`,
/// - maps with keys other than text, and 128-bit integers, within flattened fields and enums with `tag` or `untagged`,
/// - variants of an `untagged` enum that decode as an earlier variant,
/// - a skipped field that does not hold its default.
///
/// If the attributes and types alone show the loss, the derive reports a compile error. Types that implement `Shape`
/// and can't hold such values need no check. Values of other types are decoded and compared for each event: derive
/// `Shape` for your value types.
///
/// # On a field
///
/// | attribute | meaning |
/// |---|---|
/// | `#[event(tag)]` | tags the event with `field:value`, for queries and append conditions; see `ToTags` |
/// | `#[event(tag = "key")]` | the same as `key:value`; fields of tuples need it |
/// | `#[serde(…)]`, `#[schemars(…)]` | whatever serde and schemars allow on fields |
///
/// # Payload
///
/// Named fields, and no fields, are a JSON object; a single unnamed field is its value's JSON; several are an array.
/// So a variant without fields can be given fields later, with `#[serde(default)]` and without a new version.
/// Unknown fields are ignored, unless the type has `#[serde(deny_unknown_fields)]`.
///
/// Of serde's attributes `rename_all` (on structs and variants), `rename_all_fields` (on enums) and
/// `deny_unknown_fields` are respected; others on the type or its variants are refused, for the derive owns the form.
///
/// # The lock
///
/// A crate with the file `schemas/lock.json` has locked its events: the file says what each released version looks like. Then
/// a change that would make stored events unreadable, or lose a part of them, does not compile, also if it is in a type
/// within the event that derives [`Shape`](macro@Shape); the error says what to write instead. A test beside each event type reads samples of
/// every released version. `cargo recount schema lock` writes the file.
///
/// # Unions
///
/// What a projection, a process or a decision listens to: a choice of other event types, written and read as these are.
///
/// ```
/// # use recount::Event;
/// # #[derive(Event)] #[event(name = "account")] enum AccountEvent { Opened, Closed }
/// # #[derive(Event)] #[event(name = "order.placed")] struct OrderPlaced;
/// #[derive(Event)]
/// #[event(union)]
/// enum Heard {
///     #[event(only(Opened))]
///     Account(AccountEvent),
///     Order(OrderPlaced),
/// }
///
/// let names: Vec<_> = Heard::variants().iter().map(|variant| variant.event_type).collect();
/// assert_eq!(names, ["account.opened", "order.placed"]);
/// assert!(Heard::decode("account.closed", 1, b"{}").is_err());
/// ```
///
/// `only(…)` names the variants that matter: only these are read, decoded and written. A name that is none of the
/// type's variants does not compile, nor do two variants that read the same stored name. (An event type whose `Event`
/// is written by hand is unknown to these checks: then the first variant that reads a name gets it.)
#[proc_macro_derive(Event, attributes(event, serde, schemars))]
pub fn event(input: TokenStream) -> TokenStream {
    event::derive(&parse_macro_input!(input as DeriveInput)).into()
}

/// Makes a struct a command to an aggregate: reached by its type, or by its name with JSON.
///
/// ```
/// # use recount::{Aggregate, Apply, Event};
/// use recount::{Command, Handle};
/// # #[derive(Event)] #[event(name = "account.opened")] struct Opened { owner: String }
/// # #[derive(Aggregate, Clone, Default)]
/// # #[aggregate(name = "account", id = String, event = Opened, error = std::fmt::Error)]
/// # struct Account;
/// # impl Apply for Account { fn apply(&mut self, _: &Opened) {} }
///
/// #[derive(Command, Clone)]
/// #[command(aggregate = Account, create)]
/// struct OpenAccount {
///     #[command(id)]
///     account: String,
///     owner: String,
/// }
///
/// impl Handle<OpenAccount> for Account {
///     fn handle(&self, command: OpenAccount) -> Result<Vec<Opened>, std::fmt::Error> {
///         Ok(vec![Opened { owner: command.owner }])
///     }
/// }
///
/// assert_eq!(OpenAccount::NAME, "open_account");
/// let command = OpenAccount::from_json(br#"{"account":"a1","owner":"Ada"}"#)?;
/// assert_eq!(command.aggregate_id(), "a1");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Without the `impl Handle` it does not compile. The type must be `Clone`, since a command that meets a conflict is
/// decided again.
///
/// **The name is known outside**, to callers by HTTP and brokers: renaming the type changes it, unless `name` is given.
///
/// | `#[command(…)]` on the struct | meaning |
/// |---|---|
/// | `aggregate = Account` | who decides (required) |
/// | `create` | the aggregate must not exist yet |
/// | `name = "open"` | its name among the commands of its aggregate; the type's name in snake case if not given |
/// | `crate = "path"` | where recount is, if not at `::recount` |
///
/// | on a field | meaning |
/// |---|---|
/// | `#[command(id)]` | holds the id of the aggregate (exactly one) |
/// | `#[serde(…)]`, `#[schemars(…)]` | whatever serde and schemars allow on fields |
///
/// Field types need serde's `Serialize` and `Deserialize` and schemars' `JsonSchema`. JSON fields that the command
/// doesn't have are refused, unless one of its fields is `#[serde(flatten)]`.
#[proc_macro_derive(Command, attributes(command, serde, schemars))]
pub fn command(input: TokenStream) -> TokenStream {
    command::derive(&parse_macro_input!(input as DeriveInput)).into()
}

/// Makes a struct or enum an aggregate: with a category for its streams, routes to its commands, and snapshots.
///
/// ```
/// use recount::{Aggregate, Apply, Event};
///
/// #[derive(Event)]
/// #[event(name = "counter.counted")]
/// struct Counted;
///
/// #[derive(Aggregate, Clone, Default)]
/// #[aggregate(name = "counter", id = u64, event = Counted, error = std::fmt::Error,
///             commands(), snapshot(every = 500, version = 1))]
/// struct Counter {
///     count: u64,
/// }
///
/// impl Apply for Counter {
///     fn apply(&mut self, _: &Counted) {
///         self.count += 1;
///     }
/// }
///
/// assert_eq!(Counter::stream(&7)?.to_string(), "counter/7");
/// # Ok::<(), recount::NameError>(())
/// ```
///
/// The type must be `Default` (the state before the first event) and `Clone`, and without an `impl Apply` it does not
/// compile.
///
/// **The name is stored.** Renamed, an aggregate no longer sees its streams.
///
/// | `#[aggregate(…)]` | meaning |
/// |---|---|
/// | `name = "account"` | the category of its streams (required) |
/// | `id = AccountId` | what tells its streams apart; its text form is stored (required) |
/// | `event = AccountEvent` | what can happen (required) |
/// | `error = AccountError` | why a command can be refused (required) |
/// | `commands(Open, Deposit)` | the commands that can be asked for by name; each needs its `impl Handle` |
/// | `snapshot(every = 500, version = 1)` | keeps the state after `every` events; ignores other shapes and versions |
/// | `crate = "path"` | where recount is, if not at `::recount` |
///
/// A snapshot carries the shape of its state. If a field is added, renamed or given another type, also within the types
/// of fields, older snapshots are ignored and the events are replayed. The shape does not include:
///
/// - the meaning of the state: if `apply` computes another state from the same events, increase `version`,
/// - changes within a field's type that has a hand-written `Deserialize`, that is `untagged`, has a `tag` or is
///   flattened within another, unless it derives `Shape`.
///
/// Only with `snapshot` do the fields need serde's `Serialize` and `Deserialize`; `#[serde(…)]` on fields and variants
/// is respected then, as are `rename_all`, `rename_all_fields` and `deny_unknown_fields` on the type.
#[proc_macro_derive(Aggregate, attributes(aggregate, serde, schemars))]
pub fn aggregate(input: TokenStream) -> TokenStream {
    aggregate::derive(&parse_macro_input!(input as DeriveInput)).into()
}

/// Makes a struct around one value an id: text, JSON, JSON Schema and a tag, all those of the value within.
///
/// ```
/// use recount::Id;
///
/// #[derive(Id, Clone, Debug, PartialEq, Eq, Hash)]
/// struct AccountId(String);
///
/// let id: AccountId = "a1".parse()?;
/// assert_eq!(id.to_string(), "a1");
/// assert_eq!(id, AccountId::from("a1".to_owned()));
/// # Ok::<(), std::convert::Infallible>(())
/// ```
///
/// It implements `Display`, `FromStr`, `From` the value, serde's `Serialize` and `Deserialize`, schemars' `JsonSchema`
/// (in place, without a definition of its own) and `ToTags`, by means of the value's own: a
/// `String`, a `uuid::Uuid`, an integer, or any type that has the first two and serde and schemars. Other values in a
/// struct of their own, such as `Cents(i64)`, may use it as well.
///
/// **An id's text form is stored** in the names of streams and in tags: it must not change.
///
/// `#[id(crate = "path")]` says where recount is, if not at `::recount`.
#[proc_macro_derive(Id, attributes(id))]
pub fn id(input: TokenStream) -> TokenStream {
    id::derive(&parse_macro_input!(input as DeriveInput)).into()
}

/// Makes the stored form of a value type known to the lock of event schemas.
///
/// Derive it beside serde's traits on the types within your events: then a change of such a type that makes stored events unreadable does not compile.
/// It follows serde's attributes. Type parameters need it too; a type within itself is not looked into.
///
/// ```
/// use recount::Shape;
///
/// #[derive(Shape)]
/// struct Address {
///     city: String,
///     zip: Option<String>,
/// }
///
/// let form = Address::FORM.to_json();
/// assert_eq!(form["object"]["city"], "string");
/// ```
///
/// `#[shape(crate = "path")]` says where recount is, if not at `::recount`. What serde writes by means of another type (`into`, `from`) is
/// refused: write `impl Shape` then.
#[proc_macro_derive(Shape, attributes(shape, serde))]
pub fn shape(input: TokenStream) -> TokenStream {
    value::derive(&parse_macro_input!(input as DeriveInput)).into()
}

/// Makes an enum the timers of a process: each variant is a timer, with a stored form.
///
/// ```
/// use recount::Timer;
///
/// #[derive(Timer, Clone, Debug, PartialEq)]
/// enum OrderTimer {
///     /// Stored as `payment_overdue`.
///     PaymentOverdue,
///     /// One timer for each article, stored as `restock {"sku":7}`. `refill` is its name of old.
///     #[timer(alias = "refill")]
///     Restock { sku: u64 },
/// }
///
/// assert_eq!(OrderTimer::NAMES, ["payment_overdue", "restock"]);
/// assert_eq!(OrderTimer::Restock { sku: 7 }.to_text()?, r#"restock {"sku":7}"#);
/// assert_eq!(OrderTimer::from_text(r#"refill {"sku":7}"#)?, OrderTimer::Restock { sku: 7 });
/// # Ok::<(), recount::TimerError>(())
/// ```
///
/// **Names and fields are stored.** Renaming a variant changes its stored name, and timers that are set are no longer
/// found: keep the old name as an `alias`. A field that is added needs `#[serde(default)]`, so that timers that are set
/// can be read.
///
/// | `#[timer(…)]` on a variant | meaning |
/// |---|---|
/// | `name = "overdue"` | the stored name; the variant's name in snake case if not given |
/// | `alias = "old_name"` | another stored name that is read as this timer; repeatable |
///
/// | elsewhere | meaning |
/// |---|---|
/// | `#[timer(crate = "path")]` on the enum | where recount is, if not at `::recount` |
/// | `#[serde(…)]` on a field | all attributes that serde allows on fields |
///
/// Field types need serde's `Serialize` and `Deserialize`. Fields have names. The stored form is the identity of a timer, so the
/// derive refuses fields without a fixed order (`HashMap`, `HashSet`), and `to_text` refuses values that would not be read as
/// equal ones, such as NaN.
#[proc_macro_derive(Timer, attributes(timer, serde))]
pub fn timer(input: TokenStream) -> TokenStream {
    process::timer::derive(&parse_macro_input!(input as DeriveInput)).into()
}

/// Makes a union of events the inputs of a process: says which instances each event is for. Derive it beside `Event`.
///
/// ```
/// # use recount::{Event, Route, Routed};
/// # #[derive(Event)] #[event(name = "order")] enum OrderEvent { Placed { order: u64 }, Cancelled { order: u64 }, Archived }
/// # #[derive(Event)] #[event(name = "payment.captured")] struct Captured { order: u64 }
/// # #[derive(Event)] #[event(name = "wave")] enum WaveEvent { Released { orders: Vec<u64> } }
/// #[derive(Event, Route)]
/// #[event(union)]
/// #[route(to = u64)]
/// enum Input {
///     /// The field `order` of each names the instance. `Placed` starts it.
///     #[event(only(Placed, Cancelled))]
///     #[route(start(Placed), by = order)]
///     Order(OrderEvent),
///     /// An event that is a struct.
///     #[route(by = order)]
///     Captured(Captured),
///     /// One event for several instances.
///     #[route(with = orders_of)]
///     Wave(WaveEvent),
/// }
///
/// fn orders_of(wave: &WaveEvent, routed: &mut Routed<u64>) {
///     let WaveEvent::Released { orders } = wave;
///     orders.iter().for_each(|order| routed.to(*order));
/// }
///
/// assert_eq!(Input::ROUTES[0].starts, ["Placed"]);
/// ```
///
/// | `#[route(…)]` on the enum | meaning |
/// |---|---|
/// | `to = OrderId` | the type of the id that names an instance (required) |
/// | `crate = "path"` | where recount is, if not at `::recount` |
///
/// | on a variant | meaning |
/// |---|---|
/// | `by = order` | the field with the id, in the struct or in each event of `#[event(only(…))]`; `by = 0` in a tuple |
/// | `start` | these events start an instance if there is none; only with `by` |
/// | `start(Placed)` | only these of them do |
/// | `with = orders_of` | `fn(&OrderEvent, &mut Routed<OrderId>)` adds the instances, also none or several, and starts them or not |
///
/// Each variant has `by` or `with`. Something must start an instance: a `start`, or a function. The ids are cloned.
#[proc_macro_derive(Route, attributes(route, event))]
pub fn route(input: TokenStream) -> TokenStream {
    process::route::derive(&parse_macro_input!(input as DeriveInput)).into()
}

/// Makes a struct a process: with a category for its streams, its input, fact and timer types, and its commands.
///
/// Then implement the trait `Process`: the steps that follow from inputs and timers. Without it the type does not compile.
///
/// ```
/// # use recount::{Aggregate, Apply, Command, Event, Handle, Route, Timer};
/// use recount::{Moment, Process, ProcessDefinition, Step};
/// # #[derive(Event)] #[event(name = "order.placed")] struct Placed { order: u64 }
/// # #[derive(Event)] #[event(name = "payment.requested")] struct Requested;
/// # #[derive(Aggregate, Clone, Default)]
/// # #[aggregate(name = "payment", id = u64, event = Requested, error = std::fmt::Error, commands(Capture))]
/// # struct Payment;
/// # impl Apply for Payment { fn apply(&mut self, _: &Requested) {} }
/// # #[derive(Command, Clone)] #[command(aggregate = Payment)] struct Capture { #[command(id)] order: u64 }
/// # impl Handle<Capture> for Payment {
/// #     fn handle(&self, _: Capture) -> Result<Vec<Requested>, std::fmt::Error> { Ok(vec![Requested]) }
/// # }
/// # #[derive(Event, Route)] #[event(union)] #[route(to = u64)]
/// # enum Input { #[route(start, by = order)] Placed(Placed) }
/// # #[derive(Event)] #[event(name = "fulfilment")] enum Fact { Reminded }
/// # #[derive(Timer)] enum Overdue { Payment }
///
/// #[derive(Process, Clone, Default)]
/// #[process(name = "fulfilment", id = u64, input = Input, fact = Fact, timer = Overdue, commands(Capture))]
/// struct Fulfilment {
///     reminded: bool,
/// }
///
/// impl Process for Fulfilment {
///     fn apply(&mut self, Fact::Reminded: &Fact) {
///         self.reminded = true;
///     }
///
///     fn on(&self, input: &Input, at: &Moment) -> Step<Self> {
///         let Input::Placed(Placed { order }) = input;
///         let tomorrow = at.after(std::time::Duration::from_secs(86_400));
///         Step::new().send(Capture { order: *order }).timer(Overdue::Payment, tomorrow)
///     }
///
///     fn due(&self, Overdue::Payment: &Overdue, _: &Moment) -> Step<Self> {
///         Step::new().fact(Fact::Reminded)
///     }
/// }
///
/// assert_eq!(Fulfilment::NAME, "fulfilment");
/// assert_eq!(Fulfilment::commands()[0].command, "capture");
/// ```
///
/// The type must be `Default` (the state of an instance that remembers nothing) and `Clone`. A command that is not listed
/// can't be sent.
///
/// **The name is stored.** Renamed, a process no longer sees its instances.
///
/// | `#[process(…)]` | meaning |
/// |---|---|
/// | `name = "fulfilment"` | the category of its streams, one for each instance (required) |
/// | `id = OrderId` | the type of an instance's id; its text form is stored (required) |
/// | `input = OrderInput` | the events that it hears, a union with [routes](macro@Route) to the same `id` (required) |
/// | `fact = FulfilmentFact` | the events that it remembers (required) |
/// | `timer = FulfilmentTimer` | its [timers](macro@Timer); none if not given |
/// | `commands(Reserve, Capture)` | the commands that it may send, and those that undo them (required) |
/// | `unknown = ignore` | the outcome of an input that starts no instance and is for one that was not started: `ignore` it (the default), `hold` it until the instance starts, or `park` it for an operator |
/// | `crate = "path"` | where recount is, if not at `::recount` |
#[proc_macro_derive(Process, attributes(process))]
pub fn process(input: TokenStream) -> TokenStream {
    process::definition::derive(&parse_macro_input!(input as DeriveInput)).into()
}

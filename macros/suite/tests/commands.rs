//! Commands as JSON, and the aggregate that they reach.

#![allow(clippy::unwrap_used, reason = "a helper of tests is a test")]

extern crate recount_core as recount;

use std::collections::BTreeMap;

use recount::{Aggregate, AnyCommand, Apply, Command, Context, Event, Handle, Id, Metadata, StreamVersion, Timestamp};
use serde_json::{Value, json};

#[derive(Id, Clone, Debug, PartialEq)]
struct CartId(u64);

#[derive(Event, Clone, Debug, PartialEq)]
#[event(name = "cart")]
enum CartEvent {
    Added { what: String },
}

#[derive(Debug, PartialEq)]
struct Never;
impl std::fmt::Display for Never {
    fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        Ok(())
    }
}
impl std::error::Error for Never {}

#[derive(Aggregate, Clone, Debug, Default, PartialEq)]
#[aggregate(name = "cart", id = CartId, event = CartEvent, error = Never, commands(Add, Tidy))]
struct Cart {
    items: Vec<String>,
}

impl Apply for Cart {
    fn apply(&mut self, CartEvent::Added { what }: &CartEvent) {
        self.items.push(what.clone());
    }
}

/// Adds something.
#[derive(Command, Clone, Debug, PartialEq)]
#[command(aggregate = Cart, create)]
struct Add {
    #[command(id)]
    #[serde(rename = "cart")]
    id: CartId,
    what: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

#[derive(Command, Clone, Debug, PartialEq)]
#[command(aggregate = Cart, name = "clean")]
#[serde(rename_all = "camelCase")]
struct Tidy {
    #[command(id)]
    cart_id: CartId,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

/// Not listed, and so only reached by type.
#[derive(Command, Clone, Debug, PartialEq)]
#[command(aggregate = Cart)]
struct ReallyUnlisted {
    #[command(id)]
    cart: CartId,
}

impl Handle<Add> for Cart {
    fn handle(&self, command: Add) -> Result<Vec<CartEvent>, Never> {
        Ok(vec![CartEvent::Added { what: command.what }])
    }
}
impl Handle<Tidy> for Cart {
    fn handle(&self, _: Tidy) -> Result<Vec<CartEvent>, Never> {
        Ok(vec![])
    }
}
impl Handle<ReallyUnlisted> for Cart {
    fn handle(&self, _: ReallyUnlisted) -> Result<Vec<CartEvent>, Never> {
        Ok(vec![])
    }
}

fn add(note: Option<&str>) -> Add {
    Add { id: CartId(7), what: "cd".into(), note: note.map(Into::into) }
}

#[test]
fn a_command_is_json() {
    let json = Command::to_json(&add(None)).unwrap();
    assert_eq!(std::str::from_utf8(&json).unwrap(), r#"{"cart":7,"what":"cd"}"#);
    assert_eq!(Add::from_json(&json).unwrap(), add(None));
    let json = Command::to_json(&add(Some("x"))).unwrap();
    assert_eq!(Add::from_json(&json).unwrap(), add(Some("x")));
}

#[test]
fn what_is_no_such_command_is_refused() {
    for (json, says) in [
        (r#"{"cart":7,"what":"cd","wat":1}"#, "unknown field `wat`"),
        (r#"{"cart":7}"#, "missing field `what`"),
        (r#"{"cart":"x","what":"cd"}"#, "invalid type"),
        (r#"[7,"cd",null]"#, "invalid type: sequence"),
        (r#"{"cart":7,"what":"cd"} x"#, "trailing"),
        ("", "EOF"),
    ] {
        let error = Add::from_json(json.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(says), "{json}: {error}");
    }
}

#[test]
fn a_flattened_field_takes_the_rest() {
    let json = json!({"cartId": 7, "more": true});
    let tidy = Tidy { cart_id: CartId(7), rest: [("more".to_owned(), json!(true))].into() };
    assert_eq!(Tidy::from_json(json.to_string().as_bytes()).unwrap(), tidy);
    assert_eq!(serde_json::from_slice::<Value>(&Command::to_json(&tidy).unwrap()).unwrap(), json);
}

#[test]
fn names_and_flags() {
    assert_eq!((Add::NAME, Add::CREATES), ("add", true));
    assert_eq!((Tidy::NAME, Tidy::CREATES), ("clean", false));
    assert_eq!(ReallyUnlisted::NAME, "really_unlisted");
    assert_eq!(Command::aggregate_id(&add(None)), &CartId(7));
}

#[test]
fn a_schema_describes_the_json() {
    let schema = Add::schema().to_value();
    assert_eq!(schema["description"], "Adds something.");
    assert_eq!(schema["required"], json!(["cart", "what"]));
    assert_eq!(schema["properties"]["cart"], json!({"type": "integer", "format": "uint64", "minimum": 0}));
    assert_eq!(schema["additionalProperties"], json!(false));
    assert_eq!(schema.get("title"), None);
}

#[test]
fn routes_lead_to_the_handlers() {
    let routes = Cart::commands();
    assert_eq!(
        routes.iter().map(|route| (route.name, route.creates)).collect::<Vec<_>>(),
        [("add", true), ("clean", false)]
    );
    let command: Box<dyn AnyCommand<Cart>> = (routes[0].decode)(br#"{"cart":7,"what":"cd"}"#).unwrap();
    let metadata = Metadata::default();
    let context =
        Context { now: Timestamp::UNIX_EPOCH, stream: None, version: StreamVersion::default(), metadata: &metadata };
    assert_eq!(command.handle(&Cart::default(), &context).unwrap(), [CartEvent::Added { what: "cd".into() }]);
    assert!((routes[0].decode)(b"{}").is_err());
    assert_eq!((routes[0].schema)().to_value(), Add::schema().to_value());
}

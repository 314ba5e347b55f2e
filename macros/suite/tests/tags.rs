//! Tags from fields.

#![allow(clippy::unwrap_used, reason = "a helper of tests is a test")]

extern crate recount_core as recount;

use recount::{EncodeError, Event, Id, NameError, Tag, ToTags};
use uuid::Uuid;

#[derive(Id, Clone, Debug, PartialEq)]
struct CustomerId(String);

#[derive(Clone, Debug, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
struct Place {
    x: u8,
    y: u8,
}

impl ToTags for Place {
    fn tags(&self, key: &str, tags: &mut Vec<Tag>) -> Result<(), NameError> {
        tags.push(Tag::pair(key, self.x)?);
        tags.push(Tag::pair(key, self.y)?);
        Ok(())
    }
}

#[derive(Event, Clone, Debug)]
#[event(name = "e")]
enum E {
    Named {
        #[event(tag)]
        customer: CustomerId,
        #[event(tag = "was")]
        before: Option<CustomerId>,
        #[event(tag)]
        seats: Vec<u32>,
        untagged: u8,
    },
    Tuple(#[event(tag = "a")] u8, u8, #[event(tag = "c", tag = "d")] bool),
    Own {
        #[event(tag)]
        place: Place,
        #[event(tag)]
        r#type: char,
    },
    Plain {
        customer: CustomerId,
    },
}

#[derive(Event, Clone, Debug)]
#[event(name = "s")]
struct S {
    #[event(tag)]
    key: String,
    #[event(tag)]
    number: i64,
    other: (),
}

fn tags(event: &impl Event) -> Vec<String> {
    event.encode().unwrap().tags.iter().map(ToString::to_string).collect()
}

#[test]
fn fields_make_tags_in_their_order() {
    let event = E::Named {
        customer: CustomerId("c1".into()),
        before: Some(CustomerId("c0".into())),
        seats: vec![3, 4],
        untagged: 9,
    };
    assert_eq!(tags(&event), ["customer:c1", "was:c0", "seats:3", "seats:4"]);
    let event = E::Named { customer: CustomerId("c1".into()), before: None, seats: vec![], untagged: 9 };
    assert_eq!(tags(&event), ["customer:c1"]);
}

#[test]
fn fields_of_tuples_make_tags() {
    assert_eq!(tags(&E::Tuple(1, 2, true)), ["a:1", "c:true", "d:true"]);
}

#[test]
fn types_may_say_which_tags_they_make() {
    assert_eq!(tags(&E::Own { place: Place { x: 1, y: 2 }, r#type: 'x' }), ["place:1", "place:2", "type:x"]);
    assert!(tags(&E::Plain { customer: CustomerId("c1".into()) }).is_empty());
}

#[test]
fn structs_have_tags() {
    assert_eq!(tags(&S { key: "k: v".into(), number: -1, other: () }), ["key:k: v", "number:-1"]);
}

#[test]
fn a_tag_that_is_none_is_an_error() {
    let event = S { key: "\0".into(), number: 0, other: () };
    assert!(matches!(event.encode(), Err(EncodeError::Name(NameError::Forbidden { .. }))));
    let event = S { key: "x".repeat(600), number: 0, other: () };
    assert!(matches!(event.encode(), Err(EncodeError::Name(NameError::TooLong { .. }))));
}

#[test]
fn uuids_make_tags() {
    #[derive(Id, Clone, Debug)]
    struct OrderId(Uuid);
    let mut tags = Vec::new();
    OrderId(Uuid::nil()).tags("order", &mut tags).unwrap();
    assert_eq!(tags[0].as_str(), "order:00000000-0000-0000-0000-000000000000");
}

//! Expansions amid names that shadow everything they might lean on.

#![deny(warnings)]
#![forbid(unsafe_code)]
#![expect(dead_code, reason = "names that are only in the way")]

extern crate recount_core as recount;

/// Types, traits, constructors, macros and modules of the standard names. Two are left alone,
/// since the derives of serde and schemars themselves trust them: primitive types, and `Some` and `None` as values.
mod shadowed {
    pub(crate) struct Result;
    pub(crate) struct Option;
    pub(crate) struct Vec;
    pub(crate) struct Box;
    pub(crate) struct Some {}
    pub(crate) struct None {}
    pub(crate) struct Ok;
    pub(crate) struct Err;
    pub(crate) struct Self_;
    pub(crate) struct Event;
    pub(crate) struct EventData;
    pub(crate) struct Tag;
    pub(crate) struct Payload;
    pub(crate) struct Schema;
    pub(crate) struct Routed;
    pub(crate) struct RouteOf;
    pub(crate) struct Step;
    pub(crate) struct Timer;
    pub(crate) struct NoTimer;
    pub(crate) struct TimerError;
    pub(crate) struct ProcessCommand;
    pub(crate) struct UnknownInstance;
    pub(crate) trait Route {}
    pub(crate) trait Sends {}
    pub(crate) trait Clone {}
    pub(crate) trait Default {}
    pub(crate) trait From {}
    pub(crate) trait Into {}
    pub(crate) trait Iterator {}
    pub(crate) trait Display {}
    pub(crate) trait FromStr {}
    pub(crate) trait Serialize {}
    pub(crate) trait Deserialize {}
    pub(crate) trait Sized {}
    pub(crate) trait Send {}
    pub(crate) trait Sync {}
    pub(crate) mod core {}
    pub(crate) mod std {}
    pub(crate) mod alloc {}
    pub(crate) mod serde {}
    pub(crate) mod serde_json {}
    pub(crate) mod schemars {}
    pub(crate) mod recount {}

    #[expect(unused_macros, reason = "nothing may find it")]
    macro_rules! no {
        ($($_:tt)*) => {
            compile_error!("the user's macro, not the standard one")
        };
    }
    #[expect(unused_imports, reason = "nothing may find them")]
    pub(crate) use {no as assert, no as concat, no as matches, no as stringify, no as unreachable, no as vec};

    /// A value that has everything that is asked of a field.
    #[derive(::recount::Id, ::std::clone::Clone, ::std::fmt::Debug, ::std::cmp::PartialEq, ::std::default::Default)]
    pub(crate) struct String(pub(crate) ::std::string::String);

    #[derive(::recount::Event, ::std::fmt::Debug, ::std::cmp::PartialEq, ::std::clone::Clone)]
    #[event(name = "e")]
    pub(crate) enum E {
        #[event(version = 3, upcast(v1, v2), alias = "other")]
        Ok {
            #[event(tag)]
            __tags: String,
            #[event(tag)]
            __index: ::core::option::Option<String>,
            __payload: ::std::vec::Vec<String>,
        },
        #[event(retired)]
        None,
        Some(#[event(tag = "k")] String, String),
        Err(String),
    }

    fn v1(text: ::std::string::String) -> String {
        String(text)
    }
    fn v2(text: String) -> E {
        E::Err(text)
    }

    #[derive(::recount::Event, ::std::fmt::Debug, ::std::cmp::PartialEq, ::std::clone::Clone)]
    #[event(name = "s")]
    pub(crate) struct S {
        #[serde(default, skip_serializing_if = "::std::option::Option::is_none")]
        pub(crate) self_: ::core::option::Option<String>,
    }

    #[derive(::recount::Event, ::std::fmt::Debug, ::std::cmp::PartialEq, ::std::clone::Clone)]
    #[event(union)]
    pub(crate) enum Union {
        #[event(only(Ok, Err))]
        Some(E),
        None(S),
    }

    #[derive(::recount::Aggregate, ::std::clone::Clone, ::std::default::Default)]
    #[aggregate(name = "a", id = String, event = Union, error = ::std::fmt::Error, commands(Command),
                snapshot(every = 1, version = 1))]
    pub(crate) struct Aggregate {
        __serializer: String,
    }

    impl ::recount::Apply for Aggregate {
        fn apply(&mut self, _: &Union) {}
    }

    #[derive(::recount::Command, ::std::clone::Clone)]
    #[command(aggregate = Aggregate, create)]
    pub(crate) struct Command {
        #[command(id)]
        pub(crate) __json: String,
    }

    impl ::recount::Handle<Command> for Aggregate {
        fn handle(&self, command: Command) -> ::std::result::Result<::std::vec::Vec<Union>, ::std::fmt::Error> {
            ::std::result::Result::Ok(::std::vec![Union::Some(E::Err(command.__json))])
        }
    }

    #[derive(::recount::Event, ::recount::Route, ::std::fmt::Debug, ::std::cmp::PartialEq, ::std::clone::Clone)]
    #[event(union)]
    #[route(to = String)]
    pub(crate) enum Input {
        #[event(only(Some, Err))]
        #[route(start(Err), by = 0)]
        Some(E),
        #[event(only(E))]
        #[route(with = __event)]
        None(Event_),
        #[route(by = __routed)]
        Err(Err_),
    }

    #[derive(::recount::Event, ::std::fmt::Debug, ::std::cmp::PartialEq, ::std::clone::Clone)]
    #[event(name = "err")]
    pub(crate) struct Err_ {
        pub(crate) __routed: String,
    }

    #[derive(::recount::Event, ::std::fmt::Debug, ::std::cmp::PartialEq, ::std::clone::Clone)]
    #[event(name = "event")]
    pub(crate) enum Event_ {
        E(String),
    }

    fn __event(__event: &Event_, __routed: &mut ::recount::Routed<String>) {
        let Event_::E(id) = __event;
        ::recount::Routed::to(__routed, ::std::clone::Clone::clone(id));
    }

    #[derive(::recount::Timer, ::std::fmt::Debug, ::std::cmp::PartialEq)]
    pub(crate) enum OrderTimer {
        Ok,
        #[timer(alias = "E")]
        Err {
            __name: ::core::option::Option<String>,
            __fields: ::std::vec::Vec<String>,
        },
    }

    #[derive(::recount::Process, ::std::clone::Clone, ::std::default::Default)]
    #[process(name = "p", id = String, input = Input, fact = E, timer = OrderTimer, commands(Command, Again), unknown = park)]
    pub(crate) struct Process {
        __names: String,
    }

    impl ::recount::Process for Process {
        fn apply(&mut self, _: &E) {}
        fn on(&self, _: &Input, _: &::recount::Moment) -> ::recount::Step<Self> {
            ::recount::Step::ignore()
        }
        fn due(&self, _: &OrderTimer, _: &::recount::Moment) -> ::recount::Step<Self> {
            ::recount::Step::ignore()
        }
    }

    #[derive(::recount::Command, ::std::clone::Clone)]
    #[command(aggregate = Aggregate)]
    pub(crate) struct Again {
        #[command(id)]
        id: String,
    }

    impl ::recount::Handle<Again> for Aggregate {
        fn handle(&self, _: Again) -> ::std::result::Result<::std::vec::Vec<Union>, ::std::fmt::Error> {
            ::std::result::Result::Ok(::std::vec::Vec::new())
        }
    }
}

use recount::{Aggregate as _, Command as _, Event as _, ProcessDefinition as _, Route as _, Timer as _};
use shadowed::{Aggregate, Command, E, Err_, Event_, Input, OrderTimer, Process, S, String as Text, Union};

/// Inherent functions with the names of the traits' own must not be called instead.
impl E {
    fn encode(&self) -> ! {
        ::std::process::abort()
    }
    fn serialize(&self) -> ! {
        ::std::process::abort()
    }
    fn deserialize(&self) -> ! {
        ::std::process::abort()
    }
}

impl OrderTimer {
    fn to_text(&self) -> ! {
        ::std::process::abort()
    }
    fn serialize(&self) -> ! {
        ::std::process::abort()
    }
}

fn text(text: &str) -> Text {
    Text(text.to_owned())
}

#[test]
fn processes_are_not_mistaken() {
    let (mut routed, mut expected) = (recount::Routed::new(), recount::Routed::new());
    for input in [
        Input::Some(E::Err(text("a"))),
        Input::Some(E::Some(text("b"), text("x"))),
        Input::None(Event_::E(text("c"))),
        Input::Err(Err_ { __routed: text("d") }),
    ] {
        input.route(&mut routed);
    }
    expected.start(text("a"));
    ["b", "c", "d"].map(text).into_iter().for_each(|id| expected.to(id));
    assert_eq!(routed, expected);
    let timer = OrderTimer::from_text(r#"E {"__name":"a","__fields":["b"]}"#).unwrap();
    assert_eq!(timer, OrderTimer::Err { __name: Some(text("a")), __fields: vec![text("b")] });
    assert_eq!(recount::Timer::to_text(&timer).unwrap(), r#"err {"__name":"a","__fields":["b"]}"#);
    assert_eq!((Process::NAME, Process::UNKNOWN), ("p", recount::UnknownInstance::Park));
    assert_eq!(Process::commands().len(), 2);
}

#[test]
fn nothing_is_mistaken() {
    assert_eq!(Union::decode("other", 1, b"\"x\"").unwrap(), Union::Some(E::Err(text("x"))));
    assert_eq!(Union::decode("s", 1, b"{}").unwrap(), Union::None(S { self_: None }));
    let data = recount::Event::encode(&E::Some(text("a"), text("b"))).unwrap();
    assert_eq!(
        (data.event_type.as_str(), &data.payload[..], data.tags[0].as_str()),
        ("e.some", &br#"["a","b"]"#[..], "k:a")
    );
    let command = Command::from_json(br#"{"__json":"id"}"#).unwrap();
    assert_eq!(command.aggregate_id(), &text("id"));
    assert_eq!((Command::NAME, Command::CREATES), ("command", true));
    assert_eq!(Aggregate::commands().len(), 1);
    assert!(Aggregate::SNAPSHOT.is_some());
}

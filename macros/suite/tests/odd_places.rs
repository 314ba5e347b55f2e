//! Types that come from macros, are deprecated, oddly named, private or local.

#![deny(warnings)]
#![forbid(missing_docs, unsafe_code, unreachable_pub)]

extern crate recount_core as recount;

use recount::{
    Aggregate, Apply, Command, Event, Handle, Id, Moment, Process, ProcessDefinition, Route, Routed, Step, Timer,
};

macro_rules! domain {
    ($name:literal, $id:ident($inner:ty), $events:ident { $($variant:ident($payload:ty) = $version:literal $upcast:path),* },
     $state:ident, $error:path, $command:ident, $every:literal) => {
        #[derive(Id, Clone, Debug, PartialEq)]
        struct $id($inner);

        #[derive(Event, Clone, Debug, PartialEq)]
        #[event(name = $name)]
        enum $events {
            $(#[event(version = $version, upcast($upcast))] $variant(#[event(tag = $name)] $payload)),*
        }

        #[derive(Aggregate, Clone, Default)]
        #[aggregate(name = $name, id = $id, event = $events, error = $error, commands($command),
                    snapshot(every = $every, version = $every))]
        struct $state {
            count: $inner,
        }

        #[derive(Command, Clone)]
        #[command(aggregate = $state, name = $name)]
        struct $command {
            #[command(id)]
            id: $id,
            value: $inner,
        }
    };
}

domain!("made", MadeId(u64), Made { One(MadeId) = 2 one_v1 }, Maker, std::fmt::Error, Make, 2);

fn one_v1(old: u64) -> Made {
    Made::One(MadeId(old))
}

impl Apply for Maker {
    fn apply(&mut self, Made::One(id): &Made) {
        self.count += id.0;
    }
}

impl Handle<Make> for Maker {
    fn handle(&self, command: Make) -> Result<Vec<Made>, std::fmt::Error> {
        Ok(vec![Made::One(MadeId(command.id.0 + command.value))])
    }
}

#[test]
fn macros_may_write_the_types() {
    let command = Make::from_json(br#"{"id":1,"value":2}"#).unwrap();
    let events = Maker::default().handle(command).unwrap();
    let data = events[0].encode().unwrap();
    assert_eq!((data.event_type.as_str(), data.tags[0].as_str()), ("made.one", "made:3"));
    assert_eq!(Made::decode("made.one", 1, b"3").unwrap(), events[0]);
    assert_eq!((Maker::NAME, Make::NAME, Maker::SNAPSHOT.unwrap().every), ("made", "made", 2));
}

#[deprecated = "use another"]
#[derive(Event, Clone, Debug)]
#[event(name = "old")]
#[allow(non_camel_case_types, non_snake_case)]
enum Old {
    #[deprecated = "use another"]
    was_here {
        #[deprecated = "use another"]
        #[event(tag)]
        Field: u8,
    },
    r#While(u8),
}

#[derive(Event)]
#[event(union)]
#[expect(deprecated, reason = "still heard")]
enum Heard {
    #[event(only(was_here, While))]
    Old(Old),
}

#[test]
#[expect(deprecated, reason = "still heard")]
fn what_is_deprecated_or_oddly_named_works() {
    let event = Heard::Old(Old::was_here { Field: 1 });
    let data = event.encode().unwrap();
    assert_eq!((data.event_type.as_str(), data.tags[0].as_str()), ("old.was_here", "Field:1"));
    assert!(matches!(Heard::decode("old.while", 1, b"2"), Ok(Heard::Old(Old::While(2)))));
}

#[test]
fn types_may_be_local_and_alike() {
    fn first() -> &'static str {
        #[derive(Event)]
        #[event(name = "a")]
        struct E;
        E::variants()[0].event_type
    }
    fn second() -> &'static str {
        #[derive(Event)]
        #[event(name = "b")]
        struct E;
        E::variants()[0].event_type
    }
    assert_eq!((first(), second()), ("a", "b"));
}

macro_rules! process {
    ($name:literal, $id:ty, $inputs:ident { $($variant:ident($event:ty) = $($by:tt)*),* }, $only:ident($choice:ty): $start:ident $field:ident,
     $timers:ident { $timer:ident $old:literal $timed:ident: $type:ty }, $fact:ty, $state:ident, $command:path, $unknown:ident) => {
        #[derive(Event, Route, Clone, Debug)]
        #[event(union)]
        #[route(to = $id)]
        #[expect(deprecated, reason = "still heard")]
        enum $inputs {
            $(#[route($($by)*)] $variant($event),)*
            #[event(only($start))]
            #[route(start($start), by = $field)]
            $only($choice),
        }

        #[derive(Timer, Clone, Debug, PartialEq)]
        enum $timers {
            #[timer(alias = $old)]
            $timer { $timed: $type },
        }

        #[derive(Process, Clone, Default)]
        #[process(name = $name, id = $id, input = $inputs, fact = $fact, timer = $timers, commands($command), unknown = $unknown)]
        struct $state;
    };
}

#[derive(Event, Clone, Debug)]
#[event(name = "step")]
struct Stepped(u8);

process!(
    "made",
    u8,
    Inputs { Step(Stepped) = with = stepped },
    Old(Old): was_here Field,
    Timers { While "before" r#type: Option<u8> },
    Stepped,
    Walk,
    Make,
    hold
);

fn stepped(event: &Stepped, routed: &mut Routed<u8>) {
    routed.to(event.0);
}

impl Process for Walk {
    fn apply(&mut self, _: &Stepped) {}
    fn on(&self, _: &Inputs, _: &Moment) -> Step<Self> {
        Step::new().send(Make { id: MadeId(1), value: 1 })
    }
    fn due(&self, _: &Timers, _: &Moment) -> Step<Self> {
        Step::ignore()
    }
}

#[test]
#[expect(deprecated, reason = "still heard")]
fn macros_may_write_processes() {
    let (mut routed, mut expected) = (Routed::new(), Routed::new());
    Inputs::Old(Old::was_here { Field: 1 }).route(&mut routed);
    Inputs::Step(Stepped(2)).route(&mut routed);
    expected.start(1);
    expected.to(2);
    assert_eq!(routed, expected);
    assert_eq!(Timers::from_text(r#"before {"type":1}"#).unwrap(), Timers::While { r#type: Some(1) });
    assert_eq!((Walk::NAME, Walk::commands()[0].command), ("made", "made"));
}

#[deprecated = "use another"]
#[derive(Timer, Clone, Debug, PartialEq)]
#[allow(non_camel_case_types, non_snake_case)]
enum OldTimer {
    #[deprecated = "use another"]
    was_here {
        #[deprecated = "use another"]
        Field: u8,
    },
    r#Loop,
}

#[test]
#[expect(deprecated, reason = "still set")]
fn timers_may_be_deprecated_or_oddly_named() {
    assert_eq!(OldTimer::NAMES, ["was_here", "loop"]);
    let timer = OldTimer::was_here { Field: 1 };
    assert_eq!(OldTimer::from_text(&timer.to_text().unwrap()).unwrap(), timer);
}

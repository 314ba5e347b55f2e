//! One stored name stands for one type of the program.

#![allow(clippy::unwrap_used, clippy::panic, unreachable_pub, missing_docs, reason = "a test")]

extern crate recount_core as recount;

use std::sync::Arc;

use recount_core::{
    Aggregate, Apply, Command, Context, Decision, DispatchError, Event, Fold, Handle, InMemory, LoadError,
    NameCollision, NameError, Position, Query, Recount, Status,
};
use recount_store_memory::MemoryStore;

#[derive(Debug, thiserror::Error)]
#[error("refused")]
pub struct Refused;

/// The team that owns orders.
mod orders {
    use super::*;

    #[derive(Event, Clone, Debug, PartialEq)]
    #[event(name = "order")]
    pub enum OrderEvent {
        Placed {
            cents: i64,
        },
        #[event(alias = "order.withdrawn")]
        Cancelled,
    }

    #[derive(Command, Clone)]
    #[command(aggregate = Order)]
    pub struct Place {
        #[command(id)]
        pub order: String,
        pub cents: i64,
    }

    #[derive(Aggregate, Clone, Default)]
    #[aggregate(name = "order", id = String, event = OrderEvent, error = Refused, commands(Place))]
    pub struct Order {
        pub cents: i64,
    }

    impl Apply for Order {
        fn apply(&mut self, event: &OrderEvent) {
            if let OrderEvent::Placed { cents } = event {
                self.cents = *cents;
            }
        }
    }

    impl Handle<Place> for Order {
        fn handle(&self, place: Place) -> Result<Vec<OrderEvent>, Refused> {
            Ok(vec![OrderEvent::Placed { cents: place.cents }])
        }
    }
}

/// Another team's module, which uses the same stored names for other types.
mod rankings {
    use super::*;

    #[derive(Event, Clone, Debug, PartialEq)]
    #[event(name = "order")]
    pub enum OrderEvent {
        Placed {
            #[serde(default)]
            rank: u32,
        },
    }

    /// A type whose current name is an alias of another type.
    #[derive(Event, Clone, Debug, PartialEq)]
    #[event(name = "order.withdrawn")]
    pub struct Withdrawn {
        #[serde(default)]
        pub reason: String,
    }

    #[derive(Event, Clone, Debug)]
    #[event(union)]
    pub enum Both {
        Ours(Withdrawn),
    }

    /// Another aggregate with the same category, and with other events.
    #[derive(Event, Clone, Debug, PartialEq)]
    #[event(name = "rank")]
    pub struct Ranked {
        pub rank: u32,
    }

    #[derive(Command, Clone)]
    #[command(aggregate = Order)]
    pub struct Rank {
        #[command(id)]
        pub order: String,
    }

    #[derive(Aggregate, Clone, Default)]
    #[aggregate(name = "order", id = String, event = Ranked, error = Refused, commands(Rank))]
    pub struct Order {}

    impl Apply for Order {
        fn apply(&mut self, _: &Ranked) {}
    }

    impl Handle<Rank> for Order {
        fn handle(&self, _: Rank) -> Result<Vec<Ranked>, Refused> {
            Ok(vec![Ranked { rank: 1 }])
        }
    }

    pub struct RankFirst;

    impl Decision for RankFirst {
        type Event = OrderEvent;
        type State = u32;
        type Error = Refused;
        fn boundary(&self) -> Result<Query, NameError> {
            Ok(Query::category("order"))
        }
        fn apply(&self, ranks: &mut u32, _: &OrderEvent) {
            *ranks += 1;
        }
        fn decide(&self, _: &u32, _: &Context<'_>) -> Result<Vec<OrderEvent>, Refused> {
            Ok(vec![])
        }
    }
}

fn place() -> orders::Place {
    orders::Place { order: "1".into(), cents: 5 }
}

/// An application in which the orders came first.
async fn application() -> Recount {
    let recount = Recount::new(MemoryStore::new());
    let _ = recount.dispatch(place()).await.unwrap();
    recount
}

fn names_both(collision: &NameCollision, name: &str) {
    let text = collision.to_string();
    assert_eq!(collision.name, name, "{text}");
    assert!(text.contains("names::orders::") && text.contains("names::rankings::"), "{text}");
}

/// The error with which a projection of these events stops; `None` if it doesn't.
async fn stopped<E: Event>(recount: &Recount) -> Option<String> {
    let fold = Arc::new(Fold::new(0_u32, |count, _: &E, _| *count += 1));
    let projections = recount.consumers().projection(fold, InMemory::new()).start();
    let outcome = projections.wait_for(Position::START).await;
    projections.shutdown().await;
    match outcome.err()?.status {
        Status::Stopped { error } => Some(error.to_string()),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_projection_does_not_read_another_types_events() {
    let recount = application().await;
    assert_eq!(stopped::<orders::OrderEvent>(&recount).await, None);
    let error = stopped::<rankings::OrderEvent>(&recount).await.expect("it stops");
    assert!(error.contains("`order.placed`") && error.contains("names::orders::OrderEvent"), "{error}");
}

#[tokio::test]
async fn an_alias_is_claimed_too_also_within_a_union() {
    let recount = application().await;
    for error in [stopped::<rankings::Withdrawn>(&recount).await, stopped::<rankings::Both>(&recount).await] {
        let error = error.expect("it stops");
        assert!(error.contains("`order.withdrawn`"), "{error}");
    }
}

#[tokio::test]
async fn a_decision_does_not_read_another_types_events() {
    let recount = application().await;
    let refused = recount.decide(rankings::RankFirst).await;
    let Err(DispatchError::Load(LoadError::NameCollision(collision))) = refused else { panic!("{refused:?}") };
    names_both(&collision, "order.placed");
}

#[tokio::test]
async fn two_aggregates_do_not_share_a_category() {
    let recount = application().await;
    let refused = recount.dispatch(rankings::Rank { order: "1".into() }).await;
    let Err(DispatchError::Load(LoadError::NameCollision(collision))) = refused else { panic!("{refused:?}") };
    names_both(&collision, "order");
    let refused = recount.load::<rankings::Order>(&"1".to_owned()).await;
    assert!(matches!(refused, Err(LoadError::NameCollision(_))));
    assert_eq!(recount.load::<orders::Order>(&"1".to_owned()).await.unwrap().cents, 5);
}

#[tokio::test]
async fn the_first_type_goes_on() {
    let recount = application().await;
    drop(recount.decide(rankings::RankFirst).await.unwrap_err());
    let _ = recount.dispatch(place()).await.unwrap();
    assert_eq!(stopped::<orders::OrderEvent>(&recount).await, None);
}

#[tokio::test]
async fn an_aggregate_is_not_erased_by_another_of_its_name() {
    let recount = Recount::new(MemoryStore::new());
    let id = "a".to_owned();
    let _ = recount.dispatch(orders::Place { order: id.clone(), cents: 5 }).await.unwrap();
    let refused = recount.erase::<rankings::Order>(&id).await.unwrap_err();
    assert!(std::error::Error::source(&refused).unwrap().is::<NameCollision>(), "{refused:?}");
    assert_eq!(recount.load::<orders::Order>(&id).await.unwrap().cents, 5);
    recount.erase::<orders::Order>(&id).await.unwrap();
}

#[tokio::test]
async fn a_command_by_name_is_not_taken_over_by_another_aggregate_of_the_name() {
    /// Another team's order with a command of the same name.
    mod others {
        use super::*;

        #[derive(Command, Clone)]
        #[command(aggregate = Order)]
        pub struct Place {
            #[command(id)]
            pub order: String,
        }

        #[derive(Aggregate, Clone, Default)]
        #[aggregate(name = "order", id = String, event = rankings::Ranked, error = Refused, commands(Place))]
        pub struct Order {}

        impl Apply for Order {
            fn apply(&mut self, _: &rankings::Ranked) {}
        }

        impl Handle<Place> for Order {
            fn handle(&self, _: Place) -> Result<Vec<rankings::Ranked>, Refused> {
                Ok(vec![])
            }
        }
    }
    let builder = Recount::builder(MemoryStore::new()).register::<orders::Order>().register::<orders::Order>();
    let json = br#"{"order":"a","cents":5}"#;
    let _ = builder.build().dispatch_json("order", "place", json).await.unwrap();
    let both = Recount::builder(MemoryStore::new()).register::<orders::Order>().register::<others::Order>().build();
    let refused = both.dispatch_json("order", "place", br#"{"order":"a"}"#).await.unwrap_err();
    assert!(matches!(refused, DispatchError::Load(LoadError::NameCollision(_))), "{refused:?}");
}

/// Declared by hand: the derives refuse these names.
mod reserved {
    use recount_core::shape::Form;
    use recount_core::{CommandRoute, DecodeError, EncodeError, EventData, EventType, EventVariant, RustType, codec};

    use super::*;

    #[derive(Debug)]
    pub struct Taken<const ALIAS: bool>;

    impl<const ALIAS: bool> Event for Taken<ALIAS> {
        fn variants() -> Vec<EventVariant> {
            let (event_type, aliases): (_, &[_]) =
                if ALIAS { ("taken", &["recount.taken"]) } else { ("recount.taken", &[]) };
            vec![EventVariant {
                event_type,
                schema_version: 1,
                aliases,
                retired: false,
                schema: || recount_core::__private::schemars::schema_for!(()),
                form: Form::Leaf("null"),
                upcasters: &[],
                rust_type: RustType::of::<Self>,
            }]
        }
        fn encode(&self) -> Result<EventData, EncodeError> {
            Ok(EventData::new(EventType::new("taken")?, codec::to_json("taken", &())?))
        }
        fn decode(_: &str, _: u32, _: &[u8]) -> Result<Self, DecodeError> {
            Ok(Self)
        }
    }

    #[derive(Clone, Default)]
    pub struct Refusal;

    impl Aggregate for Refusal {
        type Id = String;
        type Event = rankings::Ranked;
        type Error = Refused;
        const NAME: &'static str = "recount.refused";
        fn commands() -> Vec<CommandRoute<Self>> {
            Vec::new()
        }
    }

    impl Apply for Refusal {
        fn apply(&mut self, _: &rankings::Ranked) {}
    }
}

#[tokio::test]
async fn a_name_of_recounts_own_is_refused() {
    let recount = Recount::new(MemoryStore::new());
    let refused = recount.load::<reserved::Refusal>(&"a".to_owned()).await.err();
    let Some(LoadError::NameCollision(collision)) = refused else { panic!("{refused:?}") };
    let text = collision.to_string();
    assert!(text.contains("aggregate `recount.refused`") && text.contains("recount's own: rename it"), "{text}");
    for stopped in [stopped::<reserved::Taken<false>>(&recount).await, stopped::<reserved::Taken<true>>(&recount).await]
    {
        let error = stopped.expect("it stops");
        assert!(error.contains("event type `recount.taken`") && error.contains("rename it"), "{error}");
    }
}

#[tokio::test]
async fn a_decision_does_not_write_to_a_category_of_recounts_own() {
    struct Forge;
    impl recount_core::Decision for Forge {
        type Event = rankings::Ranked;
        type State = ();
        type Error = Refused;
        fn boundary(&self) -> Result<Query, NameError> {
            Ok(Query::item(recount_core::QueryItem { tags: vec![recount_core::Tag::new("a")?], ..Default::default() }))
        }
        fn apply(&self, (): &mut (), _: &rankings::Ranked) {}
        fn decide(&self, (): &(), _: &recount_core::Context<'_>) -> Result<Vec<rankings::Ranked>, Refused> {
            Ok(vec![rankings::Ranked { rank: 1 }])
        }
        fn stream(&self, _: &recount_core::EventData) -> Result<recount_core::StreamId, NameError> {
            recount_core::StreamId::new("recount.refused", "key")
        }
    }
    let refused = Recount::new(MemoryStore::new()).decide(Forge).await.unwrap_err();
    assert!(matches!(&refused, DispatchError::Load(LoadError::Name(NameError::Reserved { .. }))), "{refused:?}");
}

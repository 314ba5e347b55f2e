//! An idempotency token that the caller chose, as part of the domain: an order is placed once.

use recount_core::{Context, Decision, Event, NameError, Query, Tag};
use recount_testing::given_events;

#[derive(Event, Clone, Debug, PartialEq)]
#[event(name = "order")]
pub(crate) enum OrderEvent {
    Placed {
        #[event(tag)]
        order: String,
        #[event(tag)]
        token: u32,
    },
}

#[derive(Debug, PartialEq, thiserror::Error)]
#[error("this order was submitted before")]
pub(crate) struct Resubmitted;

#[derive(Debug)]
pub(crate) struct PlaceOrder {
    pub(crate) order: &'static str,
    pub(crate) token: u32,
}

impl Decision for PlaceOrder {
    type Event = OrderEvent;
    type State = bool;
    type Error = Resubmitted;

    fn boundary(&self) -> Result<Query, NameError> {
        Ok(Query::tags([Tag::pair("token", self.token)?]))
    }
    fn apply(&self, used: &mut bool, _: &OrderEvent) {
        *used = true;
    }
    fn decide(&self, used: &bool, _: &Context<'_>) -> Result<Vec<OrderEvent>, Resubmitted> {
        if *used { Err(Resubmitted) } else { Ok(vec![placed(self.order, self.token)]) }
    }
}

fn placed(order: &str, token: u32) -> OrderEvent {
    OrderEvent::Placed { order: order.into(), token }
}

#[test]
fn case_26_a_token_is_used_once() {
    given_events([placed("o12345", 11111)]).when(PlaceOrder { order: "o54321", token: 11111 }).then_error(Resubmitted);
}

#[test]
fn case_27_a_new_token_places_an_order() {
    given_events([placed("o12345", 11111)])
        .when(PlaceOrder { order: "o54321", token: 22222 })
        .then([placed("o54321", 22222)]);
}

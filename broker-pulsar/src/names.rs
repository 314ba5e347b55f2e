//! The names of topics and subscriptions.

use recount_messaging::{Group, Order, Topic};

use crate::PulsarOptions;

/// The partitioned topic, as clients name it.
pub(crate) fn topic(options: &PulsarOptions, topic: &Topic) -> String {
    format!("persistent://{}/{}/{topic}", options.tenant, options.namespace)
}

/// The partition of a lane.
pub(crate) fn partition(options: &PulsarOptions, of: &Topic, lane: u16) -> String {
    format!("{}-partition-{lane}", topic(options, of))
}

/// The path of a topic in the admin interface.
pub(crate) fn path(options: &PulsarOptions, topic: &Topic) -> String {
    format!("{}/{topic}", namespace_path(options))
}

/// The path of the namespace in the admin interface.
pub(crate) fn namespace_path(options: &PulsarOptions) -> String {
    format!("/admin/v2/persistent/{}/{}", options.tenant, options.namespace)
}

/// The path of a subscription in the admin interface.
pub(crate) fn subscription_path(options: &PulsarOptions, topic: &Topic, group: &Group) -> String {
    format!("{}/subscription/{group}", path(options, topic))
}

/// The text of an order in the properties of a subscription.
pub(crate) fn order(order: Order) -> &'static str {
    match order {
        Order::PerKey => "per-key",
        Order::Unordered => "unordered",
    }
}

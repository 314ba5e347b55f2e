//! The names of topics and subscriptions.

use recount_messaging::{BrokerError, Group, Order, Topic};

use crate::PulsarOptions;

/// Checks the name of a topic or a group.
///
/// # Errors
/// [`BrokerError::Invalid`] if the server keeps such names for itself.
pub(crate) fn check(name: &str) -> Result<(), BrokerError> {
    let number = name.rsplit_once("-partition-").map(|(_, number)| number);
    let is_partition =
        number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()));
    if is_partition || name.starts_with("__") {
        return Err(BrokerError::Invalid {
            kind: "name for Pulsar",
            value: name.to_owned(),
            cure: "the server keeps names that begin with `__` or end in `-partition-` and a number for itself: use another"
                .to_owned(),
        });
    }
    Ok(())
}

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

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn names_of_the_server_are_refused() {
        for name in ["orders-partition-1", "__compaction", "__change_events"] {
            assert!(check(name).unwrap_err().to_string().contains(name));
        }
        for name in ["orders", "orders-partition-", "orders-partition-x", "partition-1", "_orders"] {
            assert!(check(name).is_ok(), "{name}");
        }
    }
}

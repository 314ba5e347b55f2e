//! The names of topics and subscriptions. Topics and groups have letters, digits, `-` and `_`, so `.` separates them.

use recount_messaging::{Binding, Topic};

/// The topic, without its project.
pub(crate) fn topic(topic: &Topic) -> String {
    format!("recount-{topic}")
}

/// The subscription of a group, without its project.
pub(crate) fn subscription(binding: &Binding) -> String {
    format!("recount-{}.{}", binding.topic, binding.group)
}

pub(crate) fn topic_path(project: &str, topic: &Topic) -> String {
    format!("projects/{project}/topics/{}", self::topic(topic))
}

pub(crate) fn subscription_path(project: &str, binding: &Binding) -> String {
    format!("projects/{project}/subscriptions/{}", subscription(binding))
}

//! The names of objects at the server, and the ids of messages in its alphabet.

use std::fmt::Write;

use recount_messaging::{Binding, Message, Order, Topic};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// The greatest length of an id of a group or of a message.
const MAX_ID: usize = 128;
/// So much of a name stands in the name of a queue, which has 80 characters at most.
const SHORT: usize = 19;
/// The mark of an id that is a hash. Other ids do not begin with it.
const HASHED: char = '#';

/// The start of the names of all objects.
pub(crate) const PREFIX: &str = "recount-";

/// The SNS topic of a topic.
pub(crate) fn topic(topic: &Topic) -> String {
    format!("{PREFIX}{topic}.fifo")
}

/// The SNS topic of a topic as a [channel binding](https://github.com/asyncapi/bindings/tree/master/sns) of AsyncAPI, for the
/// protocol `sns`.
///
/// ```
/// # use recount_messaging::Topic;
/// let binding = recount_broker_aws::channel_binding(&Topic::new("orders")?);
/// assert_eq!(binding["name"], "recount-orders.fifo");
/// # Ok::<(), recount_core::NameError>(())
/// ```
#[must_use]
pub fn channel_binding(topic: &Topic) -> Value {
    let ordering = json!({ "type": "FIFO", "contentBasedDeduplication": false });
    json!({ "name": self::topic(topic), "ordering": ordering, "bindingVersion": "0.1.0" })
}

/// The start of the names of all queues of a topic.
pub(crate) fn queues(topic: &Topic) -> String {
    format!("{PREFIX}{}-", short(topic.name()))
}

/// The queue that stands for a topic where SNS is not used. It has no messages.
pub(crate) fn marker(topic: &Topic) -> String {
    queues(topic) + "topic"
}

/// The queue of a group.
pub(crate) fn queue(binding: &Binding) -> String {
    let ending = if binding.order == Order::PerKey { ".fifo" } else { "" };
    format!("{}{}{ending}", queues(&binding.topic), short(binding.group.name()))
}

/// The queue for messages of a group that were delivered too often.
pub(crate) fn dead_letters(binding: &Binding) -> String {
    let name = queue(binding);
    match name.strip_suffix(".fifo") {
        Some(start) => format!("{start}-dead.fifo"),
        None => format!("{name}-dead"),
    }
}

/// Whether a queue with the prefix of its topic is one of a group.
pub(crate) fn is_of_group(name: &str) -> bool {
    let name = name.strip_suffix(".fifo").unwrap_or(name);
    !name.ends_with("-dead") && !name.ends_with("-topic")
}

/// The start of a name, and a hash of it.
fn short(name: &str) -> String {
    let start: String = name.chars().take(SHORT).collect();
    format!("{start}-{}", &hash(&[name])[..10])
}

/// The message group of a key: the key as it is, or its hash if it can't be one.
pub(crate) fn group_id(key: &str) -> String {
    if is_id(key) { key.to_owned() } else { hashed(&[key]) }
}

/// The id by which the server recognises a message that is published again.
pub(crate) fn dedupe_id(message: &Message) -> String {
    let identity = message.identity();
    if is_id(&identity) { identity } else { hashed(&[&identity]) }
}

fn is_id(text: &str) -> bool {
    (1..=MAX_ID).contains(&text.len()) && !text.starts_with(HASHED) && text.bytes().all(|b| b.is_ascii_graphic())
}

fn hashed(parts: &[&str]) -> String {
    format!("{HASHED}{}", hash(parts))
}

/// The hash of texts, with their lengths, in hexadecimal digits.
fn hash(parts: &[&str]) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    hasher.finalize().iter().fold(String::with_capacity(64), |mut text, byte| {
        // Writing to a text does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use recount_messaging::{Group, MessageId};

    #[test]
    fn names_of_queues_fit_and_do_not_cross() {
        let long = "x".repeat(64);
        let names = |topic: &str, group: &str| {
            let binding = Binding::new(Topic::new(topic).unwrap(), Group::new(group).unwrap());
            [queue(&binding), dead_letters(&binding), queue(&binding.order(Order::Unordered))]
        };
        for name in names(&long, &long) {
            assert!(name.len() <= 80, "{name}");
        }
        assert_ne!(names("a-b", "c"), names("a", "b-c"));
        assert_ne!(names(&long, "c"), names(&long[..63], "c"));
        assert!(names("orders", "mail")[0].starts_with("recount-orders-"));
        assert!(is_of_group(&names("a", "dead")[0]) && !is_of_group(&names("a", "b")[1]));
        assert!(!is_of_group(&marker(&Topic::new("a").unwrap())));
    }

    #[test]
    fn ids_keep_to_the_alphabet_and_do_not_collide() {
        let (long, longer) = ("k".repeat(129), "k".repeat(130));
        let keys = ["order/17", "", " ", "🦀", "a b", "#x", &group_id("🦀"), &long, &longer];
        let ids: Vec<String> = keys.iter().map(|key| group_id(key)).collect();
        assert_eq!(ids[0], "order/17");
        assert!(ids.iter().all(|id| (1..=128).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic())));
        let different: std::collections::BTreeSet<_> = ids.iter().collect();
        assert_eq!(different.len(), ids.len());
        let of = |source: &str, id: &str| dedupe_id(&Message::new(MessageId::new(id).unwrap(), source, "t", ""));
        assert_eq!(of("shop", "1"), "shop/1");
        assert_ne!(of("a/b", "c"), of("a", "b/c"));
        assert_ne!(of("a b", "c"), of("a", "b c"));
    }
}

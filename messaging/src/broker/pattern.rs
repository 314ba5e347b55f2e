//! Patterns of topic names.

use std::fmt;
use std::sync::Arc;

use recount_core::NameError;

use super::Topic;
use super::binding::name;

/// The starts of the names of recount's own topics: presence, replies to commands, replies to questions.
const OWN: [&str; 3] = ["recount-", "replies-", "answers-"];

/// A pattern of the names of topics, in which `*` stands for any text, also for none: `orders-*`.
///
/// It does not match recount's own topics: their names begin with `recount-`, `replies-` or `answers-`.
///
/// ```
/// # use recount_messaging::{Topic, TopicPattern};
/// let pattern = TopicPattern::new("orders-*")?;
/// assert!(pattern.matches(&Topic::new("orders-se")?));
/// assert!(!pattern.matches(&Topic::new("payments-se")?));
/// # Ok::<(), recount_core::NameError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TopicPattern(Arc<str>);

impl TopicPattern {
    /// A pattern of 1 to 64 ASCII letters, digits, `-`, `_` and `*`.
    ///
    /// # Errors
    /// [`NameError`] if the pattern is none.
    pub fn new(pattern: &str) -> Result<Self, NameError> {
        Ok(Self(name("topic pattern", pattern, &['*'])?))
    }

    /// The pattern that matches this topic alone.
    pub(crate) fn of(topic: &Topic) -> Self {
        Self(topic.name().into())
    }

    /// Whether it matches a topic.
    #[must_use]
    pub fn matches(&self, topic: &Topic) -> bool {
        let topic = topic.name();
        if OWN.iter().any(|own| topic.starts_with(own)) {
            return false;
        }
        // The text before the first `*` is at the start, that after the last one at the end, the others in between at their
        // first places: https://research.swtch.com/glob.
        let mut parts = self.0.split('*');
        let first = parts.next().unwrap_or_default();
        let Some(last) = parts.next_back() else { return topic == first };
        let Some(mut rest) = topic.strip_prefix(first).and_then(|rest| rest.strip_suffix(last)) else { return false };
        parts.all(|part| rest.split_once(part).map(|(_, behind)| rest = behind).is_some())
    }
}

impl fmt::Display for TopicPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_text() {
        let matches = |pattern, topic| TopicPattern::new(pattern).unwrap().matches(&Topic::new(topic).unwrap());
        let fitting = [
            ("orders", "orders"),
            ("*", "orders"),
            ("orders-*", "orders-"),
            ("*-se", "orders-se"),
            ("o*-*e", "orders-se"),
            ("a*a", "aa"),
            ("*ab*ab*", "xabyabz"),
            ("*a*b*", "a-a-b"),
            ("**", "x"),
        ];
        for (pattern, topic) in fitting {
            assert!(matches(pattern, topic), "{pattern} {topic}");
        }
        let others = [
            ("orders", "orders-se"),
            ("orders", "order"),
            ("orders-*", "orders"),
            ("a*a", "a"),
            ("*ab*ab*", "xabz"),
            ("ab*ba", "aba"),
            ("*", "recount-presence"),
            ("replies-*", "replies-orders"),
            ("Orders", "orders"),
        ];
        for (pattern, topic) in others {
            assert!(!matches(pattern, topic), "{pattern} {topic}");
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for pattern in ["", "orders.>", "orders?", "ä*", &"x".repeat(65)] {
            let error = TopicPattern::new(pattern).unwrap_err().to_string();
            assert!(error.contains("topic pattern"), "{error}");
        }
    }
}

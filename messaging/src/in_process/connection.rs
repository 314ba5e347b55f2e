//! A connection to the server.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::durable::Pending;
use super::server::{CALL_LIMIT, Server, State};
use crate::{Binding, BrokerError, Change, Order, Plan, StartFrom, Topic};

/// A connection to the server, and its consumers.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) server: Arc<Server>,
    pub(super) id: u64,
    closed: AtomicBool,
}

impl Connection {
    pub(super) fn new(server: Arc<Server>) -> Self {
        let id = server.change(|state| {
            state.connections += 1;
            state.open += 1;
            state.connections
        });
        Self { server, id, closed: AtomicBool::new(false) }
    }

    pub(super) async fn reach(&self, operation: &'static str) -> Result<(), BrokerError> {
        self.reach_within(operation, CALL_LIMIT).await
    }

    pub(super) async fn reach_within(&self, operation: &'static str, limit: Duration) -> Result<(), BrokerError> {
        self.check_open()?;
        self.server.reach_within(operation, limit).await?;
        self.check_open()
    }

    pub(super) fn check_open(&self) -> Result<(), BrokerError> {
        if self.closed.load(Ordering::Acquire) { Err(BrokerError::Closed) } else { Ok(()) }
    }

    /// Closes it. Returns whether it was the last one of the server.
    pub(super) fn close(&self) -> bool {
        if self.closed.swap(true, Ordering::AcqRel) {
            return false;
        }
        let now = Instant::now();
        self.server.change(|state| {
            for group in state.groups() {
                for member in group.members.which(|member| member.connection == self.id) {
                    group.disconnect(member, now);
                }
            }
            state.open = state.open.saturating_sub(1);
            state.open == 0
        })
    }

    /// Declares the missing objects. Nothing is changed if an object exists with other settings.
    /// The changes hold once they are stored.
    pub(super) fn ensure(&self, plan: &Plan, dry_run: bool) -> Result<(Vec<Change>, Pending), BrokerError> {
        let (topics, bindings) = plan.distinct()?;
        self.server.change(|state| {
            topics.iter().try_for_each(|topic| same_topic(state, topic))?;
            bindings.iter().try_for_each(|binding| same_group(state, binding))?;
            let mut changes = Vec::new();
            for &topic in &topics {
                if state.topic(topic).is_err() {
                    changes.push(Change { object: format!("topic {topic} with {} lanes", topic.lanes()) });
                }
                if !dry_run {
                    self.declare_topic(state, topic);
                }
            }
            for binding in bindings {
                let missing = state.group(binding).is_err();
                if missing {
                    changes.push(Change { object: binding.to_string() });
                }
                if missing && !dry_run {
                    self.declare_group(state, binding)?;
                }
            }
            // Also without changes: those of another call may be on their way.
            let (topics, bindings) = if dry_run { (None, &[][..]) } else { (Some(topics), &plan.bindings[..]) };
            Ok((changes, self.server.store_declarations(state, topics.into_iter().flatten(), bindings)))
        })
    }

    fn declare_topic(&self, state: &mut State, topic: &Topic) {
        state.topics.entry(topic.name().into()).or_insert_with(|| self.server.new_topic(topic));
    }

    fn declare_group(&self, state: &mut State, binding: &Binding) -> Result<(), BrokerError> {
        let group = self.server.new_group(state, binding);
        let earliest = binding.start == StartFrom::Earliest;
        state.topic(&binding.topic)?.add_group(group, earliest, Instant::now());
        Ok(())
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.close();
    }
}

/// Compares a topic that exists.
fn same_topic(state: &mut State, topic: &Topic) -> Result<(), BrokerError> {
    let Ok(existing) = state.topic(topic) else { return Ok(()) };
    let (expected, actual) = (topic.lanes(), existing.topic.lanes());
    if expected == actual {
        return Ok(());
    }
    Err(BrokerError::Mismatch {
        object: format!("topic {topic}"),
        expected: format!("{expected} lanes"),
        actual: format!("{actual} lanes"),
        cure: format!("give the topic {actual} lanes in every service, or declare one of another name"),
    })
}

/// Compares a group that exists.
fn same_group(state: &mut State, binding: &Binding) -> Result<(), BrokerError> {
    let Ok(existing) = state.group(binding) else { return Ok(()) };
    let existing = &existing.binding;
    if existing.order == binding.order
        && existing.lease == binding.lease
        && existing.expires_after == binding.expires_after
    {
        return Ok(());
    }
    let order = |binding: &Binding| match binding.order {
        Order::PerKey => "order per key",
        Order::Unordered => "no order",
    };
    let settings = |binding: &Binding| {
        let expiry = binding.expires_after.map(|time| format!(" and an expiry after {time:?}")).unwrap_or_default();
        format!("{} and a lease of {:?}{expiry}", order(binding), binding.lease)
    };
    Err(BrokerError::Mismatch {
        object: binding.to_string(),
        expected: settings(binding),
        actual: settings(existing),
        cure: "bind it with the same settings in every service, or bind a group of another name".to_owned(),
    })
}

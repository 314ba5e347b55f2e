//! Settling deliveries, and extending their leases: requests of ten, with an outcome for each message.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_sqs::types::{
    BatchResultErrorEntry, ChangeMessageVisibilityBatchRequestEntry, DeleteMessageBatchRequestEntry,
};
use futures_util::future::join_all;
use recount_messaging::{Drained, Settle, Settled, Ticket};
use tokio::time::Instant;

use crate::capabilities::whole_seconds;
use crate::connection::Connection;
use crate::consumer::{AwsConsumer, Held};
use crate::ensure::queue_object;
use crate::error::{Answer, CallError};
use crate::receive::number;

const OPERATION: &str = "settling";
/// How many messages a request settles.
const MAX_COUNT: usize = 10;

/// A change of a message at the server.
#[derive(Clone, Debug)]
enum Change {
    /// It is handled.
    Delete { handle: String },
    /// It is hidden for this time from now on; zero shows it at once.
    Hide { handle: String, time: Duration },
}

impl AwsConsumer {
    pub(crate) async fn settle_all(&mut self, marks: Vec<(Ticket, Settle)>) -> Vec<Settled> {
        let mut outcomes: Vec<Settled> = marks.iter().map(|_| Settled::Stale).collect();
        let mut changes = Vec::with_capacity(marks.len());
        for (index, (ticket, settle)) in marks.into_iter().enumerate() {
            let Some(held) = ticket.redeem(&self.returns).and_then(|parts| self.take_back(parts.tag)) else { continue };
            let now = Instant::now();
            // A standard queue takes late settlements. By then another member may have the message.
            if now >= held.until {
                // The leases of the later ones end as well.
                self.take_later(&held);
                continue;
            }
            let handle = held.handle.clone();
            let change = match settle {
                Settle::Ack | Settle::Reject(_) => Change::Delete { handle },
                Settle::Release => Change::Hide { handle, time: Duration::ZERO },
                Settle::Retry { after } if held.can_hide_for(whole_seconds(after), now) => {
                    Change::Hide { handle, time: whole_seconds(after) }
                }
                Settle::Retry { .. } => {
                    // It is open until its lease ends.
                    self.take_later(&held);
                    outcomes[index] = Settled::Unsupported;
                    continue;
                }
            };
            changes.push((index, held, change));
        }
        let of_marks = changes.iter().map(|(.., change)| change.clone()).collect();
        let answers = apply(&self.connection, &self.url, of_marks).await;
        let mut behind = Vec::new();
        for ((index, held, change), answer) in changes.into_iter().zip(answers) {
            let is_deleted = matches!(change, Change::Delete { .. }) && answer.is_ok();
            // The later messages of the group must not be handled before it comes again.
            if !is_deleted {
                behind.extend(self.take_later(&held));
            }
            outcomes[index] = settled(answer, &self.url);
        }
        release(&self.connection, &self.url, behind).await;
        outcomes
    }

    pub(crate) async fn extend_all(&mut self, tickets: &[Ticket], by: Duration) -> Vec<Settled> {
        let (now, time) = (Instant::now(), whole_seconds(by));
        let mut outcomes = Vec::with_capacity(tickets.len());
        let (mut changes, mut places) = (Vec::new(), Vec::new());
        let mut groups: HashSet<Arc<str>> = HashSet::new();
        for ticket in tickets {
            let tag = ticket.parts(&self.returns).map(|parts| parts.tag);
            let open = tag.and_then(|tag| Some((tag, self.open.get(&tag)?))).filter(|(_, held)| now < held.until);
            let Some((tag, held)) = open else {
                outcomes.push(Settled::Stale);
                continue;
            };
            if !held.can_hide_for(time, now) {
                outcomes.push(Settled::Unsupported);
                continue;
            }
            groups.extend(held.group.clone());
            places.push((outcomes.len(), tag));
            changes.push(Change::Hide { handle: held.handle.clone(), time });
            outcomes.push(Settled::Stale);
        }
        // The later messages of a group wait here, so they need the time, too.
        let behind: Vec<String> = self
            .ready
            .iter()
            .filter(|arrival| arrival.held.group.as_ref().is_some_and(|group| groups.contains(group)))
            .map(|arrival| arrival.held.handle.clone())
            .collect();
        changes.extend(behind.iter().map(|handle| Change::Hide { handle: handle.clone(), time }));
        let mut answers = apply(&self.connection, &self.url, changes).await.into_iter();
        for (place, tag) in places {
            let Some(answer) = answers.next() else { break };
            if let Some(held) = self.open.get_mut(&tag).filter(|_| answer.is_ok()) {
                held.until = now + time;
            }
            outcomes[place] = settled(answer, &self.url);
        }
        let extended: HashMap<String, bool> = behind.into_iter().zip(answers.map(|answer| answer.is_ok())).collect();
        for arrival in &mut self.ready {
            if extended.get(&arrival.held.handle) == Some(&true) {
                arrival.held.until = now + time;
            }
        }
        outcomes
    }

    /// Takes the later messages of a delivery's group, which are not handed out.
    pub(crate) fn take_later(&mut self, of: &Held) -> Vec<Held> {
        let Some(group) = &of.group else { return Vec::new() };
        let (later, others) = std::mem::take(&mut self.ready)
            .into_iter()
            .partition::<Vec<_>, _>(|arrival| arrival.held.group.as_ref() == Some(group));
        self.ready = others.into();
        later.into_iter().map(|arrival| arrival.held).collect()
    }
}

/// Shows messages to all consumers at once. The last of a group comes first: none is shown before an earlier one.
pub(crate) async fn release(connection: &Connection, url: &str, mut held: Vec<Held>) -> Drained {
    let now = Instant::now();
    held.retain(|held| held.until > now);
    let changes = held.into_iter().rev().map(|held| Change::Hide { handle: held.handle, time: Duration::ZERO });
    let mut drained = Drained::default();
    for answer in apply(connection, url, changes.collect()).await {
        match settled(answer, url) {
            Settled::Failed(error) => drained.error = Some(error),
            outcome => drained.released += usize::from(outcome.is_done()),
        }
    }
    drained
}

/// The outcome of a change at the queue with this URL.
fn settled(answer: Result<(), CallError>, url: &str) -> Settled {
    match answer {
        Ok(()) => Settled::Confirmed,
        Err(CallError::Answer(answer)) if answer.is_stale() => Settled::Stale,
        Err(error) => {
            let name = url.rsplit('/').next().unwrap_or(url);
            Settled::Failed(error.about(OPERATION, &queue_object(name)))
        }
    }
}

/// Applies changes in requests of ten, and returns the answer about each.
async fn apply(connection: &Connection, url: &str, changes: Vec<Change>) -> Vec<Result<(), CallError>> {
    let (mut deletes, mut hides) = (Vec::new(), Vec::new());
    for (index, change) in changes.iter().enumerate() {
        match change {
            Change::Delete { handle } => deletes.push((index, handle.as_str(), Duration::ZERO)),
            Change::Hide { handle, time } => hides.push((index, handle.as_str(), *time)),
        }
    }
    let deleting = deletes.chunks(MAX_COUNT).map(|part| delete(connection, url, part));
    let hiding = hides.chunks(MAX_COUNT).map(|part| hide(connection, url, part));
    let (deleted, hidden) = tokio::join!(join_all(deleting), join_all(hiding));
    let mut answers: Vec<Result<(), CallError>> = changes.iter().map(|_| Ok(())).collect();
    for (index, answer) in deleted.into_iter().chain(hidden).flatten() {
        answers[index] = answer;
    }
    answers
}

/// The place of a change, its receipt handle and its time.
type Part<'c> = (usize, &'c str, Duration);
type Answered = Vec<(usize, Result<(), CallError>)>;

async fn delete(connection: &Connection, url: &str, part: &[Part<'_>]) -> Answered {
    let entries = part.iter().filter_map(|(index, handle, _)| {
        DeleteMessageBatchRequestEntry::builder().id(index.to_string()).receipt_handle(*handle).build().ok()
    });
    let request = connection.sqs.delete_message_batch().queue_url(url).set_entries(Some(entries.collect()));
    let answer = connection.call(request.send()).await;
    outcomes(part, answer.map(|answer| (answer.successful.into_iter().map(|entry| entry.id).collect(), answer.failed)))
}

async fn hide(connection: &Connection, url: &str, part: &[Part<'_>]) -> Answered {
    let entries = part.iter().filter_map(|(index, handle, time)| {
        let entry = ChangeMessageVisibilityBatchRequestEntry::builder().id(index.to_string()).receipt_handle(*handle);
        entry.visibility_timeout(number(time.as_secs())).build().ok()
    });
    let request = connection.sqs.change_message_visibility_batch().queue_url(url).set_entries(Some(entries.collect()));
    let answer = connection.call(request.send()).await;
    outcomes(part, answer.map(|answer| (answer.successful.into_iter().map(|entry| entry.id).collect(), answer.failed)))
}

/// The outcome of each entry of a request.
fn outcomes(part: &[Part<'_>], answer: Result<(Vec<String>, Vec<BatchResultErrorEntry>), CallError>) -> Answered {
    let outcome = |index: usize| {
        let (done, failed) = answer.as_ref().map_err(CallError::clone)?;
        let id = index.to_string();
        if let Some(entry) = failed.iter().find(|entry| entry.id == id) {
            let answer = Answer::of_entry(&entry.code, entry.message.as_deref(), entry.sender_fault);
            return Err(CallError::Answer(answer));
        }
        if done.contains(&id) {
            return Ok(());
        }
        Err(CallError::Answer(Answer::of_entry("Unanswered", Some("the answer leaves it out"), false)))
    };
    part.iter().map(|(index, ..)| (*index, outcome(*index))).collect()
}

//! The timeline of an instance: its stream, one entry for each step and each event between steps.

use futures_util::StreamExt;
use serde::Serialize;

use super::record::{Next, Record, RequestId, Why};
use super::status::{Processes, RequestStatus, TimerStatus};
use crate::store::RESERVED;
use crate::{BoxError, ReadStream, StoreError, StreamId, Timestamp};

/// An entry of the timeline of an instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TimelineEntry {
    /// The version of its event in the stream of the instance.
    pub version: u64,
    /// When it was recorded.
    pub at: Timestamp,
    /// The kind of entry, such as `step`, `refused` or `parked`.
    pub kind: &'static str,
    /// The trigger of a step, or the reason of another entry.
    pub cause: String,
    /// The types of the facts that a step remembers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub facts: Vec<String>,
    /// The commands that a step asks for, with their outcomes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub requests: Vec<RequestStatus>,
    /// The timers that a step sets.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub timers: Vec<TimerStatus>,
    /// The timers that a step cancels.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cancelled: Vec<String>,
    /// The commands that a step asked for while the instance was being compensated. They are not sent.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dropped: Vec<String>,
    /// `compensate` or `end`, if the step does that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<&'static str>,
}

impl Processes {
    /// The timeline of an instance. `None` if there is no such instance.
    ///
    /// # Errors
    /// The store fails, or holds records of a newer version of recount.
    pub async fn timeline(&self, process: &str, id: &str) -> Result<Option<Vec<TimelineEntry>>, BoxError> {
        let Some(status) = self.instance(process, id).await? else { return Ok(None) };
        let mut events = self.store().read_stream(ReadStream::new(StreamId::new(process, id)?));
        let (mut entries, mut facts) = (Vec::new(), Vec::new());
        while let Some(event) = events.next().await {
            let event = match event {
                Err(StoreError::StreamNotFound { .. }) => return Ok(None),
                event => event?,
            };
            let (data, version) = (&event.data, event.version.get());
            let event_type = data.event_type.as_str();
            if !event_type.starts_with(RESERVED) {
                facts.push(event_type.to_owned());
                continue;
            }
            let record = Record::decode(event_type, data.schema_version, &data.payload)?;
            let mut entry = TimelineEntry::of(version, event.recorded_at, record);
            entry.facts = std::mem::take(&mut facts);
            if entry.kind == "step" {
                entry.requests = status.requests.iter().filter(|request| request.id.step == version).cloned().collect();
            }
            entries.push(entry);
        }
        Ok(Some(entries))
    }
}

impl TimelineEntry {
    fn of(version: u64, at: Timestamp, record: Record) -> Self {
        let entry = |kind, cause| Self {
            version,
            at,
            kind,
            cause,
            facts: Vec::new(),
            requests: Vec::new(),
            timers: Vec::new(),
            cancelled: Vec::new(),
            dropped: Vec::new(),
            next: None,
        };
        match record {
            Record::Step(step) => Self {
                timers: step.timers.into_iter().map(|set| TimerStatus { timer: set.timer, due: set.due }).collect(),
                cancelled: step.cancelled.into_iter().map(|cancelled| cancelled.timer).collect(),
                dropped: step.dropped,
                next: match step.next {
                    Next::Run => None,
                    Next::Compensate => Some("compensate"),
                    Next::End => Some("end"),
                },
                ..entry("step", cause(&step.why))
            },
            Record::Refused(refused) => {
                let RequestId { step, index } = refused.request;
                let what = if refused.undo.is_some() { "the undo of request" } else { "request" };
                entry("refused", format!("{what} {step}/{index}: {} ({})", refused.message, refused.kind))
            }
            Record::Withdrawn(withdrawn) => entry("withdrawn", format!("request {}", withdrawn.request)),
            Record::Held(held) => entry("held", format!("the input at position {}", held.position)),
            Record::Parked(parked) => entry("parked", format!("at position {}: {}", parked.position, parked.error)),
            Record::Redrive(order) => entry("redrive ordered", format!("by {}", order.by)),
            Record::Resumed(_) => entry("resumed", String::new()),
            Record::Resolved(resolved) => {
                entry("resolved", format!("request {} by {}: {}", resolved.request, resolved.by, resolved.note))
            }
            Record::Compensated(_) => entry("compensated", String::new()),
        }
    }
}

fn cause(why: &Why) -> String {
    match why {
        Why::Input { position, event_type, .. } => format!("{event_type} at position {position}"),
        Why::Held { position, event_type, .. } => format!("{event_type} at position {position}, held until the start"),
        Why::Timer { timer, due, .. } => format!("timer {timer}, due {due}"),
        Why::Refusal { request, .. } => format!("the refusal of request {request}"),
    }
}

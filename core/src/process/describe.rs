//! Steps as data, to compare and to show them: for tests of processes.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

use super::record::{CommandRecord, Next};
use super::step::Verdict;
use super::{ProcessDefinition, Step, Timer};
use crate::{BoxError, Event, Timestamp};

/// A step as it is stored: names and JSON. Its text has one line for each part.
#[derive(Clone, Debug, PartialEq)]
pub struct StepDescription {
    /// Whether there is anything to do about the input.
    pub verdict: StepVerdict,
    /// The facts to remember: type and JSON.
    pub facts: Vec<(String, Value)>,
    /// The commands to send, in order.
    pub commands: Vec<CommandDescription>,
    /// The commands that are sent only if the instance is compensated.
    pub undos: Vec<CommandDescription>,
    /// The timers by their stored form, with the time at which they are due. `None` cancels a timer.
    pub timers: BTreeMap<String, Option<Timestamp>>,
}

/// How an instance goes on after a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StepVerdict {
    /// It goes on.
    Continue,
    /// It is compensated.
    Compensate,
    /// It ends.
    End,
    /// There is no step: the input is ignored.
    Ignore,
    /// There is no step: the input is unexpected.
    Unexpected,
}

/// A command of a step.
#[derive(Clone, Debug, PartialEq)]
pub struct CommandDescription {
    /// The command, as `aggregate.command`.
    pub name: String,
    /// The command's JSON.
    pub json: Value,
    /// The command that undoes it: name and JSON.
    pub undo: Option<(String, Value)>,
}

impl<P: ProcessDefinition> Step<P> {
    /// The facts to remember.
    #[must_use]
    pub fn into_facts(self) -> Vec<P::Fact> {
        self.facts
    }

    /// The step as data.
    ///
    /// # Errors
    /// A fact, a command or a timer has no stored form. The runtime parks an instance for that.
    pub fn describe(&self) -> Result<StepDescription, BoxError> {
        if let Some((command, error)) = &self.failed {
            return Err(format!("command {command} has no stored form: {error}").into());
        }
        let verdict = match (self.verdict, self.next) {
            (Verdict::Ignore, _) => StepVerdict::Ignore,
            (Verdict::Unexpected, _) => StepVerdict::Unexpected,
            (Verdict::Act, Next::Run) => StepVerdict::Continue,
            (Verdict::Act, Next::Compensate) => StepVerdict::Compensate,
            (Verdict::Act, Next::End) => StepVerdict::End,
        };
        let mut description =
            StepDescription { verdict, facts: vec![], commands: vec![], undos: vec![], timers: BTreeMap::new() };
        // Nothing of a step that does not happen is recorded.
        if self.verdict != Verdict::Act {
            return Ok(description);
        }
        for fact in &self.facts {
            let data = fact.encode()?;
            description.facts.push((data.event_type.to_string(), serde_json::from_slice(&data.payload)?));
        }
        for request in &self.requests {
            let undo = request.undo.as_ref().map(named).transpose()?;
            description.commands.push(command(&request.command, undo)?);
        }
        for undo in &self.undos {
            description.undos.push(command(undo, None)?);
        }
        for change in &self.timers {
            description.timers.insert(change.timer.to_text()?, change.due);
        }
        Ok(description)
    }
}

fn named(command: &CommandRecord) -> Result<(String, Value), serde_json::Error> {
    Ok((command.to_string(), serde_json::from_str(command.json.get())?))
}

fn command(record: &CommandRecord, undo: Option<(String, Value)>) -> Result<CommandDescription, serde_json::Error> {
    let (name, json) = named(record)?;
    Ok(CommandDescription { name, json, undo })
}

impl fmt::Display for StepDescription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (event_type, json) in &self.facts {
            writeln!(f, "remembers {event_type} {json}")?;
        }
        for CommandDescription { name, json, undo } in &self.commands {
            write!(f, "sends {name} {json}")?;
            match undo {
                Some((name, json)) => writeln!(f, ", undone by {name} {json}")?,
                None => writeln!(f)?,
            }
        }
        for CommandDescription { name, json, .. } in &self.undos {
            writeln!(f, "when compensated, also sends {name} {json}")?;
        }
        for (timer, due) in &self.timers {
            match due {
                Some(due) => writeln!(f, "sets timer {timer}, due {due}")?,
                None => writeln!(f, "cancels timer {timer}")?,
            }
        }
        match self.verdict {
            StepVerdict::Continue => writeln!(f, "goes on"),
            StepVerdict::Compensate => writeln!(f, "compensates"),
            StepVerdict::End => writeln!(f, "ends"),
            StepVerdict::Ignore => writeln!(f, "ignores the input"),
            StepVerdict::Unexpected => writeln!(f, "does not expect the input"),
        }
    }
}

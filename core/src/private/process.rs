//! The work of a derived `Timer`, `Route` and `Process`.

use serde::de::Error as _;

use super::event::event_loss;
use super::listed::Listed;
use super::payload::{Content, Payload, read};
use crate::domain::codec::read_whole;
use crate::domain::shape::Fidelity;
use crate::domain::text::same;
use crate::{Aggregate, Command, Process, TimerError};

/// The stored form of a timer with fields: its name, a blank, and the fields of the variant `index` as JSON.
///
/// # Errors
/// [`TimerError::Fields`] if a field has no JSON form, or would not be read as an equal one.
pub fn timer_to_text<T: Payload>(
    timer: &T,
    index: usize,
    name: &str,
    fidelity: Fidelity,
) -> Result<String, TimerError> {
    let refuse = |source| TimerError::fields(name, source);
    let json = serde_json::to_string(&Content(timer)).map_err(refuse)?;
    if !fidelity.vouches(json.as_bytes()) {
        let back = read_variant::<T>(index, &json);
        if let Some(loss) = event_loss(timer, json.as_bytes(), back.as_ref()) {
            return Err(refuse(serde_json::Error::custom(loss)));
        }
    }
    Ok(format!("{name} {json}"))
}

/// The name and the fields of a stored timer. A timer that was stored without fields has none that hold a value.
#[must_use]
pub fn timer_parts(text: &str) -> (&str, &str) {
    text.split_once(' ').unwrap_or((text, "{}"))
}

/// Reads the fields of the variant `index`.
///
/// # Errors
/// [`TimerError::Fields`] if they don't have its shape.
pub fn timer_from_text<T: Payload>(index: usize, name: &str, fields: &str) -> Result<T, TimerError> {
    read_variant(index, fields).map_err(|source| TimerError::fields(name, source))
}

fn read_variant<T: Payload>(index: usize, json: &str) -> serde_json::Result<T> {
    let index = u32::try_from(index).unwrap_or(u32::MAX);
    read_whole(json.as_bytes(), |json| read(index, json))
}

/// Compiles if the type implements `Process`.
pub const fn assert_process<P: Process>() {}

/// The id of the instance that a field names.
#[diagnostic::on_unimplemented(
    message = "a field of the type `{Self}` can't name an instance: instances are named by `{Id}`",
    label = "not of the type `{Id}`",
    note = "choose a field of the type `{Id}`, or route the event by a function: `#[route(with = …)]`"
)]
pub trait InstanceId<Id> {
    /// The id.
    fn id(&self) -> Id;
}

impl<Id: Clone> InstanceId<Self> for Id {
    fn id(&self) -> Self {
        self.clone()
    }
}

/// The id of the instance that a field names.
pub fn instance_id<Id, Field: InstanceId<Id>>(field: &Field) -> Id {
    field.id()
}

/// Whether an event type holds one of several events.
#[must_use]
pub const fn is_choice(listed: Option<&[Listed]>) -> bool {
    matches!(listed, Some([_, _, ..]))
}

/// The names of an aggregate and of its command.
pub type CommandNames = (&'static str, &'static str);

/// The names by which a process stores a command.
#[must_use]
pub const fn command_names<C: Command>() -> CommandNames {
    (C::Aggregate::NAME, C::NAME)
}

/// Whether the names at this place are also at an earlier one.
#[must_use]
pub const fn is_repeated(names: &[CommandNames], at: usize) -> bool {
    let mut i = 0;
    while i < at {
        if same(names[i].0, names[at].0) && same(names[i].1, names[at].1) {
            return true;
        }
        i += 1;
    }
    false
}

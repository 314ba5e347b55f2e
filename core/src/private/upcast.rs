//! Chains of upcasters: functions that convert old versions of an event to the newest one.

use std::panic::{AssertUnwindSafe, catch_unwind};

use serde::de::DeserializeOwned;

use crate::domain::panic_message;
use crate::{BoxError, DecodeError, codec};

/// The return value of an upcaster: the argument of the next upcaster, or a `Result` with it.
#[diagnostic::on_unimplemented(
    message = "an upcaster makes one event of one event: `{Self}` is neither `{T}` nor `Result<{T}, _>`",
    label = "needs `{T}` or `Result<{T}, _>`, but the upcaster returns `{Self}`",
    note = "one stored event stays one event, so an upcaster can't return a `Vec`, an `Option` or a tuple of events: return a variant \
            that holds it all; if a value can't become the new version, return `Err` with the reason"
)]
pub trait IntoUpcast<T> {
    /// # Errors
    /// The upcaster's reason why the old event has no next version.
    fn into_upcast(self) -> Result<T, BoxError>;
}

impl<T> IntoUpcast<T> for T {
    fn into_upcast(self) -> Result<T, BoxError> {
        Ok(self)
    }
}

impl<T, E: Into<BoxError>> IntoUpcast<T> for Result<T, E> {
    fn into_upcast(self) -> Result<T, BoxError> {
        self.map_err(Into::into)
    }
}

/// The return value of an upcaster, with the event that it belongs to.
#[derive(Debug)]
pub struct Upcast<'a, R> {
    returned: R,
    event: Stored<'a>,
    function: &'static str,
}

#[derive(Clone, Copy, Debug)]
struct Stored<'a> {
    event_type: &'a str,
    schema_version: u32,
}

impl Stored<'_> {
    fn failure(self, function: &str, source: BoxError) -> DecodeError {
        DecodeError::Upcast {
            event_type: self.event_type.to_owned(),
            schema_version: self.schema_version,
            function: function.to_owned(),
            source,
        }
    }

    /// Calls an upcaster. A panic becomes an error of this event, so the task that reads it survives.
    fn call<A, R>(self, function: fn(A) -> R, name: &str, old: A) -> Result<R, DecodeError> {
        catch_unwind(AssertUnwindSafe(|| function(old)))
            .map_err(|panic| self.failure(name, format!("it panicked: {}", panic_message(&*panic)).into()))
    }
}

/// Reads an old version and calls the first function.
///
/// # Errors
/// [`DecodeError::Payload`] if the payload does not have its shape, [`DecodeError::Upcast`] if the function panics.
pub fn upcast_stored<'a, A: DeserializeOwned, R>(
    function: fn(A) -> R,
    name: &'static str,
    event_type: &'a str,
    schema_version: u32,
    payload: &[u8],
) -> Result<Upcast<'a, R>, DecodeError> {
    let event = Stored { event_type, schema_version };
    let old = codec::from_json(event_type, schema_version, payload)?;
    Ok(Upcast { returned: event.call(function, name, old)?, event, function: name })
}

/// Calls the next function with the return value of the one before.
///
/// # Errors
/// [`DecodeError::Upcast`] if the function before returned an error, or this one panics.
pub fn upcast_next<'a, A, R, P: IntoUpcast<A>>(
    function: fn(A) -> R,
    name: &'static str,
    before: Upcast<'a, P>,
) -> Result<Upcast<'a, R>, DecodeError> {
    let event = before.event;
    let old = upcast_last(before)?;
    Ok(Upcast { returned: event.call(function, name, old)?, event, function: name })
}

/// The return value of the last function.
///
/// # Errors
/// [`DecodeError::Upcast`] if the last function returned an error.
pub fn upcast_last<T, R: IntoUpcast<T>>(last: Upcast<'_, R>) -> Result<T, DecodeError> {
    let Upcast { returned, event, function } = last;
    returned.into_upcast().map_err(|source| event.failure(function, source))
}

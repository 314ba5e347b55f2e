//! Timers: the deadlines that an instance waits for.

use serde_json::Error as JsonError;

/// The timers of a process. Derive it on an enum: each variant is a timer.
///
/// A variant with fields is one timer for each value: setting `Restock { sku: 1 }` leaves `Restock { sku: 2 }` as it is.
///
/// ```
/// # extern crate recount_core as recount;
/// use recount::Timer;
///
/// #[derive(Timer, Clone, Debug, PartialEq)]
/// enum FulfilmentTimer {
///     /// Stored as `payment_overdue`.
///     PaymentOverdue,
///     /// Stored as `restock {"sku":7}`. `refill` is its name of old.
///     #[timer(alias = "refill")]
///     Restock { sku: u64 },
/// }
///
/// assert_eq!(FulfilmentTimer::PaymentOverdue.to_text()?, "payment_overdue");
/// assert_eq!(FulfilmentTimer::from_text(r#"refill {"sku":7}"#)?, FulfilmentTimer::Restock { sku: 7 });
/// # Ok::<(), recount::TimerError>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a timer",
    label = "not a timer",
    note = "add `#[derive(Timer)]` to the enum `{Self}`"
)]
pub trait Timer: Sized + Send + Sync + 'static {
    /// The names of the timers.
    const NAMES: &'static [&'static str];

    /// The stored form, which identifies the timer within its instance.
    ///
    /// # Errors
    /// [`TimerError::Fields`] if a field has no JSON form.
    fn to_text(&self) -> Result<String, TimerError>;

    /// Reads the stored form.
    ///
    /// # Errors
    /// [`TimerError`] if there is no such timer, or its fields don't fit.
    fn from_text(text: &str) -> Result<Self, TimerError>;
}

/// Why a timer can't be stored or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TimerError {
    /// The program has no timer of this name.
    #[error("there is no timer {name}: if it was renamed, keep the old name as an alias")]
    Unknown {
        /// The stored name.
        name: String,
    },
    /// The fields have no JSON form, or the JSON does not have their shape.
    #[error("the fields of timer {name} have no stored form, or another one")]
    Fields {
        /// The timer's name.
        name: String,
        /// The mistake, and its place.
        source: JsonError,
    },
}

impl TimerError {
    /// There is no timer of this name.
    #[must_use]
    pub fn unknown(name: &str) -> Self {
        Self::Unknown { name: name.to_owned() }
    }

    /// The fields of this timer can't be written or read.
    #[must_use]
    pub fn fields(name: &str, source: JsonError) -> Self {
        Self::Fields { name: name.to_owned(), source }
    }
}

/// The timers of a process that has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoTimer {}

impl Timer for NoTimer {
    const NAMES: &'static [&'static str] = &[];

    fn to_text(&self) -> Result<String, TimerError> {
        match *self {}
    }

    fn from_text(text: &str) -> Result<Self, TimerError> {
        Err(TimerError::unknown(text))
    }
}

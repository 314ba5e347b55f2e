//! The typed side of events: the trait that `#[derive(Event)]` implements.

use schemars::Schema;

use crate::__private::Listed;
use crate::domain::loss::Loss;
use crate::domain::shape::Form;
use crate::{BoxError, EventData, EventType, NameError, Query, RecordedEvent, RustType, Tag};

/// A domain event, or a choice of them: something that happened, with a stored form that is always readable.
///
/// Derive it. The derive owns the stored form: the type name, the schema version, the payload (JSON) and the tags.
/// The trait can also be implemented by hand:
///
/// ```
/// use recount_core::shape::Form;
/// use recount_core::{DecodeError, EncodeError, Event, EventData, EventType, EventVariant, RustType, codec};
///
/// struct Opened { owner: String }
///
/// impl Event for Opened {
///     fn variants() -> Vec<EventVariant> {
///         vec![EventVariant { event_type: "account.opened", schema_version: 1, aliases: &[], retired: false, schema: || schemars::schema_for!(String), form: Form::Leaf("string"), upcasters: &[], rust_type: RustType::of::<Self> }]
///     }
///     fn encode(&self) -> Result<EventData, EncodeError> {
///         Ok(EventData::new(EventType::new("account.opened")?, codec::to_json("account.opened", &self.owner)?))
///     }
///     fn decode(event_type: &str, schema_version: u32, payload: &[u8]) -> Result<Self, DecodeError> {
///         match (event_type, schema_version) {
///             ("account.opened", 1) => Ok(Self { owner: codec::from_json(event_type, 1, payload)? }),
///             ("account.opened", found) => Err(DecodeError::unknown_version(event_type, found, 1)),
///             _ => Err(DecodeError::unknown_type(event_type)),
///         }
///     }
/// }
/// # let event = Opened { owner: "Ada".into() }.encode()?;
/// # assert_eq!(Opened::decode("account.opened", 1, &event.payload)?.owner, "Ada");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an event",
    label = "not an event",
    note = "add `#[derive(Event)]` and `#[event(name = \"…\")]` to `{Self}`"
)]
pub trait Event: Sized + Send + Sync + 'static {
    /// The [`variants`](Self::variants) that the derive knows at compile time.
    #[doc(hidden)]
    const LISTED: Option<&'static [Listed]> = None;

    /// Everything that this type reads and writes.
    fn variants() -> Vec<EventVariant>;

    /// The stored form, under a new event id and without metadata.
    ///
    /// # Errors
    /// [`EncodeError`] if the event is retired, or if a value has no JSON form or would not decode to an equal value.
    fn encode(&self) -> Result<EventData, EncodeError>;

    /// Reads a stored form of any released version: aliases are known, upcasters run.
    ///
    /// # Errors
    /// [`DecodeError`] if the type or version is unknown, the payload does not have that version's shape, or an
    /// upcaster fails.
    fn decode(event_type: &str, schema_version: u32, payload: &[u8]) -> Result<Self, DecodeError>;

    /// Reads a recorded event.
    ///
    /// # Errors
    /// See [`decode`](Self::decode).
    fn from_recorded(event: &RecordedEvent) -> Result<Self, DecodeError> {
        Self::decode(event.data.event_type.as_str(), event.data.schema_version, &event.data.payload)
    }

    /// The query that selects exactly the events that this type can read.
    fn query() -> Query {
        let names = |variant: EventVariant| [variant.event_type].into_iter().chain(variant.aliases.iter().copied());
        Query::types(Self::variants().into_iter().flat_map(names).map(EventType::from_static))
    }
}

/// One kind of event that an [`Event`] type reads and writes.
#[derive(Clone, Copy, Debug)]
pub struct EventVariant {
    /// The stored type name.
    pub event_type: &'static str,
    /// The newest version of the payload's shape: the one that is written.
    pub schema_version: u32,
    /// Earlier type names that are still read.
    pub aliases: &'static [&'static str],
    /// Whether it is read but no longer written.
    pub retired: bool,
    /// The JSON Schema of the newest version's payload.
    pub schema: fn() -> Schema,
    /// The form of the newest version's payload.
    pub form: Form,
    /// The functions that read older versions, each making the next of one, as the code calls them.
    pub upcasters: &'static [&'static str],
    /// The type that declares it: `RustType::of::<Self>`. A stored name that two types declare is refused.
    pub rust_type: fn() -> RustType,
}

/// Why an event has no stored form.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// The event is read but no longer written.
    #[error("{event_type} is retired: it can be read, but not written any more")]
    Retired {
        /// The event's type.
        event_type: &'static str,
    },
    /// A value has no JSON form.
    #[error("the payload of a {event_type} event can't be written as JSON")]
    Payload {
        /// The event's type.
        event_type: &'static str,
        /// Why.
        source: BoxError,
    },
    /// The value's JSON can't be decoded, or decodes to another value.
    #[error("a {event_type} event can't be written, because `{field}` {reason}")]
    Lossy {
        /// The event's type.
        event_type: &'static str,
        /// The path of the field, such as `items[2].price`.
        field: String,
        /// The problem and its cure.
        reason: String,
    },
    /// The event is a variant that its union leaves out with `only`.
    #[error("{event_type} is not among the events that its union names with `only`")]
    NotInUnion {
        /// The event's type.
        event_type: EventType,
    },
    /// A tag can't be made from a field's value.
    #[error(transparent)]
    Name(#[from] NameError),
}

impl EncodeError {
    pub(crate) fn lossy(event_type: &'static str, loss: Loss) -> Self {
        let Loss { field, reason } = loss;
        Self::Lossy { event_type, field, reason }
    }
}

/// Why a stored event can't be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// This program has no event of that type.
    #[error("event type {event_type} is unknown here")]
    UnknownType {
        /// The stored type.
        event_type: String,
    },
    /// This program has that type, but not that version.
    #[error("{event_type} has schema version {found}, this program reads versions 1 to {known}: update the program")]
    UnknownVersion {
        /// The stored type.
        event_type: String,
        /// The stored version.
        found: u32,
        /// The newest version that this program reads.
        known: u32,
    },
    /// The payload is not of its version's shape.
    #[error("the payload of a {event_type} event, version {schema_version}, does not have that version's shape")]
    Payload {
        /// The stored type.
        event_type: String,
        /// The stored version.
        schema_version: u32,
        /// Why.
        source: BoxError,
    },
    /// An upcaster refuses the event, since the next version can't represent the old one's values.
    #[error(
        "a {event_type} event, version {schema_version}, can't become the next version: upcaster {function} failed"
    )]
    Upcast {
        /// The stored type.
        event_type: String,
        /// The stored version.
        schema_version: u32,
        /// The function, as the event's `upcast(…)` names it.
        function: String,
        /// The error that the function returned, or its panic.
        source: BoxError,
    },
}

impl DecodeError {
    /// There is no event of this type.
    #[must_use]
    pub fn unknown_type(event_type: &str) -> Self {
        Self::UnknownType { event_type: event_type.to_owned() }
    }

    /// There is no such version of this type.
    #[must_use]
    pub fn unknown_version(event_type: &str, found: u32, known: u32) -> Self {
        Self::UnknownVersion { event_type: event_type.to_owned(), found, known }
    }
}

/// A field type that `#[event(tag)]` can make tags from: a text form, none (`Option`), or several (`Vec`).
///
/// `#[derive(Id)]` implements it; for other types of your own implement [`tags`](Self::tags).
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be a tag",
    label = "no text form for a tag",
    note = "derive `Id` for `{Self}` if it names something, or implement `ToTags` for it"
)]
pub trait ToTags {
    /// Adds the tags `key:value` for this value.
    ///
    /// # Errors
    /// [`NameError`] if a tag would be too long or contain NUL.
    fn tags(&self, key: &str, tags: &mut Vec<Tag>) -> Result<(), NameError>;
}

macro_rules! display_to_tags {
    ($($type:ty)*) => {$(
        impl ToTags for $type {
            fn tags(&self, key: &str, tags: &mut Vec<Tag>) -> Result<(), NameError> {
                tags.push(Tag::pair(key, self)?);
                Ok(())
            }
        }
    )*};
}

display_to_tags!(str String u8 u16 u32 u64 u128 i8 i16 i32 i64 i128 bool char uuid::Uuid);

impl<T: ToTags + ?Sized> ToTags for &T {
    fn tags(&self, key: &str, tags: &mut Vec<Tag>) -> Result<(), NameError> {
        (**self).tags(key, tags)
    }
}

impl<T: ToTags> ToTags for Option<T> {
    fn tags(&self, key: &str, tags: &mut Vec<Tag>) -> Result<(), NameError> {
        self.iter().try_for_each(|value| value.tags(key, tags))
    }
}

impl<T: ToTags> ToTags for Vec<T> {
    fn tags(&self, key: &str, tags: &mut Vec<Tag>) -> Result<(), NameError> {
        self.iter().try_for_each(|value| value.tags(key, tags))
    }
}

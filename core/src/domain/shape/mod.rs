//! The stored form of values, as data. The lock of event schemas compares these forms, also at compile time.

mod fidelity;
mod hash;
mod impls;
mod json;
mod members;
mod reads;
#[cfg(test)]
mod tests;

pub use fidelity::Fidelity;

/// A type whose values have a known form in JSON. Derive it for the value types within your events.
///
/// It is how `#[derive(Event)]` sees through nested types: with a [lock](derive@crate::Event#the-lock), a change of a value type that makes
/// stored events unreadable does not compile. A type without it still works in events; then only tests see such changes, by
/// its JSON Schema.
///
/// The derive follows serde's attributes. For a type with a `Serialize` of its own say what it writes:
///
/// ```
/// use recount_core::Shape;
/// use recount_core::shape::Form;
///
/// /// Stored as text such as `12.50 EUR`.
/// struct Price { cents: i64, currency: [u8; 3] }
///
/// impl Shape for Price {
///     const FORM: Form = Form::Leaf("price");
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "the stored form of `{Self}` is not known",
    note = "add `#[derive(Shape)]` to `{Self}`, or implement `Shape` if it has a `Serialize` of its own"
)]
pub trait Shape {
    /// What is written and read.
    const FORM: Form;

    /// Whether every value decodes from its JSON as an equal value.
    ///
    /// The derive infers it from the attributes and field types. A type with a hand-written `Serialize` can promise it;
    /// its events are then stored without the check:
    ///
    /// ```
    /// # use recount_core::Shape;
    /// # use recount_core::shape::{Fidelity, Form};
    /// # struct Price;
    /// impl Shape for Price {
    ///     const FORM: Form = Form::Leaf("price");
    ///     const FIDELITY: Fidelity = Fidelity::Exact;
    /// }
    /// ```
    const FIDELITY: Fidelity = Fidelity::Unknown;
}

/// The form of JSON values that a type writes and reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Form {
    /// Unknown: the type does not implement [`Shape`].
    Opaque,
    /// A value that is not looked into, by the name of its format: `string`, `bool`, `u32`, `date`, or one of your own.
    Leaf(&'static str),
    /// `null` or the other form.
    Option(&'static Form),
    /// An array of any length.
    List(&'static Form),
    /// An array of these forms.
    Tuple(&'static [Form]),
    /// An object with any keys: the form of the keys and of the values.
    Map(&'static Form, &'static Form),
    /// An object with these fields.
    Object(&'static [Field]),
    /// One of several forms.
    Choice(Tagging, &'static [Choice]),
    /// A variant without content.
    Unit,
}

/// A field of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its key.
    pub name: &'static str,
    /// Other keys that are read as this one.
    pub aliases: &'static [&'static str],
    /// Whether an object without it can't be read.
    pub required: bool,
    /// Whether its own fields stand in its place.
    pub flat: bool,
    /// Its value.
    pub form: Form,
}

/// One of several forms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// What tells it from the others.
    pub name: &'static str,
    /// Other names that are read as this one.
    pub aliases: &'static [&'static str],
    /// Its content.
    pub form: Form,
}

/// How the name of a choice is stored: as serde calls it, the representation of an enum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tagging {
    /// `{"name": content}`, or `"name"` if there is none.
    External,
    /// Among the fields of the content, under this key.
    Internal(&'static str),
    /// Under the first key; the content is under the second.
    Adjacent(&'static str, &'static str),
    /// Not at all: the first form that fits is meant.
    Untagged,
}

/// Selects the form and the fidelity of a type at compile time: those of its [`Shape`] if it has one. The constants
/// of this type take precedence over those of [`Unknown`].
#[doc(hidden)]
#[derive(Debug)]
pub struct Probe<T: ?Sized>(std::marker::PhantomData<T>);

impl<T: Shape + ?Sized> Probe<T> {
    /// The form of `T`.
    pub const FORM: Form = T::FORM;
    /// The fidelity of `T`.
    pub const FIDELITY: Fidelity = T::FIDELITY;
}

/// The form and the fidelity of every other type.
#[doc(hidden)]
pub trait Unknown {
    /// Unknown, for types without [`Shape`].
    const FORM: Form = Form::Opaque;
    /// Unknown, for types without [`Shape`].
    const FIDELITY: Fidelity = Fidelity::Unknown;
}

impl<T: ?Sized> Unknown for Probe<T> {}

/// Compares two values.
#[doc(hidden)]
pub type Equal<T> = Option<fn(&T, &T) -> bool>;

/// Selects the `PartialEq` of a type at compile time, if it has one, in the way of [`Probe`].
#[doc(hidden)]
#[derive(Debug)]
pub struct Equality<T>(std::marker::PhantomData<T>);

impl<T: PartialEq> Equality<T> {
    /// Compares two values. True if the first one is not equal to itself, since such a comparison proves nothing.
    #[allow(clippy::eq_op, reason = "a NaN is not equal to itself")]
    pub const EQUAL: Equal<T> = Some(|first, second| first == second || first != first);
}

/// The comparison of every other type.
#[doc(hidden)]
pub trait NoEquality<T> {
    /// The type has no `PartialEq`.
    const EQUAL: Equal<T> = None;
}

impl<T> NoEquality<T> for Equality<T> {}

//! How values are stored, as data: what the lock of event schemas compares, also at compile time.

mod hash;
mod impls;
mod json;
mod reads;
#[cfg(test)]
mod tests;

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

/// Finds the form of a type: its [`Shape`] if it has one, as associated constants of the type itself come first.
#[doc(hidden)]
#[derive(Debug)]
pub struct Probe<T: ?Sized>(std::marker::PhantomData<T>);

impl<T: Shape + ?Sized> Probe<T> {
    /// The form of `T`.
    pub const FORM: Form = T::FORM;
}

/// The form of every other type.
#[doc(hidden)]
pub trait Unknown {
    /// That nothing is known.
    const FORM: Form = Form::Opaque;
}

impl<T: ?Sized> Unknown for Probe<T> {}

//! The name of a stream: its category and its id.

use std::fmt;
use std::str::FromStr;

use smol_str::SmolStr;

use super::name::{RESERVED, check};
use crate::NameError;

/// The name of a stream: a category (all streams of one kind) and an id within it.
///
/// Written `category/id`; the category holds no `/`, so the text form reads back without doubt.
/// A category has at most 128 bytes, an id at most 512; neither is empty or contains NUL.
///
/// ```
/// # use recount_core::StreamId;
/// let stream = StreamId::new("account", "42")?;
/// assert_eq!(stream.to_string(), "account/42");
/// assert_eq!("account/42".parse::<StreamId>()?, stream);
/// # Ok::<(), recount_core::NameError>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId {
    name: SmolStr,
    /// How long the category is, which is at the start.
    category: u8,
}

impl StreamId {
    /// Checks both parts and makes them a stream name.
    ///
    /// # Errors
    /// [`NameError`] if a part is empty, too long, contains NUL, or the category contains `/`.
    pub fn new(category: impl AsRef<str>, id: impl AsRef<str>) -> Result<Self, NameError> {
        let (category, id) = (category.as_ref(), id.as_ref());
        Self::checked(category, id, || [category, "/", id].into_iter().collect())
    }

    /// The stream, unless its category is one of recount's own.
    pub(crate) fn unreserved(self) -> Result<Self, NameError> {
        if self.category().starts_with(RESERVED) {
            return Err(NameError::Reserved { kind: "stream category", name: self.category().to_owned() });
        }
        Ok(self)
    }

    fn checked(category: &str, id: &str, name: impl FnOnce() -> SmolStr) -> Result<Self, NameError> {
        check("stream category", 128, b"\0/", category)?;
        check("stream id", 512, b"\0", id)?;
        Ok(Self { name: name(), category: category.len() as u8 })
    }

    /// The name as text, `category/id`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.name
    }

    /// The kind of stream, such as `account`.
    #[must_use]
    pub fn category(&self) -> &str {
        &self.name[..self.category.into()]
    }

    /// Which stream of its category this is.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.name[usize::from(self.category) + 1..]
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl fmt::Debug for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl FromStr for StreamId {
    type Err = NameError;
    fn from_str(name: &str) -> Result<Self, NameError> {
        let (category, id) = name.split_once('/').unwrap_or((name, ""));
        Self::checked(category, id, || SmolStr::new(name))
    }
}

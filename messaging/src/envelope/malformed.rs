//! Why an envelope can't be read.

/// Why an envelope can't be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Malformed {
    /// An attribute that every message must have is missing.
    #[error("the attribute `{attribute}` is missing: it is no CloudEvent")]
    Missing {
        /// The attribute.
        attribute: &'static str,
    },
    /// An attribute stands twice with different values.
    #[error("the attribute `{attribute}` stands more than once, with different values")]
    Repeated {
        /// The attribute.
        attribute: String,
    },
    /// An attribute has a value that it can't have.
    #[error("the attribute `{attribute}` can't be {value:?}: {reason}")]
    Attribute {
        /// The attribute.
        attribute: String,
        /// The start of the value.
        value: String,
        /// Why.
        reason: String,
    },
    /// The version of CloudEvents is not 1.x.
    #[error("the envelope is of CloudEvents {found:?}, but only 1.x is known")]
    SpecVersion {
        /// The version.
        found: String,
    },
    /// There are more headers than a message may have.
    #[error("it has {count} headers, the limit is {limit}")]
    TooManyHeaders {
        /// How many.
        count: usize,
        /// The limit.
        limit: usize,
    },
    /// The client library of the broker can't read the headers.
    #[error("its headers can't be read: {reason}")]
    Headers {
        /// Why.
        reason: &'static str,
    },
    /// The body of a structured message is no JSON document of a CloudEvent.
    #[error("the body is no CloudEvent as JSON: {reason}")]
    Json {
        /// Why.
        reason: String,
    },
}

/// The most of a value that an error shows.
const SHOWN: usize = 64;

impl Malformed {
    pub(super) fn attribute(attribute: &str, value: &str, reason: impl ToString) -> Self {
        let value = value.chars().take(SHOWN).collect();
        Self::Attribute { attribute: attribute.to_owned(), value, reason: reason.to_string() }
    }
}

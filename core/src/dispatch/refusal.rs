//! Refusals as data: a domain's error without its Rust type.

use std::any::type_name;
use std::error::Error;
use std::fmt::{self, Debug, Write};
use std::sync::Arc;

use serde_json::Value;

/// A refusal by the domain as data, for callers that don't know the error's type: of a command by name, and of a
/// [kept](crate::Dispatch::keep_refusal) refusal.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Refusal {
    /// The variant of the error, or its type if it is no enum: the name with which its `Debug` form starts.
    pub kind: String,
    /// The error's text.
    pub message: String,
    /// The error as JSON, if it implements `Serialize`: see [`Aggregate::refusal_json`](crate::Aggregate::refusal_json).
    pub json: Option<Value>,
    error: Option<Arc<dyn Error + Send + Sync>>,
}

impl Refusal {
    /// The domain's error, if it is of this type. `None` for a refusal that was kept: only its data are.
    #[must_use]
    pub fn downcast_ref<E: Error + 'static>(&self) -> Option<&E> {
        self.error.as_deref()?.downcast_ref()
    }

    /// A refusal of another service, for crates that build on this one.
    #[must_use]
    pub fn received(kind: String, message: String, json: Option<Value>) -> Self {
        Self::kept(kind, message, json)
    }

    /// A refusal that was kept.
    pub(crate) fn kept(kind: String, message: String, json: Option<Value>) -> Self {
        Self { kind, message, json, error: None }
    }

    /// The data of an error. Null says no more than the kind does: a unit struct serializes to it.
    pub(crate) fn describe<E: Error>(error: &E, json: Option<Value>) -> Self {
        Self::kept(kind(error), error.to_string(), json.filter(|json| !json.is_null()))
    }

    /// The data of an error, and the error.
    pub(super) fn of<E: Error + Send + Sync + 'static>(error: E, json: Option<Value>) -> Self {
        let data = Self::describe(&error, json);
        Self { error: Some(Arc::new(error)), ..data }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for Refusal {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.error.as_deref()?.source()
    }
}

/// The identifier with which the `Debug` form starts. Nothing behind it is formatted.
fn kind<E: Debug>(error: &E) -> String {
    struct Identifier(String);

    impl Write for Identifier {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            let end = text.find(|c: char| !c.is_alphanumeric() && c != '_');
            self.0.push_str(&text[..end.unwrap_or(text.len())]);
            if end.is_some() { Err(fmt::Error) } else { Ok(()) }
        }
    }

    let mut identifier = Identifier(String::new());
    // An error says that the identifier has ended.
    let _ = write!(identifier, "{error:?}");
    if identifier.0.is_empty() {
        let name = type_name::<E>();
        let name = name.split('<').next().unwrap_or(name);
        return name.rsplit("::").next().unwrap_or(name).to_owned();
    }
    identifier.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kind_is_the_variant() {
        #[derive(Debug)]
        #[expect(dead_code, reason = "only its Debug form is read")]
        enum Refused {
            Unit,
            Tuple(String),
            Fields { secret: &'static str },
        }
        struct Silent;
        impl Debug for Silent {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("<hidden>")
            }
        }
        assert_eq!(kind(&Refused::Unit), "Unit");
        assert_eq!(kind(&Refused::Tuple("a b".into())), "Tuple");
        assert_eq!(kind(&Refused::Fields { secret: "x" }), "Fields");
        assert_eq!(kind(&Silent), "Silent");
    }
}

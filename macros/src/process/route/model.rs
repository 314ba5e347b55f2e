//! The attributes of a route, parsed.

use proc_macro2::{Ident, TokenStream};
use syn::{Member, Path, Type};

pub(crate) struct Route<'a> {
    pub(crate) krate: TokenStream,
    pub(crate) ident: &'a Ident,
    /// The type of an instance's id.
    pub(crate) to: Option<Type>,
    /// `None` if the type, or one of its variants, is nothing that can be routed.
    pub(crate) parts: Option<Vec<Part<'a>>>,
}

/// A variant of the union.
pub(crate) struct Part<'a> {
    pub(crate) ident: &'a Ident,
    pub(crate) ty: &'a Type,
    /// The events that are heard; all of them if empty.
    pub(crate) only: Vec<Ident>,
    pub(crate) how: How,
}

impl Part<'_> {
    /// Whether an event may start an instance.
    pub(crate) fn may_start(&self) -> bool {
        !matches!(self.how, How::By { starts: Starts::None, .. })
    }
}

pub(crate) enum How {
    /// By the value of a field.
    By { field: Member, starts: Starts },
    /// By a function.
    With(Path),
}

pub(crate) enum Starts {
    None,
    All,
    Some(Vec<Ident>),
}

impl Starts {
    pub(crate) fn with(&self, event: &Ident) -> bool {
        match self {
            Self::None => false,
            Self::All => true,
            Self::Some(events) => events.contains(event),
        }
    }
}

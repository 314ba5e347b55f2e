//! The attributes of an event, parsed.

use proc_macro2::{Ident, Span, TokenStream};
use syn::{Fields, Path, Type};

use crate::wire::Wire;

pub(crate) struct Event<'a> {
    pub(crate) krate: TokenStream,
    pub(crate) ident: &'a Ident,
    /// Attributes of serde and schemars on the type.
    pub(crate) carried: TokenStream,
    pub(crate) is_enum: bool,
    /// Whether the lock of the crate is about it.
    pub(crate) is_locked: bool,
    /// Whether other services may read it.
    pub(crate) is_published: bool,
    pub(crate) kind: Kind<'a>,
}

pub(crate) enum Kind<'a> {
    /// Events with a stored form of their own.
    Stored(Vec<Variant<'a>>),
    /// Other event types.
    Union(Vec<Part<'a>>),
}

/// One stored event: a variant of an enum, or a struct.
pub(crate) struct Variant<'a> {
    pub(crate) ident: &'a Ident,
    pub(crate) fields: &'a Fields,
    /// The fields as they are stored.
    pub(crate) wires: Vec<Wire<'a>>,
    /// Attributes of serde and schemars on the variant.
    pub(crate) carried: TokenStream,
    pub(crate) name: Name,
    pub(crate) version: u32,
    pub(crate) version_span: Option<Span>,
    pub(crate) upcasts: Vec<Path>,
    /// Whether version and upcasters could be read.
    pub(crate) versioned: bool,
    pub(crate) upcast_key: Option<Ident>,
    pub(crate) aliases: Vec<Name>,
    pub(crate) retired: bool,
    pub(crate) tags: Vec<TagField<'a>>,
}

/// A stored name, and where it comes from.
#[derive(Clone)]
pub(crate) struct Name {
    pub(crate) text: String,
    pub(crate) span: Span,
}

/// A field that tags the event.
pub(crate) struct TagField<'a> {
    pub(crate) member: TokenStream,
    pub(crate) local: Ident,
    pub(crate) ty: &'a Type,
    pub(crate) key: String,
}

/// A variant of a union.
pub(crate) struct Part<'a> {
    pub(crate) ident: &'a Ident,
    pub(crate) ty: &'a Type,
    pub(crate) only: Option<Vec<Ident>>,
}

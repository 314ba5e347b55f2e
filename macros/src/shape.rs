//! The first checks of a type, shared by all derives, and the path under which it finds recount.

use proc_macro2::{Span, TokenStream, TokenTree};
use quote::{ToTokens, quote};
use syn::{DeriveInput, Field, Fields, GenericParam, LitStr, Path, Type};

use crate::args::Args;
use crate::errors::Errors;
use crate::names::CRATE;

/// The path of the recount crate: `::recount` unless `crate = "…"` says otherwise.
pub(crate) fn krate(args: &mut Args, errors: &mut Errors) -> TokenStream {
    let given: Option<LitStr> = args.take(CRATE, errors).and_then(|arg| arg.value("\"::path::to::recount\"", errors));
    match given.map(|text| (text.parse::<Path>(), text)) {
        None => quote!(::recount),
        Some((Ok(path), _)) => path.into_token_stream(),
        Some((Err(_), text)) => {
            errors.at(&text, "this is no path: write `crate = \"::path::to::recount\"`");
            quote!(::recount)
        }
    }
}

/// The place for errors about a token of the user's. Names are looked up as in the rest of the expansion, which matters
/// where the token comes from a macro of the user's.
pub(crate) fn at(token: Span) -> Span {
    token.resolved_at(Span::call_site())
}

/// The same tokens, all at one place.
pub(crate) fn all_at(span: Span, tokens: &TokenStream) -> TokenStream {
    let moved = |mut token: TokenTree| {
        token.set_span(span);
        token
    };
    tokens.clone().into_iter().map(moved).collect()
}

/// Refuses type parameters: values stored under one name have one shape.
pub(crate) fn refuse_generics(input: &DeriveInput, what: &str, errors: &mut Errors) {
    for param in &input.generics.params {
        match param {
            GenericParam::Lifetime(param) => errors
                .at(param, format!("{what} owns its data, since it outlives every call: store `String`, not `&str`")),
            _ => errors.at(
                param,
                format!(
                    "{what} can't have type parameters: its stored name stands for one shape, so write the types out"
                ),
            ),
        }
    }
    if let (true, Some(clause)) = (input.generics.params.is_empty(), &input.generics.where_clause) {
        errors.at(clause, format!("{what} needs no where clause: remove it"));
    }
}

/// Refuses a path that is listed again.
pub(crate) fn refuse_twice(paths: &[Path], errors: &mut Errors) {
    let texts: Vec<_> = paths.iter().map(|path| path.to_token_stream().to_string()).collect();
    for (i, (path, text)) in paths.iter().zip(&texts).enumerate() {
        if texts[..i].contains(text) {
            errors.at(path, format!("`{text}` is listed twice: keep one"));
        }
    }
}

/// Refuses fields of the type itself, which would be stored within itself.
pub(crate) fn refuse_self(fields: &Fields, what: &str, errors: &mut Errors) {
    for field in fields {
        if mentions_self(field.ty.to_token_stream()) {
            errors.at(&field.ty, format!("{what} can't hold itself: give this field a type of its own"));
        }
    }
}

fn mentions_self(tokens: TokenStream) -> bool {
    tokens.into_iter().any(|token| match token {
        TokenTree::Ident(ident) => ident == "Self",
        TokenTree::Group(group) => mentions_self(group.stream()),
        _ => false,
    })
}

/// How a field is named in a pattern: by name, or by number.
pub(crate) fn member(index: usize, field: &Field) -> TokenStream {
    match &field.ident {
        Some(ident) => ident.to_token_stream(),
        None => syn::Index::from(index).into_token_stream(),
    }
}

/// The type of a newtype's only field.
pub(crate) fn only_type(fields: &Fields) -> Option<&Type> {
    match fields {
        Fields::Unnamed(fields) if fields.unnamed.len() == 1 => fields.unnamed.first().map(|field| &field.ty),
        _ => None,
    }
}

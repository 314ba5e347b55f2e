//! Checks across the parts of an event.

use std::collections::BTreeMap;

use super::model::{Name, Variant};
use crate::errors::Errors;

pub(crate) fn variants(variants: &[Variant<'_>], errors: &mut Errors) {
    let mut seen = BTreeMap::new();
    for variant in variants {
        upcasters(variant, errors);
        for name in std::iter::once(&variant.name).chain(&variant.aliases) {
            unique(name, variant, &mut seen, errors);
        }
    }
}

fn upcasters(variant: &Variant<'_>, errors: &mut Errors) {
    let (version, given) = (variant.version, variant.upcasts.len());
    let needed = usize::try_from(version - 1).unwrap_or(usize::MAX);
    if given == needed || !variant.versioned {
        return;
    }
    let functions = |n| if n == 1 { "1 function".to_owned() } else { format!("{n} functions") };
    let ident = variant.ident;
    let message = match (needed, given) {
        (0, _) => format!("version 1 of `{ident}` has nothing to upcast from: write `version = {}`", given + 1),
        (_, 0) => format!(
            "version {version} needs `upcast(…)` with {}, from each version to the next, the last to the event itself",
            functions(needed)
        ),
        _ => format!(
            "version {version} needs {} in `upcast(…)`, from each version to the next, but here {}",
            functions(needed),
            if given == 1 { "is 1".to_owned() } else { format!("are {given}") }
        ),
    };
    match (&variant.upcast_key, variant.version_span) {
        (Some(key), _) => errors.at(key, message),
        (None, Some(span)) => errors.here(span, message),
        (None, None) => errors.at(ident, message),
    }
}

fn unique<'a>(name: &'a Name, variant: &Variant<'a>, seen: &mut BTreeMap<&'a str, String>, errors: &mut Errors) {
    let text = name.text.as_str();
    if let Some(other) = seen.get(text) {
        let ident = variant.ident;
        let message = if ident == other {
            format!("`{text}` is given twice for `{ident}`: remove one")
        } else {
            format!("`{text}` already names `{other}`: give `{ident}` a stored name of its own")
        };
        errors.here(name.span, message);
    } else {
        seen.insert(text, variant.ident.to_string());
    }
}

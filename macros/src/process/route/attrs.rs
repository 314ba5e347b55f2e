//! From syntax to the model of a route.

use proc_macro2::Ident;
use syn::{Data, DeriveInput, Member, Path, Variant};

use super::model::{How, Part, Route, Starts};
use crate::args::{Arg, Args};
use crate::errors::Errors;
use crate::names::{BY, CRATE, EVENT, ONLY, ROUTE, START, TO, UNION, WITH};
use crate::shape::{krate, only_type, refuse_generics};

pub(crate) fn read<'a>(input: &'a DeriveInput, errors: &mut Errors) -> Route<'a> {
    refuse_generics(input, "a union of inputs", errors);
    let mut args = Args::new(ROUTE, &input.attrs, errors);
    let krate = krate(&mut args, errors);
    let to = args.take(TO, errors);
    if to.is_none() {
        errors.at(&input.ident, "say which type names an instance: `#[route(to = …)]`");
    }
    let to = to.and_then(|arg| arg.value("OrderId", errors));
    args.refuse_rest("a union with routes", &[TO, CRATE], errors);
    let parts = read_parts(input, errors);
    Route { krate, ident: &input.ident, to, parts }
}

fn read_parts<'a>(input: &'a DeriveInput, errors: &mut Errors) -> Option<Vec<Part<'a>>> {
    const CURE: &str =
        "routes are for an enum with `#[event(union)]`: write a variant for each event type that is heard";
    let data = match &input.data {
        Data::Enum(data) => data,
        Data::Struct(data) => {
            errors.at(&data.struct_token, CURE);
            return None;
        }
        Data::Union(data) => {
            errors.at(&data.union_token, CURE);
            return None;
        }
    };
    // Mistakes in `#[event(…)]` are the other derive's to report.
    if !Args::new(EVENT, &input.attrs, &mut Errors::default()).has(UNION) {
        errors.at(&input.ident, CURE);
        return None;
    }
    let before = errors.count();
    let parts: Vec<_> = data.variants.iter().map(|variant| read_part(variant, errors)).collect();
    let parts: Option<Vec<_>> = parts.into_iter().collect();
    // A mistake might be the missing start.
    let is_known = errors.count() == before && parts.as_ref().is_some_and(|parts| !parts.is_empty());
    if is_known && !parts.iter().flatten().any(Part::may_start) {
        errors.at(
            &input.ident,
            "nothing starts an instance: write `start` into the route of an event that does, such as \
             `#[route(start, by = …)]`",
        );
    }
    parts
}

fn read_part<'a>(variant: &'a Variant, errors: &mut Errors) -> Option<Part<'a>> {
    for field in &variant.fields {
        Args::new(ROUTE, &field.attrs, errors).refuse_rest("the field of a union", &[], errors);
    }
    let mut event = Args::new(EVENT, &variant.attrs, &mut Errors::default());
    let only = event.take(ONLY, &mut Errors::default());
    let only = only.and_then(|only| only.list::<Ident>("…", &mut Errors::default())).unwrap_or_default();
    let mut args = Args::new(ROUTE, &variant.attrs, errors);
    let (start, by, with) = (args.take(START, errors), args.take(BY, errors), args.take(WITH, errors));
    args.refuse_rest("the variant of a union", &[BY, START, WITH], errors);
    let how = match (by, with) {
        (Some(by), None) => read_by(by, start, &only, errors),
        (None, Some(with)) => read_with(with, start, errors),
        (Some(by), Some(with)) => {
            errors.at(&with.key, "a field or a function names the instance, not both: remove `by` or `with`");
            let _ = (read_by(by, start, &only, errors), read_with(with, None, errors));
            None
        }
        (None, None) => {
            missing(variant, start, errors);
            None
        }
    };
    // Variants of another shape are the other derive's to report.
    Some(Part { ident: &variant.ident, ty: only_type(&variant.fields)?, only, how: how? })
}

fn missing(variant: &Variant, start: Option<Arg>, errors: &mut Errors) {
    match start {
        Some(start) => errors.at(&start.key, "say which field names the instance: `#[route(start, by = …)]`"),
        None => errors.at(
            &variant.ident,
            "say which instance an event is for: `#[route(by = …)]` with a field, or `#[route(with = …)]` with a function",
        ),
    }
}

fn read_by(by: Arg, start: Option<Arg>, only: &[Ident], errors: &mut Errors) -> Option<How> {
    let field = by.value::<Member>("order", errors);
    let starts = start.map_or(Some(Starts::None), |start| read_start(start, only, errors));
    Some(How::By { field: field?, starts: starts? })
}

fn read_with(with: Arg, start: Option<Arg>, errors: &mut Errors) -> Option<How> {
    if let Some(start) = start {
        errors.at(
            &start.key,
            "the function decides what starts an instance: call `Routed::start` in it, and remove `start` here",
        );
    }
    with.value::<Path>("orders_of", errors).map(How::With)
}

fn read_start(start: Arg, only: &[Ident], errors: &mut Errors) -> Option<Starts> {
    if !start.is_listed() {
        return start.flag(errors).then_some(Starts::All);
    }
    let key = start.key.clone();
    let events = start.list::<Ident>("Placed", errors)?;
    if events.is_empty() {
        errors.at(&key, "name the events that start an instance, `start(Placed)`, or write just `start` if all do");
    }
    for (i, event) in events.iter().enumerate() {
        if events[..i].contains(event) {
            errors.at(event, format!("`{event}` is named twice: keep one"));
        } else if only.is_empty() {
            errors.at(
                event,
                format!(
                    "`start({event})` chooses among the events that are heard: name these with `#[event(only(…))]`"
                ),
            );
        } else if !only.contains(event) {
            errors.at(
                event,
                format!("`{event}` is not heard, so it can't start an instance: add it to `#[event(only(…))]`"),
            );
        }
    }
    Some(Starts::Some(events))
}

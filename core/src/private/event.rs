//! The work of a derived `Event`.

use super::listed::Listed;
use super::payload::{Content, Payload, read};
use crate::domain::loss::{Loss, loss, unequal};
use crate::domain::shape::{Equal, Fidelity};
use crate::domain::text::any_same;
use crate::{DecodeError, EncodeError, Event, EventData, EventType, EventVariant, NameError, Tag, codec};

/// The listed variants, without their names in Rust.
#[must_use]
pub fn variants(listed: Option<&[Listed]>) -> Vec<EventVariant> {
    listed.unwrap_or_default().iter().map(|listed| listed.variant).collect()
}

/// The stored form of an event that is the variant `index`.
///
/// # Errors
/// See [`Event::encode`].
pub fn encode<E: Event + Payload>(event: &E, index: usize, tags: Vec<Tag>) -> Result<EventData, EncodeError> {
    let Listed { variant, fidelity, .. } = writable(E::LISTED, index)?;
    let payload = codec::to_json_unchecked(variant.event_type, &Content(event))?;
    // The comparison is not compiled for types that are always exact.
    if const { !all_exact(E::LISTED) } && !fidelity.vouches(&payload) {
        check_kept(event, index, variant.event_type, &payload)?;
    }
    stored(variant, payload, tags)
}

/// Checks that the event decodes to an equal event.
fn check_kept<E: Payload>(event: &E, index: usize, name: &'static str, payload: &[u8]) -> Result<(), EncodeError> {
    let read = codec::read_whole(payload, |json| read::<E, _>(u32::try_from(index).unwrap_or(u32::MAX), json));
    match event_loss(event, payload, read.as_ref()) {
        Some(loss) => Err(EncodeError::lossy(name, loss)),
        None => Ok(()),
    }
}

/// Decodes the payload of an event, compares it with the event, and returns the loss, if any.
pub(super) fn event_loss<E: Payload>(event: &E, payload: &[u8], read: Result<&E, &serde_json::Error>) -> Option<Loss> {
    let lost = match read {
        Ok(read) => loss(&Content(event), payload, Ok(&Content(read))),
        Err(error) => loss::<_, ()>(&Content(event), payload, Err(error)),
    };
    lost.or_else(|| event.differing(read.ok()?).map(unequal))
}

/// Whether two values differ by their type's `PartialEq`.
pub fn differs<T>(equal: Equal<T>, first: &T, second: &T) -> bool {
    equal.is_some_and(|equal| !equal(first, second))
}

const fn all_exact(listed: Option<&[Listed]>) -> bool {
    let Some(listed) = listed else { return false };
    let mut i = 0;
    while i < listed.len() {
        if !matches!(listed[i].fidelity, Fidelity::Exact) {
            return false;
        }
        i += 1;
    }
    true
}

fn writable(listed: Option<&'static [Listed]>, index: usize) -> Result<&'static Listed, EncodeError> {
    let listed = &listed.unwrap_or_default()[index];
    let EventVariant { retired, event_type, .. } = listed.variant;
    if retired { Err(EncodeError::Retired { event_type }) } else { Ok(listed) }
}

fn stored(variant: &EventVariant, payload: bytes::Bytes, tags: Vec<Tag>) -> Result<EventData, EncodeError> {
    let mut data = EventData::new(EventType::from_static(variant.event_type), payload);
    data.schema_version = variant.schema_version;
    data.tags = tags;
    Ok(data)
}

/// Which variant a stored type and version is.
///
/// # Errors
/// [`DecodeError`] if there is no such type or version.
pub fn find(listed: Option<&[Listed]>, event_type: &str, schema_version: u32) -> Result<(usize, u32), DecodeError> {
    let mut variants = listed.unwrap_or_default().iter().map(|listed| &listed.variant).enumerate();
    match variants.find(|(_, variant)| is(variant, event_type)) {
        None => Err(DecodeError::unknown_type(event_type)),
        Some((_, variant)) if schema_version == 0 || schema_version > variant.schema_version => {
            Err(DecodeError::unknown_version(event_type, schema_version, variant.schema_version))
        }
        Some((index, _)) => Ok((index, schema_version)),
    }
}

fn is(variant: &EventVariant, event_type: &str) -> bool {
    variant.event_type == event_type || variant.aliases.contains(&event_type)
}

/// Reads the newest version of the variant `index`.
///
/// # Errors
/// [`DecodeError::Payload`] if the payload does not have its shape.
pub fn decode<E: Payload>(index: usize, event_type: &str, version: u32, payload: &[u8]) -> Result<E, DecodeError> {
    let index = u32::try_from(index).unwrap_or(u32::MAX);
    codec::from_json_with(event_type, version, payload, |json| read(index, json))
}

/// Adds the variants that a part of a union reads.
pub fn add_variants<E: Event>(only: Option<&[&str]>, variants: &mut Vec<EventVariant>) {
    match only {
        None => variants.extend(E::variants()),
        Some(only) => {
            let listed = E::LISTED.unwrap_or_default().iter();
            variants.extend(listed.filter(|listed| any_same(only, listed.name)).map(|listed| listed.variant));
        }
    }
}

/// Whether a part of a union reads a stored type.
#[must_use]
pub fn reads<E: Event>(only: Option<&[&str]>, event_type: &str) -> bool {
    match E::LISTED {
        Some(listed) => chosen(listed, only, event_type),
        None => E::variants().iter().any(|variant| is(variant, event_type)),
    }
}

fn chosen(listed: &[Listed], only: Option<&[&str]>, event_type: &str) -> bool {
    let taken = |listed: &&Listed| only.is_none_or(|only| any_same(only, listed.name));
    listed.iter().filter(taken).any(|listed| is(&listed.variant, event_type))
}

/// The stored form of an event, if the union that it belongs to names its variant.
///
/// # Errors
/// See [`Event::encode`].
pub fn encode_only<E: Event>(event: &E, only: &[&str]) -> Result<EventData, EncodeError> {
    let data = event.encode()?;
    if reads::<E>(Some(only), data.event_type.as_str()) {
        Ok(data)
    } else {
        Err(EncodeError::NotInUnion { event_type: data.event_type })
    }
}

/// Adds the tag `key:value`.
///
/// # Errors
/// See [`Tag::pair`].
pub fn push_tag(key: &str, value: &dyn std::fmt::Display, tags: &mut Vec<Tag>) -> Result<(), NameError> {
    tags.push(Tag::pair(key, value)?);
    Ok(())
}

/// Compiles for published events only.
pub const fn is_published<E: crate::Published>() {}

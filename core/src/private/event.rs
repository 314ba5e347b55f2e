//! The work of a derived `Event`.

use serde::de::DeserializeOwned;

use super::listed::Listed;
use super::payload::{Content, Payload, read};
use crate::text::any_same;
use crate::{DecodeError, EncodeError, Event, EventData, EventType, EventVariant, NameError, Tag, codec};

/// What is listed, without the names in Rust.
#[must_use]
pub fn variants(listed: Option<&[Listed]>) -> Vec<EventVariant> {
    listed.unwrap_or_default().iter().map(|listed| listed.variant).collect()
}

/// The stored form of an event that is the variant `index`.
///
/// # Errors
/// See [`Event::encode`].
pub fn encode<E: Event + Payload>(event: &E, index: usize, tags: Vec<Tag>) -> Result<EventData, EncodeError> {
    let variant = writable(E::LISTED, index)?;
    stored(variant, codec::to_json(variant.event_type, &Content(event))?, tags)
}

fn writable(listed: Option<&'static [Listed]>, index: usize) -> Result<&'static EventVariant, EncodeError> {
    let variant = &listed.unwrap_or_default()[index].variant;
    if variant.retired { Err(EncodeError::Retired { event_type: variant.event_type }) } else { Ok(variant) }
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

/// Reads an old version and makes the next of it.
///
/// # Errors
/// [`DecodeError::Payload`] if the payload does not have its shape.
pub fn upcast_stored<A: DeserializeOwned, B>(
    upcast: fn(A) -> B,
    event_type: &str,
    version: u32,
    payload: &[u8],
) -> Result<B, DecodeError> {
    codec::from_json(event_type, version, payload).map(upcast)
}

/// Makes the next version of an old one.
pub fn upcast_next<A, B>(old: A, upcast: fn(A) -> B) -> B {
    upcast(old)
}

/// Adds what a part of a union reads.
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

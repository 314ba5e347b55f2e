//! The binary format of `COPY`, <https://www.postgresql.org/docs/current/sql-copy.html>: a few bytes around each value.

use std::collections::BTreeSet;

use recount_core::{RecordedEvent, StoreError};

use crate::error::damaged;
use crate::row::{EPOCH, encode_metadata, encode_tags};

const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
const TRAILER: i16 = -1;

/// An event and where it goes.
pub(crate) struct Placed<'a> {
    pub(crate) event: &'a RecordedEvent,
    pub(crate) position: i64,
    pub(crate) version: i64,
    pub(crate) kind: i32,
}

/// Rows for one `COPY`, encoded one after another and taken away in pieces.
pub(crate) struct Rows(Vec<u8>);

impl Rows {
    pub(crate) fn new() -> Self {
        Self(HEADER.to_vec())
    }

    /// How many bytes there are to take.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Forgets the rows taken.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    pub(crate) fn finish(&mut self) {
        self.number(TRAILER.to_be_bytes());
    }

    /// The row of `events`, in the order of `copy_events.sql`.
    pub(crate) fn event(&mut self, placed: &Placed<'_>) -> Result<(), StoreError> {
        let RecordedEvent { stream, recorded_at, data, .. } = placed.event;
        self.number(9_i16.to_be_bytes());
        self.value(&placed.position.to_be_bytes())?;
        self.value(&placed.version.to_be_bytes())?;
        // No moment that a timestamp holds is so far away that this would saturate.
        self.value(&recorded_at.as_microsecond().saturating_sub(EPOCH).to_be_bytes())?;
        self.value(data.id.0.as_bytes())?;
        self.value(&placed.kind.to_be_bytes())?;
        self.value(stream.as_str().as_bytes())?;
        self.text(encode_tags(&data.tags))?;
        self.text(encode_metadata(&data.metadata))?;
        self.value(&data.payload)
    }

    /// The rows of `tags`, each tag once, in the order of `copy_tags.sql`.
    pub(crate) fn tags(&mut self, placed: &Placed<'_>) -> Result<(), StoreError> {
        for tag in placed.event.data.tags.iter().collect::<BTreeSet<_>>() {
            self.number(3_i16.to_be_bytes());
            self.value(tag.as_str().as_bytes())?;
            self.value(&placed.position.to_be_bytes())?;
            self.value(&placed.kind.to_be_bytes())?;
        }
        Ok(())
    }

    fn number<const N: usize>(&mut self, bytes: [u8; N]) {
        self.0.extend_from_slice(&bytes);
    }

    fn text(&mut self, text: Option<String>) -> Result<(), StoreError> {
        match text {
            Some(text) => self.value(text.as_bytes()),
            None => {
                self.number((-1_i32).to_be_bytes());
                Ok(())
            }
        }
    }

    fn value(&mut self, value: &[u8]) -> Result<(), StoreError> {
        let length = i32::try_from(value.len()).map_err(|_| damaged("a value is larger than any that can be sent"))?;
        self.number(length.to_be_bytes());
        self.0.extend_from_slice(value);
        Ok(())
    }
}

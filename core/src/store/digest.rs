//! Digests that are stored.

use sha2::{Digest, Sha256};
use uuid::Uuid;

/// The first 16 bytes of the SHA-256 of the content, as a UUID of version 8.
pub(crate) fn digest(content: &[u8]) -> Uuid {
    let mut digest = [0; 16];
    digest.copy_from_slice(&Sha256::digest(content)[..16]);
    Uuid::new_v8(digest)
}

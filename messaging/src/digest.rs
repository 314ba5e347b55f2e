//! Digests of texts, for names that are stored.

use sha2::{Digest, Sha256};

/// The first 16 bytes of the SHA-256 of the texts, each followed by NUL. Only the last text may hold NUL itself: otherwise
/// two lists could have one digest.
pub(crate) fn digest(texts: &[&str]) -> [u8; 16] {
    let mut hasher = Sha256::new();
    for text in texts {
        hasher.update(text.as_bytes());
        hasher.update([0]);
    }
    let mut digest = [0; 16];
    digest.copy_from_slice(&hasher.finalize()[..16]);
    digest
}

/// The digest in hexadecimal digits.
pub(crate) fn hex_digest(texts: &[&str]) -> String {
    format!("{:032x}", u128::from_be_bytes(digest(texts)))
}

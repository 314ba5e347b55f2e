//! The message of a comparison with the lock, put together only when it fails.

/// The longest message; what is longer is cut.
const LONGEST: usize = 8192;

/// What is wrong, and what to write instead.
#[derive(Debug)]
pub struct Complaint {
    bytes: [u8; LONGEST],
    length: usize,
}

/// Both texts, one after the other.
#[must_use]
pub const fn complaint(said: &str, cure: &str) -> Complaint {
    let mut complaint = Complaint { bytes: [0; LONGEST], length: 0 };
    let parts = [said.as_bytes(), cure.as_bytes()];
    let mut part = 0;
    while part < parts.len() {
        let mut i = 0;
        while i < parts[part].len() && complaint.length < LONGEST {
            complaint.bytes[complaint.length] = parts[part][i];
            complaint.length += 1;
            i += 1;
        }
        part += 1;
    }
    complaint
}

impl Complaint {
    /// The text.
    #[must_use]
    pub const fn text(&self) -> &str {
        match std::str::from_utf8(self.bytes.split_at(self.length).0) {
            Ok(text) => text,
            Err(_) => "what is stored can't be read any more",
        }
    }
}

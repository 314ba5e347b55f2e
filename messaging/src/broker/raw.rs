//! Messages in the broker's terms.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use smallvec::SmallVec;

/// A message in the broker's terms: for dead letters, and to find it with the broker's own tools.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RawMessage {
    /// The native name of where it was: subject, queue, topic.
    pub origin: Arc<str>,
    /// The native headers.
    pub headers: RawHeaders,
    /// The body.
    pub body: Bytes,
}

/// Native headers in their order, in one piece of memory. A name may stand more than once. Clones share the memory.
///
/// ```
/// use recount_messaging::RawHeaders;
///
/// let headers: RawHeaders = [("content-type", "text/plain"), ("x-shop", "7")].into_iter().collect();
/// assert_eq!(headers.get("x-shop"), Some(&b"7"[..]));
/// assert_eq!(headers.iter().next(), Some(("content-type", &b"text/plain"[..])));
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct RawHeaders {
    /// Name, value, name, value, …; then for each header where its name and its value end.
    bytes: Bytes,
    count: usize,
}

/// An end, as a number.
const END: usize = size_of::<usize>();

impl RawHeaders {
    /// Headers and a body, copied into one piece of memory.
    pub fn with_body<N: AsRef<str>, V: AsRef<[u8]>>(
        headers: impl IntoIterator<Item = (N, V)>,
        body: &[u8],
    ) -> (Self, Bytes) {
        /// The usual size of a header.
        const USUAL: usize = 48;
        let headers = headers.into_iter();
        let expected = headers.size_hint().0;
        let mut bytes = Vec::with_capacity(body.len() + expected * (USUAL + 2 * END));
        let mut ends = SmallVec::<[usize; 32]>::with_capacity(expected * 2);
        bytes.extend_from_slice(body);
        for (name, value) in headers {
            for part in [name.as_ref().as_bytes(), value.as_ref()] {
                bytes.extend_from_slice(part);
                ends.push(bytes.len() - body.len());
            }
        }
        for end in &ends {
            bytes.extend_from_slice(&end.to_ne_bytes());
        }
        let mut bytes = Bytes::from(bytes);
        let body = bytes.split_to(body.len());
        (Self { bytes, count: ends.len() / 2 }, body)
    }

    /// Headers in the order of their names, from a client library that keeps them in none. Those of one name keep theirs.
    pub fn by_name<N: AsRef<str>, V: AsRef<[u8]>>(headers: impl IntoIterator<Item = (N, V)>) -> Self {
        let mut headers: Vec<_> = headers.into_iter().collect();
        headers.sort_by(|(a, _), (b, _)| a.as_ref().cmp(b.as_ref()));
        headers.into_iter().collect()
    }

    /// The headers in their order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &[u8])> + Clone {
        let (text, ends) = self.bytes.split_at(self.bytes());
        let (ends, _) = ends.as_chunks::<END>();
        let mut start = 0;
        ends.chunks_exact(2).map(move |pair| {
            let [name, value] = [pair[0], pair[1]].map(usize::from_ne_bytes);
            // Every name was a text when it was added.
            let header = (std::str::from_utf8(&text[start..name]).unwrap_or_default(), &text[name..value]);
            start = value;
            header
        })
    }

    /// The value of the first header with this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The bytes of all names and values.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes.len() - self.count * 2 * END
    }
}

impl<N: AsRef<str>, V: AsRef<[u8]>> FromIterator<(N, V)> for RawHeaders {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(headers: I) -> Self {
        Self::with_body(headers, &[]).0
    }
}

impl fmt::Debug for RawHeaders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(|(name, value)| (name, value.escape_ascii().to_string()))).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_keep_their_order_repeated_names_and_any_bytes() {
        let given = [("b", &b"1"[..]), ("a", b""), ("", b"\xff\0"), ("b", b"2"), ("größe", b"x")];
        let headers: RawHeaders = given.into_iter().collect();
        assert_eq!(headers.iter().collect::<Vec<_>>(), given);
        assert_eq!((headers.len(), headers.bytes()), (5, 15));
        assert_eq!((headers.get("b"), headers.get("c")), (Some(&b"1"[..]), None));
    }

    #[test]
    fn headers_by_name_keep_the_order_of_values() {
        let headers = RawHeaders::by_name([("b", "2"), ("a", "3"), ("b", "1")]);
        assert_eq!(headers, [("a", "3"), ("b", "2"), ("b", "1")].into_iter().collect());
    }

    #[test]
    fn a_body_comes_back_beside_its_headers() {
        let given = [("a", &b"1"[..]), ("b", b"")];
        let (headers, body) = RawHeaders::with_body(given, b"\0body");
        assert_eq!((headers.iter().collect::<Vec<_>>(), &body[..]), (given.to_vec(), &b"\0body"[..]));
        assert_eq!(headers, given.into_iter().collect());
        let (headers, body) = RawHeaders::with_body::<&str, &[u8]>([], b"");
        assert!(headers.is_empty() && body.is_empty());
    }

    #[test]
    fn the_same_bytes_parted_elsewhere_are_other_headers() {
        let [one, other]: [RawHeaders; 2] = [("ab", "c"), ("a", "bc")].map(|header| [header].into_iter().collect());
        assert_ne!(one, other);
        assert!(RawHeaders::default().is_empty() && RawHeaders::default().iter().next().is_none());
    }
}

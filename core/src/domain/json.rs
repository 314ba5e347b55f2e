//! JSON text, divided at its objects and arrays.

/// A JSON value that borrows its text. Scalars stay as they were written, so no number is rounded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Json<'a> {
    /// A text, number, boolean or null.
    Scalar(&'a str),
    Array(Vec<Json<'a>>),
    /// The members, sorted by their names. A name is the text between its quotes.
    Object(Vec<(&'a str, Json<'a>)>),
}

impl<'a> Json<'a> {
    /// Reads valid JSON. Returns `None` for text that is not one JSON value; it doesn't check the scalars.
    pub(super) fn read(json: &'a [u8]) -> Option<Self> {
        let mut reader = Reader { rest: std::str::from_utf8(json).ok()? };
        let value = reader.value(0)?;
        reader.skip_space();
        reader.rest.is_empty().then_some(value)
    }

    /// Whether the value is a usual default: null, false, zero, or empty.
    pub(super) fn is_usual_default(&self) -> bool {
        match self {
            Self::Scalar(text) => {
                matches!(*text, "null" | "false" | "\"\"") || text.parse::<f64>().is_ok_and(|number| number == 0.0)
            }
            Self::Array(elements) => elements.is_empty(),
            Self::Object(members) => members.is_empty(),
        }
    }

    /// The compact text.
    pub(super) fn to_vec(&self) -> Vec<u8> {
        let mut text = Vec::with_capacity(128);
        self.write(&mut text);
        text
    }

    fn write(&self, text: &mut Vec<u8>) {
        match self {
            Self::Scalar(scalar) => text.extend_from_slice(scalar.as_bytes()),
            Self::Array(elements) => {
                text.push(b'[');
                for (index, element) in elements.iter().enumerate() {
                    if index > 0 {
                        text.push(b',');
                    }
                    element.write(text);
                }
                text.push(b']');
            }
            Self::Object(members) => {
                text.push(b'{');
                for (index, (name, value)) in members.iter().enumerate() {
                    if index > 0 {
                        text.push(b',');
                    }
                    text.push(b'"');
                    text.extend_from_slice(name.as_bytes());
                    text.extend_from_slice(b"\":");
                    value.write(text);
                }
                text.push(b'}');
            }
        }
    }
}

/// The nesting that `serde_json` accepts, too.
const MAX_DEPTH: usize = 128;

struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    fn value(&mut self, depth: usize) -> Option<Json<'a>> {
        self.skip_space();
        match self.rest.as_bytes().first()? {
            _ if depth >= MAX_DEPTH => None,
            b'{' => {
                let mut members = self.list('}', |reader| {
                    reader.skip_space();
                    let name = reader.text()?;
                    reader.skip_space();
                    reader.eat(':')?;
                    Some((&name[1..name.len() - 1], reader.value(depth + 1)?))
                })?;
                members.sort_by_key(|(name, _)| *name);
                Some(Json::Object(members))
            }
            b'[' => Some(Json::Array(self.list(']', |reader| reader.value(depth + 1))?)),
            b'"' => Some(Json::Scalar(self.text()?)),
            _ => {
                let end = |byte: &u8| matches!(byte, b',' | b'}' | b']' | b' ' | b'\n' | b'\r' | b'\t');
                let length = self.rest.as_bytes().iter().position(end).unwrap_or(self.rest.len());
                (length > 0).then(|| Json::Scalar(self.take(length)))
            }
        }
    }

    /// The parts between the opening bracket, which is next, and the closing one.
    fn list<T>(&mut self, close: char, mut part: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let mut parts = Vec::new();
        self.take(1);
        self.skip_space();
        if self.eat(close).is_some() {
            return Some(parts);
        }
        loop {
            parts.push(part(self)?);
            self.skip_space();
            if self.eat(close).is_some() {
                return Some(parts);
            }
            self.eat(',')?;
        }
    }

    /// A text with its quotes.
    fn text(&mut self) -> Option<&'a str> {
        if !self.rest.starts_with('"') {
            return None;
        }
        let mut escaped = false;
        let closes = |byte: &u8| {
            let closes = *byte == b'"' && !escaped;
            escaped = *byte == b'\\' && !escaped;
            closes
        };
        let length = self.rest.as_bytes()[1..].iter().position(closes)?;
        Some(self.take(length + 2))
    }

    fn eat(&mut self, next: char) -> Option<()> {
        self.rest = self.rest.strip_prefix(next)?;
        Some(())
    }

    fn take(&mut self, length: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(length);
        self.rest = rest;
        taken
    }

    fn skip_space(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\n', '\r', '\t']);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_sorted_and_scalars_stay_as_they_were_written() {
        let json = r#" { "b" : [ 1.10 , "x\"}\\" , {} , [] ] , "a" : { "d":340282366920938463463374607431768211455,"c":null } } "#;
        let sorted = r#"{"a":{"c":null,"d":340282366920938463463374607431768211455},"b":[1.10,"x\"}\\",{},[]]}"#;
        let read = Json::read(json.as_bytes()).expect("it is JSON");
        assert_eq!(String::from_utf8(read.to_vec()).expect("it is text"), sorted);
    }

    #[test]
    fn text_that_is_not_one_value_is_refused() {
        for text in ["", " ", "{", "[1", "[1,", "{\"a\"}", "{\"a\":}", "{a:1}", "\"a", "1 2", "{} {}", "[1}", "\"\\\""]
        {
            assert_eq!(Json::read(text.as_bytes()), None, "{text}");
        }
        let deep = "[".repeat(100_000);
        assert_eq!(Json::read(deep.as_bytes()), None);
    }
}

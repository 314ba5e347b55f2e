//! Texts and numbers.

use serde_json::{Map, Number, Value, json};

use super::draw::Draw;

/// Texts of which nothing is known: some that parsers take, and some that are odd.
pub(super) const TEXTS: &[&str] = &[
    "1",
    "",
    "Ærøskøbing \u{1f4bf}",
    "a \"quoted\" \\ text\n",
    LONG,
    "0.5",
    "1997-01-01",
    "23:59:59",
    "2024-02-29T23:59:59Z",
    "2024-02-29T23:59:59",
    "67e55044-10b1-426f-9247-bb680e5fe0c8",
    "someone@example.com",
    "https://example.com/",
    "P1DT2H",
];

/// Keys of maps.
pub(super) const KEYS: &[&str] = &["key", "", "Schlüssel", "a.b"];

const LONG: &str =
    "The text is long: it says again and again that it is long, so that whoever reads it may see how long it is.";

impl Draw<'_> {
    pub(super) fn text(&mut self, schema: &Map<String, Value>) -> String {
        let text = match schema.get("format").and_then(Value::as_str) {
            Some("date") => self.date(),
            Some("time" | "partial-time") => self.pick(&["00:00:00", "12:30:00", "23:59:59.999"]),
            Some("date-time") => format!("{}T{}Z", self.date(), self.pick(&["00:00:00", "12:30:00", "23:59:59.999"])),
            Some("partial-date-time") => format!("{}T{}", self.date(), self.pick(&["00:00:00", "23:59:59.999"])),
            Some("uuid") => self.uuid(),
            Some("ipv4") => self.pick(&["127.0.0.1", "0.0.0.0", "255.255.255.255"]),
            Some("ipv6") => self.pick(&["::1", "2001:db8::8a2e:370:7334"]),
            Some("ip") => self.pick(&["127.0.0.1", "::1"]),
            Some("email") => "someone@example.com".to_owned(),
            Some("uri") => "https://example.com/".to_owned(),
            Some("duration") => self.pick(&["PT1S", "P1DT2H", "PT0S"]),
            _ if schema.get("maxLength") == Some(&json!(1)) => self.pick(&["a", "\u{1f4bf}", "\"", "\u{e9}"]),
            _ => self.any_text(),
        };
        let length = |key| schema.get(key).and_then(Value::as_u64).and_then(|length| usize::try_from(length).ok());
        let least = length("minLength").unwrap_or(0);
        let most = length("maxLength").unwrap_or(usize::MAX);
        let text: String = text.chars().take(most).collect();
        let missing = least.saturating_sub(text.chars().count()).min(1 << 16);
        text + &"x".repeat(missing)
    }

    fn pick(&mut self, texts: &[&str]) -> String {
        self.one_of(texts).copied().unwrap_or_default().to_owned()
    }

    fn any_text(&mut self) -> String {
        match self.below(4) {
            0 => self.pick(TEXTS),
            1 => {
                const LETTERS: [char; 8] = ['a', 'b', 'Z', '0', ' ', '-', 'ß', '永'];
                (0..self.below(12)).map(|_| LETTERS[self.below(LETTERS.len())]).collect()
            }
            _ => TEXTS.get(self.likes).copied().unwrap_or_default().to_owned(),
        }
    }

    fn date(&mut self) -> String {
        match self.below(4) {
            0 => "1997-01-01".to_owned(),
            1 => "1970-01-01".to_owned(),
            2 => "2024-02-29".to_owned(),
            _ => format!("{}-{:02}-{:02}", 1900 + self.below(200), 1 + self.below(12), 1 + self.below(28)),
        }
    }

    fn uuid(&mut self) -> String {
        match self.below(4) {
            0 => "67e55044-10b1-426f-9247-bb680e5fe0c8".to_owned(),
            1 => "00000000-0000-0000-0000-000000000000".to_owned(),
            2 => "ffffffff-ffff-ffff-ffff-ffffffffffff".to_owned(),
            _ => {
                let mut digits = |count| (0..count).map(|_| char::from(b"0123456789abcdef"[self.below(16)])).collect();
                let [a, b, c, d, e]: [String; 5] = [digits(8), digits(4), digits(3), digits(3), digits(12)];
                format!("{a}-{b}-4{c}-8{d}-{e}")
            }
        }
    }

    pub(super) fn integer(&mut self, schema: &Map<String, Value>) -> Value {
        let format = schema.get("format").and_then(Value::as_str).unwrap_or_default();
        let bits: u32 = format.trim_start_matches(|letter: char| !letter.is_numeric()).parse().unwrap_or(32);
        // JSON libraries read no larger ones everywhere.
        let bits = bits.clamp(8, 64);
        let bound = |key| schema.get(key).and_then(Value::as_number).and_then(Number::as_i128);
        let (least, most) =
            if format.starts_with('u') { (0, (1 << bits) - 1) } else { (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) };
        let least = bound("minimum").unwrap_or(least).max(least);
        let most = bound("maximum").unwrap_or(most).min(most).max(least);
        let value: i128 = match self.below(6) {
            0 => 1,
            1 => 0,
            2 => least,
            3 => most,
            4 => i128::from(self.any_u64()) >> self.below(64),
            _ => -(i128::from(self.any_u64()) >> self.below(64)),
        };
        Number::from_i128(value.clamp(least, most)).map_or(Value::Null, Value::Number)
    }

    pub(super) fn number(&mut self, schema: &Map<String, Value>) -> Value {
        let single = schema.get("format").and_then(Value::as_str) == Some("float");
        let bound = |key| schema.get(key).and_then(Value::as_f64);
        let (least, most) = (bound("minimum").unwrap_or(f64::MIN), bound("maximum").unwrap_or(f64::MAX));
        let any = self.any_u64() as i64 as f64 / 1e6;
        let values = [0.5, 0.0, -1.25, 1e9, least, most, f64::MIN_POSITIVE, any];
        let value = self.one_of(&values).copied().unwrap_or_default().clamp(least, most.max(least));
        if single {
            // The shortest digits, as a single is written.
            let value = value.clamp(f64::from(f32::MIN), f64::from(f32::MAX)) as f32;
            return value.to_string().parse::<f64>().map_or(Value::Null, Value::from);
        }
        json!(value)
    }
}

#[cfg(test)]
mod tests {
    use super::super::draws;
    use super::*;

    #[test]
    fn bounds_are_kept() {
        let schema = json!({"type": "integer", "format": "uint8", "minimum": 3, "maximum": 7});
        assert!(draws(&schema, "").take(200).all(|drawn| (3..=7).contains(&drawn.as_i64().unwrap())));
        let schema = json!({"type": "string", "minLength": 3, "maxLength": 3});
        assert!(draws(&schema, "").take(200).all(|drawn| drawn.as_str().unwrap().chars().count() == 3));
    }

    #[test]
    fn texts_are_empty_long_and_odd() {
        let schema = json!({"type": "string"});
        let drawn: Vec<_> = draws(&schema, "").take(200).collect();
        assert!(TEXTS.iter().all(|text| drawn.contains(&json!(text))));
    }
}

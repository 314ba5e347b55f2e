//! Sample payloads: drawn from a JSON Schema by chance, and chosen for the features that they show.

mod draw;
mod leaf;
mod random;
mod seen;

use std::cmp::Reverse;
use std::collections::BTreeSet;

use serde_json::Value;

pub use draw::draws;
use seen::Seen;

/// How many samples a version gets at most, and once more with each change of it.
pub const SAMPLES: usize = 8;
/// No sample but the first has more bytes.
const LONGEST: usize = 2000;

/// Chooses the samples of a version: all kept ones, then the drawn ones that show the most new features, until none shows a new one or there are
/// `most` samples. Of equal ones it takes the shorter. If none are kept, the first drawn one is the first sample.
#[must_use]
pub fn choose(schema: &Value, kept: &[String], drawn: &[String], most: usize) -> Vec<String> {
    let value = |text: &String| serde_json::from_str::<Value>(text).unwrap_or_default();
    let all: Vec<_> = kept.iter().chain(drawn).map(value).collect();
    let seen = Seen::new(schema, &all);
    let mut chosen = if kept.is_empty() { drawn.iter().take(1).cloned().collect() } else { kept.to_vec() };
    let mut known: BTreeSet<_> = chosen.iter().flat_map(|text| seen.facts(&value(text))).collect();
    let short = drawn.iter().filter(|text| text.len() <= LONGEST);
    let rest: Vec<_> = short.map(|text| (text, seen.facts(&value(text)))).collect();
    while chosen.len() < most {
        let new = |(_, facts): &(&String, BTreeSet<String>)| facts.difference(&known).count();
        let best = rest.iter().max_by_key(|each| (new(each), Reverse(each.0.len()))).filter(|best| new(best) > 0);
        let Some((text, facts)) = best else { break };
        chosen.push((*text).clone());
        known.extend(facts.iter().cloned());
    }
    chosen
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn drawn(schema: &Value) -> Vec<String> {
        draws(schema, "test").take(200).map(|value| value.to_string()).collect()
    }

    #[test]
    fn few_samples_show_what_can_be() {
        let schema = json!({"type": "object", "required": ["pay"], "properties": {
            "pay": {"oneOf": [
                {"const": "Cash"},
                {"type": "object", "required": ["Card"], "properties": {"Card": {"type": "string"}}},
                {"const": "Gift"},
            ]},
            "lines": {"type": "array", "items": {"type": "integer", "format": "uint32", "minimum": 0}},
            "note": {"type": ["string", "null"]},
        }});
        let samples = choose(&schema, &[], &drawn(&schema), SAMPLES);
        assert!(samples.len() <= SAMPLES);
        assert_eq!(samples[0], "{\"pay\":\"Cash\"}");
        let all = samples.join("\n");
        for shown in ["\"Gift\"", "\"Card\":\"\"", "\"lines\":[]", "4294967295", "\"note\":null", "\"note\":\"\""] {
            assert!(all.contains(shown), "{shown} in\n{all}");
        }
    }

    #[test]
    fn samples_stay_and_are_added_to_once() {
        let schema = json!({"type": "integer", "format": "int8"});
        let drawn = drawn(&schema);
        let kept = ["3".to_owned()];
        let samples = choose(&schema, &kept, &drawn, SAMPLES);
        assert_eq!(samples[0], "3");
        assert!(["0", "-128", "127"].iter().all(|end| samples.iter().any(|sample| sample == end)), "{samples:?}");
        assert_eq!(choose(&schema, &samples, &drawn, SAMPLES), samples);
    }

    #[test]
    fn what_is_always_the_same_has_one_sample() {
        let schema = json!({"type": "object"});
        assert_eq!(choose(&schema, &[], &drawn(&schema), SAMPLES), ["{}"]);
    }
}

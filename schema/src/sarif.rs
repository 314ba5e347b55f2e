//! Changes as SARIF 2.1.0, which code hosts show beside the lines of a change.

use serde_json::{Value, json};

use crate::diff::{Change, Compatibility};

/// A report: a change that breaks the wanted compatibility is an error, any other change a note.
///
/// `file` is the lock, relative to the root of the repository. `text` is its content, so that a result points to its event.
///
/// The format is that of OASIS, "Static Analysis Results Interchange Format (SARIF) Version 2.1.0".
#[must_use]
pub fn sarif(changes: &[Change], wanted: Compatibility, file: &str, text: &str) -> Value {
    let results: Vec<_> = changes
        .iter()
        .map(|change| {
            let breaks = change.breaks(wanted);
            let line = text.lines().position(|line| line.trim_start().starts_with(&format!("\"{}\":", change.event)));
            json!({
                "ruleId": if breaks { "breaking-change" } else { "compatible-change" },
                "level": if breaks { "error" } else { "note" },
                "message": { "text": change.to_string() },
                "locations": [{
                    "physicalLocation": {
                        "artifactLocation": { "uri": file },
                        "region": { "startLine": line.map_or(1, |line| line + 1) },
                    },
                }],
            })
        })
        .collect();
    let rule = |id: &str, text: &str| json!({ "id": id, "shortDescription": { "text": text } });
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "recount",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": [
                    rule("breaking-change", "Programs that must read an event no longer do"),
                    rule("compatible-change", "What is stored changes, and everybody still reads it"),
                ],
            } },
            "results": results,
        }],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_points_to_its_event() {
        let change = Change {
            event: "b".into(),
            version: 1,
            path: String::new(),
            what: "is gone".into(),
            backward: false,
            forward: true,
        };
        let report = sarif(&[change], Compatibility::Backward, "schemas/lock.json", "{\n  \"a\": {},\n  \"b\": {}\n}");
        let result = &report["runs"][0]["results"][0];
        assert_eq!(result["level"], "error");
        assert_eq!(result["locations"][0]["physicalLocation"]["region"]["startLine"], 3);
    }
}

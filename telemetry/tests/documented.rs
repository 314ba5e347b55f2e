//! The chapter on telemetry names everything that is recorded.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that panics has failed")]

use recount_core::METRICS;

const CHAPTER: &str = include_str!("../../docs/telemetry.md");

#[test]
fn every_metric_is_in_the_table_with_its_labels() {
    for metric in METRICS {
        let name = format!("`{}`", metric.name);
        let row = CHAPTER.lines().find(|line| line.starts_with('|') && line.contains(&name));
        let row = row.unwrap_or_else(|| panic!("{name} has no row"));
        let labels = row.split('|').nth(3).unwrap().trim();
        assert_eq!(labels, metric.labels.join(", "), "{name}");
    }
}

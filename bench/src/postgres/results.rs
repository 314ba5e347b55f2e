//! What came out: the ratios with their floors, and a table of everybody.

use std::fmt::Write;
use std::path::Path;

use anyhow::{Context, Result};

use super::arena::Score;
use super::chart::Chart;
use crate::figures::Figures;

const START: &str = "<!-- postgres: written by `cargo xtask bench postgres` -->";
const END: &str = "<!-- /postgres -->";
/// The columns of the table.
const SIDES: [&str; 7] =
    ["raw SQL", "recount", "cqrs-es", "cqrs-es, snapshots", "disintegrate", "disintegrate, snapshots", "evento"];

pub struct Results {
    server: String,
    only: Vec<String>,
    pub figures: Figures,
    rows: Vec<(String, Vec<(&'static str, String)>)>,
    pub chart: Option<Chart>,
}

impl Results {
    pub fn new(server: &str, only: &[String]) -> Self {
        let (figures, rows) = (Figures::default(), Vec::new());
        Self { server: server.to_owned(), only: only.to_vec(), figures, rows, chart: None }
    }

    /// Whether one of these is to be measured.
    pub fn wants(&self, keys: &[&str]) -> bool {
        self.only.is_empty() || keys.iter().any(|key| self.only.iter().any(|only| only == key))
    }

    pub fn row(&mut self, title: &str, unit: &str, scores: &[Score]) {
        let cells = scores.iter().map(|score| (score.name, thousands(score.rate()))).collect();
        self.cells(&format!("{title}, {unit}"), cells);
    }

    pub fn latency(&mut self, title: &str, scores: &[Score]) {
        let cells = scores.iter().map(|score| (score.name, format!("{:.2} ms", score.micros() / 1000.0))).collect();
        self.cells(&format!("{title}, p50 of a command"), cells);
    }

    pub fn cells(&mut self, title: &str, cells: Vec<(&'static str, String)>) {
        self.rows.push((title.to_owned(), cells));
    }

    /// Puts it between the marks in RESULTS.md, and draws the chart beside.
    pub fn write(&self, directory: &Path) -> Result<()> {
        let file = directory.join("RESULTS.md");
        let text = std::fs::read_to_string(&file)?;
        let before = text.split(START).next().unwrap_or_default().trim_end();
        let after = text.split_once(END).map_or("\n", |(_, after)| after);
        std::fs::write(&file, format!("{before}\n\n{START}\n{}\n{END}{after}", self.markdown()))
            .with_context(|| format!("{} can't be written", file.display()))?;
        if let Some(chart) = &self.chart {
            chart.draw(&directory.join("postgres.svg"))?;
        }
        Ok(())
    }

    fn markdown(&self) -> String {
        let mut text = format!("PostgreSQL {}.\n\n{}\n\n", self.server, self.figures.markdown());
        let _ = writeln!(text, "| | {} |\n|---|{}", SIDES.join(" | "), "---:|".repeat(SIDES.len()));
        for (title, cells) in &self.rows {
            let _ = write!(text, "| {title} |");
            for side in SIDES {
                let cell = cells.iter().find(|(name, _)| *name == side).map_or("–", |(_, cell)| cell);
                let _ = write!(text, " {cell} |");
            }
            text.push('\n');
        }
        if self.chart.is_some() {
            text.push_str("\n![Commands per second against concurrent clients](postgres.svg)\n");
        }
        text
    }
}

/// With commas.
pub fn thousands(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

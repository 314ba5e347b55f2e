//! The figures, their floors, and how they are shown.

use std::fmt;
use std::path::Path;

use anyhow::{Context, Result};
use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, Table};
use serde_json::{Map, Value, json};

/// What a figure must be.
#[derive(Clone, Copy)]
pub enum Floor {
    AtLeast(f64),
    AtMost(f64),
    Below(f64),
    /// Not further from zero than this.
    Within(f64),
}

impl Floor {
    fn holds(self, figure: f64) -> bool {
        match self {
            Self::AtLeast(floor) => figure >= floor,
            Self::AtMost(ceiling) => figure <= ceiling,
            Self::Below(ceiling) => figure < ceiling,
            Self::Within(distance) => figure.abs() <= distance,
        }
    }
}

impl fmt::Display for Floor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtLeast(floor) => write!(f, "≥ {floor}"),
            Self::AtMost(ceiling) => write!(f, "≤ {ceiling}"),
            Self::Below(ceiling) => write!(f, "< {ceiling}"),
            Self::Within(distance) => write!(f, "± {distance}"),
        }
    }
}

struct Figure {
    name: &'static str,
    value: f64,
    floor: Floor,
    /// How it came about: absolute numbers behind a ratio, the spread of the rounds.
    detail: String,
}

/// What was measured.
#[derive(Default)]
pub struct Figures(Vec<Figure>);

impl Figures {
    /// Adds a figure, and prints it at once: the whole takes minutes.
    pub fn add(&mut self, name: &'static str, value: f64, floor: Floor, detail: String) {
        println!("{name}: {} ({detail})", shown(value));
        self.0.push(Figure { name, value, floor, detail });
    }

    /// Writes `{"figures": {…}}`.
    pub fn write(&self, file: &Path) -> Result<()> {
        self.write_as(file, "figures")
    }

    /// Writes them as an object of this name.
    pub fn write_as(&self, file: &Path, name: &str) -> Result<()> {
        let figures: Map<_, Value> =
            self.0.iter().map(|figure| (figure.name.to_owned(), figure.value.into())).collect();
        let text = serde_json::to_string_pretty(&json!({ name: figures }))?;
        std::fs::write(file, text + "\n").with_context(|| format!("{} can't be written", file.display()))
    }

    /// The table of RESULTS.md.
    pub fn markdown(&self) -> String {
        let mut text = "| figure | measured | floor | | detail |\n|---|---:|---|---|---|\n".to_owned();
        for Figure { name, value, floor, detail } in &self.0 {
            let verdict = if floor.holds(*value) { "ok" } else { "MISSED" };
            text.push_str(&format!("| `{name}` | {} | {floor} | {verdict} | {detail} |\n", shown(*value)));
        }
        text
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new();
        table.load_style(UTF8_FULL_CONDENSED).set_header(["figure", "measured", "floor", "", "detail"]);
        for Figure { name, value, floor, detail } in &self.0 {
            let verdict = if floor.holds(*value) { "ok" } else { "MISSED" };
            table.add_row([*name, &shown(*value), &floor.to_string(), verdict, detail]);
        }
        if let Some(column) = table.column_mut(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        writeln!(f, "{table}")?;
        let missed: Vec<&str> = self.0.iter().filter(|it| !it.floor.holds(it.value)).map(|it| it.name).collect();
        if missed.is_empty() {
            write!(f, "Every floor holds.")
        } else {
            write!(f, "MISSED: {}. Measure again on a quiet machine before believing it.", missed.join(", "))
        }
    }
}

fn shown(value: f64) -> String {
    if value.abs() >= 1000.0 { format!("{value:.0}") } else { format!("{value:.2}") }
}

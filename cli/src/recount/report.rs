//! The output of the commands about projections, for people and as JSON.

use std::io::Write;

use recount::StoredCheckpoint;
use serde_json::{Value, json};

use crate::model::Head;

/// The version of the JSON.
pub(crate) const VERSION: u32 = 1;

/// Prints an answer, as JSON or as text.
pub(crate) fn print(as_json: bool, json: &Value, text: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    if as_json { writeln!(out, "{json}") } else { write!(out, "{text}") }
}

/// A projection, compared with the store.
pub(crate) struct Row {
    pub(crate) stored: StoredCheckpoint,
    /// How many positions it is behind the head; none if its checkpoint is of another store.
    lag: Option<u64>,
}

impl Row {
    pub(crate) fn new(stored: StoredCheckpoint, head: Head) -> Self {
        let same = stored.checkpoint.store.is_none_or(|store| store == head.store);
        let lag = same.then(|| head.position.get().saturating_sub(stored.checkpoint.position.get()));
        Self { stored, lag }
    }

    fn state(&self) -> &'static str {
        match self.lag {
            _ if self.stored.is_rebuild_ordered() => "rebuild ordered",
            None => "of another store",
            Some(0) => "up to date",
            Some(_) => "behind",
        }
    }

    pub(crate) fn json(&self) -> Value {
        let StoredCheckpoint { projection, checkpoint, filter } = &self.stored;
        json!({
            "name": projection,
            "position": checkpoint.position.get(),
            "lag": self.lag,
            "state": self.state(),
            "store": checkpoint.store.map(|store| store.to_string()),
            "event": checkpoint.event.map(|event| event.to_string()),
            "selects": filter,
        })
    }

    /// Everything about one projection, one line each.
    pub(crate) fn lines(&self) -> String {
        let StoredCheckpoint { projection, checkpoint, filter } = &self.stored;
        let or_none = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        [
            ("projection", projection.clone()),
            ("position", checkpoint.position.to_string()),
            ("lag", or_none(self.lag.map(|lag| lag.to_string()))),
            ("state", self.state().to_owned()),
            ("store", or_none(checkpoint.store.map(|store| store.to_string()))),
            ("event", or_none(checkpoint.event.map(|event| event.to_string()))),
            ("selects", or_none(filter.as_ref().map(ToString::to_string))),
        ]
        .map(|(name, value)| format!("{name:<12}{value}\n"))
        .concat()
    }
}

/// A table of projections.
pub(crate) fn table(rows: &[Row]) -> String {
    let cells = |row: &Row| {
        let lag = row.lag.map_or_else(|| "-".to_owned(), |lag| lag.to_string());
        vec![row.stored.projection.clone(), row.stored.checkpoint.position.to_string(), lag, row.state().to_owned()]
    };
    columns(&["PROJECTION", "POSITION", "LAG", "STATE"], rows.iter().map(cells).collect())
}

/// A table with a head. Columns of numbers are aligned to the right.
pub(crate) fn columns(head: &[&str], rows: Vec<Vec<String>>) -> String {
    let is_number = |cell: &String| cell == "-" || cell.parse::<u64>().is_ok();
    let right: Vec<bool> =
        (0..head.len()).map(|column| !rows.is_empty() && rows.iter().all(|row| is_number(&row[column]))).collect();
    let mut lines = vec![head.iter().map(|cell| (*cell).to_owned()).collect::<Vec<_>>()];
    lines.extend(rows);
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let cell = |column: usize, text: &String| {
        let width = widths[column];
        if right[column] { format!("{text:>width$}") } else { format!("{text:<width$}") }
    };
    let line = |cells: &Vec<String>| {
        let cells: Vec<_> = cells.iter().enumerate().map(|(column, text)| cell(column, text)).collect();
        format!("{}\n", cells.join("  ").trim_end())
    };
    lines.iter().map(line).collect()
}

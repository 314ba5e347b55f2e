//! Statements over many rows, in a few fixed sizes, so that each is prepared once.

use std::collections::HashMap;
use std::sync::Arc;

use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{Arguments, AssertSqlSafe, Either, Encode, Executor, Sqlite, SqliteConnection, Type};

use crate::error::Cause;
use futures_util::TryStreamExt;

/// The greatest number of rows of one statement.
const LARGEST: usize = 256;
/// Statements of up to this many rows share a text with others.
const SMALL: usize = 4;
/// Statements of up to this many rows may be followed by others in the same text.
const MIDDLE: usize = 16;

/// The number of rows to prepare a statement for that takes these. A statement with room for more rows than there
/// are gets NULL for the rest, which every statement passes over.
fn room(rows: usize) -> usize {
    if rows <= MIDDLE { rows.next_power_of_two() } else { rows.next_multiple_of(SMALL).min(LARGEST) }
}

/// A statement in which `{rows}` stands for a list of row values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Template {
    pub(crate) sql: &'static str,
    pub(crate) columns: usize,
}

/// Templates that were filled with room for rows.
#[derive(Default)]
pub(crate) struct Texts(HashMap<(Template, usize), Arc<str>>);

impl Texts {
    fn get(&mut self, template: Template, size: usize) -> &str {
        self.0.entry((template, size)).or_insert_with(|| {
            let row = format!("({})", vec!["?"; template.columns].join(","));
            template.sql.trim().replace("{rows}", &vec![row; size].join(",")).into()
        })
    }
}

/// Statements to run one after the other in one call of the driver, with their arguments.
#[derive(Default)]
pub(crate) struct Script {
    pub(crate) text: String,
    statements: usize,
    pub(crate) arguments: SqliteArguments,
    failed: bool,
}

impl Script {
    pub(crate) fn statement(&mut self, sql: &str) -> &mut Self {
        if !self.text.is_empty() {
            self.text.push_str(";\n");
        }
        self.text.push_str(sql.trim());
        self.statements += 1;
        self
    }

    pub(crate) fn bind<'t, T: Encode<'t, Sqlite> + Type<Sqlite>>(&mut self, value: T) -> &mut Self {
        self.failed |= self.arguments.add(value).is_err();
        self
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.statements == 0
    }

    /// The statements as the driver takes them.
    pub(crate) fn into_query(self) -> Query<'static, Sqlite, SqliteArguments> {
        sqlx::query_with(AssertSqlSafe(self.text), self.arguments)
    }

    /// Runs the statements and returns the rows of all of them. The first failure ends it.
    pub(crate) async fn run(self, connection: &mut SqliteConnection) -> Result<Vec<SqliteRow>, ScriptError> {
        let statements = self.statements;
        let mut at = 0;
        let mut rows = Vec::new();
        let last = statements.saturating_sub(1);
        let failed = |at: usize, error: sqlx::Error| ScriptError { last: at >= last, error: error.into() };
        if self.failed {
            return Err(failed(0, sqlx::Error::Encode("a value has no SQL form".into())));
        }
        let mut results = connection.fetch_many(self.into_query());
        loop {
            match results.try_next().await {
                Ok(Some(Either::Left(_))) => at += 1,
                Ok(Some(Either::Right(row))) => rows.push(row),
                Ok(None) if at == statements => return Ok(rows),
                // The worker thread ended without an answer.
                Ok(None) => return Err(failed(at, sqlx::Error::WorkerCrashed)),
                Err(error) => return Err(failed(at, error)),
            }
        }
    }
}

/// A script that failed.
pub(crate) struct ScriptError {
    /// Whether it was its last statement that failed.
    pub(crate) last: bool,
    pub(crate) error: Cause,
}

impl ScriptError {
    pub(crate) fn is_busy(&self) -> bool {
        self.error.is_busy()
    }
}

/// Collects rows for a template into scripts: few rows join the script that is being written, many get their own.
pub(crate) struct RowWriter<'a> {
    pub(crate) texts: &'a mut Texts,
    /// Scripts to run before the open one.
    full: Vec<Script>,
    pub(crate) open: Script,
}

impl<'a> RowWriter<'a> {
    pub(crate) fn new(texts: &'a mut Texts) -> Self {
        Self { texts, full: Vec::new(), open: Script::default() }
    }

    /// The scripts, in the order in which they are to run.
    pub(crate) fn finish(self) -> Vec<Script> {
        let mut scripts = self.full;
        scripts.extend((!self.open.is_empty()).then_some(self.open));
        scripts
    }

    /// Adds the rows, as many statements as it takes.
    pub(crate) fn rows<T>(&mut self, template: Template, rows: &[T], mut bind: impl FnMut(&mut Script, &T)) {
        let mut rest = rows;
        while !rest.is_empty() {
            let size = room(rest.len());
            let (now, later) = rest.split_at(size.min(rest.len()));
            rest = later;
            // A text of several large statements would be a new one for every mix of sizes.
            if size > SMALL && !self.open.is_empty() {
                self.full.push(std::mem::take(&mut self.open));
            }
            self.open.statement(self.texts.get(template, size));
            now.iter().for_each(|row| bind(&mut self.open, row));
            for _ in now.len() * template.columns..size * template.columns {
                self.open.bind(None::<i64>);
            }
            if size > MIDDLE {
                self.full.push(std::mem::take(&mut self.open));
            }
        }
    }
}

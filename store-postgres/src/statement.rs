//! Statements with their arguments, and the [`Taker`] that takes the rows of their answers.

use std::sync::Arc;

use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt, stream};
use sqlx::postgres::{PgArguments, PgQueryResult, PgRow};
use sqlx::{AssertSqlSafe, Either, Encode, Executor, PgConnection, Postgres, SqlSafeStr, Type};

use crate::schema::Schema;

/// How many arguments a statement has room for at once, and how many bytes of them.
const ROOM: (usize, usize) = (8, 512);

/// A statement for one schema.
#[derive(Clone)]
pub(crate) struct Statement {
    text: Text,
    arguments: PgArguments,
    count: usize,
    failed: Option<String>,
}

#[derive(Clone)]
enum Text {
    Whole(Arc<str>),
    InPieces(String),
}

impl Statement {
    pub(crate) fn new(schema: &Schema, template: &'static str) -> Self {
        Self::with(Text::Whole(schema.statement(template)))
    }

    /// A statement without text; the text is added piece by piece.
    pub(crate) fn in_pieces() -> Self {
        Self::with(Text::InPieces(String::new()))
    }

    fn with(text: Text) -> Self {
        use sqlx::Arguments;
        let mut arguments = PgArguments::default();
        arguments.reserve(ROOM.0, ROOM.1);
        Self { text, arguments, count: 0, failed: None }
    }

    /// Adds SQL of this program's.
    pub(crate) fn push(&mut self, schema: &Schema, template: &str) -> &mut Self {
        if template.contains('{') {
            self.add(&schema.text(template));
        } else {
            self.add(template);
        }
        self
    }

    fn add(&mut self, more: &str) {
        match &mut self.text {
            Text::InPieces(text) => text.push_str(more),
            Text::Whole(text) => self.text = Text::InPieces([&**text, more].concat()),
        }
    }

    /// Adds an argument, for the next number.
    pub(crate) fn bind<'t, T: Encode<'t, Postgres> + Type<Postgres>>(mut self, value: T) -> Self {
        self.argue(value);
        self
    }

    /// Adds an argument and its number to the text.
    pub(crate) fn place<'t, T: Encode<'t, Postgres> + Type<Postgres>>(&mut self, value: T) -> &mut Self {
        self.argue(value);
        self.add(&format!("${}", self.count));
        self
    }

    fn argue<'t, T: Encode<'t, Postgres> + Type<Postgres>>(&mut self, value: T) {
        use sqlx::Arguments;
        self.count += 1;
        if let Err(error) = self.arguments.add(value) {
            self.failed = Some(error.to_string());
        }
    }

    /// Runs the statement to its very end: its writes are committed then, unless a transaction is open.
    pub(crate) fn run(self, connection: &mut PgConnection) -> impl Future<Output = Result<Vec<PgRow>, sqlx::Error>> {
        let steps = self.steps(connection);
        async {
            let mut rows = Vec::new();
            give(steps, &mut rows).await?;
            Ok(rows)
        }
    }

    /// The same, but `taker` takes the rows.
    pub(crate) fn run_into(
        self,
        connection: &mut PgConnection,
        taker: &mut impl Taker,
    ) -> impl Future<Output = Result<(), sqlx::Error>> {
        give(self.steps(connection), taker)
    }

    fn steps(self, connection: &mut PgConnection) -> Steps<'_> {
        if let Some(failed) = self.failed {
            return stream::once(async { Err(sqlx::Error::Encode(failed.into())) }).boxed();
        }
        let text = match self.text {
            Text::Whole(text) => AssertSqlSafe(text).into_sql_str(),
            Text::InPieces(text) => AssertSqlSafe(text).into_sql_str(),
        };
        connection.fetch_many(sqlx::query_with(text, self.arguments))
    }
}

/// The stream of a statement's results: its rows, and the notice that it ended.
type Steps<'c> = BoxStream<'c, Result<Either<PgQueryResult, PgRow>, sqlx::Error>>;

/// Takes the rows of an answer as they come, while the server makes more.
pub(crate) trait Taker: Send {
    /// Forgets the rows that it was given: all rows come anew.
    fn begin(&mut self);

    fn row(&mut self, row: PgRow);
}

async fn give(mut steps: Steps<'_>, taker: &mut impl Taker) -> Result<(), sqlx::Error> {
    while let Some(step) = steps.try_next().await? {
        if let Either::Right(row) = step {
            taker.row(row);
        }
    }
    Ok(())
}

impl Taker for Vec<PgRow> {
    fn begin(&mut self) {
        self.clear();
    }

    fn row(&mut self, row: PgRow) {
        self.push(row);
    }
}

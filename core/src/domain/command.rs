//! Commands: requests to change an aggregate.

use schemars::Schema;
use serde_json::Error as JsonError;

use super::content::canonical;
use crate::shape::Form;
use crate::{Aggregate, Context, HandleWith};

/// A wish that an aggregate grants or refuses. Derive it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a command",
    note = "add `#[derive(Command)]` and `#[command(aggregate = …)]` to `{Self}`"
)]
pub trait Command: Clone + Send + Sync + 'static {
    /// The aggregate that decides it.
    type Aggregate: Aggregate;

    /// Its name among the commands of its aggregate, such as `deposit`.
    const NAME: &'static str;

    /// Whether the stream must not exist yet.
    const CREATES: bool = false;

    /// The form of its JSON. A command without optional fields is compared faster under an idempotency key.
    const FORM: Form = Form::Opaque;

    /// Which aggregate it is about.
    fn aggregate_id(&self) -> &<Self::Aggregate as Aggregate>::Id;

    /// The command as JSON, which tells it from every other command.
    ///
    /// # Errors
    /// If a field has no JSON form, or one that is not read as the same value.
    fn to_json(&self) -> Result<Vec<u8>, JsonError>;

    /// Reads a command; fields it doesn't have are refused.
    ///
    /// # Errors
    /// Says which field is wrong, and where.
    fn from_json(json: &[u8]) -> Result<Self, JsonError>;

    /// The JSON Schema of the command.
    fn schema() -> Schema;
}

/// How to reach a command by its name.
#[derive(Clone, Copy, Debug)]
pub struct CommandRoute<A: Aggregate> {
    /// The command's name among those of its aggregate.
    pub name: &'static str,
    /// Whether the stream must not exist yet.
    pub creates: bool,
    /// The JSON Schema of the command.
    pub schema: fn() -> Schema,
    /// Reads the command.
    #[expect(clippy::type_complexity, reason = "a name for it would say less")]
    pub decode: fn(&[u8]) -> Result<Box<dyn AnyCommand<A>>, JsonError>,
}

impl<A: Aggregate> CommandRoute<A> {
    /// The route to this command.
    #[must_use]
    pub fn of<C: Command<Aggregate = A>>() -> Self
    where
        A: HandleWith<C>,
    {
        Self { name: C::NAME, creates: C::CREATES, schema: C::schema, decode: |json| Ok(Box::new(C::from_json(json)?)) }
    }
}

/// Any command of one aggregate, its type forgotten.
pub trait AnyCommand<A: Aggregate>: Send + Sync {
    /// See [`Command::NAME`].
    fn name(&self) -> &'static str;
    /// See [`Command::CREATES`].
    fn creates(&self) -> bool;
    /// See [`Command::aggregate_id`].
    fn aggregate_id(&self) -> &A::Id;
    /// See [`Command::to_json`].
    ///
    /// # Errors
    /// If a field has no JSON form.
    fn to_json(&self) -> Result<Vec<u8>, JsonError>;
    /// The command's content, compared when an idempotency key is used again: its JSON without the members that hold
    /// their default value. An optional field that is added later leaves the content of earlier requests as it was.
    ///
    /// # Errors
    /// If a field has no JSON form.
    fn content(&self) -> Result<Vec<u8>, JsonError>;
    /// A clone of the command.
    fn boxed(&self) -> Box<dyn AnyCommand<A>>;
    /// See [`HandleWith::handle_with`].
    ///
    /// # Errors
    /// The domain's own error if the command is refused.
    fn handle(&self, state: &A, context: &Context<'_>) -> Result<Vec<A::Event>, A::Error>;
}

impl<A: HandleWith<C>, C: Command<Aggregate = A>> AnyCommand<A> for C {
    fn name(&self) -> &'static str {
        C::NAME
    }
    fn creates(&self) -> bool {
        C::CREATES
    }
    fn aggregate_id(&self) -> &A::Id {
        C::aggregate_id(self)
    }
    fn to_json(&self) -> Result<Vec<u8>, JsonError> {
        C::to_json(self)
    }
    fn content(&self) -> Result<Vec<u8>, JsonError> {
        canonical(&C::to_json(self)?, &C::FORM, |json| C::to_json(&C::from_json(json).ok()?).ok())
    }
    fn boxed(&self) -> Box<dyn AnyCommand<A>> {
        Box::new(self.clone())
    }
    fn handle(&self, state: &A, context: &Context<'_>) -> Result<Vec<A::Event>, A::Error> {
        state.handle_with(self.clone(), context)
    }
}

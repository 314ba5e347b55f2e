//! A service's handlers of the questions of a topic.

use std::collections::HashMap;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use recount_core::{BoxError, Event, Recount, error_chain, panic_message};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};
use tracing::Instrument;

use super::frame::Failure;
use super::handler::{Asked, Question, QuestionHandler};
use super::replies::{Outlet, ReplySender};
use crate::deadline::deadline_after;
use crate::handler::{Failure as Class, classify};
use crate::presence::written;
use crate::{Message, TakenBy, Topic, TypeTaken, span};

/// How long a handler may take unless set.
const TIME_LIMIT: Duration = Duration::from_secs(30);
/// How many questions are answered at once unless set.
const AT_ONCE: usize = 256;
/// The longest text of a failure that is sent to the asker, in characters.
const MAX_REASON: usize = 1000;

type Answering<'a> = Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send + 'a>>;
type Call = dyn for<'a> Fn(&'a Asked<'a>, &'a mut Outlet) -> Answering<'a> + Send + Sync;

/// Two handlers of one responder answer the same type of question.
#[derive(Debug, thiserror::Error)]
#[error(
    "two handlers answer questions of type {message_type}: a responder has one for each type; ask the other by another topic"
)]
pub struct AnsweredTwice {
    message_type: String,
}

/// A service's handlers of the questions of a topic. One service responds to a topic; its instances share the questions.
#[must_use = "a responder does nothing until its service is started"]
#[derive(Clone)]
pub struct Responder {
    pub(crate) topic: Topic,
    handlers: HashMap<String, Arc<Call>>,
    /// The types that are answered.
    pub(crate) taken: Vec<TypeTaken>,
    pub(crate) time_limit: Duration,
    pub(crate) at_once: usize,
}

impl Responder {
    /// A responder without handlers.
    pub fn new(topic: Topic) -> Self {
        Self { topic, handlers: HashMap::new(), taken: Vec::new(), time_limit: TIME_LIMIT, at_once: AT_ONCE }
    }

    /// Adds a handler.
    ///
    /// # Errors
    /// [`AnsweredTwice`] if another handler answers one of its types.
    pub fn answer<H: QuestionHandler>(mut self, handler: H) -> Result<Self, AnsweredTwice> {
        let handler = Arc::new(handler);
        let call: Arc<Call> = Arc::new(move |asked, outlet| {
            let handler = Arc::clone(&handler);
            Box::pin(async move {
                let Message { message_type, schema_version, data, .. } = asked.message;
                let question = H::Question::decode(message_type, *schema_version, data)?;
                let mut replies = ReplySender::new(outlet);
                asked.metadata().scope(handler.answer(&question, asked, &mut replies)).await
            })
        });
        for variant in H::Question::variants() {
            for name in [variant.event_type].iter().chain(variant.aliases) {
                if self.handlers.insert((*name).to_owned(), Arc::clone(&call)).is_some() {
                    return Err(AnsweredTwice { message_type: (*name).to_owned() });
                }
            }
        }
        let replies = written(<H::Question as Question>::Reply::variants());
        let taken = TypeTaken::all::<H::Question>(TakenBy::Answer);
        self.taken.extend(taken.map(|taken| TypeTaken { replies: replies.clone(), ..taken }));
        Ok(self)
    }

    /// How long a handler may take, with the time that it waits for a slow asker. Then it is dropped, and the asker gets a failure
    /// that time heals. 30 seconds unless set, also for questions without a deadline. A question's own deadline may be
    /// earlier.
    pub fn time_limit(mut self, limit: Duration) -> Self {
        self.time_limit = limit;
        self
    }

    /// How many questions an instance answers at once at most, 1 to 256. 256 unless set.
    pub fn at_once(mut self, count: usize) -> Self {
        self.at_once = count.clamp(1, AT_ONCE);
        self
    }
}

/// The end of a handler's call.
#[derive(Debug)]
pub(crate) enum Ended {
    /// All replies were given.
    Answered,
    Failed(Failure),
    /// No asker waits any more: the deadline has passed, or the asker has stopped.
    Abandoned,
}

impl Responder {
    /// Calls the handler of a question until its deadline, the time limit, or the order to stop.
    pub(crate) async fn call(
        &self,
        recount: &Recount,
        question: &Message,
        deadline: Option<Instant>,
        stop: &Notify,
        outlet: &mut Outlet,
    ) -> Ended {
        let Some(call) = self.handlers.get(&*question.message_type) else {
            let mut known: Vec<&str> = self.handlers.keys().map(String::as_str).collect();
            known.sort_unstable();
            let shown: String = question.message_type.chars().take(128).collect();
            let reason = format!("no handler answers questions of type {shown}; known are: {}", known.join(", "));
            return failed(false, reason);
        };
        let limit = deadline_after(self.time_limit);
        let until = deadline.map_or(limit, |deadline| deadline.min(limit));
        let asked = Asked::new(question, deadline);
        let answering = async {
            // Here, as the error of an application may panic when it is shown or dropped.
            let shown = |error: BoxError| (classify(&*error) == Class::Transient, error_chain(&*error));
            call(&asked, outlet).await.map_err(shown)
        };
        let answering = AssertUnwindSafe(answering).catch_unwind().instrument(span::process(
            recount,
            "server",
            &self.topic,
            None,
            question,
        ));
        let answered = tokio::select! {
            biased;
            () = stop.notified() => return Ended::Abandoned,
            answered = timeout_at(until, answering) => answered,
        };
        match answered {
            Ok(Ok(Ok(()))) => Ended::Answered,
            Ok(Ok(Err((transient, reason)))) => failed(transient, reason),
            Ok(Err(panic)) => failed(false, format!("the handler panicked: {}", panic_message(&*panic))),
            Err(_) if deadline == Some(until) => Ended::Abandoned,
            Err(_) => failed(true, format!("the handler has not returned within {:?}", self.time_limit)),
        }
    }
}

fn failed(transient: bool, reason: String) -> Ended {
    let reason = match reason.char_indices().nth(MAX_REASON) {
        Some((end, _)) => format!("{}…", &reason[..end]),
        None => reason,
    };
    Ended::Failed(Failure { transient, reason })
}

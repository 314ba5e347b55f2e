//! Asking questions.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use recount_core::{EventId, Metadata};
use tokio::sync::OnceCell;
use tokio::time::{Instant, timeout_at};

use super::clock::{Clock, LONGEST};
use super::desk::Desk;
use super::error::AskError;
use super::frame::ReplyData;
use super::handler::Question;
use super::stream::Replies;
use crate::broker::{Unconfirmed, publish_one};
use crate::{Broker, BrokerError, Message, MessageId, Plan, Topic, Undelivered};

/// Asks other services. Clones share an inbox. It works while its service runs.
///
/// ```
/// # extern crate recount_core as recount;
/// # use std::time::Duration;
/// # use futures_util::StreamExt;
/// # use recount::Event;
/// # use recount_messaging::{Asker, AskError, Question, Topic};
/// # #[derive(Event, Clone)]
/// # #[event(name = "stock", published, unlocked)]
/// # enum StockQuestion { Count { sku: String } }
/// # #[derive(Event, Clone)]
/// # #[event(name = "stock_reply", published, unlocked)]
/// # enum StockReply { Counted { pieces: u32 } }
/// # impl Question for StockQuestion { type Reply = StockReply; }
/// # async fn f(asker: Asker, stock: Topic) -> Result<(), AskError> {
/// let question = StockQuestion::Count { sku: "4711".into() };
/// let StockReply::Counted { pieces } = asker.ask(&stock, &question, Duration::from_secs(2)).await?;
///
/// let mut replies = asker.ask_many(&stock, &question, Duration::from_secs(2)).await?.take(10);
/// while let Some(reply) = replies.next().await {
///     let StockReply::Counted { pieces } = reply?;
/// }
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Asker {
    broker: Arc<dyn Broker>,
    desk: Desk,
    clock: Clock,
    /// The objects of the topic of replies, where the broker does not carry replies itself.
    declared: Option<Arc<Declared>>,
}

pub(crate) struct Declared {
    plan: Plan,
    done: OnceCell<()>,
}

impl Asker {
    pub(crate) fn new(broker: Arc<dyn Broker>, desk: Desk, clock: Clock, plan: Option<Plan>) -> Self {
        let declared = plan.map(|plan| Arc::new(Declared { plan, done: OnceCell::new() }));
        Self { broker, desk, clock, declared }
    }

    /// Asks a question of the service that responds to the topic, and returns the first reply.
    ///
    /// The question has an absolute deadline: this time from now, 24 hours at most. After it the question is not answered
    /// any more.
    ///
    /// # Errors
    /// [`AskError`]. [`NoResponders`](AskError::NoResponders) comes at once where the broker carries requests itself; else it is
    /// not known that there are none, and the question times out. If the topic was never declared, the error is then
    /// [`Broker`](AskError::Broker) with [`Missing`](BrokerError::Missing).
    /// [`TimedOut`](AskError::TimedOut) comes also if the clock of the responder's store is ahead by more than this time.
    ///
    /// # Cancel safety
    /// A dropped call stops waiting. Its reply counts as late; where the broker carries replies itself, the responder is then
    /// told to stop.
    pub async fn ask<Q: Question>(&self, topic: &Topic, question: &Q, within: Duration) -> Result<Q::Reply, AskError> {
        let mut replies = self.begin(topic, question, within).await?;
        replies.leave_the_end();
        match replies.next().await {
            Some(reply) => reply,
            None => Err(AskError::NoReply { question: replies.name().to_owned() }),
        }
    }

    /// Asks a question, and returns the replies in the order of sending. They end when the responder's handler returns.
    /// `StreamExt::take` ends them after a count. The deadline ends them with an error. As [`ask`](Self::ask) otherwise.
    ///
    /// # Errors
    /// [`AskError`]; the stream's last item may be one too.
    ///
    /// # Cancel safety
    /// Dropping the stream cancels the question: where the broker carries replies itself, a responder that has sent a reply
    /// is told to stop. Later replies count as late.
    pub async fn ask_many<Q: Question>(
        &self,
        topic: &Topic,
        question: &Q,
        within: Duration,
    ) -> Result<Replies<Q::Reply>, AskError> {
        self.begin(topic, question, within).await
    }

    /// How many replies to questions of this service came after their question had ended. The metric
    /// `recount.request.replies.late` counts the same.
    #[must_use]
    pub fn late_replies(&self) -> u64 {
        self.desk.late_replies()
    }

    async fn begin<Q: Question>(
        &self,
        topic: &Topic,
        question: &Q,
        limit: Duration,
    ) -> Result<Replies<Q::Reply>, AskError> {
        let limit = limit.min(LONGEST);
        let deadline = Instant::now() + limit;
        let key = EventId::new().0.hyphenated().to_string();
        let data = ReplyData::encode(question).map_err(|error| AskError::Refused {
            question: format!("a question to {topic}"),
            reason: error.to_string(),
        })?;
        let name = format!("question {} to {topic} ({key})", data.message_type);
        let opened = timeout_at(deadline, self.desk.opened()).await;
        let Some(address) = opened.ok().flatten() else { return Err(AskError::NotRunning { question: name }) };
        let mut message =
            Message::new(MessageId::from(EventId::new()), self.desk.service(), &data.message_type, data.data);
        message.schema_version = data.version;
        message.idempotency_key = Some(key.as_str().into());
        message.reply_to = Some(address);
        message.metadata = Metadata::current();
        let Ok(now) = timeout_at(deadline, self.clock.now()).await else {
            return Err(AskError::TimedOut { question: name, limit, replies: 0 });
        };
        let left = deadline.saturating_duration_since(Instant::now());
        message.expires = now.checked_add(left).ok();
        let wait = self.desk.wait(&key);
        match timeout_at(deadline, self.send(topic, message, left)).await {
            Ok(Ok(())) => Ok(Replies::new(wait, name, deadline, limit)),
            Ok(Err(Undelivered::NoReceiver)) => Err(AskError::NoResponders { question: name }),
            Ok(Err(Undelivered::Refused(refusal))) => {
                Err(AskError::Refused { question: name, reason: refusal.to_string() })
            }
            Ok(Err(Undelivered::Failed(source))) => Err(AskError::Broker { question: name, source }),
            Err(_) => Err(AskError::TimedOut { question: name, limit, replies: 0 }),
        }
    }

    async fn send(&self, topic: &Topic, message: Message, within: Duration) -> Result<(), Undelivered> {
        let Some(declared) = &self.declared else {
            let (system, ability) = (self.broker.system(), "carry requests itself");
            let unsupported = BrokerError::Unsupported { system, ability };
            return self.broker.native_requests().ok_or(unsupported)?.request(topic, message, within).await;
        };
        let declare = async { self.broker.ensure(&declared.plan, false).await.map(drop) };
        declared.done.get_or_try_init(|| declare).await?;
        match publish_one(&*self.broker, topic, message).await {
            // It may be stored: the reply tells.
            Ok(()) | Err(Unconfirmed::Unknown(_)) => Ok(()),
            Err(Unconfirmed::Refused(refusal)) => Err(refusal.into()),
            Err(Unconfirmed::NotSent(error)) => Err(error.into()),
        }
    }
}

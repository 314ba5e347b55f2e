//! Declares exchanges and queues, and compares existing ones with the declaration.

use std::time::Duration;

use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::protocol::AMQPSoftError;
use lapin::types::{AMQPValue, FieldTable, LongString};
use lapin::{Channel, ErrorKind, ExchangeKind};
use recount_messaging::{Binding, BrokerError, Change, Order, Plan, Topic};
use tokio::time::{Instant, timeout};

use crate::error::{bounded, is_soft, meaning};
use crate::link::Link;
use crate::{RabbitOptions, names};

const OPERATION: &str = "declaring exchanges and queues";
/// The argument that holds the number of lanes. The server compares few arguments of exchanges; this is one of them, and
/// nothing is published to the exchange that has it.
const LANES: &str = "alternate-exchange";
/// The server writes the names of new queues to the disk up to a second later (3.10.8). If it ends suddenly before, such a
/// queue is lost with all messages that the server has confirmed.
const WRITTEN_AFTER: Duration = Duration::from_millis(1500);

/// The longest expiry of a queue that the server takes, in milliseconds.
const MAX_EXPIRY: i64 = 0xFFFF_FFFF;

/// Declares the missing objects. With `dry_run` they are only named.
pub(crate) async fn ensure(options: &RabbitOptions, plan: &Plan, dry_run: bool) -> Result<Vec<Change>, BrokerError> {
    let (mut topics, bindings) = plan.distinct()?;
    topics.sort_by_key(|topic| topic.name());
    // A connection of its own: some refusals end the whole connection.
    let link = Link::open(options, "declarations").await?;
    let channel = link.channel().await?;
    let mut declaring =
        Declaring { link, channel, limit: options.call_timeout, dry_run, changes: Vec::new(), declared_queue: false };
    for topic in topics {
        declaring.topic(topic).await?;
    }
    for binding in bindings {
        match binding.order {
            Order::PerKey => declaring.ordered(binding, options).await?,
            Order::Unordered => declaring.unordered(binding, options).await?,
        }
    }
    let Declaring { link, changes, declared_queue, .. } = declaring;
    if declared_queue {
        tokio::time::sleep(WRITTEN_AFTER).await;
    }
    link.close(Instant::now() + options.call_timeout).await;
    Ok(changes)
}

struct Declaring {
    link: Link,
    channel: Channel,
    limit: Duration,
    dry_run: bool,
    changes: Vec<Change>,
    declared_queue: bool,
}

/// An exchange or a queue.
#[derive(Clone)]
enum Object {
    Exchange(String, ExchangeKind, FieldTable),
    Queue(String, FieldTable),
}

impl Object {
    fn name(&self) -> String {
        match self {
            Self::Exchange(name, ..) => format!("exchange {name}"),
            Self::Queue(name, _) => format!("queue {name}"),
        }
    }

    async fn declare(self, channel: &Channel, passive: bool) -> lapin::Result<()> {
        match self {
            Self::Exchange(name, kind, arguments) => {
                let options = ExchangeDeclareOptions { passive, durable: true, ..ExchangeDeclareOptions::default() };
                channel.exchange_declare(name.into(), kind, options, arguments).await
            }
            Self::Queue(name, arguments) => {
                let options = QueueDeclareOptions { passive, durable: true, ..QueueDeclareOptions::default() };
                channel.queue_declare(name.into(), options, arguments).await.map(drop)
            }
        }
    }
}

impl Declaring {
    async fn topic(&mut self, topic: &Topic) -> Result<(), BrokerError> {
        let lanes = table([(LANES, text(&format!("{} lanes", topic.lanes())))]);
        self.object(Object::Exchange(names::lanes(topic), ExchangeKind::Fanout, lanes)).await?;
        self.object(Object::Exchange(names::topic(topic), ExchangeKind::Topic, FieldTable::default())).await
    }

    async fn ordered(&mut self, binding: &Binding, options: &RabbitOptions) -> Result<(), BrokerError> {
        self.refuse(names::group(binding), binding, "order per key", "no order").await?;
        self.dead_letters(binding).await?;
        for lane in 0..binding.topic.lanes().get() {
            let queue = names::lane(binding, lane);
            let mut arguments = arguments(binding, options);
            arguments.insert("x-single-active-consumer".into(), AMQPValue::Boolean(true));
            self.object(Object::Queue(queue.clone(), arguments)).await?;
            self.bind(queue, binding, lane.to_string()).await?;
        }
        Ok(())
    }

    async fn unordered(&mut self, binding: &Binding, options: &RabbitOptions) -> Result<(), BrokerError> {
        let queue = names::group(binding);
        self.refuse(names::lane(binding, 0), binding, "no order", "order per key").await?;
        self.dead_letters(binding).await?;
        self.object(Object::Queue(queue.clone(), arguments(binding, options))).await?;
        self.bind(queue, binding, "#".to_owned()).await
    }

    /// Declares the queue of dead letters. A group that expires has none: that queue has no consumers, so it would expire
    /// while the group is used.
    async fn dead_letters(&mut self, binding: &Binding) -> Result<(), BrokerError> {
        if binding.expires_after.is_some() {
            return Ok(());
        }
        self.object(Object::Queue(names::dead(binding), table([("x-queue-type", text("quorum"))]))).await
    }

    /// Declares the object, or compares it if it exists.
    async fn object(&mut self, object: Object) -> Result<(), BrokerError> {
        let exists = self.exists(object.clone()).await?;
        if !exists {
            self.changes.push(Change { object: object.name() });
            self.declared_queue |= !self.dry_run && matches!(object, Object::Queue(..));
        }
        if exists || !self.dry_run {
            let declared = timeout(self.limit, object.clone().declare(&self.channel, false)).await;
            declared.map_err(|_| self.timed_out())?.map_err(|error| mismatch(&object, error))?;
        }
        Ok(())
    }

    /// Fails if the queue exists, which the group has in the other order.
    async fn refuse(
        &mut self,
        queue: String,
        group: &Binding,
        expected: &str,
        actual: &str,
    ) -> Result<(), BrokerError> {
        let queue = Object::Queue(queue, FieldTable::default());
        if !self.exists(queue.clone()).await? {
            return Ok(());
        }
        Err(BrokerError::Mismatch {
            object: group.to_string(),
            expected: expected.to_owned(),
            actual: actual.to_owned(),
            cure: format!("use another group, or drain this one and delete its queues, such as {}", queue.name()),
        })
    }

    async fn exists(&mut self, object: Object) -> Result<bool, BrokerError> {
        match timeout(self.limit, object.declare(&self.channel, true)).await {
            Err(_) => Err(self.timed_out()),
            Ok(Ok(())) => Ok(true),
            Ok(Err(error)) => match meaning(OPERATION, error) {
                BrokerError::Missing { .. } => {
                    // The answer has closed the channel.
                    self.channel = self.link.channel().await?;
                    Ok(false)
                }
                error => Err(error),
            },
        }
    }

    async fn bind(&self, queue: String, binding: &Binding, key: String) -> Result<(), BrokerError> {
        if self.dry_run {
            return Ok(());
        }
        let (exchange, options) = (names::topic(&binding.topic), QueueBindOptions::default());
        let bound = self.channel.queue_bind(queue.into(), exchange.into(), key.into(), options, FieldTable::default());
        bounded(OPERATION, self.limit, bound).await
    }

    fn timed_out(&self) -> BrokerError {
        BrokerError::TimedOut { operation: OPERATION, limit: self.limit }
    }
}

/// The arguments of a queue of the group.
fn arguments(binding: &Binding, options: &RabbitOptions) -> FieldTable {
    let mut arguments = table([
        ("x-queue-type", text("quorum")),
        // With a limit a returned message goes to the front, in all versions.
        ("x-delivery-limit", AMQPValue::LongLongInt(options.delivery_limit.into())),
    ]);
    if let Some(time) = binding.expires_after {
        let milliseconds = i64::try_from(time.as_millis()).unwrap_or(i64::MAX).clamp(1, MAX_EXPIRY);
        arguments.insert("x-expires".into(), AMQPValue::LongLongInt(milliseconds));
        return arguments;
    }
    let dead_letters = table([
        ("x-dead-letter-exchange", text("")),
        ("x-dead-letter-routing-key", text(&names::dead(binding))),
        ("x-dead-letter-strategy", text("at-least-once")),
        // The strategy needs it.
        ("x-overflow", text("reject-publish")),
    ]);
    for (name, value) in dead_letters.inner() {
        arguments.insert(name.clone(), value.clone());
    }
    arguments
}

fn table<const N: usize>(entries: [(&'static str, AMQPValue); N]) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in entries {
        table.insert(name.into(), value);
    }
    table
}

fn text(text: &str) -> AMQPValue {
    AMQPValue::LongString(LongString::from(text))
}

/// The error of a declaration. The server's words are `… received 'a' but current is 'b'`.
fn mismatch(object: &Object, error: lapin::Error) -> BrokerError {
    let ErrorKind::ProtocolError(answer) = error.kind() else { return meaning(OPERATION, error) };
    let words = answer.get_message().to_string();
    if !is_soft(&error, &AMQPSoftError::PRECONDITIONFAILED) {
        return meaning(OPERATION, error);
    }
    let setting = words.split_once("inequivalent arg '").and_then(|(_, rest)| rest.split_once('\''));
    let setting = setting.map_or("", |(name, _)| name).replace(LANES, "lanes");
    let (received, current) = words.split_once(" but current is ").unwrap_or((&words, "other settings"));
    let received = received.split_once("received ").map_or("other settings", |(_, value)| value);
    BrokerError::Mismatch {
        object: object.name(),
        expected: format!("{setting} {received}"),
        actual: format!("{setting} {current}"),
        cure: "use the same settings in all services, or drain and delete it at the server".to_owned(),
    }
}

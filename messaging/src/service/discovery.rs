//! Topics that are found by a pattern, with an inbox for each.

use std::collections::{BTreeMap, HashSet};
use std::num::NonZeroU16;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use recount_core::{
    BoxError, Check, Condition, ConsumerKind, Consumers, Delivered, Lane, Progress, Sink, Source, Timestamp,
    TransientError, error_chain,
};
use tokio::time::{Instant, sleep_until, timeout};

use super::Service;
use crate::presence::Found;
use crate::{Broker, BrokerError, DeadLetters, Subscriber, Topic, TopicPattern};

/// How often the broker is asked for its topics.
const EVERY: Duration = Duration::from_secs(10);
/// How long a list may take: longer than an adapter's own limit.
const LIST_LIMIT: Duration = Duration::from_secs(60);
/// How many topics without an inbox its health names.
const SHOWN: usize = 3;

impl Service {
    /// Handles the messages of all topics that match a pattern, also of topics that are declared while the service runs: the
    /// broker is asked for its topics every ten seconds. `subscriber` makes the subscriber of a topic, which must be bound to
    /// it. Each found topic has an [inbox](Self::subscribe) of its own, with its own checkpoint, circuit and dead letters; no
    /// order holds between topics. The inbox of a topic that was deleted ends.
    ///
    /// It needs a broker that [lists its topics](crate::Capabilities::lists_topics) and gives
    /// [history](crate::Capabilities::late_group_gets_history) to new groups: in process, NATS, Kafka, Pulsar. So no message is
    /// missed that was published before its topic was found, unless the subscriber starts at the latest. With another broker
    /// the consumer of kind [`Discovery`](ConsumerKind::Discovery) stops, and says why.
    ///
    /// Health is degraded while `subscriber` fails for a topic; it is called again every ten seconds.
    ///
    /// ```
    /// # extern crate recount_core as recount;
    /// # use recount::{Event, Recount};
    /// # use recount_messaging::{Binding, Group, Service, Subscriber, TopicPattern};
    /// # #[derive(Event, Clone)]
    /// # #[event(name = "orders", published)]
    /// # enum OrderMessage { Placed }
    /// # fn f(service: Service) -> Result<Service, Box<dyn std::error::Error>> {
    /// let group = Group::new("statistics")?;
    /// let service = service.subscribe_matching(TopicPattern::new("orders-*")?, move |topic| {
    ///     Ok(Subscriber::new(Binding::new(topic, group.clone())).record::<OrderMessage>("received")?)
    /// });
    /// # Ok(service) }
    /// ```
    pub fn subscribe_matching(
        mut self,
        pattern: TopicPattern,
        subscriber: impl Fn(Topic) -> Result<Subscriber, BoxError> + Send + Sync + 'static,
    ) -> Self {
        let name = pattern.to_string();
        // The check holds no inboxes: it may live longer than they do.
        let problems = Arc::new(Mutex::new(Problems { by_topic: BTreeMap::new(), since: Timestamp::now() }));
        let inboxes = Arc::new(Inboxes {
            service: self.of_found_topic(),
            subscriber: Box::new(subscriber),
            letters: DeadLetters::new(Arc::clone(self.recount.store())),
            running: tokio::sync::Mutex::default(),
            problems: Arc::clone(&problems),
            found: self.found.clone(),
        });
        let source = Search::new(Arc::clone(&self.broker), pattern, Arc::clone(&inboxes));
        let sink = OneForEach(Arc::clone(&inboxes));
        let of_check = format!("discovery:{name}:topics");
        let check = move || locked(&problems).check(of_check.clone());
        self.consumers = self.consumers.consumer_of_kind(ConsumerKind::Discovery, &name, source, sink).check(check);
        self
    }

    /// Makes services that have the inbox of one found topic each, and are parts of this one.
    fn of_found_topic(&self) -> Box<dyn Fn() -> Self + Send + Sync> {
        let (recount, broker, turns) = (self.recount.clone(), Arc::clone(&self.broker), Arc::clone(&self.turns));
        let (name, group) = (Arc::clone(&self.name), self.group.clone());
        Box::new(move || Self {
            turns: Arc::clone(&turns),
            only_existing: true,
            ..Self::empty(recount.clone(), Arc::clone(&broker), Arc::clone(&name), group.clone())
        })
    }
}

/// The inboxes of the topics that match a pattern.
struct Inboxes {
    /// Makes the service of each inbox.
    service: Box<dyn Fn() -> Service + Send + Sync>,
    subscriber: Box<dyn Fn(Topic) -> Result<Subscriber, BoxError> + Send + Sync>,
    letters: DeadLetters,
    running: tokio::sync::Mutex<BTreeMap<String, Inbox>>,
    problems: Arc<Mutex<Problems>>,
    found: Found,
}

/// Why topics have no inbox.
struct Problems {
    by_topic: BTreeMap<String, String>,
    /// When the first one came, or the last one went.
    since: Timestamp,
}

impl Problems {
    fn change(&mut self, change: impl FnOnce(&mut BTreeMap<String, String>)) {
        let none = self.by_topic.is_empty();
        change(&mut self.by_topic);
        if self.by_topic.is_empty() != none {
            self.since = Timestamp::now();
        }
    }

    fn check(&self, name: String) -> Check {
        let mut texts: Vec<String> =
            self.by_topic.iter().take(SHOWN).map(|(topic, why)| format!("topic {topic} {why}")).collect();
        if let Some(more) = self.by_topic.len().checked_sub(SHOWN).filter(|more| *more > 0) {
            texts.push(format!("and {more} more"));
        }
        let (status, message) =
            if texts.is_empty() { (Condition::Ok, None) } else { (Condition::Degraded, Some(texts.join("; "))) };
        Check { name, status, since: self.since, message }
    }
}

fn locked(problems: &Mutex<Problems>) -> MutexGuard<'_, Problems> {
    problems.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Inbox {
    consumers: Consumers,
    /// The name of its consumer.
    name: String,
    lanes: NonZeroU16,
    /// The topic was missing when the broker was asked last.
    missing: bool,
}

impl Inboxes {
    /// Starts an inbox for each new topic, and ends those of topics that were missing twice.
    async fn follow(&self, topics: &[Topic]) {
        let mut running = self.running.lock().await;
        let present: HashSet<&str> = topics.iter().map(Topic::name).collect();
        let kept = |name: &String| present.contains(name.as_str()) || running.contains_key(name);
        locked(&self.problems).change(|problems| problems.retain(|name, _| kept(name)));
        for topic in topics {
            if let Some(inbox) = running.get_mut(topic.name()) {
                let was_missing = std::mem::replace(&mut inbox.missing, false);
                let is_over = inbox.consumers.progress().iter().any(Progress::is_over);
                if inbox.lanes == topic.lanes() && !(was_missing && is_over) {
                    if was_missing {
                        self.solved(topic.name());
                    }
                    continue;
                }
                // It was deleted and declared again.
                self.end(&mut running, topic.name()).await;
            }
            match self.start(topic) {
                Ok(inbox) => {
                    tracing::info!(%topic, "found at the broker");
                    self.solved(topic.name());
                    running.insert(topic.name().to_owned(), inbox);
                }
                Err(error) => self.note(topic.name(), format!("has no inbox: {}", error_chain(&*error))),
            }
        }
        let mut ended = Vec::new();
        for (name, inbox) in running.iter_mut().filter(|(name, _)| !present.contains(name.as_str())) {
            if !std::mem::replace(&mut inbox.missing, true) {
                continue;
            }
            // An operator decides on the messages that wait.
            match self.letters.list(Some(&inbox.name)).await {
                Ok(letters) if letters.is_empty() => ended.push(name.clone()),
                Ok(letters) => {
                    let waiting = letters.len();
                    self.note(name, format!("is not at the broker any more, and {waiting} of its messages wait in the store: declare it again, or discard them"));
                }
                Err(error) => tracing::debug!(topic = name, %error, "it is not known whether messages wait"),
            }
        }
        for name in ended {
            tracing::info!(topic = name, "is not at the broker any more");
            self.solved(&name);
            self.end(&mut running, &name).await;
        }
    }

    fn start(&self, topic: &Topic) -> Result<Inbox, BoxError> {
        // A panic for one topic must not end the inboxes of the others.
        let made = catch_unwind(AssertUnwindSafe(|| (self.subscriber)(topic.clone())));
        let subscriber = made.unwrap_or_else(|_| Err("the function that makes its subscriber has panicked".into()))?;
        let service = (self.service)();
        let (binding, name) = (&subscriber.0.binding, subscriber.0.name());
        if binding.topic.name() != topic.name() {
            return Err(format!("the subscriber of topic {topic} is bound to topic {}", binding.topic).into());
        }
        if binding.topic.lanes() != topic.lanes() {
            let (bound, lanes) = (binding.topic.lanes(), topic.lanes());
            return Err(format!(
                "its subscriber is bound to {bound} lanes, and it has {lanes}: bind the topic that is given"
            )
            .into());
        }
        if !service.broker.capabilities(binding).late_group_gets_history {
            return Err(
                "the broker gives new groups no history, so messages may be missed: subscribe to it by name".into()
            );
        }
        let service = service.subscribe(subscriber);
        self.found.announce(topic.name(), service.manifest.clone());
        Ok(Inbox { consumers: service.start(), name, lanes: topic.lanes(), missing: false })
    }

    async fn end(&self, running: &mut BTreeMap<String, Inbox>, topic: &str) {
        self.found.forget(topic);
        if let Some(inbox) = running.remove(topic) {
            inbox.consumers.shutdown().await;
        }
    }

    fn solved(&self, topic: &str) {
        locked(&self.problems).change(|problems| drop(problems.remove(topic)));
    }

    fn note(&self, topic: &str, problem: String) {
        let mut problems = locked(&self.problems);
        if problems.by_topic.get(topic) != Some(&problem) {
            tracing::warn!(topic, problem, "a topic has no inbox that works");
            problems.change(|problems| drop(problems.insert(topic.to_owned(), problem)));
        }
    }
}

/// The topics of the broker that match a pattern, again and again.
struct Search {
    broker: Arc<dyn Broker>,
    pattern: TopicPattern,
    inboxes: Arc<Inboxes>,
    next: Instant,
    caught_up: bool,
}

impl Search {
    fn new(broker: Arc<dyn Broker>, pattern: TopicPattern, inboxes: Arc<Inboxes>) -> Self {
        Self { broker, pattern, inboxes, next: Instant::now(), caught_up: false }
    }

    /// A broker that can list its topics is asked without limit: the inboxes go on meanwhile.
    async fn list(&self) -> Result<Vec<Topic>, BoxError> {
        let (operation, limit) = ("listing topics", LIST_LIMIT);
        let listed = timeout(limit, self.broker.topics(&self.pattern)).await;
        listed.unwrap_or(Err(BrokerError::TimedOut { operation, limit })).map_err(|error| match error {
            error @ BrokerError::Unsupported { .. } => error.into(),
            error => TransientError::new(error).into(),
        })
    }
}

impl Source for Search {
    type Item = Vec<Topic>;
    type Mark = ();
    type Ticket = ();

    async fn open(&mut self, _: Option<()>) -> Result<(), BoxError> {
        (self.next, self.caught_up) = (Instant::now(), false);
        Ok(())
    }

    async fn next(&mut self) -> Result<Delivered<Self>, BoxError> {
        if self.next > Instant::now() && !std::mem::replace(&mut self.caught_up, true) {
            return Ok(Delivered::CaughtUp { mark: None });
        }
        sleep_until(self.next).await;
        let topics = self.list().await?;
        self.next = Instant::now() + EVERY;
        Ok(Delivered::Item { item: topics, lane: Lane(0), ticket: (), mark: None })
    }

    /// Ends the inboxes.
    async fn close(&mut self) -> Result<(), BoxError> {
        let running = std::mem::take(&mut *self.inboxes.running.lock().await);
        join_all(running.into_values().map(|inbox| inbox.consumers.shutdown())).await;
        Ok(())
    }
}

/// Keeps an inbox for each topic.
struct OneForEach(Arc<Inboxes>);

impl Sink for OneForEach {
    type Item = Vec<Topic>;

    const AT_ONCE: usize = 1;

    async fn take(&self, topics: &Vec<Topic>) -> Result<(), BoxError> {
        self.0.follow(topics).await;
        Ok(())
    }
}

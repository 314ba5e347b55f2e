//! Topics that are found by a pattern, with an inbox for each.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use recount_core::{
    BoxError, Check, Condition, ConsumerKind, Consumers, Delivered, Lane, Sink, Source, Timestamp, TransientError,
    error_chain,
};
use tokio::time::{Instant, sleep_until};

use super::Service;
use crate::presence::Found;
use crate::{Broker, BrokerError, Manifest, Plan, Subscriber, Topic, TopicPattern};

/// How often the broker is asked for its topics.
const EVERY: Duration = Duration::from_secs(10);
/// How many topics without an inbox its health names.
const SHOWN: usize = 3;

impl Service {
    /// Handles the messages of all topics that match a pattern, also of those that are declared while the service runs: the
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
        let inboxes = Arc::new(Inboxes {
            check: format!("discovery:{name}:topics"),
            service: self.of_found_topic(),
            subscriber: Box::new(subscriber),
            running: tokio::sync::Mutex::default(),
            problems: Mutex::new(Problems { by_topic: BTreeMap::new(), since: Timestamp::now() }),
            found: self.found.clone(),
        });
        let source = Search::new(Arc::clone(&self.broker), pattern, Arc::clone(&inboxes));
        let sink = OneForEach(Arc::clone(&inboxes));
        let check = move || inboxes.check();
        self.consumers = self.consumers.consumer_of_kind(ConsumerKind::Discovery, &name, source, sink).check(check);
        self
    }

    /// Makes services that have the inbox of one found topic each, and are parts of this one.
    fn of_found_topic(&self) -> Box<dyn Fn() -> Self + Send + Sync> {
        let (recount, broker, turns) = (self.recount.clone(), Arc::clone(&self.broker), Arc::clone(&self.turns));
        let (name, group) = (Arc::clone(&self.name), self.group.clone());
        Box::new(move || Self {
            recount: recount.clone(),
            broker: Arc::clone(&broker),
            name: Arc::clone(&name),
            group: group.clone(),
            consumers: recount.consumers(),
            plan: Plan::default(),
            publications: Vec::new(),
            turns: Arc::clone(&turns),
            manifest: Manifest::new(&name, String::new()),
            announced: None,
            desk: None,
            found: Found::default(),
            only_existing: true,
        })
    }
}

/// The inboxes of the topics that match a pattern.
struct Inboxes {
    /// The name of its check.
    check: String,
    /// Makes the service of each inbox.
    service: Box<dyn Fn() -> Service + Send + Sync>,
    subscriber: Box<dyn Fn(Topic) -> Result<Subscriber, BoxError> + Send + Sync>,
    running: tokio::sync::Mutex<BTreeMap<String, Inbox>>,
    problems: Mutex<Problems>,
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
}

struct Inbox {
    consumers: Consumers,
    /// The topic was missing when the broker was asked last.
    missing: bool,
}

impl Inboxes {
    /// Starts an inbox for each new topic, and ends those of topics that were missing twice.
    async fn follow(&self, topics: &[Topic]) {
        let mut running = self.running.lock().await;
        let present: HashSet<&str> = topics.iter().map(Topic::name).collect();
        self.problems().change(|problems| problems.retain(|name, _| present.contains(name.as_str())));
        for topic in topics {
            match running.get_mut(topic.name()) {
                Some(inbox) => inbox.missing = false,
                None => match self.start(topic) {
                    Ok(consumers) => {
                        tracing::info!(%topic, "found at the broker");
                        self.problems().change(|problems| drop(problems.remove(topic.name())));
                        running.insert(topic.name().to_owned(), Inbox { consumers, missing: false });
                    }
                    Err(error) => self.note(topic, &*error),
                },
            }
        }
        let mut ended = Vec::new();
        for (name, inbox) in running.iter_mut().filter(|(name, _)| !present.contains(name.as_str())) {
            if std::mem::replace(&mut inbox.missing, true) {
                ended.push(name.clone());
            }
        }
        for name in ended {
            tracing::info!(topic = name, "is not at the broker any more");
            self.found.forget(&name);
            if let Some(inbox) = running.remove(&name) {
                inbox.consumers.shutdown().await;
            }
        }
    }

    fn start(&self, topic: &Topic) -> Result<Consumers, BoxError> {
        let subscriber = (self.subscriber)(topic.clone())?;
        let service = (self.service)();
        let binding = &subscriber.0.binding;
        if binding.topic.name() != topic.name() {
            return Err(format!("the subscriber of topic {topic} is bound to topic {}", binding.topic).into());
        }
        if !service.broker.capabilities(binding).late_group_gets_history {
            return Err(
                "the broker gives new groups no history, so messages may be missed: subscribe to it by name".into()
            );
        }
        let service = service.subscribe(subscriber);
        self.found.announce(topic.name(), service.manifest.clone());
        Ok(service.start())
    }

    fn note(&self, topic: &Topic, error: &(dyn std::error::Error + 'static)) {
        let text = error_chain(error);
        let mut problems = self.problems();
        if problems.by_topic.get(topic.name()) != Some(&text) {
            tracing::warn!(%topic, error = text, "the topic has no inbox; trying again");
            problems.change(|problems| drop(problems.insert(topic.name().to_owned(), text)));
        }
    }

    fn problems(&self) -> MutexGuard<'_, Problems> {
        self.problems.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn check(&self) -> Check {
        let problems = self.problems();
        let shown = problems.by_topic.iter().take(SHOWN);
        let mut texts: Vec<String> =
            shown.map(|(topic, problem)| format!("topic {topic} has no inbox: {problem}")).collect();
        if let Some(more) = problems.by_topic.len().checked_sub(SHOWN).filter(|more| *more > 0) {
            texts.push(format!("and {more} more"));
        }
        let (status, message) =
            if texts.is_empty() { (Condition::Ok, None) } else { (Condition::Degraded, Some(texts.join("; "))) };
        Check { name: self.check.clone(), status, since: problems.since, message }
    }
}

/// The topics of the broker that match a pattern, again and again.
struct Search {
    broker: Arc<dyn Broker>,
    pattern: TopicPattern,
    inboxes: Arc<Inboxes>,
    next: Instant,
    /// The broker has listed its topics before.
    has_listed: bool,
    caught_up: bool,
}

impl Search {
    fn new(broker: Arc<dyn Broker>, pattern: TopicPattern, inboxes: Arc<Inboxes>) -> Self {
        Self { broker, pattern, inboxes, next: Instant::now(), has_listed: false, caught_up: false }
    }

    /// A broker that has listed its topics is asked without limit: the inboxes go on meanwhile.
    fn failed(&self, error: BrokerError) -> BoxError {
        if self.has_listed { TransientError::new(error).into() } else { error.into_boxed() }
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
        let topics = self.broker.topics(&self.pattern).await.map_err(|error| self.failed(error))?;
        (self.has_listed, self.next) = (true, Instant::now() + EVERY);
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

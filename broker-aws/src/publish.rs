//! Publishing: batches of messages of different keys, so that each message of a key follows the one before it.

use std::collections::{HashMap, VecDeque};
use std::sync::PoisonError;
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use recount_messaging::{BrokerError, Fate, Outgoing, Refusal, Topic};
use tokio::time::Instant;

use crate::capabilities::max_bytes;
use crate::connection::Connection;
use crate::envelope::{Encoded, encode};
use crate::error::CallError;
use crate::names;
use crate::send::{MAX_COUNT, OPERATION, Outcome, Target, fate};

/// How many requests are under way at once.
const PARALLEL: usize = 16;
/// How long the publisher remembers which queues a topic has.
const FRESH: Duration = Duration::from_secs(1);

/// The queues of a topic, as they were listed.
#[derive(Debug)]
pub(crate) struct KnownQueues {
    listed: Instant,
    targets: Vec<Target>,
}

/// Publishes a batch. The fates are in the order of the messages.
pub(crate) async fn publish(connection: &Connection, topic: &Topic, batch: Vec<Outgoing>) -> Vec<Fate> {
    let Ok(_registered) = connection.publishing().await else {
        return batch.iter().map(|_| Fate::NotSent(Some(BrokerError::Closed))).collect();
    };
    let object = match connection.sns {
        Some(_) => format!("topic {}", names::topic(topic)),
        None => format!("queue {}", names::marker(topic)),
    };
    let targets = match targets(connection, topic).await {
        Ok(targets) => targets,
        Err(error) => return batch.iter().map(|_| Fate::NotSent(Some(error.about(OPERATION, &object)))).collect(),
    };
    if targets.is_empty() {
        // A message to a topic without groups would be gone. The relay waits until one is declared.
        let unroutable = |outgoing: &Outgoing| {
            let (id, topic) = (outgoing.message.id.to_string(), topic.to_string());
            Fate::Refused(Refusal::Unroutable { id, topic })
        };
        return batch.iter().map(unroutable).collect();
    }
    let mut run = Run::new(batch, max_bytes(connection));
    let mut sending = FuturesUnordered::new();
    // The limit of a request that timed out. Each further request would take as long, so none is sent.
    let mut timed_out = None;
    loop {
        while timed_out.is_none()
            && sending.len() < PARALLEL
            && let Some((keys, messages)) = run.next_batch()
        {
            let targets = &targets;
            let sent = async move {
                let sent = targets.iter().map(|target| target.send(connection, &messages));
                (keys, join_all(sent).await, messages)
            };
            // Boxed: the future of a request is large.
            sending.push(sent.boxed());
        }
        let Some((keys, outcomes, messages)) = sending.next().await else { break };
        let mut outcomes: Vec<_> = outcomes.into_iter().map(Vec::into_iter).collect();
        for (key, message) in keys.into_iter().zip(&messages) {
            let of_message: Vec<Outcome> = outcomes.iter_mut().filter_map(Iterator::next).collect();
            timed_out = timed_out.or_else(|| of_message.iter().find_map(time_limit));
            run.done(key, fate(message, of_message, &object));
        }
    }
    run.fates(timed_out)
}

/// The limit of a request that timed out.
fn time_limit(outcome: &Outcome) -> Option<Duration> {
    if let Err(CallError::TimedOut(limit)) = outcome { Some(*limit) } else { None }
}

/// Where the messages of a topic go: nowhere if it has no group.
async fn targets(connection: &Connection, topic: &Topic) -> Result<Vec<Target>, CallError> {
    let Some(sns) = &connection.sns else { return queues(connection, topic).await };
    let targets = vec![Target::Topic(connection.topic_arn(topic))];
    if connection.queues.lock().unwrap_or_else(PoisonError::into_inner).contains_key(topic) {
        return Ok(targets);
    }
    let listed = Instant::now();
    let answer = connection.call(sns.get_topic_attributes().topic_arn(connection.topic_arn(topic)).send()).await?;
    let subscriptions = answer.attributes.and_then(|mut all| all.remove("SubscriptionsConfirmed"));
    if subscriptions.is_none_or(|count| count == "0") {
        return Ok(Vec::new());
    }
    // Groups are declared for good, so one look is enough.
    let known = KnownQueues { listed, targets: targets.clone() };
    connection.queues.lock().unwrap_or_else(PoisonError::into_inner).insert(topic.clone(), known);
    Ok(targets)
}

/// The queues of the groups of a topic.
async fn queues(connection: &Connection, topic: &Topic) -> Result<Vec<Target>, CallError> {
    let known = connection
        .queues
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .get(topic)
        .and_then(|known| (known.listed.elapsed() < FRESH).then(|| known.targets.clone()));
    if let Some(targets) = known {
        return Ok(targets);
    }
    let (listed, prefix) = (Instant::now(), names::queues(topic));
    let mut pages = connection.sqs.list_queues().queue_name_prefix(&prefix).max_results(1000);
    let mut urls = Vec::new();
    loop {
        let page = connection.call(pages.clone().send()).await?;
        urls.extend(page.queue_urls.unwrap_or_default());
        match page.next_token {
            Some(token) => pages = pages.next_token(token),
            None => break,
        }
    }
    let name = |url: &str| url.rsplit('/').next().unwrap_or_default().to_owned();
    if !urls.iter().any(|url| name(url) == names::marker(topic)) {
        // The server's answer about the queue itself tells why.
        connection.call(connection.sqs.get_queue_url().queue_name(names::marker(topic)).send()).await?;
    }
    let of_groups = urls.into_iter().filter(|url| names::is_of_group(&name(url)));
    let targets: Vec<_> = of_groups.map(|url| Target::Queue { fifo: url.ends_with(".fifo"), url }).collect();
    let known = KnownQueues { listed, targets: targets.clone() };
    connection.queues.lock().unwrap_or_else(PoisonError::into_inner).insert(topic.clone(), known);
    Ok(targets)
}

/// The messages of a call: those of each key one after the other.
struct Run {
    fates: Vec<Fate>,
    /// The messages of each key that are not sent yet, with their places in the call.
    keys: Vec<VecDeque<(usize, Outgoing)>>,
    /// The place of the message of each key that is on its way.
    sent: Vec<usize>,
    /// The keys that wait for their next message to be sent.
    ready: VecDeque<usize>,
    /// The next message, if it did not fit into the batch before.
    next: Option<(usize, Encoded)>,
    limit: usize,
}

impl Run {
    fn new(batch: Vec<Outgoing>, limit: usize) -> Self {
        let fates = batch.iter().map(|_| Fate::NotSent(None)).collect();
        let mut places: HashMap<String, usize> = HashMap::new();
        let mut keys: Vec<VecDeque<(usize, Outgoing)>> = Vec::new();
        for (index, outgoing) in batch.into_iter().enumerate() {
            let place = places.get(outgoing.lane_key()).copied().unwrap_or_else(|| {
                places.insert(outgoing.lane_key().to_owned(), keys.len());
                keys.push(VecDeque::new());
                keys.len() - 1
            });
            keys[place].push_back((index, outgoing));
        }
        Self { fates, sent: vec![0; keys.len()], ready: (0..keys.len()).collect(), keys, next: None, limit }
    }

    /// The next messages to send, and their keys.
    fn next_batch(&mut self) -> Option<(Vec<usize>, Vec<Encoded>)> {
        let (mut keys, mut messages, mut bytes) = (Vec::new(), Vec::new(), 0);
        while messages.len() < MAX_COUNT {
            let Some((key, message)) = self.next.take().or_else(|| self.next_message()) else { break };
            if bytes + message.size > self.limit {
                self.next = Some((key, message));
                break;
            }
            bytes += message.size;
            keys.push(key);
            messages.push(message);
        }
        (!messages.is_empty()).then_some((keys, messages))
    }

    /// The next message of a key without one on its way. A refused one ends its key.
    fn next_message(&mut self) -> Option<(usize, Encoded)> {
        loop {
            let key = self.ready.pop_front()?;
            let Some((index, outgoing)) = self.keys[key].pop_front() else { continue };
            match encode(&outgoing, self.limit) {
                Ok(message) => {
                    self.sent[key] = index;
                    return Some((key, message));
                }
                Err(refusal) => self.fates[index] = Fate::Refused(refusal),
            }
        }
    }

    fn done(&mut self, key: usize, fate: Fate) {
        if fate.is_stored() {
            self.ready.push_back(key);
        }
        self.fates[self.sent[key]] = fate;
    }

    /// The fates of all messages. After a request that timed out, the unsent messages have its error.
    fn fates(mut self, timed_out: Option<Duration>) -> Vec<Fate> {
        if let Some(limit) = timed_out {
            for fate in self.fates.iter_mut().filter(|fate| matches!(fate, Fate::NotSent(None))) {
                *fate = Fate::NotSent(Some(BrokerError::TimedOut { operation: OPERATION, limit }));
            }
        }
        self.fates
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use recount_messaging::{Message, MessageId};

    fn outgoing(number: usize, key: &str, bytes: usize) -> Outgoing {
        let id = MessageId::new(number.to_string()).unwrap();
        Outgoing::new(Message::new(id, "tests", "t", format!("\"{}\"", "a".repeat(bytes))).with_key(key))
    }

    /// A server may store one entry of a request and refuse the one before it.
    #[test]
    fn a_request_has_one_message_of_a_key_and_keeps_to_the_limits() {
        let keys = (0..60).map(|number| outgoing(number, &format!("key-{}", number % 15), 100));
        let (mut run, mut sent) = (Run::new(keys.collect(), 2000), HashMap::<usize, usize>::new());
        while let Some((keys, messages)) = run.next_batch() {
            assert!(messages.len() <= MAX_COUNT && messages.iter().map(|one| one.size).sum::<usize>() <= 2000);
            let different: std::collections::BTreeSet<_> = messages.iter().map(|one| &one.group).collect();
            assert_eq!(different.len(), messages.len());
            for (key, message) in keys.into_iter().zip(&messages) {
                let number: usize = message.id.parse().unwrap();
                assert!(sent.insert(key, number).is_none_or(|before| before + 15 == number));
                run.done(key, Fate::Stored(None));
            }
        }
        assert!(sent.len() == 15 && run.fates.iter().all(Fate::is_stored));
    }

    #[test]
    fn behind_a_message_that_is_not_stored_no_other_of_its_key_is_sent() {
        let messages = vec![outgoing(0, "a", 1), outgoing(1, "a", 1), outgoing(2, "b", 5000), outgoing(3, "b", 1)];
        let mut run = Run::new(messages, 2000);
        let (keys, sent) = run.next_batch().unwrap();
        assert_eq!((keys.len(), &*sent[0].id), (1, "0"));
        run.done(keys[0], Fate::Unknown(BrokerError::Closed));
        assert!(run.next_batch().is_none());
        assert!(matches!(run.fates[0], Fate::Unknown(_)) && matches!(run.fates[1], Fate::NotSent(None)));
        assert!(matches!(run.fates[2], Fate::Refused(Refusal::TooLarge { .. })));
        assert!(matches!(run.fates[3], Fate::NotSent(None)));
    }
}

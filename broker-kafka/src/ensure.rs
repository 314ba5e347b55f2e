//! Declares topics and groups, and compares existing ones with the declaration.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use rdkafka::admin::{AdminClient, AdminOptions, ConfigResource, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext};
use rdkafka::error::{KafkaResult, RDKafkaErrorCode as Code};
use rdkafka::{Offset, TopicPartitionList};
use recount_messaging::{Binding, BrokerError, Change, Plan, StartFrom, Topic};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};

use crate::KafkaOptions;
use crate::client::{self, DropElsewhere, Probe, Quiet, blocking, create};
use crate::error::{answer_of, answered, meaning};
use crate::record::OVERHEAD;
use crate::seek::end_of;

const OPERATION: &str = "declaring topics and groups";
/// How many requests are under way at once.
const PARALLEL: usize = 8;
/// How often it is looked whether a new topic is known to the servers.
const LOOK: Duration = Duration::from_millis(20);
const HAS_MEMBERS: &str = "the group has no position and has members, so its start can't be declared: stop them first";

pub(crate) fn topic_name(topic: &str) -> String {
    format!("topic {topic}")
}

pub(crate) fn group_name(binding: &Binding) -> String {
    format!("consumer group {}", group(binding))
}

/// The topic as a [channel binding](https://github.com/asyncapi/bindings/tree/master/kafka) of AsyncAPI, for the protocol
/// `kafka`.
///
/// ```
/// # use recount_messaging::Topic;
/// let binding = recount_broker_kafka::channel_binding(&Topic::new("orders")?);
/// assert_eq!((&binding["topic"], &binding["partitions"]), (&"orders".into(), &8.into()));
/// # Ok::<(), recount_core::NameError>(())
/// ```
#[must_use]
pub fn channel_binding(topic: &Topic) -> Value {
    json!({ "topic": topic.name(), "partitions": topic.lanes(), "bindingVersion": "0.5.0" })
}

/// The id of a group at the server. Names of topics and groups have no dot.
pub(crate) fn group(binding: &Binding) -> String {
    format!("{}.{}", binding.group, binding.topic)
}

/// Declares the missing topics and groups. Everything is compared before anything is declared.
pub(crate) async fn ensure(
    options: &KafkaOptions,
    probe: &Probe,
    plan: &Plan,
    dry_run: bool,
) -> Result<Vec<Change>, BrokerError> {
    let (mut topics, bindings) = plan.distinct()?;
    topics.sort_by_key(|topic| topic.name());
    let admin = Admin::open(options)?;
    let mut new = Vec::new();
    for topic in topics {
        if !admin.exists(probe, topic).await? {
            new.push(topic);
        }
    }
    let groups = bindings.into_iter().cloned().map(|binding| {
        let is_new = new.iter().any(|topic| topic.name() == binding.topic.name());
        async move {
            let missing = is_new || !uncommitted(options, &binding).await?.is_empty();
            Ok::<_, BrokerError>(missing.then_some(binding))
        }
    });
    let groups: Vec<Option<Binding>> =
        stream::iter(groups.collect::<Vec<_>>()).buffered(PARALLEL).try_collect().await?;
    let groups: Vec<Binding> = groups.into_iter().flatten().collect();
    let changes = new.iter().map(|topic| topic_name(topic.name())).chain(groups.iter().map(group_name));
    let changes = changes.map(|object| Change { object }).collect();
    if !dry_run {
        for topic in new {
            admin.create(probe, topic).await?;
        }
        let declared = groups.into_iter().map(|binding| async move { declare(options, &binding).await });
        stream::iter(declared.collect::<Vec<_>>()).buffer_unordered(PARALLEL).try_collect::<Vec<()>>().await?;
    }
    Ok(changes)
}

struct Admin<'o> {
    client: DropElsewhere<AdminClient<Quiet>>,
    options: &'o KafkaOptions,
}

impl<'o> Admin<'o> {
    fn open(options: &'o KafkaOptions) -> Result<Self, BrokerError> {
        let client = DropElsewhere::new(create(&client::config(options)?, Quiet::default())?);
        Ok(Self { client, options })
    }

    fn request(&self) -> AdminOptions {
        let limit = Some(self.options.call_timeout);
        AdminOptions::new().request_timeout(limit).operation_timeout(limit)
    }

    async fn answer<T>(&self, call: impl Future<Output = KafkaResult<T>>) -> Result<T, BrokerError> {
        let limit = self.options.call_timeout;
        let answer = timeout(limit, call).await.map_err(|_| BrokerError::TimedOut { operation: OPERATION, limit })?;
        answer.map_err(|error| meaning(OPERATION, limit, error))
    }

    /// Whether the topic exists, with the settings that it must have.
    async fn exists(&self, probe: &Probe, topic: &Topic) -> Result<bool, BrokerError> {
        let Some(partitions) = probe.partitions(OPERATION, topic.name()).await? else { return Ok(false) };
        topic.check_partitions(|| topic_name(topic.name()), partitions)?;
        let mismatch = |expected: String, actual: String, cure: &str| BrokerError::Mismatch {
            object: topic_name(topic.name()),
            expected,
            actual,
            cure: cure.to_owned(),
        };
        let resources = [ResourceSpecifier::Topic(topic.name())];
        let described = self.answer(self.client.describe_configs(&resources, &self.request())).await?;
        let settings = described.into_iter().next().unwrap_or(Err(Code::UnknownTopicOrPartition));
        let settings: ConfigResource = settings.map_err(|code| answered(OPERATION, self.options.call_timeout, code))?;
        let settings: HashMap<&str, &str> =
            settings.entries.iter().filter_map(|entry| Some((&*entry.name, entry.value.as_deref()?))).collect();
        let actual = |name: &str| settings.get(name).copied().unwrap_or_default();
        if actual("cleanup.policy").contains("compact") {
            let actual = format!("cleanup.policy={}", actual("cleanup.policy"));
            return Err(mismatch(
                "cleanup.policy=delete".to_owned(),
                actual,
                "compaction would drop messages of a key",
            ));
        }
        let limit = self.max_message();
        if actual("max.message.bytes").parse::<usize>().is_ok_and(|actual| actual < limit) {
            let (expected, actual) = (format!("{limit} or more"), actual("max.message.bytes"));
            let actual = format!("max.message.bytes={actual}");
            return Err(mismatch(expected, actual, "raise it, or lower the greatest message of the adapter"));
        }
        if let Some(kept) = topic.kept_for().map(retention)
            && actual("retention.ms") != kept
        {
            let actual = format!("retention.ms={}", actual("retention.ms"));
            return Err(mismatch(format!("retention.ms={kept}"), actual, "set it, or change the topic's `keep_for`"));
        }
        Ok(true)
    }

    /// The limit of the server, above ours by the size of a request without its messages.
    fn max_message(&self) -> usize {
        self.options.max_message.saturating_add(OVERHEAD)
    }

    async fn create(&self, probe: &Probe, topic: &Topic) -> Result<(), BrokerError> {
        let kept = topic.kept_for().or(self.options.max_age);
        let retention = kept.map_or_else(|| "-1".to_owned(), retention);
        let limit = self.max_message().to_string();
        let replicas = self.options.replicas.map_or(-1, i32::from);
        let new = NewTopic::new(topic.name(), topic.lanes().get().into(), TopicReplication::Fixed(replicas))
            .set("cleanup.policy", "delete")
            .set("retention.ms", &retention)
            .set("max.message.bytes", &limit)
            .set("message.timestamp.type", "LogAppendTime");
        let created = self.answer(self.client.create_topics([&new], &self.request())).await?;
        for outcome in created {
            match outcome {
                Ok(_) => {}
                // Another program was quicker.
                Err((_, Code::TopicAlreadyExists)) => drop(self.exists(probe, topic).await?),
                Err((_, code)) => return Err(answered(OPERATION, self.options.call_timeout, code)),
            }
        }
        // The servers know it a moment later.
        let until = Instant::now() + self.options.call_timeout;
        while probe.partitions(OPERATION, topic.name()).await?.is_none() {
            if Instant::now() > until {
                return Err(BrokerError::TimedOut { operation: OPERATION, limit: self.options.call_timeout });
            }
            sleep(LOOK).await;
        }
        Ok(())
    }
}

/// A retention time in milliseconds, of which the server takes 63 bits.
fn retention(time: Duration) -> String {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX).to_string()
}

/// The settings of a client that speaks for a group.
pub(crate) fn group_config(options: &KafkaOptions, binding: &Binding) -> Result<rdkafka::ClientConfig, BrokerError> {
    let mut config = client::config(options)?;
    config.set("group.id", group(binding)).set("enable.auto.commit", "false").set("enable.auto.offset.store", "false");
    Ok(config)
}

/// The partitions of a binding for which the group has no position.
async fn uncommitted(options: &KafkaOptions, binding: &Binding) -> Result<Vec<i32>, BrokerError> {
    let (config, limit) = (group_config(options, binding)?, options.call_timeout);
    let (topic, lanes) = (binding.topic.name().to_owned(), binding.topic.lanes().get());
    blocking(OPERATION, limit, move || {
        let client: BaseConsumer<Quiet> = create(&config, Quiet::default())?;
        let answer = positions(&client, OPERATION, limit, &topic, lanes);
        // The call does not wait for the end of the client.
        drop(DropElsewhere::new(client));
        answer
    })
    .await?
}

/// The partitions for which the group of a client has no position.
pub(crate) fn positions<C: ConsumerContext>(
    client: &BaseConsumer<C>,
    operation: &'static str,
    limit: Duration,
    topic: &str,
    lanes: u16,
) -> Result<Vec<i32>, BrokerError> {
    answer_of(operation, limit, |left| missing_positions(client, left, topic, lanes))
}

fn missing_positions<C: ConsumerContext>(
    client: &BaseConsumer<C>,
    limit: Duration,
    topic: &str,
    lanes: u16,
) -> KafkaResult<Vec<i32>> {
    let mut asked = TopicPartitionList::new();
    asked.add_partition_range(topic, 0, i32::from(lanes) - 1);
    let found = client.committed_offsets(asked, limit)?;
    let mut missing = Vec::new();
    for partition in found.elements() {
        partition.error()?;
        if !matches!(partition.offset(), Offset::Offset(_)) {
            missing.push(partition.partition());
        }
    }
    Ok(missing)
}

/// Declares a group by committing where it starts.
async fn declare(options: &KafkaOptions, binding: &Binding) -> Result<(), BrokerError> {
    let (config, limit, start) = (group_config(options, binding)?, options.call_timeout, binding.start);
    let (topic, lanes) = (binding.topic.name().to_owned(), binding.topic.lanes().get());
    blocking(OPERATION, limit * 2, move || {
        let client: DropElsewhere<BaseConsumer<Quiet>> = DropElsewhere::new(create(&config, Quiet::default())?);
        commit_start(&client, limit, &topic, lanes, start)
    })
    .await?
}

fn commit_start(
    client: &BaseConsumer<Quiet>,
    limit: Duration,
    topic: &str,
    lanes: u16,
    start: StartFrom,
) -> Result<(), BrokerError> {
    let failed = |error| meaning(OPERATION, limit, error);
    let mut offsets = Vec::new();
    for partition in positions(client, OPERATION, limit, topic, lanes)? {
        let offset = match start {
            // If the server has forgotten this one, the group starts at the first message that it has.
            StartFrom::Earliest => 0,
            StartFrom::Latest => end_of(client, OPERATION, limit, topic, partition)?,
        };
        offsets.push((partition, offset));
    }
    // Another program may declare the group at the same time, and the later commit replaces the earlier one. The offsets are older
    // than this look, and so older than a commit that it does not see: they pass over no message that was published after that.
    let missing = positions(client, OPERATION, limit, topic, lanes)?;
    let mut starts = TopicPartitionList::new();
    for (partition, offset) in offsets.into_iter().filter(|(partition, _)| missing.contains(partition)) {
        starts.add_partition_offset(topic, partition, Offset::Offset(offset)).map_err(failed)?;
    }
    if starts.count() == 0 {
        return Ok(());
    }
    match client.commit(&starts, CommitMode::Sync) {
        // Another program has declared the group meanwhile, and its members are there.
        Err(error) if error.rdkafka_error_code() == Some(Code::UnknownMemberId) => {
            match positions(client, OPERATION, limit, topic, lanes)?.is_empty() {
                true => Ok(()),
                false => Err(BrokerError::Unavailable { operation: OPERATION, source: HAS_MEMBERS.into() }),
            }
        }
        committed => committed.map_err(failed),
    }
}

//! A group at the server: its queue, the one for its dead letters, and its subscription.

use aws_sdk_sqs::types::QueueAttributeName;
use recount_messaging::{Binding, BrokerError, Order};

use crate::connection::Connection;
use crate::ensure::{OPERATION, Tags, create_queue, find_queue, found, queue_object, tag, tags};
use crate::error::CallError;
use crate::expiry::{self, EXPIRES_AFTER};
use crate::names;
use crate::settings::{self, Attributes};
use crate::subscription::{SUBSCRIPTION, is_subscribed, policy, subscribe};

/// The tags of a queue with the names of its topic and group.
const TOPIC: &str = "recount-topic";
const GROUP: &str = "recount-group";

/// A queue at the server.
struct Queue {
    url: String,
    arn: String,
}

/// A group as it is at the server.
pub(crate) struct GroupState<'p> {
    binding: &'p Binding,
    /// Its queue, if it exists.
    queue: Option<Queue>,
    /// The URL of the queue for its dead letters, if that exists.
    dead_letters: Option<String>,
    is_subscribed: bool,
    /// It was not used for its time, and counts as removed.
    has_expired: bool,
}

impl<'p> GroupState<'p> {
    pub(crate) async fn read(connection: &Connection, binding: &'p Binding) -> Result<Self, BrokerError> {
        refuse_other_order(connection, binding).await?;
        let name = names::queue(binding);
        let url = find_queue(connection, &name).await?;
        let dead_letters = find_queue(connection, &names::dead_letters(binding)).await?;
        let mut this = Self { binding, queue: None, dead_letters, is_subscribed: false, has_expired: false };
        let Some(url) = url else { return Ok(this) };
        let tags = tags(connection, &url).await?;
        this.check(&tags)?;
        let Some(attributes) = found(attributes(connection, &url).await, &queue_object(&name))? else {
            return Ok(this);
        };
        settings::compare(binding, &attributes, connection.sns.is_some())?;
        this.is_subscribed = is_subscribed(connection, binding, &tags).await?;
        this.has_expired = expiry::has_expired(&tags);
        let arn = attributes.get(&QueueAttributeName::QueueArn).cloned().unwrap_or_default();
        this.queue = Some(Queue { url, arn });
        Ok(this)
    }

    fn check(&self, tags: &Tags) -> Result<(), BrokerError> {
        let expiry = self.binding.expires_after.map(|time| time.as_millis().to_string());
        let wanted = [
            (TOPIC, Some(self.binding.topic.name())),
            (GROUP, Some(self.binding.group.name())),
            (EXPIRES_AFTER, expiry.as_deref()),
        ];
        for (name, wanted) in wanted {
            let found = tags.get(name).map(String::as_str);
            if found != wanted {
                let shown = |value: Option<&str>| {
                    value.map_or_else(|| format!("no tag {name}"), |v| format!("the tag {name} {v}"))
                };
                return Err(BrokerError::Mismatch {
                    object: queue_object(&names::queue(self.binding)),
                    expected: shown(wanted),
                    actual: shown(found),
                    cure: "bind all members of the group in the same way, or delete its queue".to_owned(),
                });
            }
        }
        Ok(())
    }

    /// The objects that are missing.
    pub(crate) fn missing(&self, connection: &Connection) -> Vec<String> {
        let name = names::queue(self.binding);
        let has_queue = self.queue.is_some() && !self.has_expired;
        let objects = [
            (self.dead_letters.is_none(), queue_object(&names::dead_letters(self.binding))),
            (!has_queue, queue_object(&name)),
            (connection.sns.is_some() && !self.is_subscribed, format!("subscription of queue {name}")),
        ];
        objects.into_iter().filter_map(|(missing, object)| missing.then_some(object)).collect()
    }

    /// Declares the objects that are missing.
    pub(crate) async fn declare(mut self, connection: &Connection) -> Result<(), BrokerError> {
        let binding = self.binding;
        let failed = |error: CallError| error.about(OPERATION, &queue_object(&names::queue(binding)));
        let dead_url = match self.dead_letters.take() {
            Some(url) => url,
            None => {
                let (name, attributes) = (names::dead_letters(binding), settings::attributes(binding, None));
                create_queue(connection, &name, attributes, Tags::new()).await.map_err(failed)?
            }
        };
        let queue = match self.queue.take() {
            Some(queue) => {
                if self.has_expired {
                    // A queue that is deleted can't be made anew for a minute.
                    expiry::revive(connection, &queue.url).await?;
                }
                queue
            }
            None => match self.create(connection, &dead_url).await {
                Ok(queue) => queue,
                Err(error) if error.exists() => {
                    // Another program was quicker. Its tags have another time.
                    let found = Self::read(connection, binding).await?;
                    self.is_subscribed = found.is_subscribed;
                    found.queue.ok_or_else(|| failed(error))?
                }
                Err(error) => return Err(failed(error)),
            },
        };
        if !self.is_subscribed && connection.sns.is_some() {
            let subscription = subscribe(connection, binding, &queue.arn).await?;
            tag(connection, &queue.url, SUBSCRIPTION, &subscription).await.map_err(failed)?;
        }
        Ok(())
    }

    async fn create(&self, connection: &Connection, dead_url: &str) -> Result<Queue, CallError> {
        let (name, dead) = (names::queue(self.binding), names::dead_letters(self.binding));
        let found = attributes(connection, dead_url).await?;
        let dead_arn = found.get(&QueueAttributeName::QueueArn).cloned().unwrap_or_default();
        let arn = dead_arn.strip_suffix(&*dead).map(|start| format!("{start}{name}")).unwrap_or_default();
        let mut attributes = settings::attributes(self.binding, Some(&dead_arn));
        if connection.sns.is_some() {
            let policy = policy(&arn, &connection.topic_arn(&self.binding.topic));
            attributes.insert(QueueAttributeName::Policy, policy.to_string());
        }
        let url = create_queue(connection, &name, attributes, self.tags()).await?;
        Ok(Queue { url, arn })
    }

    fn tags(&self) -> Tags {
        let text = |text: &str| text.to_owned();
        let mut tags = Tags::from([
            (text(TOPIC), text(self.binding.topic.name())),
            (text(GROUP), text(self.binding.group.name())),
        ]);
        if let Some(time) = self.binding.expires_after {
            tags.extend(expiry::tags(time));
        }
        tags
    }
}

/// All attributes of a queue.
async fn attributes(connection: &Connection, url: &str) -> Result<Attributes, CallError> {
    let request = connection.sqs.get_queue_attributes().queue_url(url).attribute_names(QueueAttributeName::All);
    Ok(connection.call(request.send()).await?.attributes.unwrap_or_default())
}

/// A group that changes its order would start over with another queue, and leave the old one behind.
async fn refuse_other_order(connection: &Connection, binding: &Binding) -> Result<(), BrokerError> {
    let order = if binding.order == Order::PerKey { Order::Unordered } else { Order::PerKey };
    let other = names::queue(&binding.clone().order(order));
    match find_queue(connection, &other).await? {
        None => Ok(()),
        Some(_) => Err(BrokerError::Mismatch {
            object: queue_object(&other),
            expected: format!("the order {:?}", binding.order),
            actual: "the other order".to_owned(),
            cure: "use another group, or delete the queue of this one".to_owned(),
        }),
    }
}

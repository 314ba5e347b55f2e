//! Brokers with one deliberate defect each, around the in-process broker.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use recount_messaging::{
    Attempts, Binding, Broker, BrokerConsumer, BrokerError, Capabilities, Change, Delivery, Drained, Fate, Group,
    InProcess, Malformed, Order, Outgoing, Plan, Profile, PublishFault, Refusal, Returns, Room, Seek, Settle, Settled,
    Signal, StartFrom, Ticket, TicketParts, Topic, TopicPattern,
};
use recount_testing::broker::Harness;

/// A defect.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Defect {
    None,
    AcknowledgementsAreLost,
    DeliveryAcknowledges,
    BatchesAreReversed,
    BatchesAreShuffledAtRelease,
    StaleIsHidden,
    LeasesNeverEnd,
    LeasesAreNotExtended,
    FatesAreShifted,
    RefusalSpreads,
    ADroppedNextLoses,
    DroppedTicketsAreForgotten,
    RoomIsIgnored,
    TopicsCross,
    EnsureAlwaysChanges,
    DryRunsDeclare,
    MismatchIsHidden,
    MissingIsDeclared,
    MalformedIsSkipped,
    RawBytesAreLost,
    FrozenCallsHang,
    DrainsKeep,
    NeverIdle,
    KeysAreLowered,
    MissingKeysAreMade,
    BodiesAreText,
    HeadersAreTrimmed,
    OutcomesAreReversed,
    RejectsComeAgain,
    ClosedGoesOn,
    OneGroupForAll,
    EveryTenthIsLost,
    StartIsIgnored,
    MissingTopicsAreDeclared,
    ReleasesLose,
    SubjectsAreLost,
    SourcesAreLost,
    StructuredIsMalformed,
    FirstDeliveriesCount,
    CloseEndsTheServer,
    EachMemberIsAGroup,
    HealthLies,
    DrainsHang,
    UnknownIsReportedAsStored,
    NeverReconnects,
    ExpiryIsIgnored,
    EverythingIsKept,
    PatternsAreIgnored,
    LanesAreNotListed,
    TimesAreCorrected,
    /// The broker declares something else than it does.
    Declares(fn(&mut Capabilities)),
}

fn is(one: Defect, other: Defect) -> bool {
    std::mem::discriminant(&one) == std::mem::discriminant(&other)
}

pub(crate) struct Broken {
    inner: InProcess,
    defect: Defect,
}

impl Broken {
    pub(crate) fn new(profile: Profile, defect: Defect) -> Self {
        Self { inner: InProcess::with_profile(profile), defect }
    }

    fn is(&self, defect: Defect) -> bool {
        is(self.defect, defect)
    }

    /// The binding as the defect makes it.
    fn binding(&self, binding: &Binding) -> Binding {
        let binding = binding.clone();
        match self.defect {
            Defect::BatchesAreShuffledAtRelease => binding.order(Order::Unordered),
            Defect::OneGroupForAll => {
                let mut shared = binding;
                shared.group = Group::new("everyone").unwrap();
                shared
            }
            Defect::StartIsIgnored => binding.start(StartFrom::Earliest),
            Defect::LeasesNeverEnd => binding.lease(Duration::from_secs(1_000_000)),
            Defect::ExpiryIsIgnored => {
                let mut stays = binding;
                stays.expires_after = None;
                stays
            }
            Defect::TimesAreCorrected => Binding::new(Topic::new(binding.topic.name()).unwrap(), binding.group),
            _ => binding,
        }
    }
}

#[async_trait]
impl Harness for Broken {
    async fn broker(&self) -> Arc<dyn Broker> {
        Arc::new(Self { inner: self.inner.connect(), defect: self.defect })
    }
    async fn kill(&self) {
        self.inner.faults().kill();
    }
    async fn start(&self) {
        self.inner.faults().start();
    }
    async fn cut_connections(&self) {
        let faults = self.inner.faults();
        faults.cut_connections();
        faults.publishes(2, PublishFault::StoredUnknown);
        faults.publishes(2, PublishFault::LostUnknown);
    }
    async fn freeze(&self) {
        self.inner.faults().freeze();
    }
    async fn thaw(&self) {
        self.inner.faults().thaw();
    }
    async fn publish_raw(&self, topic: &Topic, key: &str, headers: &[(&str, &[u8])], body: &[u8]) {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), Bytes::copy_from_slice(value)));
        let body = Bytes::copy_from_slice(body);
        self.inner.faults().publish_raw(topic, key, headers.collect(), body).unwrap();
    }
    fn patience(&self) -> Duration {
        Duration::from_secs(24 * 60 * 60)
    }
}

#[async_trait]
impl Broker for Broken {
    fn system(&self) -> &'static str {
        self.inner.system()
    }
    fn capabilities(&self, binding: &Binding) -> Capabilities {
        let mut declared = self.inner.capabilities(binding);
        if let Defect::Declares(change) = self.defect {
            change(&mut declared);
        }
        declared
    }
    async fn ensure(&self, plan: &Plan, dry_run: bool) -> Result<Vec<Change>, BrokerError> {
        let mut plan = plan.clone();
        plan.bindings = plan.bindings.iter().map(|binding| self.binding(binding)).collect();
        if self.is(Defect::EverythingIsKept) {
            let kept = |topic: &Topic| topic.clone().keep_for(Duration::from_secs(1_000_000));
            plan.topics = plan.topics.iter().map(kept).collect();
            plan.bindings.iter_mut().for_each(|binding| binding.topic = kept(&binding.topic));
        }
        let made = self.inner.ensure(&plan, dry_run && !self.is(Defect::DryRunsDeclare)).await;
        match (self.defect, made) {
            (Defect::EnsureAlwaysChanges, Ok(_)) => Ok(vec![Change { object: "everything".to_owned() }]),
            (Defect::MismatchIsHidden, Err(BrokerError::Mismatch { .. })) => Ok(Vec::new()),
            (_, made) => made,
        }
    }
    async fn topics(&self, pattern: &TopicPattern) -> Result<Vec<Topic>, BrokerError> {
        let pattern = match self.defect {
            Defect::PatternsAreIgnored => &TopicPattern::new("*").unwrap(),
            _ => pattern,
        };
        let mut topics = self.inner.topics(pattern).await?;
        if self.is(Defect::LanesAreNotListed) {
            topics.iter_mut().for_each(|topic| *topic = Topic::new(topic.name()).unwrap());
        }
        Ok(topics)
    }
    async fn publish(&self, topic: &Topic, mut batch: Vec<Outgoing>) -> Vec<Fate> {
        match self.defect {
            Defect::BatchesAreReversed => batch.reverse(),
            Defect::KeysAreLowered => batch.iter_mut().for_each(|outgoing| {
                outgoing.message.key = outgoing.message.key.as_ref().map(|key| key.to_lowercase().into());
            }),
            Defect::MissingKeysAreMade => batch.iter_mut().for_each(|outgoing| {
                outgoing.message.key.get_or_insert_with(|| "none".into());
            }),
            Defect::BodiesAreText => batch.iter_mut().for_each(|outgoing| {
                outgoing.message.data = String::from_utf8_lossy(&outgoing.message.data).into_owned().into();
            }),
            Defect::HeadersAreTrimmed => batch.iter_mut().for_each(|outgoing| {
                let headers = &mut outgoing.message.metadata.headers;
                headers.values_mut().for_each(|value| *value = value.trim().to_owned());
            }),
            Defect::SubjectsAreLost => batch.iter_mut().for_each(|outgoing| outgoing.message.subject = None),
            Defect::SourcesAreLost => {
                batch.iter_mut().for_each(|outgoing| outgoing.message.source = "lost".into());
            }
            Defect::TopicsCross => {
                if let Some(base) = topic.name().strip_suffix("-2") {
                    let base = Topic::new(base).unwrap().with_lanes(topic.lanes());
                    self.inner.publish(&base, batch.clone()).await;
                }
            }
            _ => {}
        }
        if self.is(Defect::MissingTopicsAreDeclared) {
            let plan = Plan { topics: vec![topic.clone()], bindings: Vec::new() };
            self.inner.ensure(&plan, false).await.unwrap();
        }
        let mut fates = if self.is(Defect::EveryTenthIsLost) {
            // Reported as stored, all of them.
            let kept = batch.iter().enumerate().filter(|(place, _)| place % 10 != 9).map(|(_, one)| one.clone());
            self.inner.publish(topic, kept.collect()).await;
            batch.iter().map(|_| Fate::Stored(None)).collect()
        } else {
            self.inner.publish(topic, batch).await
        };
        match self.defect {
            Defect::BatchesAreReversed => fates.reverse(),
            Defect::FatesAreShifted if fates.len() > 1 => fates.rotate_left(1),
            Defect::RefusalSpreads if fates.iter().any(|fate| matches!(fate, Fate::Refused(_))) => {
                let refusal = Refusal::Broker { id: "all".to_owned(), reason: "one is bad".to_owned() };
                fates.iter_mut().for_each(|fate| *fate = Fate::Refused(refusal.clone()));
            }
            Defect::UnknownIsReportedAsStored => fates.iter_mut().for_each(|fate| {
                if matches!(fate, Fate::Unknown(_)) {
                    *fate = Fate::Stored(None);
                }
            }),
            Defect::FrozenCallsHang if fates.iter().any(|fate| matches!(fate, Fate::Unknown(_))) => {
                std::future::pending::<()>().await;
            }
            _ => {}
        }
        fates
    }
    async fn subscribe(&self, binding: &Binding) -> Result<Box<dyn BrokerConsumer>, BrokerError> {
        if self.is(Defect::MissingIsDeclared) {
            let plan = Plan { topics: Vec::new(), bindings: vec![binding.clone()] };
            self.inner.ensure(&plan, false).await?;
        }
        let mut binding = self.binding(binding);
        if self.is(Defect::EachMemberIsAGroup) {
            binding.group = Group::new(&format!("g-{}", uuid::Uuid::now_v7().simple())).unwrap();
            let plan = Plan { topics: Vec::new(), bindings: vec![binding.clone()] };
            self.inner.ensure(&plan, false).await?;
        }
        let inner = self.inner.subscribe(&binding).await?;
        Ok(Box::new(BrokenConsumer {
            inner,
            defect: self.defect,
            never_read: Returns::default(),
            kept: BTreeMap::new(),
            lost: false,
        }))
    }
    async fn health(&self) -> Result<(), BrokerError> {
        if self.is(Defect::HealthLies) { Ok(()) } else { self.inner.health().await }
    }
    async fn close(&self, within: Duration) {
        if !self.is(Defect::ClosedGoesOn) {
            self.inner.close(within).await;
        }
        if self.is(Defect::CloseEndsTheServer) {
            self.inner.faults().kill();
        }
    }
}

struct BrokenConsumer {
    inner: Box<dyn BrokerConsumer>,
    defect: Defect,
    never_read: Returns,
    /// The tickets of the inner consumer for which others were handed out, by number.
    kept: BTreeMap<u64, Ticket>,
    lost: bool,
}

impl BrokenConsumer {
    async fn broken(&mut self, mut deliveries: Vec<Delivery>) -> Vec<Delivery> {
        match self.defect {
            Defect::DeliveryAcknowledges => {
                deliveries.iter_mut().for_each(|delivery| self.keep_ticket(delivery));
                let kept = std::mem::take(&mut self.kept);
                self.inner.settle(kept.into_values().map(|ticket| (ticket, Settle::Ack)).collect()).await;
            }
            Defect::DroppedTicketsAreForgotten => {
                deliveries.iter_mut().for_each(|delivery| self.keep_ticket(delivery));
            }
            Defect::MalformedIsSkipped => {
                let (good, bad): (Vec<_>, _) = deliveries.into_iter().partition(|delivery| delivery.message.is_ok());
                let marks = bad.into_iter().map(|delivery: Delivery| (delivery.ticket, Settle::Ack)).collect();
                self.inner.settle(marks).await;
                return good;
            }
            Defect::StructuredIsMalformed => deliveries.iter_mut().for_each(|delivery| {
                if delivery.raw.headers.iter().any(|(_, value)| value.starts_with(b"application/cloudevents")) {
                    delivery.message = Err(Malformed::Json { reason: "it is not read".to_owned() });
                }
            }),
            Defect::FirstDeliveriesCount => deliveries.iter_mut().for_each(|d| d.attempts = Attempts::Exact(1)),
            Defect::RawBytesAreLost => deliveries.iter_mut().for_each(|delivery| delivery.raw.body = Bytes::new()),
            Defect::ADroppedNextLoses => {
                // The messages are taken, but not handed out yet: if the call is dropped now, they stay out.
                deliveries.iter_mut().for_each(|delivery| self.keep_ticket(delivery));
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            _ => {}
        }
        deliveries
    }

    /// Keeps the ticket of a delivery, and leaves one that stands for it and whose drop is not noticed.
    fn keep_ticket(&mut self, delivery: &mut Delivery) {
        let tag = self.kept.last_key_value().map_or(1, |(last, _)| last + 1);
        let parts = TicketParts { lane: delivery.lane(), generation: 0, tag, handle: Bytes::new() };
        let ticket = std::mem::replace(&mut delivery.ticket, Ticket::new(parts, &self.never_read));
        self.kept.insert(tag, ticket);
    }

    /// The ticket that this one stands for, or itself.
    fn own(&mut self, ticket: Ticket) -> Ticket {
        let tag = ticket.parts(&self.never_read).map(|parts| parts.tag);
        tag.and_then(|tag| self.kept.remove(&tag)).unwrap_or(ticket)
    }
}

#[async_trait]
impl BrokerConsumer for BrokenConsumer {
    async fn next(&mut self, room: &Room) -> Result<Signal, BrokerError> {
        let room = if is(self.defect, Defect::RoomIsIgnored) { Room::of(1000) } else { room.clone() };
        loop {
            let signal = self.inner.next(&room).await;
            self.lost = self.lost || signal.is_err();
            if self.lost && is(self.defect, Defect::NeverReconnects) {
                let source = "the connection is still lost".into();
                return Err(BrokerError::Unavailable { operation: "next", source });
            }
            match signal? {
                Signal::Deliveries(deliveries) => {
                    let deliveries = self.broken(deliveries).await;
                    if !deliveries.is_empty() {
                        return Ok(Signal::Deliveries(deliveries));
                    }
                }
                Signal::Idle if is(self.defect, Defect::NeverIdle) => {}
                signal => return Ok(signal),
            }
        }
    }
    async fn settle(&mut self, marks: Vec<(Ticket, Settle)>) -> Vec<Settled> {
        let defect = self.defect;
        let broken = |settle| match (defect, settle) {
            (Defect::AcknowledgementsAreLost, Settle::Ack) | (Defect::RejectsComeAgain, Settle::Reject(_)) => {
                Settle::Release
            }
            (Defect::ReleasesLose, Settle::Release) => Settle::Ack,
            (_, settle) => settle,
        };
        let marks = marks.into_iter().map(|(ticket, settle)| (self.own(ticket), broken(settle))).collect();
        let mut settled = self.inner.settle(marks).await;
        match self.defect {
            Defect::StaleIsHidden => settled.iter_mut().for_each(|outcome| {
                if matches!(outcome, Settled::Stale) {
                    *outcome = Settled::Confirmed;
                }
            }),
            Defect::OutcomesAreReversed => settled.reverse(),
            _ => {}
        }
        settled
    }
    async fn extend(&mut self, held: &[Ticket], by: Duration) -> Vec<Settled> {
        match self.defect {
            Defect::LeasesAreNotExtended => held.iter().map(|_| Settled::Confirmed).collect(),
            _ => self.inner.extend(held, by).await,
        }
    }
    async fn seek(&mut self, to: Seek) -> Result<(), BrokerError> {
        self.inner.seek(to).await
    }
    async fn drain(self: Box<Self>, within: Duration) -> Drained {
        match self.defect {
            Defect::DrainsKeep => Drained::default(),
            Defect::DrainsHang => std::future::pending().await,
            _ => self.inner.drain(within).await,
        }
    }
}

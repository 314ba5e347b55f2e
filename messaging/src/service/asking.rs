//! The parts of a service that ask other services and answer them: commands with replies, and questions.

use std::sync::Arc;

use recount_core::{ConsumerKind, MessageMetrics, NameError};

use super::Service;
use crate::question::{Answers, Clock, Desk, InboxMessages, Mailbox, REPLY_PREFIX, StoredResponder};
use crate::request::{GatewayBuilder, REPLIES_EXPIRE, Requester, ServiceGateway, Waiters, replies};
use crate::{Asker, Binding, Order, Plan, Responder, Subscriber};

impl Service {
    /// Sends commands to aggregates of other services, and takes the replies. The gateway works while the service runs.
    ///
    /// # Errors
    /// [`NameError`] if the name of the instance is none.
    pub fn gateway(mut self, gateway: GatewayBuilder) -> Result<(Self, ServiceGateway), NameError> {
        let GatewayBuilder { routes, instance } = gateway;
        self.manifest.sends(routes.iter());
        let binding = self.reply_binding("replies-", instance.as_deref())?;
        let waiters = Waiters::default();
        let store = Arc::clone(self.recount.store());
        let requester = Requester::new(self.replier(), store, binding.clone(), waiters.clone());
        let metrics = self.reply_metrics(&binding);
        let mut subscriber = Subscriber::new(binding);
        subscriber.0.handlers.take_replies(waiters, metrics);
        Ok((self.subscribe(subscriber), ServiceGateway::new(requester, routes)))
    }

    /// Answers the questions of a topic. A responder is a consumer of kind [`Inbox`](ConsumerKind::Inbox). One service responds
    /// to a topic; its instances share the questions.
    pub fn respond(mut self, responder: Responder) -> Self {
        let topic = responder.topic.clone();
        let name = format!("{}/{topic}", self.name);
        let (recount, broker, metrics) =
            (self.recount.clone(), Arc::clone(&self.broker), self.metrics(topic.name(), &name));
        let clock = Clock::new(Arc::clone(self.recount.store()));
        if self.broker.native_requests().is_some() {
            let desk = self.desk();
            self.manifest.answers(&topic, &responder.taken);
            let answers = Answers::new(responder, recount, broker, desk, clock, metrics);
            let questions = InboxMessages::questions(&answers);
            self.consumers = self.consumers.consumer_of_kind(ConsumerKind::Inbox, &name, questions, answers);
            return self;
        }
        // The inbox ends no call before the responder does.
        let (at_once, limit) = (responder.at_once, responder.time_limit.saturating_mul(2));
        let binding = Binding::new(topic, self.group.clone()).order(Order::Unordered);
        let mut subscriber = Subscriber::new(binding).at_once(at_once).time_limit(limit);
        let service = Arc::clone(&self.name);
        let responder = StoredResponder { responder, recount, broker, service, clock, metrics };
        subscriber.0.handlers.take_questions(responder);
        self.subscribe(subscriber)
    }

    /// Asks other services. The asker works while the service runs. A service has one asker; its clones share an inbox. Instances of
    /// the service that run at once need different names, or one may get the replies of another.
    ///
    /// # Errors
    /// [`NameError`] if the name of the instance is none.
    pub fn asker(mut self, instance: Option<&str>) -> Result<(Self, Asker), NameError> {
        let clock = Clock::new(Arc::clone(self.recount.store()));
        let broker = Arc::clone(&self.broker);
        let binding = self.reply_binding(REPLY_PREFIX, instance)?;
        if self.broker.native_requests().is_some() {
            let desk = self.desk();
            return Ok((self, Asker::new(broker, desk.for_asker(), clock, None)));
        }
        let (desk, _) = Desk::new(&self.name, self.reply_metrics(&binding));
        desk.set_address(Some(binding.topic.name().into()));
        let plan = Plan { topics: Vec::new(), bindings: vec![binding.clone()] };
        let mut subscriber = Subscriber::new(binding);
        let asker = Asker::new(broker, desk.for_asker(), clock, Some(plan));
        subscriber.0.handlers.take_answers(desk);
        Ok((self.subscribe(subscriber), asker))
    }

    /// The binding for the replies to this instance.
    fn reply_binding(&self, prefix: &str, instance: Option<&str>) -> Result<Binding, NameError> {
        let instance = instance.map(|instance| format!("-{instance}")).unwrap_or_default();
        let topic = replies(&format!("{prefix}{}{instance}", self.name))?;
        Ok(Binding::new(topic, self.group.clone()).order(Order::Unordered).expires_after(REPLIES_EXPIRE))
    }

    fn reply_metrics(&self, binding: &Binding) -> Arc<MessageMetrics> {
        self.metrics(binding.topic.name(), &format!("{}/{}", self.name, binding.topic))
    }

    /// The open questions, and the consumer of their inbox.
    fn desk(&mut self) -> Desk {
        if let Some(desk) = &self.desk {
            return desk.clone();
        }
        let name = format!("{}/mailbox", self.name);
        let (desk, letters) = Desk::new(&self.name, self.metrics("mailbox", &name));
        let source = InboxMessages::mailbox(Arc::clone(&self.broker), desk.clone(), letters);
        let sink = Mailbox::new(Arc::clone(&self.broker), desk.clone());
        let empty = self.recount.consumers();
        let consumers = std::mem::replace(&mut self.consumers, empty);
        self.consumers = consumers.consumer_of_kind(ConsumerKind::Inbox, &name, source, sink);
        self.desk = Some(desk.clone());
        desk
    }
}

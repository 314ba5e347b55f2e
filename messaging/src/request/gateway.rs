//! Commands to aggregates of other services.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use recount_core::{
    Aggregate, BoxError, Command, Gateway, GatewayAnswer, GatewayRequest, IdempotencyKey, KeyOutcome, Metadata,
};

use super::outcome::WITHDRAW;
use super::requester::{Request, RequestError, Requester};
use crate::Topic;

/// The aggregates of other services, and the topics at which these take commands.
#[derive(Clone, Debug, Default)]
#[must_use = "a gateway is built by a service"]
pub struct GatewayBuilder {
    pub(crate) routes: HashMap<String, Topic>,
    pub(crate) instance: Option<String>,
}

impl GatewayBuilder {
    /// No aggregates.
    pub fn new() -> Self {
        Self::default()
    }

    /// The commands of this aggregate go to this topic.
    pub fn aggregate<A: Aggregate>(mut self, topic: Topic) -> Self {
        self.routes.insert(A::NAME.to_owned(), topic);
        self
    }

    /// Names this instance of the service, which gets replies of its own. Instances that run at once need different names.
    pub fn instance(mut self, name: &str) -> Self {
        self.instance = Some(name.to_owned());
        self
    }
}

/// Carries commands to aggregates of other services, and their outcomes back.
#[derive(Clone)]
pub struct ServiceGateway {
    requester: Requester,
    routes: Arc<HashMap<String, Topic>>,
}

impl ServiceGateway {
    pub(crate) fn new(requester: Requester, routes: HashMap<String, Topic>) -> Self {
        Self { requester, routes: Arc::new(routes) }
    }

    /// Sends a command, and waits for its outcome within this time, which also bounds the calls of the broker.
    ///
    /// # Errors
    /// [`RequestError`].
    ///
    /// # Cancel safety
    /// After a dropped call the outcome is unknown. Repeat it with the same key, or withdraw it.
    pub async fn send<C: Command>(
        &self,
        command: &C,
        key: &IdempotencyKey,
        within: Duration,
    ) -> Result<KeyOutcome, RequestError> {
        let aggregate = <C::Aggregate as Aggregate>::NAME;
        let impossible = |reason: String| RequestError::Impossible { key: key.to_string(), reason };
        let json = command.to_json().map_err(|error| impossible(error.to_string()))?;
        let request = Request {
            topic: self.topic(aggregate).map_err(impossible)?,
            message_type: format!("{aggregate}.{}", C::NAME),
            key: key.to_string(),
            data: json.into(),
            metadata: Metadata::current(),
            ordering: format!("{aggregate}/{}", command.aggregate_id()),
        };
        self.requester.send(&request, Some(within)).await
    }

    fn topic(&self, aggregate: &str) -> Result<Topic, String> {
        let topic = self.routes.get(aggregate).cloned();
        topic.ok_or_else(|| format!("no service is known to have aggregate {aggregate}: add it to the gateway"))
    }

    fn carry(&self, request: &GatewayRequest) -> Result<Request, String> {
        let message_type = match &request.json {
            Some(_) => format!("{}.{}", request.aggregate, request.command),
            None => WITHDRAW.to_owned(),
        };
        Ok(Request {
            topic: self.topic(&request.aggregate)?,
            message_type,
            key: request.key.to_string(),
            data: request.json.clone().unwrap_or_else(|| Bytes::from_static(b"{}")),
            metadata: request.metadata.clone(),
            ordering: request.key.to_string(),
        })
    }
}

impl Gateway for ServiceGateway {
    fn reaches(&self, aggregate: &str) -> bool {
        self.routes.contains_key(aggregate)
    }

    fn request<'a>(&'a self, request: &'a GatewayRequest) -> GatewayAnswer<'a> {
        Box::pin(async move {
            let carried = self.carry(request).map_err(BoxError::from)?;
            self.requester.send(&carried, None).await.map_err(RequestError::into_boxed)
        })
    }
}

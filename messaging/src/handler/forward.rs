//! Handlers that answer a message with another one.

use std::sync::Arc;

use recount_core::Published;

use super::Incoming;
use super::table::{Call, HandledTwice, Handlers, TakenBy};
use crate::Topic;
use crate::route::{Route, Routed, routes};

impl Handlers {
    /// Forwards messages to one of these topics each.
    pub(crate) fn forward<E: Published, const N: usize>(
        &mut self,
        topics: [Topic; N],
        map: impl for<'r> Fn(&E, &Incoming<'_>, [Route<'r>; N]) -> Option<Routed<'r>> + Send + Sync + 'static,
    ) -> Result<(), HandledTwice> {
        let (topics, map) = (Arc::new(topics), Arc::new(map));
        let call: Arc<Call> = Arc::new(move |_, incoming| {
            let (topics, map) = (Arc::clone(&topics), Arc::clone(&map));
            Box::pin(async move {
                let message = incoming.message;
                let draft = {
                    let event = E::decode(&message.message_type, message.schema_version, &message.data)?;
                    map(&event, incoming, routes()).map(Routed::into_draft)
                };
                if let Some(draft) = draft {
                    incoming.exit.forward(&*topics, draft, incoming).await?;
                }
                Ok(None)
            })
        });
        self.insert::<E>(TakenBy::Forward, &call)
    }
}

//! A service that answers probes, and one that asks.

use std::num::NonZeroU16;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use recount_core::{BoxError, Consumers, Event, Recount, Status, Store, TransientError};
use recount_messaging::{
    AskError, Asked, Asker, Binding, Broker, Capabilities, Group, Order, PermanentError, Question, QuestionHandler,
    ReplySender, RequestReply, Responder, Service, SmolStr, Topic,
};
use tokio::time::{sleep, timeout};

use super::Carrier;

/// A time that no answer takes.
pub(super) const LONG: Duration = Duration::from_secs(30);

#[derive(Event, Clone, Debug)]
#[event(name = "probe", published, unlocked)]
pub(super) enum Probe {
    /// Is answered by this text.
    Echo { text: String },
    /// Is answered by the numbers below this one.
    Count { replies: u32 },
    /// Is answered by one number after this time.
    Slow { millis: u64 },
    /// Is answered by one number, and never ends.
    Endless {},
    /// Fails.
    Fail { how: String },
    /// Is answered by as many letters.
    Large { bytes: u64 },
    /// Is answered by so many replies of so many letters.
    Blocks { replies: u32, bytes: u64 },
}

/// A question of the same topic that no handler takes.
#[derive(Event, Clone, Debug)]
#[event(name = "stranger", published, unlocked)]
pub(super) enum Stranger {
    Hello {},
}

#[derive(Event, Clone, Debug, PartialEq)]
#[event(name = "probe_reply", published, unlocked)]
pub(super) enum ProbeReply {
    Text { text: String, responder: String },
    Number { number: u32 },
}

impl Question for Probe {
    type Reply = ProbeReply;
}

impl Question for Stranger {
    type Reply = ProbeReply;
}

/// The calls of handlers. Responders of a test share them.
#[derive(Clone, Default)]
pub(super) struct Calls(Arc<Mutex<Log>>);

#[derive(Default)]
struct Log {
    begun: Vec<String>,
    dropped: usize,
    replies: u32,
    address: Option<SmolStr>,
    key: Option<SmolStr>,
    left: Option<Duration>,
}

impl Calls {
    /// How often a handler was called for such a probe.
    pub(super) fn begun(&self, probe: &Probe) -> usize {
        let probe = format!("{probe:?}");
        self.0.lock().unwrap().begun.iter().filter(|begun| **begun == probe).count()
    }

    /// How many calls were dropped before they ended.
    pub(super) fn dropped(&self) -> usize {
        self.0.lock().unwrap().dropped
    }

    /// How many numbers were sent.
    pub(super) fn replies(&self) -> u32 {
        self.0.lock().unwrap().replies
    }

    /// The address and key of the last question.
    pub(super) fn last(&self) -> (SmolStr, SmolStr) {
        let log = self.0.lock().unwrap();
        (log.address.clone().unwrap(), log.key.clone().unwrap())
    }

    /// The time that the last handler had left when it was called.
    pub(super) fn left(&self) -> Option<Duration> {
        self.0.lock().unwrap().left
    }
}

/// Counts a call that is dropped.
struct Running<'c>(&'c Calls, bool);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if !self.1 {
            self.0.0.lock().unwrap().dropped += 1;
        }
    }
}

struct Answers {
    name: String,
    calls: Calls,
}

impl Answers {
    async fn reply(&self, probe: &Probe, replies: &mut ReplySender<'_, ProbeReply>) -> Result<(), BoxError> {
        let number = |number| ProbeReply::Number { number };
        match probe {
            Probe::Echo { text } => {
                replies.send(&ProbeReply::Text { text: text.clone(), responder: self.name.clone() }).await?;
            }
            Probe::Count { replies: count } => {
                for n in 0..*count {
                    replies.send(&number(n)).await?;
                    self.calls.0.lock().unwrap().replies += 1;
                }
            }
            Probe::Slow { millis } => {
                sleep(Duration::from_millis(*millis)).await;
                replies.send(&number(0)).await?;
            }
            Probe::Endless {} => {
                replies.send(&number(0)).await?;
                std::future::pending().await
            }
            Probe::Fail { how } if how == "transient" => return Err(TransientError::new("the attic is away").into()),
            Probe::Fail { how } if how == "permanent" => return Err(PermanentError::new("there is no attic").into()),
            Probe::Fail { how } if how == "panic" => panic!("the attic burns"),
            Probe::Fail { how } => return Err(how.clone().into()),
            Probe::Large { bytes } => {
                let text = "x".repeat(usize::try_from(*bytes)?);
                replies.send(&ProbeReply::Text { text, responder: String::new() }).await?;
            }
            Probe::Blocks { replies: count, bytes } => {
                let text = "x".repeat(usize::try_from(*bytes)?);
                for n in 0..*count {
                    replies.send(&ProbeReply::Text { text: text.clone(), responder: n.to_string() }).await?;
                }
            }
        }
        Ok(())
    }
}

impl QuestionHandler for Answers {
    type Question = Probe;

    async fn answer(
        &self,
        probe: &Probe,
        asked: &Asked<'_>,
        replies: &mut ReplySender<'_, ProbeReply>,
    ) -> Result<(), BoxError> {
        {
            let mut log = self.calls.0.lock().unwrap();
            log.begun.push(format!("{probe:?}"));
            log.address.clone_from(&asked.message.reply_to);
            log.key.clone_from(&asked.message.idempotency_key);
            log.left = asked.time_left();
        }
        let mut running = Running(&self.calls, false);
        let answered = self.reply(probe, replies).await;
        running.1 = true;
        answered
    }
}

/// The services of one test.
pub(super) struct World<'c> {
    carrier: &'c dyn Carrier,
    pub(super) topic: Topic,
    pub(super) calls: Calls,
    /// The store of the responders: instances of a service share it.
    responders: Arc<dyn Store>,
}

impl<'c> World<'c> {
    pub(super) fn new(carrier: &'c dyn Carrier) -> Self {
        let topic = format!("q-{}", uuid::Uuid::now_v7().simple());
        let topic = Topic::new(&topic).unwrap().with_lanes(NonZeroU16::new(4).unwrap());
        Self { carrier, topic, calls: Calls::default(), responders: carrier.store() }
    }

    /// Starts a responder.
    pub(super) async fn responder(&self, name: &str) -> Consumers {
        self.responder_with(name, |responder| responder).await
    }

    pub(super) async fn responder_with(&self, name: &str, set: impl FnOnce(Responder) -> Responder) -> Consumers {
        let answers = Answers { name: name.to_owned(), calls: self.calls.clone() };
        let responder = set(Responder::new(self.topic.clone()).answer(answers).unwrap());
        let broker = self.carrier.broker().await;
        let service =
            Service::new(Recount::new(Arc::clone(&self.responders)), broker, "responders").unwrap().unannounced();
        let running = service.respond(responder).start();
        live(&running).await;
        running
    }

    /// Starts a service that asks.
    pub(super) async fn asker(&self) -> (Consumers, Asker) {
        let broker = self.carrier.broker().await;
        let service = Service::new(Recount::new(self.carrier.store()), broker, "askers").unwrap().unannounced();
        // An instance of its own: tests share a server.
        let (service, asker) = service.asker(Some(&self.topic.name()[20..])).unwrap();
        let running = service.start();
        live(&running).await;
        (running, asker)
    }

    /// Whether the broker carries questions itself.
    pub(super) async fn is_native(&self) -> bool {
        let broker = self.carrier.broker().await;
        let native = broker.native_requests().is_some();
        let declared = self.capabilities(&*broker).request_reply != RequestReply::Emulated;
        assert_eq!(native, declared, "native requests are declared as they are observed");
        native
    }

    pub(super) fn capabilities(&self, broker: &dyn Broker) -> Capabilities {
        broker.capabilities(&self.binding())
    }

    /// The binding of the responders, where questions go through a topic.
    pub(super) fn binding(&self) -> Binding {
        Binding::new(self.topic.clone(), Group::new("responders").unwrap()).order(Order::Unordered)
    }

    /// Asks for an echo.
    pub(super) async fn echo(&self, asker: &Asker, within: Duration) -> Result<(String, String), AskError> {
        match asker.ask(&self.topic, &Probe::Echo { text: "hello".to_owned() }, within).await? {
            ProbeReply::Text { text, responder } => Ok((text, responder)),
            reply => panic!("{reply:?}"),
        }
    }
}

/// Waits until consumers are live.
pub(super) async fn live(consumers: &Consumers) {
    let waiting = async {
        while consumers.progress().iter().any(|progress| progress.status != Status::Live) {
            sleep(Duration::from_millis(10)).await;
        }
    };
    if timeout(LONG, waiting).await.is_err() {
        panic!("not live: {:?}", consumers.progress());
    }
}

/// Waits until this is so.
pub(super) async fn until(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..1000 {
        if holds() {
            return;
        }
        sleep(Duration::from_millis(20)).await;
    }
    panic!("it never became so: {what}");
}

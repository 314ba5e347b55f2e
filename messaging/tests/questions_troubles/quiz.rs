//! A service that answers quizzes, and one that asks.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use recount_core::{BoxError, Consumers, Event, Recount, Store};
use recount_messaging::{
    Asked, Asker, InProcess, Profile, Question, QuestionHandler, ReplySender, Responder, Service, Topic,
};
use recount_store_memory::MemoryStore;
use tokio::time::{sleep, timeout};

use crate::common::live;

pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const MINUTE: Duration = Duration::from_secs(60);
pub(crate) const HOUR: Duration = Duration::from_secs(3600);
/// The brokers that carry questions themselves, and those where questions go through topics.
pub(crate) const NATIVE: [Profile; 3] = [Profile::Own, Profile::RabbitMq, Profile::Nats];
pub(crate) const EMULATED: [Profile; 4] = [Profile::Kafka, Profile::Pulsar, Profile::Fifo, Profile::PubSub];

pub(crate) fn in_profiles(profiles: &[Profile], test: impl AsyncFn(InProcess)) {
    for profile in profiles {
        println!("{profile:?}");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let run = test(InProcess::with_profile(*profile));
            timeout(24 * HOUR, run).await.unwrap_or_else(|_| panic!("{profile:?} is stuck"));
        });
    }
}

#[derive(Event, Clone, Debug)]
#[event(name = "quiz", published, unlocked)]
pub(crate) enum Quiz {
    /// Is answered by this number.
    Echo { n: u32 },
    /// Is answered by the numbers below this one.
    Count { replies: u32 },
    /// Is answered by 0 after this time.
    Slow { millis: u64 },
    /// Is answered by 0 after 70 replies that were given up after a tenth of a second each.
    Hasty {},
    /// Is answered by 0 after 70 replies over the limit.
    Loud {},
    /// Fails with an error that panics when it is shown.
    Shy {},
}

#[derive(Event, Clone, Debug, PartialEq)]
#[event(name = "quiz_reply", published, unlocked)]
pub(crate) enum QuizReply {
    Number { n: u32 },
    Text { text: String },
}

impl Question for Quiz {
    type Reply = QuizReply;
}

/// The calls of the handler.
#[derive(Clone, Default)]
pub(crate) struct Calls {
    begun: Arc<AtomicUsize>,
    running: Arc<AtomicUsize>,
    sent: Arc<AtomicUsize>,
}

impl Calls {
    pub(crate) fn begun(&self) -> usize {
        self.begun.load(Ordering::SeqCst)
    }
    pub(crate) fn running(&self) -> usize {
        self.running.load(Ordering::SeqCst)
    }
    pub(crate) fn sent(&self) -> usize {
        self.sent.load(Ordering::SeqCst)
    }
}

/// Counts a running call.
struct Running<'c>(&'c Calls);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

#[derive(Debug)]
struct Shy;

impl fmt::Display for Shy {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        panic!("it can't be shown")
    }
}

impl std::error::Error for Shy {}

pub(crate) struct Quizmaster(Calls);

impl QuestionHandler for Quizmaster {
    type Question = Quiz;

    async fn answer(
        &self,
        quiz: &Quiz,
        _: &Asked<'_>,
        replies: &mut ReplySender<'_, QuizReply>,
    ) -> Result<(), BoxError> {
        self.0.begun.fetch_add(1, Ordering::SeqCst);
        self.0.running.fetch_add(1, Ordering::SeqCst);
        let _running = Running(&self.0);
        match quiz {
            Quiz::Echo { n } => replies.send(&QuizReply::Number { n: *n }).await?,
            Quiz::Count { replies: count } => {
                for n in 0..*count {
                    replies.send(&QuizReply::Number { n }).await?;
                    self.0.sent.fetch_add(1, Ordering::SeqCst);
                }
            }
            Quiz::Slow { millis } => {
                sleep(Duration::from_millis(*millis)).await;
                replies.send(&QuizReply::Number { n: 0 }).await?;
            }
            Quiz::Hasty {} => {
                sleep(SECOND).await;
                for _ in 0..70 {
                    let sending = replies.send(&QuizReply::Number { n: 0 });
                    if timeout(SECOND / 10, sending).await.is_ok() {
                        return Err("the broker is not away".into());
                    }
                }
                replies.send(&QuizReply::Number { n: 0 }).await?;
            }
            Quiz::Loud {} => {
                let text = "x".repeat(2 << 20);
                for _ in 0..70 {
                    if replies.send(&QuizReply::Text { text: text.clone() }).await.is_ok() {
                        return Err("it is not over the limit".into());
                    }
                }
                replies.send(&QuizReply::Number { n: 0 }).await?;
            }
            Quiz::Shy {} => return Err(Shy.into()),
        }
        Ok(())
    }
}

pub(crate) fn topic() -> Topic {
    Topic::new("quiz").unwrap()
}

pub(crate) fn responder(calls: &Calls) -> Responder {
    Responder::new(topic()).answer(Quizmaster(calls.clone())).unwrap()
}

pub(crate) async fn responds(broker: &InProcess, responder: Responder) -> Consumers {
    let recount = Recount::new(MemoryStore::new());
    let service = Service::new(recount, Arc::new(broker.connect()), "quizzes").unwrap().unannounced();
    let running = service.respond(responder).start();
    live(&running).await;
    running
}

pub(crate) async fn asks(broker: &InProcess) -> (Consumers, Asker) {
    asks_with(broker, Arc::new(MemoryStore::new())).await
}

pub(crate) async fn asks_with(broker: &InProcess, store: Arc<dyn Store>) -> (Consumers, Asker) {
    let service = Service::new(Recount::new(store), Arc::new(broker.connect()), "askers").unwrap();
    let (service, asker) = service.unannounced().asker(None).unwrap();
    let running = service.start();
    live(&running).await;
    (running, asker)
}

pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..36_000 {
        if holds() {
            return;
        }
        sleep(Duration::from_millis(100)).await;
    }
    panic!("it never became so: {what}");
}

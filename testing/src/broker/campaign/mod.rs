//! A campaign of faults over a real server: a relay publishes events, an inbox of another service takes them, and every part
//! between them fails again and again. No message is lost, each takes effect once, and each key keeps its order.
//!
//! The server is killed and started again at a third and at the half of all messages, and frozen behind that. Each service
//! reaches it through a proxy that cuts connections after random numbers of bytes. Relays die between publishing and their
//! checkpoint, inboxes die between the effect and its acknowledgement. Handlers fail at random, so that messages are
//! retried in place, wait in the store, and become dead letters, which are redriven.
//!
//! Several seeds share a server, each with services, stores and a topic of its own. In an ordinary run there are three with a
//! few hundred messages each. [`SEEDS`] asks for more, of 10,000 messages each, and [`FIRST`] says where they begin.

mod driver;
mod history;
mod mortal;
mod proxy;
mod services;
mod world;

use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use recount_core::Store;
use recount_messaging::{Broker, BrokerError};

use world::World;

/// The variable with the number of seeds of a long campaign.
pub const SEEDS: &str = "RECOUNT_CAMPAIGN_SEEDS";
/// The variable with the first seed.
pub const FIRST: &str = "RECOUNT_CAMPAIGN_FIRST";

/// A server of the campaign alone.
#[async_trait]
pub trait Server: Send + Sync + 'static {
    /// Where it listens on 127.0.0.1.
    fn port(&self) -> u16;

    /// Connects to a port of 127.0.0.1, behind which is the server.
    async fn connect(&self, port: u16) -> Result<Arc<dyn Broker>, BrokerError>;

    /// Ends the server by SIGKILL.
    async fn kill(&self);

    /// Starts it again on the same data, and returns once it answers.
    async fn start(&self);

    /// Stops the server by SIGSTOP.
    async fn freeze(&self);

    /// Lets it run again.
    async fn thaw(&self);
}

/// The size of a campaign.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale {
    /// The messages of each seed.
    messages: u32,
    keys: u32,
    /// How long the server is away each time that it is killed.
    down: Duration,
    /// How long it is frozen.
    freeze: Duration,
    /// How often a proxy cuts a connection.
    cuts: u32,
    /// How often the relay and the inbox die at most.
    deaths: [u32; 2],
    /// How long one seed may take.
    limit: Duration,
}

const SHORT: Scale = Scale {
    messages: 400,
    keys: 20,
    down: Duration::from_millis(500),
    freeze: Duration::from_secs(3),
    cuts: 4,
    deaths: [1, 3],
    limit: Duration::from_secs(170),
};
const LONG: Scale = Scale {
    messages: 10_000,
    keys: 20,
    down: Duration::from_secs(5),
    freeze: Duration::from_secs(20),
    cuts: 20,
    deaths: [3, 10],
    limit: Duration::from_secs(900),
};
/// How many seeds share a server.
const AT_ONCE: u64 = 3;

/// Runs the campaign: short, or as long as the environment says. Stores are new ones for each service.
///
/// # Panics
/// If a message was lost, has taken effect twice, or has overtaken another one of its key.
pub async fn run<S: Server>(start: impl AsyncFn() -> S, store: impl Fn() -> Arc<dyn Store>) {
    let number = |variable| std::env::var(variable).ok().map(|text| text.parse::<u64>().expect("a number"));
    let first = number(FIRST).unwrap_or(1);
    let (seeds, scale) = number(SEEDS).map_or((AT_ONCE, SHORT), |seeds| (seeds, LONG));
    let all: Vec<u64> = (first..first + seeds).collect();
    for seeds in all.chunks(AT_ONCE as usize) {
        let started = Instant::now();
        say(&format!("seeds {seeds:?}, {} messages each", scale.messages));
        let server: Arc<dyn Server> = Arc::new(start().await);
        let worlds: Vec<Arc<World>> = seeds
            .iter()
            .map(|&seed| Arc::new(World::new(seed, scale, Arc::clone(&server), [store(), store()])))
            .collect();
        driver::drive(&*server, scale, &worlds).await;
        say(&format!("seeds {seeds:?} passed in {} s", started.elapsed().as_secs()));
    }
}

/// Straight to standard error: the test harness hides the output of a passing test.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "campaign: {text}");
}

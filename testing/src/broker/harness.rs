//! How the suite connects to a broker, and runs a promise.

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use recount_messaging::{Broker, Capabilities, Order, Topic};

/// How long a promise may take before it counts as stuck.
const LIMIT: Duration = Duration::from_secs(180);

/// A broker under test. The tests of a program may share one server: each uses topics and groups of its own.
#[async_trait]
pub trait Harness: Send + Sync + 'static {
    /// Connects anew: each call gives an independent connection, as another process would have.
    async fn broker(&self) -> Arc<dyn Broker>;

    /// Ends the server suddenly (`kill -9`) and starts it again on the same data. Returns once it answers.
    async fn restart(&self) {
        self.kill().await;
        self.start().await;
    }

    /// Ends the server suddenly. No other test of the program may need the server meanwhile: see [`Abilities::kill`].
    async fn kill(&self);

    /// Starts the server after [`kill`](Self::kill), on the same data. Returns once it answers.
    async fn start(&self);

    /// Cuts every connection to the server, which goes on.
    async fn cut_connections(&self);

    /// Stops the server from answering, as `SIGSTOP` does.
    async fn freeze(&self);

    /// Lets the server answer again.
    async fn thaw(&self);

    /// Publishes a message that was not made by recount: native headers and a body, in the lane of this key.
    async fn publish_raw(&self, topic: &Topic, key: &str, headers: &[(&str, &[u8])], body: &[u8]);

    /// The interventions that this server allows the suite.
    fn abilities(&self) -> Abilities {
        Abilities::default()
    }

    /// The longest lease, delay or window that a test waits for.
    fn patience(&self) -> Duration {
        Duration::from_secs(15)
    }

    /// The shortest lease that the broker takes.
    fn short_lease(&self) -> Duration {
        Duration::from_secs(2)
    }

    /// How much work the load tests do, in percent of the usual amount.
    fn effort(&self) -> usize {
        100
    }
}

/// The interventions that a server allows the suite. Undeclared ones are printed as not tested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Abilities {
    /// [`Harness::kill`], [`Harness::start`] and [`Harness::restart`] work, and disturb no other test.
    pub kill: bool,
    /// [`Harness::cut_connections`] works, and disturbs no other test.
    pub cut: bool,
    /// [`Harness::freeze`] and [`Harness::thaw`] work, and disturb no other test.
    pub freeze: bool,
    /// [`Harness::publish_raw`] works.
    pub raw: bool,
    /// A native body holds any bytes, and not only text.
    pub bytes: bool,
    /// A member that joins a group of [`Order::PerKey`] gets a part of the lanes at once.
    pub spreads: bool,
    /// With its connection a consumer loses its deliveries, which come again. Otherwise its membership outlives the connection.
    pub cut_releases: bool,
    /// Several messages of a key are out at once, where that is declared. A fake may hold them back.
    pub together: bool,
}

impl Default for Abilities {
    fn default() -> Self {
        Self {
            kill: true,
            cut: true,
            freeze: true,
            raw: true,
            bytes: true,
            spreads: true,
            cut_releases: true,
            together: true,
        }
    }
}

/// Whether the suite may test this: if not, says so where people look, and the test ends.
pub(super) fn declared(ability: bool, what: &str) -> bool {
    if !ability {
        // Straight to standard error: the test harness hides the output of a passing test.
        let test = std::thread::current().name().unwrap_or_default().to_owned();
        let _ = writeln!(std::io::stderr(), "NOT TESTED, not declared by this broker: {what} ({test})");
    }
    ability
}

/// Whether a lease, delay or window is short enough to be waited for: if not, says so, and the test ends.
pub(super) fn can_wait(h: &dyn Harness, time: Duration, what: &str) -> bool {
    declared(time <= h.patience(), &format!("{what} of {time:?} takes longer than this harness waits"))
}

/// The capabilities of a broker for groups of an order that are bound to a topic of the suite.
pub(super) fn capabilities(broker: &dyn Broker, order: Order) -> Capabilities {
    broker.capabilities(&super::support::binding("capabilities", "probe").order(order))
}

/// Runs one promise against one broker, on a runtime of its own. [`broker_suite!`](crate::broker_suite) expands to calls
/// of it.
///
/// # Panics
/// If the promise does not hold, or takes longer than three minutes.
#[track_caller]
pub fn check<H: Harness>(harness: impl Future<Output = H>, promise: impl AsyncFnOnce(&dyn Harness)) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a tokio runtime");
    runtime.block_on(async {
        let harness = harness.await;
        tokio::time::timeout(LIMIT, promise(&harness)).await.expect("the promise is stuck");
    });
    runtime.shutdown_timeout(Duration::from_secs(5));
}

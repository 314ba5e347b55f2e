//! Metrics in the text format of Prometheus.

use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use recount_core::{DURATION_BUCKETS, METRICS, MetricKind, SIZE_BUCKETS};

/// How often the recorded values of histograms are put into their buckets: until then each takes memory.
const UPKEEP: Duration = Duration::from_secs(5);

/// The recorder of the program's metrics. Install it before a [`Recount`](recount_core::Recount) is built.
///
/// Names follow the habits of Prometheus: `recount.command.duration` is `recount_command_duration_seconds`, and a counter
/// such as `recount.conflicts` is `recount_conflicts_total`. Metrics of the program itself are shown beside recount's.
#[derive(Clone, Debug)]
pub struct Prometheus {
    handle: PrometheusHandle,
    /// The upkeep ends when the last clone is dropped.
    _upkeep: Arc<Mutex<Sender<()>>>,
}

/// Why the recorder can't be installed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InstallError {
    /// The program has a recorder already.
    #[error("the metrics recorder can't be installed; a program has one, so install it once")]
    Recorder(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The thread of the upkeep can't be started.
    #[error("the thread of the metrics recorder can't be started")]
    Thread(#[source] std::io::Error),
}

impl Prometheus {
    /// Installs the recorder for the whole program.
    ///
    /// # Errors
    /// See [`InstallError`].
    pub fn install() -> Result<Self, InstallError> {
        let recorder = |error: metrics_exporter_prometheus::BuildError| InstallError::Recorder(error.into());
        let mut builder = PrometheusBuilder::new().with_recommended_naming(true);
        for metric in METRICS.iter().filter(|metric| metric.kind == MetricKind::Histogram) {
            let buckets: &[f64] = if metric.is_duration() { &DURATION_BUCKETS } else { &SIZE_BUCKETS };
            let name = Matcher::Full(metric.name.to_owned());
            builder = builder.set_buckets_for_metric(name, buckets).map_err(recorder)?;
        }
        let handle = builder.install_recorder().map_err(recorder)?;
        let (upkeep, ended) = mpsc::channel::<()>();
        let drained = handle.clone();
        std::thread::Builder::new()
            .name("recount-metrics".to_owned())
            .spawn(move || {
                while ended.recv_timeout(UPKEEP) == Err(RecvTimeoutError::Timeout) {
                    drained.run_upkeep();
                }
            })
            .map_err(InstallError::Thread)?;
        Ok(Self { handle, _upkeep: Arc::new(Mutex::new(upkeep)) })
    }

    /// All metrics in the text format.
    #[must_use]
    pub fn render(&self) -> String {
        self.handle.render()
    }
}

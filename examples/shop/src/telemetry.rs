//! Logs on stderr, and while the shop runs metrics, health and traces, if asked for.

use std::time::Duration;

use anyhow::{Context, Result};
use recount::Recount;
use recount::telemetry::{Exposure, Otlp, OtlpGuard, Prometheus, Server, health_router, serve};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

/// How long the last requests and spans have at the end.
const PATIENCE: Duration = Duration::from_secs(2);

/// The shop's telemetry: metrics, health and traces.
pub struct Telemetry {
    /// The address of the endpoints, and the recorder behind them.
    metrics: Option<(String, Prometheus)>,
    server: Option<Server>,
    traces: Option<OtlpGuard>,
}

impl Telemetry {
    /// Starts logs and traces, and records metrics from now on: before the store is opened.
    pub fn start(service: &str, metrics: Option<&str>, otlp: Option<&str>) -> Result<Self> {
        let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
        let logs = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_filter(filter);
        let started = otlp.map(|url| Otlp::new(url, service).version(env!("CARGO_PKG_VERSION")).start());
        let (layer, traces) = started.transpose().context("--otlp")?.unzip();
        tracing_subscriber::registry().with(logs).with(layer).init();
        let metrics = match metrics {
            Some(address) => Some((address.to_owned(), Prometheus::install()?)),
            None => None,
        };
        Ok(Self { metrics, server: None, traces })
    }

    /// Serves metrics and health, and prints where.
    pub async fn serve(&mut self, recount: &Recount) -> Result<()> {
        let Some((address, prometheus)) = &self.metrics else { return Ok(()) };
        let router = health_router(recount).merge(prometheus.router(recount));
        let server = serve(address, router, Exposure::Loopback).await.context("--metrics")?;
        let address = server.address();
        eprintln!("metrics on http://{address}/metrics, health on http://{address}/health/ready");
        self.server = Some(server);
        Ok(())
    }

    /// Answers the requests under way, and sends the last spans.
    pub async fn stop(self) {
        if let Some(server) = self.server {
            server.shutdown(PATIENCE).await;
        }
        if let Some(traces) = self.traces
            && let Err(error) = traces.shutdown(PATIENCE).await
        {
            eprintln!("--otlp: {error}");
        }
    }
}

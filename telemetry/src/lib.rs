//! Traces, metrics and health of recount, for the tools that collect them.
//!
//! recount itself records through the `tracing` and `metrics` facades. This crate connects them:
//!
//! * traces: [`Otlp`] exports spans by OTLP over HTTP, and [`OpenTelemetryContext`] stores the trace context with each event
//!   (feature `otel`);
//! * metrics: [`Prometheus`] collects them and writes them in the text format of Prometheus (feature `prometheus`);
//! * health: [`health_router`] has `/health/live` and `/health/ready`, and [`serve`] listens on an address (feature `http`).
//!
//! Metrics are not exported by OTLP: have them scraped, by Prometheus or by the `prometheus` receiver of an OpenTelemetry
//! collector.
//!
//! ```
//! use recount_core::Recount;
//! use recount_telemetry::{Exposure, Prometheus, health_router, serve};
//! # use recount_store_memory::MemoryStore;
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! let prometheus = Prometheus::install()?; // before the handle is built
//! let recount = Recount::new(MemoryStore::new());
//! let endpoints = health_router(&recount).merge(prometheus.router(&recount));
//! let server = serve("127.0.0.1:0", endpoints, Exposure::Loopback).await?;
//! println!("http://{}/metrics", server.address());
//! server.shutdown(std::time::Duration::from_secs(5)).await;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#[cfg(feature = "otel")]
mod client;
#[cfg(feature = "otel")]
mod context;
#[cfg(feature = "http")]
mod http;
#[cfg(feature = "otel")]
mod otlp;
#[cfg(feature = "prometheus")]
mod prometheus;
#[cfg(feature = "http")]
mod server;

#[cfg(feature = "otel")]
pub use context::OpenTelemetryContext;
#[cfg(feature = "http")]
pub use http::health_router;
#[cfg(feature = "otel")]
pub use otlp::{Otlp, OtlpError, OtlpGuard, OtlpLayer};
#[cfg(feature = "prometheus")]
pub use prometheus::{InstallError, Prometheus};
#[cfg(feature = "http")]
pub use server::{Exposure, ServeError, Server, serve};

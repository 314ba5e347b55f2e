//! The export of spans by OTLP.

use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use tokio::runtime::Handle;
use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_opentelemetry::OpenTelemetryLayer;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Filtered;
use tracing_subscriber::registry::LookupSpan;

use crate::client::RuntimeClient;

/// How long one export may take.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(10);

/// A layer of a `tracing` subscriber that exports spans of level `info` and above.
pub type OtlpLayer<S> = Filtered<OpenTelemetryLayer<S, SdkTracer>, LevelFilter, S>;

/// The export of spans by OTLP over HTTP, to a collector or an agent.
///
/// Spans are sent in batches by a thread of its own. If the endpoint is down the program goes on: spans wait in a queue of
/// bounded length, and those that find it full are dropped. The variables `OTEL_TRACES_SAMPLER`, `OTEL_BSP_*`,
/// `OTEL_EXPORTER_OTLP_HEADERS` and `OTEL_RESOURCE_ATTRIBUTES` are honoured.
///
/// ```no_run
/// use recount_telemetry::{OpenTelemetryContext, Otlp};
/// # use recount_core::Recount;
/// # use recount_store_memory::MemoryStore;
/// use tracing_subscriber::layer::SubscriberExt;
///
/// # async fn f() -> Result<(), Box<dyn std::error::Error>> {
/// let (layer, guard) = Otlp::new("http://localhost:4318", "shop").version("1.2.0").start()?;
/// tracing::subscriber::set_global_default(tracing_subscriber::registry().with(layer))?;
/// let recount = Recount::builder(MemoryStore::new()).trace_context(OpenTelemetryContext).build();
/// // … and at the end
/// guard.shutdown(std::time::Duration::from_secs(5)).await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
#[must_use = "nothing is exported until it is started"]
pub struct Otlp {
    endpoint: String,
    service: String,
    version: Option<String>,
}

/// Why spans can't be exported.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OtlpError {
    /// The endpoint is not one that this crate can send to.
    #[error("the OTLP endpoint is wrong: {problem}")]
    Endpoint {
        /// The problem, and a way to fix it.
        problem: &'static str,
    },
    /// There is no Tokio runtime to send on.
    #[error("the OTLP export needs a Tokio runtime: start it within one")]
    NoRuntime,
    /// The exporter refuses its settings.
    #[error("the OTLP exporter can't be built")]
    Exporter(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Some spans were not sent before the time was over.
    #[error("the last spans were not sent within {timeout:?}")]
    NotSent {
        /// The time that they had.
        timeout: Duration,
    },
}

impl Otlp {
    /// The export to this endpoint, such as `http://localhost:4318`, under the name of this service.
    pub fn new(endpoint: impl Into<String>, service: impl Into<String>) -> Self {
        Self { endpoint: endpoint.into(), service: service.into(), version: None }
    }

    /// The version of the service.
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.version = Some(version.into());
        self
    }

    /// Starts the export. Add the layer to the program's subscriber, and keep the guard.
    ///
    /// # Errors
    /// See [`OtlpError`]. An endpoint that can't be reached is no error.
    pub fn start<S>(self) -> Result<(OtlpLayer<S>, OtlpGuard), OtlpError>
    where
        S: Subscriber + for<'span> LookupSpan<'span>,
    {
        let runtime = Handle::try_current().map_err(|_| OtlpError::NoRuntime)?;
        let exporter = SpanExporter::builder()
            .with_http()
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(traces_url(&self.endpoint)?)
            .with_timeout(EXPORT_TIMEOUT)
            .with_http_client(RuntimeClient::new(EXPORT_TIMEOUT, runtime))
            .build()
            .map_err(|error| OtlpError::Exporter(error.into()))?;
        let version = self.version.map(|version| KeyValue::new("service.version", version));
        let resource = Resource::builder().with_service_name(self.service).with_attributes(version).build();
        let provider = SdkTracerProvider::builder().with_resource(resource).with_batch_exporter(exporter).build();
        let layer = OpenTelemetryLayer::new(provider.tracer("recount"))
            .with_location(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            .with_filter(LevelFilter::INFO);
        Ok((layer, OtlpGuard { provider }))
    }
}

/// The URL that spans are posted to.
fn traces_url(endpoint: &str) -> Result<String, OtlpError> {
    const PATH: &str = "/v1/traces";
    let wrong = |problem| Err(OtlpError::Endpoint { problem });
    if endpoint.starts_with("https://") {
        return wrong("https is not supported; send to a collector on this host or network by http://");
    }
    let Some(rest) = endpoint.strip_prefix("http://") else {
        return wrong("it must begin with http://, such as http://localhost:4318");
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.is_empty() {
        return wrong("it names no host; write one, such as http://localhost:4318");
    }
    if authority.contains('@') {
        return wrong("it must not contain a user or password; set them by OTEL_EXPORTER_OTLP_HEADERS");
    }
    let endpoint = endpoint.trim_end_matches('/');
    Ok(if endpoint.ends_with(PATH) { endpoint.to_owned() } else { format!("{endpoint}{PATH}") })
}

/// Keeps the export running. Shut it down at the end of the program, or the last spans are lost.
#[derive(Debug)]
pub struct OtlpGuard {
    provider: SdkTracerProvider,
}

impl OtlpGuard {
    /// Sends the spans that are left, and ends the export. Returns after the timeout at the latest.
    ///
    /// # Errors
    /// [`OtlpError::NotSent`] if the endpoint did not take all of them in time.
    pub async fn shutdown(self, timeout: Duration) -> Result<(), OtlpError> {
        // It blocks its thread until the last request has ended, which runs on this runtime.
        let sent = tokio::task::spawn_blocking(move || self.provider.shutdown_with_timeout(timeout));
        match tokio::time::timeout(timeout, sent).await {
            Ok(Ok(Ok(()))) => Ok(()),
            _ => Err(OtlpError::NotSent { timeout }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::traces_url;

    #[test]
    fn the_path_of_traces_is_added_unless_it_is_there() {
        for endpoint in ["http://host:4318", "http://host:4318/", "http://host:4318/v1/traces"] {
            assert_eq!(traces_url(endpoint).unwrap(), "http://host:4318/v1/traces");
        }
        assert_eq!(traces_url("http://host/otel").unwrap(), "http://host/otel/v1/traces");
    }

    #[test]
    fn a_wrong_endpoint_is_refused_without_its_secrets() {
        for (endpoint, cure) in [
            ("https://host", "http://"),
            ("host:4318", "must begin with http://"),
            ("http://", "names no host"),
            ("http:///v1/traces", "names no host"),
            ("http://ada:geheim@host", "OTEL_EXPORTER_OTLP_HEADERS"),
        ] {
            let error = traces_url(endpoint).unwrap_err();
            assert!(error.to_string().contains(cure), "{error}");
            assert!(!format!("{error} {error:?}").contains("geheim"), "{error:?}");
        }
    }
}

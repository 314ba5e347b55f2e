//! The HTTP client of the export.

use std::time::Duration;

use async_trait::async_trait;
use opentelemetry_http::hyper::HyperClient;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use tokio::runtime::Handle;

/// Sends requests on a Tokio runtime. The exporter waits for them on a thread of its own, which has none.
#[derive(Debug)]
pub(crate) struct RuntimeClient {
    client: HyperClient,
    runtime: Handle,
}

impl RuntimeClient {
    pub(crate) fn new(timeout: Duration, runtime: Handle) -> Self {
        Self { client: HyperClient::with_default_connector(timeout, None), runtime }
    }
}

#[async_trait]
impl HttpClient for RuntimeClient {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let client = self.client.clone();
        self.runtime.spawn(async move { client.send_bytes(request).await }).await?
    }
}

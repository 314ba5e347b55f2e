//! An OTLP receiver over HTTP, and what it got.
#![allow(unreachable_pub, reason = "what test files show each other")]

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1 as proto;
use prost::Message;
use recount_telemetry::{Exposure, Server, serve};

pub struct Receiver {
    server: Server,
    requests: Arc<Mutex<Vec<ExportTraceServiceRequest>>>,
}

/// All spans that arrived, oldest first.
#[derive(Debug)]
pub struct Received {
    pub spans: Vec<Span>,
    resource: Vec<KeyValue>,
}

#[derive(Debug)]
pub struct Span(proto::Span);

impl Receiver {
    pub async fn start() -> Self {
        let requests: Arc<Mutex<Vec<_>>> = Arc::default();
        let kept = Arc::clone(&requests);
        let take = async move |body: Bytes| {
            kept.lock().unwrap().push(ExportTraceServiceRequest::decode(body).unwrap());
        };
        let router = Router::new().route("/v1/traces", post(take));
        let server = serve("127.0.0.1:0", router, Exposure::Loopback).await.unwrap();
        Self { server, requests }
    }

    pub fn url(&self) -> String {
        let address: SocketAddr = self.server.address();
        format!("http://{address}")
    }

    pub fn received(&self) -> Received {
        let resources: Vec<_> =
            self.requests.lock().unwrap().iter().flat_map(|request| request.resource_spans.clone()).collect();
        let resource = resources.first().and_then(|it| it.resource.clone()).map(|it| it.attributes).unwrap_or_default();
        let scopes = resources.into_iter().flat_map(|resource| resource.scope_spans);
        let mut spans: Vec<_> = scopes.flat_map(|scope| scope.spans).map(Span).collect();
        spans.sort_by_key(|span| span.0.start_time_unix_nano);
        Received { spans, resource }
    }
}

impl Received {
    pub fn all(&self, name: &str) -> Vec<&Span> {
        self.spans.iter().filter(|span| span.0.name == name).collect()
    }

    /// The spans of these names, each of which there is one.
    pub fn named<const N: usize>(&self, names: [&str; N]) -> [&Span; N] {
        names.map(|name| match self.all(name)[..] {
            [span] => span,
            ref found => panic!("{} spans are {name} in {:#?}", found.len(), self.spans),
        })
    }

    pub fn resource(&self, key: &str) -> String {
        text(&self.resource, key).unwrap()
    }
}

impl Span {
    #[allow(dead_code, reason = "each test uses a part")]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    pub fn traceparent(&self) -> String {
        traceparent(&self.0.trace_id, &self.0.span_id)
    }

    pub fn parent_traceparent(&self) -> String {
        traceparent(&self.0.trace_id, &self.0.parent_span_id)
    }

    pub fn is_root(&self) -> bool {
        self.0.parent_span_id.is_empty()
    }

    pub fn is_child_of(&self, parent: &Self) -> bool {
        self.parent_traceparent() == parent.traceparent()
    }

    pub fn links(&self) -> Vec<String> {
        self.0.links.iter().map(|link| traceparent(&link.trace_id, &link.span_id)).collect()
    }

    pub fn attribute(&self, key: &str) -> Option<String> {
        text(&self.0.attributes, key)
    }

    pub fn is_error(&self) -> bool {
        self.0.status.as_ref().is_some_and(|status| status.code() == proto::status::StatusCode::Error)
    }
}

fn text(attributes: &[KeyValue], key: &str) -> Option<String> {
    let found = attributes.iter().find(|attribute| attribute.key == key)?;
    Some(match found.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => text.clone(),
        Value::IntValue(number) => number.to_string(),
        Value::BoolValue(claim) => claim.to_string(),
        other => panic!("{other:?}"),
    })
}

fn traceparent(trace: &[u8], span: &[u8]) -> String {
    let hexadecimal = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    format!("00-{}-{}-01", hexadecimal(trace), hexadecimal(span))
}

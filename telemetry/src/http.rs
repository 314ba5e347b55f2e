//! The endpoints of health and metrics.

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use recount_core::{Health, Recount};

#[cfg(feature = "prometheus")]
use crate::Prometheus;

/// The endpoints `/health/live` and `/health/ready`, to serve or to merge into the program's own router.
///
/// * `/health/live` answers as long as the program runs. It never asks the store: an outage of the database is no reason to
///   restart the program.
/// * `/health/ready` is [`Recount::health`] as JSON, with status 200 for `ok` and `degraded`, else 503.
///
/// The answers hold no secrets, stream ids or payloads.
pub fn health_router(recount: &Recount) -> Router {
    let router = Router::new().route("/health/live", get(async || health(&Health::of(Vec::new()))));
    let ready = recount.clone();
    router.route("/health/ready", get(async move || health(&ready.health().await)))
}

#[cfg(feature = "prometheus")]
impl Prometheus {
    /// The endpoint `/metrics` in the text format of Prometheus, to serve or to merge into another router. The gauges of this
    /// handle's store are set when it is asked.
    ///
    /// The metrics reveal the program's activity: don't make them public without need.
    pub fn router(&self, recount: &Recount) -> Router {
        let (prometheus, recount) = (self.clone(), recount.clone());
        let scrape = async move || {
            recount.health().await;
            answer(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", prometheus.render())
        };
        Router::new().route("/metrics", get(scrape))
    }
}

fn health(health: &Health) -> Response {
    let status = if health.status.is_ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    match serde_json::to_string(health) {
        Ok(json) => answer(status, "application/json", json),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

fn answer(status: StatusCode, content_type: &'static str, body: String) -> Response {
    (status, [(header::CONTENT_TYPE, content_type), (header::CACHE_CONTROL, "no-store")], body).into_response()
}

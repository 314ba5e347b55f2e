//! The admin interface: topics and subscriptions are declared over HTTP.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, LOCATION};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use recount_core::BoxError;
use recount_messaging::BrokerError;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};

use crate::address::Admin;
use crate::{PulsarOptions, names};

/// How often a request follows a broker's hint at the broker that owns the topic.
const REDIRECTS: usize = 5;
/// How many times as long as another call a declaration may take.
const DECLARING: u32 = 4;
/// The greatest answer that is read.
const MAX_ANSWER: usize = 16 * 1024 * 1024;

/// An answer of the admin interface.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Bytes,
}

impl Answer {
    /// The reason that the server gives.
    fn reason(&self) -> String {
        let json = serde_json::from_slice::<serde_json::Value>(&self.body).ok();
        let reason = json.as_ref().and_then(|json| json.get("reason")?.as_str()).unwrap_or("it gives no reason");
        let reason: String = reason.chars().take(300).collect();
        format!("{} ({})", reason, self.status.as_u16())
    }

    /// The error that the answer is in this call.
    pub(crate) fn error(&self, operation: &'static str) -> BrokerError {
        let source = Refused { status: self.status, reason: self.reason() }.into();
        match self.status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => BrokerError::NotAllowed { operation, source },
            // The owner of a topic changes, or the server is about to start.
            status if status.is_server_error() => BrokerError::Unavailable { operation, source },
            _ => BrokerError::Failed { operation, source },
        }
    }
}

/// The source of the error that an answer is.
#[derive(Debug, thiserror::Error)]
#[error("{reason}")]
struct Refused {
    status: StatusCode,
    reason: String,
}

/// Whether an error comes from another program that declares the same at this moment.
pub(crate) fn is_race(error: &BrokerError) -> bool {
    let BrokerError::Failed { source, .. } = error else { return false };
    let statuses = [StatusCode::NOT_FOUND, StatusCode::CONFLICT, StatusCode::PRECONDITION_FAILED];
    source.downcast_ref::<Refused>().is_some_and(|refused| statuses.contains(&refused.status))
}

/// Sends a request, within the time of a call. A body is JSON.
pub(crate) async fn request(
    options: &PulsarOptions,
    operation: &'static str,
    method: Method,
    path: &str,
    body: Option<String>,
) -> Result<Answer, BrokerError> {
    // Declaring takes the server longer than telling.
    let limit = if method == Method::GET { options.call_timeout } else { options.call_timeout * DECLARING };
    let sending = async {
        let (mut admin, mut path) = (options.admin.clone(), path.to_owned());
        for _ in 0..REDIRECTS {
            match once(options, &admin, &method, &path, body.clone()).await? {
                Ok(answer) => return Ok(answer),
                Err(location) => (admin, path) = location,
            }
        }
        Err(BoxError::from("the brokers point at each other"))
    };
    match timeout(limit, sending).await {
        Ok(answer) => answer.map_err(|source| BrokerError::Unavailable { operation, source }),
        Err(_) => Err(BrokerError::TimedOut { operation, limit }),
    }
}

/// The error that the token is refused, if it is.
pub(crate) async fn refusal(options: &PulsarOptions, operation: &'static str) -> Option<BrokerError> {
    let path = format!("{}/partitioned", names::namespace_path(options));
    let answer = request(options, operation, Method::GET, &path, None).await.ok()?;
    Some(answer.error(operation)).filter(|error| matches!(error, BrokerError::NotAllowed { .. }))
}

/// Where the request has to go instead.
type Location = (Admin, String);

async fn once(
    options: &PulsarOptions,
    admin: &Admin,
    method: &Method,
    path: &str,
    body: Option<String>,
) -> Result<Result<Answer, Location>, BoxError> {
    let mut request = Request::builder().method(method.clone()).uri(path);
    request = request.header(HOST, format!("{}:{}", admin.host, admin.port)).header(CONTENT_TYPE, "application/json");
    if let Some(token) = &options.token {
        request = request.header(AUTHORIZATION, format!("Bearer {token}"));
    }
    let request = request.body(Full::new(Bytes::from(body.unwrap_or_default())))?;
    let tcp = TcpStream::connect((admin.host.trim_matches(['[', ']']), admin.port)).await?;
    let response = if admin.tls {
        let name = ServerName::try_from(admin.host.trim_matches(['[', ']']).to_owned())?;
        let stream = TlsConnector::from(tls(options).await?).connect(name, tcp).await?;
        exchange(TokioIo::new(stream), request).await?
    } else {
        exchange(TokioIo::new(tcp), request).await?
    };
    let (parts, body) = response;
    if parts.status.is_redirection() {
        let location = parts.headers.get(LOCATION).and_then(|location| located(location.to_str().ok()?));
        let location = location.ok_or("a broker points at another one without its address")?;
        // A token is not sent in clear because an answer says so.
        if admin.tls && !location.0.tls {
            return Err("a broker points from https at http".into());
        }
        return Ok(Err(location));
    }
    Ok(Ok(Answer { status: parts.status, body }))
}

/// The place and the path of `http://HOST:PORT/PATH`.
fn located(url: &str) -> Option<Location> {
    let start = url.find("://")? + 3;
    let end = url[start..].find('/').map_or(url.len(), |at| start + at);
    Some((Admin::read(&url[..end])?, url[end..].to_owned()))
}

async fn exchange<S>(
    stream: TokioIo<S>,
    request: Request<Full<Bytes>>,
) -> Result<(hyper::http::response::Parts, Bytes), BoxError>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let (mut sender, connection) = http1::handshake(stream).await?;
    let answering = async {
        let (parts, body) = sender.send_request(request).await?.into_parts();
        let body = Limited::new(body, MAX_ANSWER).collect().await?.to_bytes();
        Ok((parts, body))
    };
    tokio::pin!(answering);
    // The connection moves the bytes of the request and the answer, and may end with the answer.
    tokio::select! {
        answer = &mut answering => answer,
        ended = connection => {
            ended?;
            answering.await
        }
    }
}

async fn tls(options: &PulsarOptions) -> Result<Arc<ClientConfig>, BoxError> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    for certificate in options.root_pem().await?.iter().flat_map(|pem| CertificateDer::pem_slice_iter(pem)) {
        roots.add(certificate?)?;
    }
    let provider = Arc::new(crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(Arc::new(config.with_root_certificates(roots).with_no_client_auth()))
}

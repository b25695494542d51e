//! Serves monitoring by HTTP on the housekeeping thread.
//!
//! Everything is bounded: connections, the octets of a request's head, the time in which it must
//! come, and the life of a connection. Bodies are not read.

use std::convert::Infallible;
use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::{CONNECTIONS_MAX, families};
use crate::connections::accept;
use crate::daemon::{Counted, Daemon};

/// How long the head of a request may take to come.
const HEAD_WAIT: Duration = Duration::from_secs(5);

/// How long a connection may last: some scrapes in a row.
const CONNECTION_LIFE: Duration = Duration::from_secs(120);

/// Octets of the longest head of a request.
const HEAD_LEN_MAX: usize = 8_192;

/// The type of what `/metrics` says.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The type of everything else.
const PLAIN: &str = "text/plain; charset=utf-8";

/// Serves the address for ever; dropping the future closes all connections.
///
/// # Errors
/// Where the socket cannot be registered with the runtime.
pub async fn serve(listener: TcpListener, daemon: Arc<Daemon>) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        let stream = accept(&listener, &mut connections).await;
        // Whoever comes when there is no place is shown out at once.
        if let Ok(place) = Arc::clone(&places).try_acquire_owned() {
            let daemon = Arc::clone(&daemon);
            connections.spawn(async move {
                let _too_long = timeout(CONNECTION_LIFE, converse(stream, daemon)).await;
                drop(place);
            });
        }
    }
}

/// Answers the requests of one connection.
async fn converse(stream: TcpStream, daemon: Arc<Daemon>) {
    let service = service_fn(move |request: Request<Incoming>| {
        let daemon = Arc::clone(&daemon);
        async move { Ok::<_, Infallible>(answer(&request, &daemon).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WAIT)
        .max_buf_size(HEAD_LEN_MAX)
        .serve_connection(TokioIo::new(stream), service);
    // What is no HTTP, or comes too slowly, ends the connection, and nothing else.
    let _gone = connection.await;
}

/// The response to one request. That to HEAD loses its body on the way.
async fn answer(request: &Request<Incoming>, daemon: &Daemon) -> Response<Full<Bytes>> {
    let path = request.uri().path();
    if !matches!(path, "/metrics" | "/health" | "/ready") {
        let there = "there are /metrics, /health and /ready\n";
        return response(StatusCode::NOT_FOUND, PLAIN, there.to_owned());
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let text = "GET and HEAD are answered\n".to_owned();
        let mut refusal = response(StatusCode::METHOD_NOT_ALLOWED, PLAIN, text);
        refusal.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return refusal;
    }
    match (path, daemon.counted().await) {
        (_, Err(error)) => response(StatusCode::SERVICE_UNAVAILABLE, PLAIN, error + "\n"),
        ("/metrics", Ok(counted)) => {
            response(StatusCode::OK, OPEN_METRICS, families::text(daemon, counted))
        }
        ("/ready", Ok(counted)) if !has_upstream(&counted) => {
            let text = "no upstream server answers\n".to_owned();
            response(StatusCode::SERVICE_UNAVAILABLE, PLAIN, text)
        }
        (_, Ok(_)) => response(StatusCode::OK, PLAIN, "ok\n".to_owned()),
    }
}

/// Whether some worker counts some server as up.
fn has_upstream(counted: &Counted) -> bool {
    counted.reports.iter().flat_map(|report| &report.upstreams).any(|server| !server.is_down)
}

/// A response.
fn response(status: StatusCode, kind: &'static str, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

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
use serde_json::json;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::{CONNECTIONS_MAX, families, page, status, upstreams};
use crate::connections::accept;
use crate::daemon::Daemon;

/// How long the head of a request may take to come.
const HEAD_WAIT: Duration = Duration::from_secs(5);

/// How long a connection may last: some scrapes in a row.
const CONNECTION_LIFE: Duration = Duration::from_secs(120);

/// Octets of the longest head of a request.
const HEAD_LEN_MAX: usize = 8_192;

/// The type of what `/metrics` says.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The type of what `/status.json` says.
const JSON: &str = "application/json";

/// Where the status page finds what it shows.
const STATUS: &str = "/status.json";

/// The type of everything else.
const PLAIN: &str = "text/plain; charset=utf-8";

/// Serves the address for ever, with the status page if it is wanted; dropping the future closes
/// all connections.
///
/// # Errors
/// Where the socket cannot be registered with the runtime.
pub async fn serve(listener: TcpListener, page: bool, daemon: Arc<Daemon>) -> io::Result<()> {
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
                let _too_long = timeout(CONNECTION_LIFE, converse(stream, page, daemon)).await;
                drop(place);
            });
        }
    }
}

/// Answers the requests of one connection.
async fn converse(stream: TcpStream, page: bool, daemon: Arc<Daemon>) {
    let service = service_fn(move |request: Request<Incoming>| {
        let daemon = Arc::clone(&daemon);
        async move { Ok::<_, Infallible>(answer(&request, page, &daemon).await) }
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
async fn answer(request: &Request<Incoming>, page: bool, daemon: &Daemon) -> Response<Full<Bytes>> {
    let path = request.uri().path();
    let file = page::file(path).filter(|_| page);
    let is_status = page && path == STATUS;
    if !matches!(path, "/metrics" | "/health" | "/ready") && !is_status && file.is_none() {
        let more = if page { ", /status.json and / for people" } else { "" };
        let there = format!("there are /metrics, /health and /ready{more}\n");
        return response(StatusCode::NOT_FOUND, PLAIN, there);
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let text = "GET and HEAD are answered\n";
        let mut refusal = response(StatusCode::METHOD_NOT_ALLOWED, PLAIN, text);
        refusal.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return refusal;
    }
    if let Some((kind, text)) = file {
        return page::guard(response(StatusCode::OK, kind, text));
    }
    match (path, daemon.counted().await) {
        (STATUS, Err(error)) => {
            let said = json!({ "schema": status::SCHEMA, "error": error }).to_string();
            page::guard(response(StatusCode::SERVICE_UNAVAILABLE, JSON, said + "\n"))
        }
        (STATUS, Ok(counted)) => {
            let said = status::of(daemon, &counted).to_string();
            page::guard(response(StatusCode::OK, JSON, said + "\n"))
        }
        (_, Err(error)) => response(StatusCode::SERVICE_UNAVAILABLE, PLAIN, error + "\n"),
        ("/metrics", Ok(counted)) => {
            response(StatusCode::OK, OPEN_METRICS, families::text(daemon, counted))
        }
        ("/ready", Ok(counted)) => match upstreams::unready(&counted) {
            Some(reason) => response(StatusCode::SERVICE_UNAVAILABLE, PLAIN, format!("{reason}\n")),
            None => response(StatusCode::OK, PLAIN, "ok\n"),
        },
        (_, Ok(_)) => response(StatusCode::OK, PLAIN, "ok\n"),
    }
}

/// A response.
fn response(
    status: StatusCode,
    kind: &'static str,
    text: impl Into<Bytes>,
) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(text.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

//! Serves the control socket on the housekeeping thread.

use std::io;
use std::os::unix::net::UnixListener;
use std::sync::Arc;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::{
    CONNECTIONS_MAX, IDLE_WAIT, REQUEST_LEN_MAX, Request, drain, dump_cache, flush, log_level,
    lookup, parse_request, reload, reply_line, stats, status, top, trace,
};
use crate::connections::accept;
use crate::reload::Reloader;

/// Serves the socket for ever; dropping the future closes all connections.
///
/// # Errors
/// Where the socket cannot be registered with the runtime.
pub async fn serve(listener: UnixListener, reloader: Arc<Reloader>) -> io::Result<()> {
    let listener = tokio::net::UnixListener::from_std(listener)?;
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        let stream = accept(&listener, &mut connections).await;
        match Arc::clone(&places).try_acquire_owned() {
            Ok(place) => {
                let reloader = Arc::clone(&reloader);
                connections.spawn(async move {
                    // Whoever has gone needs no reply.
                    let _gone = converse(stream, &reloader).await;
                    drop(place);
                });
            }
            Err(_) => {
                let error = format!("more than {CONNECTIONS_MAX} connections: try again");
                // Fits the buffer of a new socket, so nobody waits for it.
                let _gone = stream.try_write(format!("{}\n", reply_line(&Err(error))).as_bytes());
            }
        }
    }
}

/// Answers the requests of one connection, one after the other.
async fn converse(stream: UnixStream, reloader: &Reloader) -> io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    let mut line = Vec::new();
    loop {
        line.clear();
        let mut bounded = (&mut reader).take(REQUEST_LEN_MAX as u64);
        let read = bounded.read_until(b'\n', &mut line);
        let Ok(read) = timeout(IDLE_WAIT, read).await.map_err(io::Error::from).flatten() else {
            return Ok(());
        };
        if read == 0 {
            return Ok(());
        }
        let is_whole = line.last() == Some(&b'\n');
        let result = if is_whole {
            match parse_request(&line) {
                Ok(request) => answer(reloader, request).await,
                Err(error) => Err(error),
            }
        } else {
            Err(format!("a request is one line of at most {REQUEST_LEN_MAX} octets"))
        };
        let mut reply = reply_line(&result);
        reply.push('\n');
        timeout(IDLE_WAIT, writer.write_all(reply.as_bytes())).await??;
        if !is_whole {
            return Ok(());
        }
    }
}

/// Carries out one request.
async fn answer(reloader: &Reloader, request: Request) -> Result<Value, String> {
    let daemon = reloader.daemon();
    match request {
        Request::DumpCache { scope, worker, from } => {
            dump_cache::answer(daemon, scope, worker, from).await
        }
        Request::Flush { scope } => flush::answer(daemon, scope).await,
        Request::Lookup { name } => lookup::answer(daemon, &name).await,
        Request::LogLevel { level } => log_level::answer(reloader, level.as_deref()).await,
        Request::Reload { diff } => reload::answer(reloader, diff).await,
        Request::Status {} => Ok(status::answer(daemon)),
        Request::Stats {} => stats::answer(daemon).await,
        Request::Top(wanted) => top::answer(daemon, &wanted).await,
        Request::Trace(question) => trace::answer(daemon, question).await,
        Request::Drain { pool, prefix } => drain::answer(daemon, &pool, &prefix, true).await,
        Request::Undrain { pool, prefix } => drain::answer(daemon, &pool, &prefix, false).await,
    }
}

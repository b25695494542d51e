//! The side of `dns64ctl`: one request, one reply.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use super::{REPLY_LEN_MAX, REPLY_WAIT, Request, SCHEMA};

/// Asks the `dns64d` behind a control socket.
///
/// # Errors
/// [`ClientError`]: nobody answers there, or the answer is an error.
pub fn ask(socket: &Path, request: &Request) -> Result<Value, ClientError> {
    ask_for(socket, request, Duration::ZERO)
}

/// As [`ask`], for a request that takes so long.
///
/// # Errors
/// As [`ask`].
pub fn ask_for(socket: &Path, request: &Request, lasts: Duration) -> Result<Value, ClientError> {
    let failed = |error| ClientError::Io { socket: socket.to_owned(), error };
    let mut stream = UnixStream::connect(socket).map_err(failed)?;
    stream.set_read_timeout(Some(lasts + REPLY_WAIT)).map_err(failed)?;
    stream.set_write_timeout(Some(REPLY_WAIT)).map_err(failed)?;
    let mut line = serde_json::to_string(request).map_err(|error| failed(error.into()))?;
    line.push('\n');
    stream.write_all(line.as_bytes()).map_err(failed)?;
    let mut reply = String::new();
    BufReader::new(stream.take(REPLY_LEN_MAX)).read_line(&mut reply).map_err(failed)?;
    read_reply(&reply).map_err(|reason| ClientError::Reply { socket: socket.to_owned(), reason })
}

/// The result in a reply line, or the error it tells.
fn read_reply(line: &str) -> Result<Value, String> {
    if !line.ends_with('\n') {
        return Err("the connection was closed before the end of the reply".to_owned());
    }
    let mut reply: Value =
        serde_json::from_str(line).map_err(|error| format!("the reply is no JSON: {error}"))?;
    if let Some(error) = reply["error"].as_str() {
        return Err(error.to_owned());
    }
    if reply["schema"] != SCHEMA {
        let schema = &reply["schema"];
        return Err(format!(
            "the reply has schema {schema}, and this dns64ctl knows {SCHEMA}: use the one of the \
             same version as dns64d"
        ));
    }
    Ok(reply["result"].take())
}

/// Why there is no result.
#[derive(Debug)]
pub enum ClientError {
    /// The socket does not answer.
    Io {
        /// The socket.
        socket: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// The reply is an error, or none that is understood.
    Reply {
        /// The socket.
        socket: PathBuf,
        /// What it says.
        reason: String,
    },
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { socket, error } => {
                write!(f, "{}: {error}", socket.display())?;
                let kind = error.kind();
                if matches!(kind, io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) {
                    write!(
                        f,
                        "\n  hint: no dns64d has its control socket there: [control] socket in \
                         its configuration names it, --socket here"
                    )?;
                }
                if kind == io::ErrorKind::PermissionDenied {
                    write!(
                        f,
                        "\n  hint: the mode and group of the socket say who may ask: [control] \
                         mode and group"
                    )?;
                }
                Ok(())
            }
            Self::Reply { socket, reason } => write!(f, "{}: {reason}", socket.display()),
        }
    }
}

impl std::error::Error for ClientError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_is_a_result_or_an_error() {
        let result = read_reply("{\"schema\":1,\"result\":{\"a\":1}}\n");
        assert_eq!(result.unwrap()["a"], 1);
        let error = read_reply("{\"schema\":1,\"error\":\"no\"}\n").unwrap_err();
        assert_eq!(error, "no");
        for (line, said) in [
            ("", "closed before the end"),
            ("{\"schema\":1,\"result\":{}}", "closed before the end"),
            ("{\"schema\":2,\"result\":{}}\n", "schema 2"),
            ("hello\n", "no JSON"),
        ] {
            let error = read_reply(line).unwrap_err();
            assert!(error.contains(said), "{error}");
        }
    }
}

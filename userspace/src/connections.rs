//! Takes in the connections of the small servers on the housekeeping thread: the control socket and
//! monitoring.

use std::io;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::task::JoinSet;
use tokio::time::sleep;

/// How long nobody is taken in after that has failed.
const FAILURE_WAIT: Duration = Duration::from_millis(100);

/// A socket that takes connections.
pub trait Listener {
    /// A connection.
    type Stream;

    /// The next connection.
    ///
    /// # Errors
    /// What the system says: that too many files are open, mostly.
    fn next(&self) -> impl Future<Output = io::Result<Self::Stream>> + Send;
}

impl Listener for UnixListener {
    type Stream = UnixStream;

    async fn next(&self) -> io::Result<UnixStream> {
        self.accept().await.map(|(stream, _)| stream)
    }
}

impl Listener for TcpListener {
    type Stream = TcpStream;

    async fn next(&self) -> io::Result<TcpStream> {
        self.accept().await.map(|(stream, _)| stream)
    }
}

/// Waits for the next connection, and meanwhile lets go of those that have ended.
pub async fn accept<L: Listener>(listener: &L, connections: &mut JoinSet<()>) -> L::Stream {
    loop {
        tokio::select! {
            accepted = listener.next() => match accepted {
                Ok(stream) => return stream,
                // Out of files, most likely: whoever waits is taken in later.
                Err(_) => sleep(FAILURE_WAIT).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

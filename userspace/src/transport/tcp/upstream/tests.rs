//! Upstream servers on loopback, played by the test.

use std::future::Future;

use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::time::timeout;

use super::*;
use crate::transport::inbox::Inbox;
use crate::transport::task_inbox::TaskSender;

/// A server to be asked, and the worker's end.
struct Fixture {
    /// The server.
    listener: TcpListener,
    /// Where the worker asks.
    queries: TaskSender<UpstreamTcpQuery>,
    /// Where it hears.
    inbox: Inbox<UpstreamTcpReply>,
}

/// Runs a test beside the transport, ten seconds at most.
fn with_upstream<F: Future<Output = ()>>(test: impl FnOnce(Fixture) -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let queries = TaskInbox::new(1_024);
        let inbox = Inbox::new(1_024).unwrap();
        let replies = vec![inbox.sender()];
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let fixture = Fixture { listener, queries: queries.sender(), inbox };
        tokio::select! {
            () = run(queries, replies) => {}
            result = timeout(Duration::from_secs(10), test(fixture)) => {
                result.expect("the test ends in time");
            }
        }
    });
}

impl Fixture {
    /// Asks for a message, with this many milliseconds of time.
    fn ask(&self, token: u64, bytes: &[u8], timeout_ms: u64) {
        let query = UpstreamTcpQuery {
            epoch: Epoch::default(),
            worker: WorkerId(0),
            token,
            server: UpstreamId(4),
            address: self.listener.local_addr().unwrap(),
            bytes: bytes.to_vec(),
            timeout: Duration::from_millis(timeout_ms),
        };
        self.queries.try_send(query).unwrap();
    }

    /// The next reply: token and result.
    async fn reply(&self) -> (u64, Result<Vec<u8>, TcpFailure>) {
        loop {
            if let Some(reply) = self.inbox.pop() {
                assert_eq!(reply.server, UpstreamId(4));
                return (reply.token, reply.result);
            }
            sleep(Duration::from_millis(1)).await;
        }
    }

    /// The next connection, at the server.
    async fn accept(&self) -> TcpStream {
        self.listener.accept().await.unwrap().0
    }
}

/// Reads one message.
async fn read(stream: &mut TcpStream) -> Vec<u8> {
    let len = stream.read_u16().await.unwrap();
    let mut message = vec![0; usize::from(len)];
    stream.read_exact(&mut message).await.unwrap();
    message
}

#[test]
fn one_connection_carries_many_queries_and_their_responses_in_any_order() {
    with_upstream(|fixture| async move {
        fixture.ask(1, &[0, 1, 10], 5_000);
        fixture.ask(2, &[0, 2, 20], 5_000);
        let mut server = fixture.accept().await;
        assert_eq!(read(&mut server).await, [0, 1, 10]);
        assert_eq!(read(&mut server).await, [0, 2, 20]);
        server.write_all(&[0, 3, 0, 2, 22, 0, 3, 0, 1, 11]).await.unwrap();
        assert_eq!(fixture.reply().await, (2, Ok(vec![0, 2, 22])));
        assert_eq!(fixture.reply().await, (1, Ok(vec![0, 1, 11])));
        // The connection is kept, and the ID free again.
        fixture.ask(3, &[0, 1, 30], 5_000);
        assert_eq!(read(&mut server).await, [0, 1, 30]);
    });
}

#[test]
fn two_queries_of_one_id_take_two_connections() {
    with_upstream(|fixture| async move {
        fixture.ask(1, &[7, 7, 1], 5_000);
        fixture.ask(2, &[7, 7, 2], 5_000);
        let (mut first, mut second) = (fixture.accept().await, fixture.accept().await);
        let asked = [read(&mut first).await[2], read(&mut second).await[2]];
        first.write_all(&[0, 3, 7, 7, 100 + asked[0]]).await.unwrap();
        second.write_all(&[0, 3, 7, 7, 100 + asked[1]]).await.unwrap();
        for _ in 0..2 {
            let (token, result) = fixture.reply().await;
            assert_eq!(result, Ok(vec![7, 7, 100 + token as u8]));
        }
    });
}

#[test]
fn more_queries_of_one_id_than_connections_are_too_many() {
    with_upstream(|fixture| async move {
        for token in 0..=CONNECTIONS_MAX as u64 {
            fixture.ask(token, &[7, 7], 5_000);
        }
        assert_eq!(fixture.reply().await, (CONNECTIONS_MAX as u64, Err(TcpFailure::Busy)));
    });
}

#[test]
fn a_connection_closed_by_the_server_is_opened_again_once() {
    with_upstream(|fixture| async move {
        fixture.ask(1, &[0, 1], 5_000);
        let mut server = fixture.accept().await;
        read(&mut server).await;
        drop(server);
        let mut server = fixture.accept().await;
        assert_eq!(read(&mut server).await, [0, 1]);
        server.write_all(&[0, 2, 0, 1]).await.unwrap();
        assert_eq!(fixture.reply().await, (1, Ok(vec![0, 1])));

        fixture.ask(2, &[0, 2], 5_000);
        read(&mut server).await;
        drop(server);
        let mut server = fixture.accept().await;
        read(&mut server).await;
        drop(server);
        assert_eq!(fixture.reply().await, (2, Err(TcpFailure::Closed)));
    });
}

#[test]
fn a_server_that_does_not_listen_is_a_failure_to_connect() {
    with_upstream(|mut fixture| async move {
        let gone = fixture.listener.local_addr().unwrap();
        fixture.listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let query = UpstreamTcpQuery {
            epoch: Epoch::default(),
            worker: WorkerId(0),
            token: 1,
            server: UpstreamId(4),
            address: gone,
            bytes: vec![0, 1],
            timeout: Duration::from_secs(5),
        };
        fixture.queries.try_send(query).unwrap();
        assert_eq!(fixture.reply().await, (1, Err(TcpFailure::Connect)));
    });
}

#[test]
fn a_query_without_response_times_out_and_its_connection_takes_no_more() {
    with_upstream(|fixture| async move {
        fixture.ask(1, &[0, 1], 30);
        fixture.ask(2, &[0, 2], 5_000);
        let mut silent = fixture.accept().await;
        assert_eq!(fixture.reply().await, (1, Err(TcpFailure::Timeout)));
        fixture.ask(3, &[0, 1], 5_000);
        let mut other = fixture.accept().await;
        assert_eq!(read(&mut other).await, [0, 1]);
        // What was under way on the first is not lost.
        assert_eq!((read(&mut silent).await, read(&mut silent).await), (vec![0, 1], vec![0, 2]));
        silent.write_all(&[0, 2, 0, 2]).await.unwrap();
        assert_eq!(fixture.reply().await, (2, Ok(vec![0, 2])));
    });
}

#[test]
fn a_response_that_nobody_asked_for_ends_the_connection() {
    with_upstream(|fixture| async move {
        fixture.ask(1, &[0, 1], 5_000);
        let mut server = fixture.accept().await;
        read(&mut server).await;
        server.write_all(&[0, 2, 9, 9]).await.unwrap();
        let mut server = fixture.accept().await;
        assert_eq!(read(&mut server).await, [0, 1]);
        server.write_all(&[0, 2, 0, 1]).await.unwrap();
        assert_eq!(fixture.reply().await, (1, Ok(vec![0, 1])));
    });
}

#[test]
fn what_is_no_message_gets_a_failure() {
    with_upstream(|fixture| async move {
        fixture.ask(1, &[0], 5_000);
        let _server = fixture.accept().await;
        assert_eq!(fixture.reply().await, (1, Err(TcpFailure::Closed)));
    });
}

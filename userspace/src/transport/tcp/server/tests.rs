//! TCP clients on loopback. Workers are played by the test.

use std::future::Future;
use std::net::TcpListener as StdListener;

use tokio::io::AsyncReadExt;

use super::*;
use crate::transport::inbox::Inbox;
use crate::transport::task_inbox::TaskSender;

/// A served address, and the workers' end of it.
struct Fixture {
    /// Where clients connect.
    address: SocketAddr,
    /// What the worker is given.
    inbox: Inbox<Inbound>,
    /// Where it replies.
    replies: TaskSender<TcpReply>,
    /// What happened.
    counters: Arc<TcpCounters>,
}

/// Runs a test beside the server, ten seconds at most.
fn with_server<F: Future<Output = ()>>(
    settings: TcpSettings,
    inbox_len: usize,
    test: impl FnOnce(Fixture) -> F,
) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let listeners: Vec<StdListener> =
            listen(&["127.0.0.1:0".parse().unwrap()], &mut PassedSockets::default()).unwrap();
        let inbox = Inbox::new(inbox_len).unwrap();
        let replies = TaskInbox::new(64);
        let counters = Arc::new(TcpCounters::default());
        let fixture = Fixture {
            address: listeners[0].local_addr().unwrap(),
            replies: replies.sender(),
            counters: Arc::clone(&counters),
            inbox,
        };
        let queries = TcpQueries::new(vec![fixture.inbox.sender()]);
        let test = timeout(Duration::from_secs(10), test(fixture));
        tokio::select! {
            result = serve(listeners, settings, queries, replies, counters) => result.unwrap(),
            result = test => result.expect("the test ends in time"),
        }
    });
}

impl Fixture {
    /// A new connection.
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// The next query that reaches the worker.
    async fn query(&self) -> Inbound {
        loop {
            if let Some(query) = self.inbox.pop() {
                return query;
            }
            sleep(Duration::from_millis(1)).await;
        }
    }

    /// Replies as a worker.
    fn reply(&self, query: &Inbound, bytes: &[u8]) {
        let Channel::Tcp { connection, .. } = query.client.channel else { panic!("over TCP") };
        self.replies.try_send(TcpReply { connection, bytes: bytes.to_vec() }).unwrap();
    }
}

/// Reads one message.
async fn read(stream: &mut TcpStream) -> Vec<u8> {
    let len = stream.read_u16().await.unwrap();
    let mut message = vec![0; usize::from(len)];
    stream.read_exact(&mut message).await.unwrap();
    message
}

/// Whether the other end closes the connection, with or without a reset.
async fn is_closed(stream: &mut TcpStream) -> bool {
    matches!(stream.read(&mut [0]).await, Ok(0) | Err(_))
}

#[test]
fn pipelined_queries_are_answered_in_any_order() {
    with_server(TcpSettings::default(), 8, |fixture| async move {
        let mut client = fixture.connect().await;
        client.write_all(&[0, 3, b'o', b'n', b'e', 0, 3, b't', b'w', b'o']).await.unwrap();
        let (one, two) = (fixture.query().await, fixture.query().await);
        assert_eq!((&one.bytes[..], &two.bytes[..]), (&b"one"[..], &b"two"[..]));
        assert_eq!(one.client.peer, client.local_addr().unwrap());
        assert_eq!(one.client.local, fixture.address.ip());
        fixture.reply(&two, b"second");
        fixture.reply(&one, b"first");
        assert_eq!(read(&mut client).await, b"second");
        assert_eq!(read(&mut client).await, b"first");
    });
}

#[test]
fn a_message_may_come_one_octet_at_a_time() {
    with_server(TcpSettings::default(), 8, |fixture| async move {
        let mut client = fixture.connect().await;
        client.set_nodelay(true).unwrap();
        for octet in [0, 4, 1, 2, 3, 4] {
            assert!(fixture.inbox.pop().is_none());
            client.write_all(&[octet]).await.unwrap();
            sleep(Duration::from_millis(2)).await;
        }
        assert_eq!(fixture.query().await.bytes, [1, 2, 3, 4]);
    });
}

#[test]
fn a_client_that_sends_no_more_still_gets_its_replies() {
    with_server(TcpSettings::default(), 8, |fixture| async move {
        let mut client = fixture.connect().await;
        client.write_all(&[0, 1, 7]).await.unwrap();
        client.shutdown().await.unwrap();
        let query = fixture.query().await;
        fixture.reply(&query, b"reply");
        assert_eq!(read(&mut client).await, b"reply");
        assert!(is_closed(&mut client).await);
    });
}

#[test]
fn idle_connections_and_unfinished_messages_time_out() {
    let settings = TcpSettings {
        idle_timeout: Duration::from_millis(40),
        message_timeout: Duration::from_millis(80),
        ..TcpSettings::default()
    };
    with_server(settings, 8, |fixture| async move {
        let start = Instant::now();
        let mut idle = fixture.connect().await;
        let mut unfinished = fixture.connect().await;
        unfinished.write_all(&[0, 9, 1]).await.unwrap();
        assert!(is_closed(&mut idle).await);
        assert!(start.elapsed() >= settings.idle_timeout);
        assert!(is_closed(&mut unfinished).await);
        assert!(start.elapsed() >= settings.message_timeout);
        assert_eq!(fixture.counters.timed_out.load(Ordering::Relaxed), 2);
    });
}

#[test]
fn a_query_under_way_keeps_the_connection_open_and_no_reply_frees_it() {
    let idle_timeout = Duration::from_millis(30);
    let settings = TcpSettings { idle_timeout, ..TcpSettings::default() };
    with_server(settings, 8, |fixture| async move {
        let mut client = fixture.connect().await;
        client.write_all(&[0, 1, 7]).await.unwrap();
        let query = fixture.query().await;
        assert!(timeout(idle_timeout * 4, is_closed(&mut client)).await.is_err());
        fixture.reply(&query, b"");
        assert!(is_closed(&mut client).await);
    });
}

#[test]
fn too_many_queries_under_way_wait_in_the_socket() {
    let settings = TcpSettings { queries_per_connection_max: 2, ..TcpSettings::default() };
    with_server(settings, 8, |fixture| async move {
        let mut client = fixture.connect().await;
        client.write_all(&[0, 1, 1, 0, 1, 2, 0, 1, 3]).await.unwrap();
        let first = fixture.query().await;
        fixture.query().await;
        sleep(Duration::from_millis(20)).await;
        assert!(fixture.inbox.pop().is_none());
        fixture.reply(&first, b"done");
        assert_eq!(fixture.query().await.bytes, [3]);
        assert_eq!(read(&mut client).await, b"done");
    });
}

#[test]
fn a_query_that_no_worker_has_room_for_is_not_lost() {
    with_server(TcpSettings::default(), 1, |fixture| async move {
        let mut client = fixture.connect().await;
        client.write_all(&[0, 1, 1, 0, 1, 2, 0, 1, 3]).await.unwrap();
        sleep(Duration::from_millis(20)).await;
        for number in [1, 2, 3] {
            assert_eq!(fixture.query().await.bytes, [number]);
        }
    });
}

#[test]
fn a_new_connection_takes_the_place_of_an_idle_one_but_not_of_a_busy_one() {
    let settings = TcpSettings { connections_max: 1, ..TcpSettings::default() };
    with_server(settings, 8, |fixture| async move {
        let mut first = fixture.connect().await;
        let mut second = fixture.connect().await;
        assert!(is_closed(&mut first).await);
        second.write_all(&[0, 1, 7]).await.unwrap();
        let query = fixture.query().await;
        let mut third = fixture.connect().await;
        assert!(is_closed(&mut third).await);
        fixture.reply(&query, b"reply");
        assert_eq!(read(&mut second).await, b"reply");
        assert_eq!(fixture.counters.evicted.load(Ordering::Relaxed), 1);
        assert_eq!(fixture.counters.refused.load(Ordering::Relaxed), 1);
    });
}

#[test]
fn a_client_that_does_not_read_is_cut_off() {
    let write_timeout = Duration::from_millis(50);
    let settings = TcpSettings { write_timeout, ..TcpSettings::default() };
    with_server(settings, 64, |fixture| async move {
        let mut client = fixture.connect().await;
        let counters = Arc::clone(&fixture.counters);
        // 400 replies of 65 535 octets are more than any socket buffers.
        for _ in 0..400 {
            if client.write_all(&[0, 1, 7]).await.is_err() {
                break;
            }
            let Ok(query) = timeout(Duration::from_millis(500), fixture.query()).await else {
                break;
            };
            fixture.reply(&query, &[9; 65_535]);
            if counters.slow_readers.load(Ordering::Relaxed) > 0 {
                break;
            }
        }
        assert_eq!(counters.slow_readers.load(Ordering::Relaxed), 1);
    });
}

#[test]
fn a_message_without_octets_ends_the_connection() {
    with_server(TcpSettings::default(), 8, |fixture| async move {
        let mut client = fixture.connect().await;
        client.write_all(&[0, 0, 0, 1, 7]).await.unwrap();
        assert!(is_closed(&mut client).await);
        assert_eq!(fixture.counters.out_of_step.load(Ordering::Relaxed), 1);
    });
}

#[test]
fn a_reply_to_a_connection_that_is_gone_is_discarded() {
    with_server(TcpSettings::default(), 8, |fixture| async move {
        let mut client = fixture.connect().await;
        client.write_all(&[0, 1, 7]).await.unwrap();
        let gone = fixture.query().await;
        drop(client);
        fixture.reply(&gone, b"late");
        let mut client = fixture.connect().await;
        client.write_all(&[0, 1, 8]).await.unwrap();
        let query = fixture.query().await;
        assert_ne!(query.client.channel, gone.client.channel);
        fixture.reply(&gone, b"later");
        fixture.reply(&query, b"mine");
        assert_eq!(read(&mut client).await, b"mine");
    });
}

#[test]
fn a_port_in_use_is_told_so() {
    let taken = StdListener::bind("127.0.0.1:0").unwrap();
    let error = listen(&[taken.local_addr().unwrap()], &mut PassedSockets::default()).unwrap_err();
    assert!(error.to_string().contains("another program has this port"), "{error}");
}

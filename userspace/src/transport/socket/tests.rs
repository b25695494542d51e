//! Listen sockets on loopback.

use std::time::Duration;

use super::*;
use crate::sys::mmsg::MessageBatch;

/// Parses listen addresses.
fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

#[test]
fn all_workers_share_the_ports_chosen_first() {
    let listen = addresses(&["127.0.0.1:0", "127.0.0.2:0", "[::1]:0"]);
    let workers = open_all(&listen, 3).unwrap();
    assert_eq!(workers.len(), 3);
    for worker in &workers {
        assert_eq!(worker.len(), 3);
        assert_eq!(worker.local_addresses(), workers[0].local_addresses());
    }
    for (chosen, asked) in workers[0].local_addresses().iter().zip(&listen) {
        assert_eq!(chosen.ip(), asked.ip());
        assert_ne!(chosen.port(), 0);
    }
}

#[test]
fn every_query_reaches_exactly_one_worker_and_many_flows_reach_all() {
    let workers = open_all(&addresses(&["127.0.0.1:0"]), 2).unwrap();
    let server = workers[0].local_addresses()[0];
    let askers: Vec<_> = (0..48).map(|_| UdpSocket::bind("127.0.0.1:0").unwrap()).collect();
    for asker in &askers {
        asker.send_to(b"query", server).unwrap();
    }
    let mut batch = MessageBatch::new();
    let mut received = [0, 0];
    for (worker, count) in workers.iter().zip(&mut received) {
        let mut poller = Poller::new().unwrap();
        worker.register(&poller).unwrap();
        // The chance that 48 flows miss one of two workers is 2^-47.
        assert_eq!(poller.wait(Some(Duration::from_secs(5))).unwrap(), 1);
        assert_eq!(poller.token(0), Some(Token::Listen(0)));
        *count = batch.recv(worker.socket(0).unwrap(), 0).unwrap();
    }
    assert_eq!(received[0] + received[1], 48);
    assert!(received.iter().all(|count| *count > 0));
    assert!(workers[0].socket(1).is_none());
}

#[test]
fn a_wildcard_and_a_special_address_may_share_a_port() {
    let port = open_all(&addresses(&["127.0.0.3:0"]), 1).unwrap()[0].local_addresses()[0].port();
    let listen = [
        SocketAddr::new("0.0.0.0".parse().unwrap(), port),
        SocketAddr::new("127.0.0.3".parse().unwrap(), port),
        SocketAddr::new("::".parse().unwrap(), port),
    ];
    open_all(&listen, 2).unwrap();
}

#[test]
fn a_port_that_another_program_shares_is_still_in_use() {
    let other = open_all(&addresses(&["127.0.0.1:0"]), 1).unwrap();
    let taken = other[0].local_addresses()[0];
    let error = open_all(&[taken], 2).unwrap_err();
    assert_eq!((error.call, error.errno), (BindCall::Bind, Errno::ADDRINUSE));
    assert_eq!(
        error.to_string(),
        format!(
            "cannot listen on {taken}: bind: Address already in use (os error 98); \
             another program has this port: stop it, or listen elsewhere"
        )
    );
    drop(other);
    open_all(&[taken], 2).unwrap();
}

#[test]
fn an_address_of_no_interface_is_told_so() {
    let error = open_all(&addresses(&["192.0.2.250:5364"]), 1).unwrap_err();
    assert_eq!(error.errno, Errno::ADDRNOTAVAIL);
    assert!(error.to_string().ends_with(
        "no interface has this address: add it to one, or listen on a wildcard address"
    ));
}

#[test]
fn a_missing_right_names_the_capability() {
    let address = "127.0.0.1:53".parse().unwrap();
    let error = BindError::new(address, BindCall::Bind, &Errno::ACCESS.into());
    assert!(error.to_string().ends_with("run as root or give CAP_NET_BIND_SERVICE"));
}

//! Another configuration while the XDP program answers.

use std::fs;
use std::net::SocketAddr;

use dns64_tests::program::dns64d;
use dns64_tests::server::Server;
use rustix::process::Signal;

use crate::hot::hot;
use crate::message::{AAAA, query, rcode, without_ttls};
use crate::network::{LIMIT, Network, V6, XDP, ask_by, pass_program, stop};

/// Writes other words into a configuration, and has it be read again.
fn reload(server: &mut Server, config: &str, words: &[(&str, &str)]) {
    let mut text = fs::read_to_string(config).expect("it is there");
    for (before, after) in words {
        text = text.replace(before, after);
    }
    fs::write(config, text).expect("it can be written");
    server.signal(Signal::HUP);
    server.wait_for("another configuration is in force", LIMIT);
}

#[test]
fn who_is_dropped_inside_xdp_changes_also_where_nothing_is_answered_there() {
    let Some(network) = Network::new() else { return };
    let dropped = "2001:db8:1::bad";
    network.client.address("eth0", &format!("{dropped}/64"));
    let datapath = format!("{XDP}\nhot_answers = false");
    let config = network.config(1, &datapath, "");
    let text = fs::read_to_string(&config).expect("it is there");
    fs::write(&config, format!("drop = [\"{dropped}\"]\n{text}")).expect("it can be written");
    let mut server = network.responder.spawn(dns64d(), &["--config", &config]);
    server.wait_for(" ready ", LIMIT);
    let question = query(7, "a-11-22-33-44.v4.test", AAAA);
    assert_eq!(rcode(&network.ask(V6, &question)), 0);
    let stranger = network.socket(&format!("[{dropped}]:0"));
    let to: SocketAddr = V6.parse().expect("an address");
    stranger.send_to(&question, to).expect("the cable is there");
    assert!(stranger.recv(&mut [0; 512]).is_err(), "it is dropped");

    let others = [(&*format!("drop = [\"{dropped}\"]"), "drop = []")];
    reload(&mut server, &config, &others);
    assert_eq!(rcode(&ask_by(&stranger, V6, &question)), 5, "allow has it refused");
    let books = stop(server);
    books.balance();
    assert_eq!(books.get("denied"), 1);
}

#[test]
fn what_was_published_ends_with_its_configuration_and_the_program_knows_the_new_clients() {
    let Some(network) = Network::new() else { return };
    let _other_end = pass_program(&network.client);
    network.client.address("eth0", "2001:db8:1::bad/64");
    let datapath = hot("");
    let mut server = network.start(1, &datapath);
    let [welcome, unwelcome] =
        ["[2001:db8:1::2]:0", "[2001:db8:1::bad]:0"].map(|from| network.socket(from));
    let question = query(7, "a-11-22-33-44.v4.test", AAAA);
    let ask = |socket| without_ttls(&ask_by(socket, V6, &question));
    let ends = |reply: &[u8], prefix: u8| {
        let address = [0x20, 1, 0xd, 0xb8, 0, prefix, 0, 0, 0, 0, 0, 0, 11, 22, 33, 44];
        reply.windows(16).any(|window| window == address)
    };
    for _ in 0..3_000 {
        assert!(ends(&ask(&welcome), 0x64));
    }
    assert_eq!(rcode(&ask(&unwelcome)), 5);

    let config = network.config(1, &datapath, "");
    reload(&mut server, &config, &[("2001:db8:64::/96", "2001:db8:65::/96"), ("::bad", "::2")]);
    for _ in 0..3_000 {
        assert!(ends(&ask(&unwelcome), 0x65));
    }
    assert_eq!(rcode(&ask(&welcome)), 5);
    let books = stop(server);
    books.balance();
    let kernel = books.get("kernel_answers");
    assert!(kernel > 2_000, "{kernel}: both configurations were answered inside XDP");
}

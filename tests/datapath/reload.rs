//! Another configuration while the XDP program answers.

use std::fs;

use rustix::process::Signal;

use crate::hot::hot;
use crate::message::{AAAA, query, rcode, without_ttls};
use crate::network::{LIMIT, Network, V6, ask_by, pass_program, stop};

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
    let text = fs::read_to_string(&config).expect("it is there");
    let text = text.replace("2001:db8:64::/96", "2001:db8:65::/96").replace("::bad", "::2");
    fs::write(&config, text).expect("it can be written");
    server.signal(Signal::HUP);
    server.wait_for("another configuration is in force", LIMIT);
    for _ in 0..3_000 {
        assert!(ends(&ask(&unwelcome), 0x65));
    }
    assert_eq!(rcode(&ask(&welcome)), 5);
    let books = stop(server);
    books.balance();
    let kernel = books.get("kernel_answers");
    assert!(kernel > 2_000, "{kernel}: both configurations were answered inside XDP");
}

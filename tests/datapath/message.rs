//! Queries as octets, and replies without what may differ.

use hickory_proto::op::Message;

/// QTYPEs.
pub(crate) const A: u16 = 1;
pub(crate) const PTR: u16 = 12;
pub(crate) const TXT: u16 = 16;
pub(crate) const AAAA: u16 = 28;
pub(crate) const RRSIG: u16 = 46;

/// A query with RD and one question.
pub(crate) fn query(id: u16, name: &str, qtype: u16) -> Vec<u8> {
    let [high, low] = id.to_be_bytes();
    let mut message = vec![high, low, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.trim_end_matches('.').split('.') {
        message.push(u8::try_from(label.len()).expect("labels are short"));
        message.extend(label.as_bytes());
    }
    message.push(0);
    message.extend(qtype.to_be_bytes());
    message.extend([0, 1]);
    message
}

/// A query with an OPT record: payload size, version, the flag DO, and options as octets.
pub(crate) fn query_edns(
    (id, name, qtype): (u16, &str, u16),
    payload: u16,
    version: u8,
    dnssec_ok: bool,
    options: &[u8],
) -> Vec<u8> {
    let mut message = query(id, name, qtype);
    message[11] = 1;
    message.extend([0, 0, 41]);
    message.extend(payload.to_be_bytes());
    message.extend([0, version, if dnssec_ok { 0x80 } else { 0 }, 0]);
    message.extend((options.len() as u16).to_be_bytes());
    message.extend(options);
    message
}

/// A reply with every TTL at zero: what is left must be the same whenever it is asked for.
pub(crate) fn without_ttls(reply: &[u8]) -> Vec<u8> {
    let mut reply = reply.to_vec();
    let mut at = 12;
    let counts: Vec<usize> = (0..4)
        .map(|index| usize::from(u16::from_be_bytes([reply[4 + 2 * index], reply[5 + 2 * index]])))
        .collect();
    for _ in 0..counts[0] {
        at = skip_name(&reply, at) + 4;
    }
    for _ in 0..counts[1..].iter().sum() {
        at = skip_name(&reply, at);
        let rtype = u16::from_be_bytes([reply[at], reply[at + 1]]);
        // The TTL of OPT is something else.
        if rtype != 41 {
            reply[at + 4..at + 8].fill(0);
        }
        at += 10 + usize::from(u16::from_be_bytes([reply[at + 8], reply[at + 9]]));
    }
    assert_eq!(at, reply.len(), "octets behind the last record");
    reply
}

/// The offset behind a name.
fn skip_name(message: &[u8], mut at: usize) -> usize {
    loop {
        match message[at] {
            0 => return at + 1,
            192.. => return at + 2,
            len => at += 1 + usize::from(len),
        }
    }
}

/// The RCODE in the header.
pub(crate) fn rcode(reply: &[u8]) -> u8 {
    reply[3] & 15
}

/// How many answers there are, by the second opinion on what a message is.
pub(crate) fn answer_count(reply: &[u8]) -> usize {
    Message::from_vec(reply).expect("a reply is a message").answers.len()
}

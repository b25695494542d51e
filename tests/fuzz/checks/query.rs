//! A message from a client is answered by something a client can read, or meets silence.

use dns64::limits::{UDP_PAYLOAD_LEN, UDP_RECEIVE_LEN};
use dns64::wire::{Class, Owner, Query, QueryError, ReplyBuilder, Rtype};
use hickory_proto::op::{Message, MessageType};

/// Checks one message.
pub(crate) fn check(bytes: &[u8]) {
    match Query::parse(bytes) {
        Ok(query) => check_reply(&query, bytes),
        Err(error) => check_error_reply(&error, bytes),
    }
}

/// Fills a reply with records until it is full, and reads it back.
fn check_reply(query: &Query<'_>, bytes: &[u8]) {
    let question = query.question_octets();
    assert_eq!(bytes.get(12..12 + question.len()), Some(question), "the question is where it was");
    let mut buffer = [0; UDP_RECEIVE_LEN];
    let limit = query.udp_limit(UDP_PAYLOAD_LEN);
    assert!((512..=UDP_PAYLOAD_LEN).contains(&limit));
    let mut reply = ReplyBuilder::new(&mut buffer, limit, query.header.id, query.reply_flags());
    let opt = query.reply_opt(UDP_PAYLOAD_LEN as u16);
    if opt.is_some() {
        reply.reserve_opt();
    }
    reply.question(question);
    let mut written = 0;
    while reply.record(Owner::QUESTION, Rtype::AAAA, Class::IN, 300, &[0xfd; 16]).is_ok() {
        written += 1;
    }
    assert!(written >= 8, "512 octets hold eight addresses");
    let len = reply.finish(opt.as_ref());
    assert!(len <= limit);
    let message = read_back(&buffer[..len]);
    assert_eq!(message.metadata.id, query.header.id);
    assert_eq!(message.answers.len(), written);
    assert_eq!(message.edns.is_some(), query.opt.is_some());
    assert_eq!(&buffer[12..12 + question.len()], question);
}

/// Writes the reply that tells of the fault, and reads it back.
fn check_error_reply(error: &QueryError<'_>, bytes: &[u8]) {
    let mut buffer = [0xaa; 512];
    let Some(len) = error.write_reply(bytes, UDP_PAYLOAD_LEN as u16, &mut buffer) else {
        assert!(bytes.len() < 12 || bytes[2] & 0x80 != 0, "silence is for what is no query");
        return;
    };
    let rcode = error.rcode.expect("a reply has an RCODE");
    let message = read_back(&buffer[..len]);
    assert_eq!(buffer[..2], bytes[..2], "the ID");
    assert_eq!(u16::from(message.metadata.response_code), rcode.0);
    assert_eq!(message.queries.len(), usize::from(error.question.is_some()));
    assert_eq!(message.edns.is_some(), error.opt.is_some());
    assert!(message.answers.is_empty() && message.authorities.is_empty());
}

/// Reads a reply as a client would.
fn read_back(reply: &[u8]) -> Message {
    let message = Message::from_vec(reply).expect("our own reply can be read");
    assert_eq!(message.metadata.message_type, MessageType::Response);
    assert!(message.metadata.recursion_available);
    message
}

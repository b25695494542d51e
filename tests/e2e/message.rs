//! Queries by hand, for what dig cannot show.

/// A query for the AAAA records of a name, with recursion desired and without EDNS.
pub(crate) fn query(id: u16, name: &str) -> Vec<u8> {
    let [high, low] = id.to_be_bytes();
    let mut message = vec![high, low, 0x01, 0x00, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        let len = u8::try_from(label.len()).expect("labels of tests are short");
        message.push(len);
        message.extend_from_slice(label.as_bytes());
    }
    message.extend_from_slice(&[0, 0, 28, 0, 1]);
    message
}

/// The ID of a message, if it is a response.
pub(crate) fn response_id(message: &[u8]) -> Option<u16> {
    let [high, low, flags, ..] = message else { return None };
    (flags & 0x80 != 0).then_some(u16::from_be_bytes([*high, *low]))
}

/// Whether a message has no error and at least one answer.
pub(crate) fn has_answer(message: &[u8]) -> bool {
    let [_, _, _, flags, _, _, high, low, ..] = message else { return false };
    flags & 0x0f == 0 && (*high, *low) != (0, 0)
}

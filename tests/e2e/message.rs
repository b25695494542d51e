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

/// The ID of a response that has answers and no error; `None` for anything else.
pub(crate) fn answered_id(message: &[u8]) -> Option<u16> {
    let header: &[u8; 12] = message.first_chunk()?;
    let is_response = header[2] & 0x80 != 0;
    let rcode = header[3] & 0x0f;
    let answer_count = u16::from_be_bytes([header[6], header[7]]);
    let id = u16::from_be_bytes([header[0], header[1]]);
    (is_response && rcode == 0 && answer_count > 0).then_some(id)
}

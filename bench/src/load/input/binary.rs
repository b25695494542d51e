//! dnsperf's binary form: messages with a length of two octets before each (RFC 1035 4.2.2).
#![forbid(unsafe_code)]

use std::io::BufRead;

use crate::load::encode::Encoder;
use crate::load::queries::QUERY_MAX;

use super::{InputError, TOO_MANY};

/// Reads all messages; returns how many there were.
pub(super) fn read(file: &mut impl BufRead, encoder: &mut Encoder) -> Result<u64, InputError> {
    let mut message = [0; QUERY_MAX];
    for number in 1.. {
        let wrong = |what: String| InputError::Message(number, what);
        let mut prefix = [0; 2];
        match fill(file, &mut prefix)? {
            0 => return Ok(number - 1),
            2 => {}
            _ => return Err(wrong("its length is cut".to_owned())),
        }
        let len = usize::from(u16::from_be_bytes(prefix));
        let Some(room) = message.get_mut(..len).filter(|room| room.len() >= 2) else {
            return Err(wrong(format!("a length of {len} octets; 2 to {QUERY_MAX} can be sent")));
        };
        let there = fill(file, room)?;
        if there < len {
            return Err(wrong(format!("only {there} of its {len} octets are there")));
        }
        if !encoder.push_encoded(room) {
            return Err(wrong(TOO_MANY.to_owned()));
        }
    }
    Ok(0)
}

/// Reads until the room is full or the file ends; returns how many octets.
pub(super) fn fill(file: &mut impl BufRead, room: &mut [u8]) -> Result<usize, InputError> {
    let mut len = 0;
    while len < room.len() {
        match file.read(&mut room[len..]) {
            Ok(0) => break,
            Ok(more) => len += more,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(len)
}

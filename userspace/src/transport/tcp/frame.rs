//! Messages in a stream: two octets of length before each (RFC 1035 4.2.2).

use std::io;

use tokio::net::TcpStream;

use crate::limits::MESSAGE_LEN_MAX;

/// Octets of the length prefix.
const PREFIX_LEN: usize = 2;

/// Room made for the first octets of a message. Most queries fit.
const FIRST_LEN: usize = 512;

/// A message of length 0 was announced, which no DNS message has: the stream is out of step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct EmptyMessage;

/// What has arrived of a stream and was not taken yet. Grows only with what arrives: announcing a
/// long message costs us nothing until its octets are here.
#[derive(Debug, Default)]
pub(super) struct FrameBuffer {
    /// What has arrived.
    octets: Vec<u8>,
    /// Where the first message not taken begins.
    start: usize,
}

impl FrameBuffer {
    /// Whether not even a part of a message is here.
    pub(super) const fn is_empty(&self) -> bool {
        self.start == self.octets.len()
    }

    /// Waits for octets and takes them; 0 is the end of the stream. May be given up while waiting
    /// without losing an octet.
    pub(super) async fn fill(&mut self, stream: &TcpStream) -> io::Result<usize> {
        loop {
            stream.readable().await?;
            self.make_room();
            match stream.try_read_buf(&mut self.octets) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.release(),
                result => return result,
            }
        }
    }

    /// Makes room for as much as is here already, within one message of the longest kind.
    fn make_room(&mut self) {
        self.octets.drain(..self.start);
        self.start = 0;
        let len = self.octets.len();
        let wanted = len.max(FIRST_LEN).min((PREFIX_LEN + MESSAGE_LEN_MAX).saturating_sub(len));
        self.octets.reserve(wanted.max(1));
    }

    /// The first whole message, if there is one.
    pub(super) fn message(&self) -> Result<Option<&[u8]>, EmptyMessage> {
        let rest = self.octets.get(self.start..).unwrap_or_default();
        let Some((prefix, rest)) = rest.split_first_chunk::<PREFIX_LEN>() else { return Ok(None) };
        match usize::from(u16::from_be_bytes(*prefix)) {
            0 => Err(EmptyMessage),
            len => Ok(rest.get(..len)),
        }
    }

    /// Takes the message that [`FrameBuffer::message`] showed, of this length.
    pub(super) fn consume(&mut self, message_len: usize) {
        self.start += PREFIX_LEN + message_len;
        debug_assert!(self.start <= self.octets.len());
        self.release();
    }

    /// Gives the memory back when nothing is in it: connections are idle most of their time, and
    /// there are many.
    fn release(&mut self) {
        if self.is_empty() {
            *self = Self::default();
        }
    }
}

/// Appends a message with its length prefix, in one piece so that both go in one segment (RFC
/// 7766 8). A message too long for a prefix is left out, and false returned.
pub(super) fn append(buffer: &mut Vec<u8>, message: &[u8]) -> bool {
    let Ok(len) = u16::try_from(message.len()) else { return false };
    buffer.extend_from_slice(&len.to_be_bytes());
    buffer.extend_from_slice(message);
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A buffer in which these octets have arrived.
    fn arrived(octets: &[u8]) -> FrameBuffer {
        let mut buffer = FrameBuffer::default();
        buffer.make_room();
        buffer.octets.extend_from_slice(octets);
        buffer
    }

    #[test]
    fn messages_come_out_one_by_one() {
        let mut buffer = arrived(&[0, 3, 1, 2, 3, 0, 1, 9, 0]);
        assert_eq!(buffer.message(), Ok(Some(&[1, 2, 3][..])));
        buffer.consume(3);
        assert_eq!(buffer.message(), Ok(Some(&[9][..])));
        buffer.consume(1);
        assert_eq!(buffer.message(), Ok(None));
        assert!(!buffer.is_empty());
    }

    #[test]
    fn a_part_of_a_message_is_none() {
        assert_eq!(arrived(&[]).message(), Ok(None));
        assert_eq!(arrived(&[1]).message(), Ok(None));
        assert_eq!(arrived(&[0, 2, 7]).message(), Ok(None));
        assert_eq!(arrived(&[0, 0]).message(), Err(EmptyMessage));
    }

    #[test]
    fn an_announced_length_takes_no_memory_and_an_empty_buffer_keeps_none() {
        let mut buffer = arrived(&[0xff, 0xff]);
        buffer.make_room();
        assert!(buffer.octets.capacity() <= 2 * FIRST_LEN);
        let mut buffer = arrived(&[&[0x40, 0][..], &[7; 0x4000]].concat());
        buffer.consume(0x4000);
        assert!(buffer.is_empty());
        assert_eq!(buffer.octets.capacity(), 0);
    }

    #[test]
    fn a_message_is_appended_with_its_length() {
        let mut buffer = Vec::new();
        assert!(append(&mut buffer, &[5, 6]));
        assert!(append(&mut buffer, &[7]));
        assert_eq!(buffer, [0, 2, 5, 6, 0, 1, 7]);
        assert!(!append(&mut buffer, &vec![0; MESSAGE_LEN_MAX + 1]));
    }
}

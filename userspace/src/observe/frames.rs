//! Frame Streams, the framing of dnstap, on the side that writes and both ways:
//!
//! ```text
//!   writer                     reader
//!     READY, content types  ──►
//!                           ◄──  ACCEPT, content types
//!     START, content type   ──►
//!     frames ...            ──►
//!     STOP                  ──►
//!                           ◄──  FINISH
//! ```
//!
//! A frame is its length, four octets, and its content; a length of zero begins a control frame,
//! which has a length of its own. All numbers are in network order.

use std::fmt;
use std::io::{self, Read, Write};

/// What our frames hold.
pub const CONTENT_TYPE: &[u8] = b"protobuf:dnstap.Dnstap";

/// Octets of the longest control frame.
const CONTROL_LEN_MAX: usize = 512;

/// The field of a control frame that names a content type.
const FIELD_CONTENT_TYPE: u32 = 1;

/// What control frames say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// The reader takes these content types.
    Accept = 1,
    /// Frames follow.
    Start = 2,
    /// No more frames follow.
    Stop = 3,
    /// The writer has these content types.
    Ready = 4,
    /// The reader has read all.
    Finish = 5,
}

impl Control {
    const ALL: [Self; 5] = [Self::Accept, Self::Start, Self::Stop, Self::Ready, Self::Finish];
}

/// Why there is no stream.
#[derive(Debug)]
pub enum FrameError {
    /// The connection.
    Io(io::Error),
    /// The reader says something else than the protocol has it.
    Unexpected(&'static str),
    /// The reader does not take dnstap.
    ContentType,
}

impl From<io::Error> for FrameError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) if error.kind() == io::ErrorKind::WouldBlock => {
                f.write_str("the reader does not answer in time")
            }
            Self::Io(error) => error.fmt(f),
            Self::Unexpected(what) => write!(f, "the reader does not speak Frame Streams: {what}"),
            Self::ContentType => f.write_str("the reader does not take protobuf:dnstap.Dnstap"),
        }
    }
}

impl std::error::Error for FrameError {}

/// Says what we have, and waits until the reader wants it.
///
/// # Errors
/// [`FrameError`]: the connection ends, or the reader is none.
pub fn begin(connection: &mut (impl Read + Write)) -> Result<(), FrameError> {
    connection.write_all(&control(Control::Ready, true))?;
    let (kind, types) = read_control(connection)?;
    if kind != Control::Accept {
        return Err(FrameError::Unexpected("no ACCEPT after READY"));
    }
    if !types.iter().any(|known| known == CONTENT_TYPE) {
        return Err(FrameError::ContentType);
    }
    connection.write_all(&control(Control::Start, true))?;
    Ok(())
}

/// Says that no more frames follow, and waits until the reader has read all.
///
/// # Errors
/// [`FrameError`]: what the reader has read is not known.
pub fn end(connection: &mut (impl Read + Write)) -> Result<(), FrameError> {
    connection.write_all(&control(Control::Stop, false))?;
    match read_control(connection)? {
        (Control::Finish, _) => Ok(()),
        (Control::Accept | Control::Start | Control::Stop | Control::Ready, _) => {
            Err(FrameError::Unexpected("no FINISH after STOP"))
        }
    }
}

/// Appends a frame; `write` appends its content.
pub fn append(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    write(out);
    let len = (out.len() - start - 4) as u32;
    out[start..start + 4].copy_from_slice(&len.to_be_bytes());
}

/// A control frame, with our content type or none.
fn control(kind: Control, with_type: bool) -> Vec<u8> {
    let mut content = (kind as u32).to_be_bytes().to_vec();
    if with_type {
        content.extend_from_slice(&FIELD_CONTENT_TYPE.to_be_bytes());
        content.extend_from_slice(&(CONTENT_TYPE.len() as u32).to_be_bytes());
        content.extend_from_slice(CONTENT_TYPE);
    }
    let mut frame = vec![0; 4];
    frame.extend_from_slice(&(content.len() as u32).to_be_bytes());
    frame.append(&mut content);
    frame
}

/// Reads a control frame: what it says, and the content types that it names.
fn read_control(connection: &mut impl Read) -> Result<(Control, Vec<Vec<u8>>), FrameError> {
    let mut word = [0; 4];
    connection.read_exact(&mut word)?;
    if word != [0; 4] {
        return Err(FrameError::Unexpected("a frame of data"));
    }
    connection.read_exact(&mut word)?;
    let len = u32::from_be_bytes(word) as usize;
    if !(4..=CONTROL_LEN_MAX).contains(&len) {
        return Err(FrameError::Unexpected("a control frame of a wrong length"));
    }
    let mut content = [0; CONTROL_LEN_MAX];
    let content = &mut content[..len];
    connection.read_exact(content)?;
    let mut rest: &[u8] = content;
    let kind = number(&mut rest)?;
    let kind = Control::ALL.into_iter().find(|known| *known as u32 == kind);
    let kind = kind.ok_or(FrameError::Unexpected("an unknown control frame"))?;
    let mut types = Vec::new();
    while !rest.is_empty() {
        let field = number(&mut rest)?;
        let len = number(&mut rest)? as usize;
        let (value, behind) = rest
            .split_at_checked(len)
            .ok_or(FrameError::Unexpected("a field that is longer than its frame"))?;
        rest = behind;
        if field == FIELD_CONTENT_TYPE {
            types.push(value.to_vec());
        }
    }
    Ok((kind, types))
}

/// Takes a number.
fn number(rest: &mut &[u8]) -> Result<u32, FrameError> {
    let (number, behind) =
        rest.split_first_chunk().ok_or(FrameError::Unexpected("a field that is cut off"))?;
    *rest = behind;
    Ok(u32::from_be_bytes(*number))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A reader that says what it was given to say.
    struct Reader {
        says: io::Cursor<Vec<u8>>,
        hears: Vec<u8>,
    }

    impl Reader {
        fn new(says: &[&[u8]]) -> Self {
            Self { says: io::Cursor::new(says.concat()), hears: Vec::new() }
        }
    }

    impl Read for Reader {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.says.read(buffer)
        }
    }

    impl Write for Reader {
        fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
            self.hears.write(octets)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_stream_begins_and_ends_as_the_protocol_has_it() {
        let mut reader =
            Reader::new(&[&control(Control::Accept, true), &control(Control::Finish, false)]);
        begin(&mut reader).unwrap();
        end(&mut reader).unwrap();
        let heard = [
            &[0, 0, 0, 0, 0, 0, 0, 34, 0, 0, 0, 4, 0, 0, 0, 1, 0, 0, 0, 22][..],
            b"protobuf:dnstap.Dnstap",
            &[0, 0, 0, 0, 0, 0, 0, 34, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 22],
            b"protobuf:dnstap.Dnstap",
            &[0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 3],
        ];
        assert_eq!(reader.hears, heard.concat());
    }

    #[test]
    fn who_takes_something_else_or_speaks_something_else_is_no_reader() {
        let mut other = control(Control::Accept, true);
        other[20] = b'P';
        let huge = [0, 0, 0, 0, 0, 1, 0, 0];
        let cut = [0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 1, 0, 0, 0, 1];
        let long = [0, 0, 0, 0, 0, 0, 0, 12, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 9];
        let none = control(Control::Accept, false);
        for (says, hint) in [
            (&other[..], "does not take"),
            (&none, "does not take"),
            (&control(Control::Finish, false), "no ACCEPT"),
            (b"HTTP/1.1 400 Bad Request\r\n", "data"),
            (&huge, "wrong length"),
            (&cut, "cut off"),
            (&long, "longer than"),
            (&[0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 9], "unknown"),
            (b"", "fill"),
        ] {
            let error = begin(&mut Reader::new(&[says])).unwrap_err().to_string();
            assert!(error.contains(hint), "{error}");
        }
    }

    #[test]
    fn a_frame_has_its_length_in_front() {
        let mut out = b"x".to_vec();
        append(&mut out, |out| out.extend_from_slice(b"abc"));
        assert_eq!(out, b"x\0\0\0\x03abc");
    }
}

//! Query files: dnsperf's text and binary forms, and captures of traffic.
#![forbid(unsafe_code)]

use std::fmt;
use std::io::{self, BufRead};

use super::encode::Encoder;

mod binary;
mod packet;
mod pcap;
mod text;

/// The form of a query file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A name and a type a line, or, as its first octets say, a capture.
    TextOrCapture,
    /// Messages with a length of two octets before each, as over TCP.
    Binary,
}

/// Reads all queries of a file, and says what form it had: text is encoded, the rest is sent as it
/// is.
///
/// # Errors
/// [`InputError`] says what is wrong and where.
pub fn read(
    file: &mut impl BufRead,
    form: Form,
    encoder: &mut Encoder,
) -> Result<Kind, InputError> {
    let kind = match form {
        Form::Binary => Kind::Binary,
        Form::TextOrCapture => Kind::of(file.fill_buf()?),
    };
    let count = match kind {
        Kind::Text => text::read(file, encoder)?,
        Kind::Binary => binary::read(file, encoder)?,
        Kind::Capture => pcap::read(file, encoder)?,
    };
    if count == 0 {
        return Err(InputError::Empty(kind));
    }
    Ok(kind)
}

/// What a file was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// dnsperf's text.
    Text,
    /// dnsperf's binary form.
    Binary,
    /// A capture by tcpdump and others.
    Capture,
}

impl Kind {
    /// What the first octets say, if the file is not said to be binary.
    fn of(start: &[u8]) -> Self {
        if pcap::is_capture(start) { Self::Capture } else { Self::Text }
    }
}

// ---- Errors

/// Why there are no queries.
#[derive(Debug)]
pub enum InputError {
    /// A line of a text file, by its number, and what is wrong with it.
    Line(u64, String),
    /// A message of a binary file or packet of a capture, by its number, and what is wrong with it.
    Message(u64, String),
    /// The file as a whole is of a form that we do not read.
    Form(String),
    /// There is no query in the file.
    Empty(Kind),
    /// The file could not be read.
    Reading(io::Error),
}

impl From<io::Error> for InputError {
    fn from(error: io::Error) -> Self {
        Self::Reading(error)
    }
}

impl fmt::Display for InputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(number, what) => write!(f, "line {number}: {what}"),
            Self::Message(number, what) => write!(f, "message {number}: {what}"),
            Self::Form(what) => f.write_str(what),
            Self::Empty(Kind::Capture) => {
                f.write_str("no query to UDP port 53 over IPv4 or IPv6 in this capture")
            }
            Self::Empty(Kind::Text | Kind::Binary) => f.write_str("no query in it"),
            Self::Reading(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for InputError {}

/// What is said when there is no place for another query.
const TOO_MANY: &str = "too many queries";

#[cfg(test)]
mod tests;

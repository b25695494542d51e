//! dnsperf's text form: `name type` a line; empty lines and those that start with `;` or `#` are
//! comments.
#![forbid(unsafe_code)]

use std::io::BufRead;

use crate::load::encode::Encoder;
use crate::load::rrtype;
use crate::wire::{LABEL_MAX, NAME_MAX};

use super::{InputError, TOO_MANY};

/// Reads all lines; returns how many queries there were.
pub(super) fn read(file: &mut impl BufRead, encoder: &mut Encoder) -> Result<u64, InputError> {
    let mut octets = Vec::new();
    let mut count = 0;
    for number in 1.. {
        octets.clear();
        if file.read_until(b'\n', &mut octets)? == 0 {
            break;
        }
        let wrong = |what: String| InputError::Line(number, what);
        let line = std::str::from_utf8(&octets)
            .map_err(|_| wrong("not text; -B reads the binary form".to_owned()))?
            .trim();
        if line.is_empty() || line.starts_with([';', '#']) {
            continue;
        }
        let mut words = line.split_ascii_whitespace();
        let name = words.next().unwrap_or_default();
        let wire_name = wire_name(name).ok_or_else(|| wrong(format!("not a name: {name}")))?;
        let Some(word) = words.next() else {
            return Err(wrong(format!("no type behind the name {name}")));
        };
        let qtype =
            rrtype::number_of(word).ok_or_else(|| wrong(format!("no such type: {word}")))?;
        if let Some(more) = words.next() {
            return Err(wrong(format!("more than a name and a type: {more}")));
        }
        if !encoder.push(&wire_name, qtype) {
            return Err(wrong(TOO_MANY.to_owned()));
        }
        count += 1;
    }
    Ok(count)
}

/// A name as in a zone file (RFC 1035 5.1: `\.`, `\065`), made into wire form.
pub(super) fn wire_name(text: &str) -> Option<Vec<u8>> {
    let mut name = vec![0];
    let mut label_at = 0;
    if text != "." {
        let mut octets = text.bytes();
        while let Some(octet) = octets.next() {
            match octet {
                b'.' => {
                    close_label(&mut name, label_at)?;
                    label_at = name.len();
                    name.push(0);
                }
                b'\\' => match octets.next()? {
                    digit @ b'0'..=b'9' => {
                        let digits = [digit, octets.next()?, octets.next()?];
                        let number = std::str::from_utf8(&digits).ok()?.parse().ok()?;
                        name.push(number);
                    }
                    other => name.push(other),
                },
                other => name.push(other),
            }
        }
        // Without a final dot the last label is still open.
        if name.len() > label_at + 1 {
            close_label(&mut name, label_at)?;
            name.push(0);
        }
    }
    (name.len() <= NAME_MAX).then_some(name)
}

/// Writes the length of the label that ends here; `None` if it is empty or too long.
fn close_label(name: &mut [u8], label_at: usize) -> Option<()> {
    let len = name.len() - label_at - 1;
    if len == 0 || len > LABEL_MAX {
        return None;
    }
    name[label_at] = len as u8;
    Some(())
}

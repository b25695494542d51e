//! A wrong answer, or one that contradicts another, as people read it.
#![forbid(unsafe_code)]

use std::fmt::Write;
use std::net::{Ipv4Addr, Ipv6Addr};

use crate::wire::{HEADER_LEN, flag, name_len, rtype, u16_at};

use super::records::{Record, Records, Section, labels_at};
use super::report::RCODE_NAMES;
use super::rrtype;
use super::totals::Sample;

/// An answer: what was asked, what came, and the records.
#[must_use]
pub fn describe(sample: &Sample) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _infallible = write_sample(&mut text, sample);
    text
}

/// Octets in hexadecimal.
#[must_use]
pub fn hexadecimal(octets: &[u8]) -> String {
    octets.iter().fold(String::new(), |text, octet| text + &format!("{octet:02x}"))
}

/// Writes [`describe`]'s text.
fn write_sample(text: &mut String, sample: &Sample) -> std::fmt::Result {
    if !sample.query.is_empty() {
        writeln!(text, "asked    {}", question(&sample.query))?;
    }
    let response = &sample.response;
    let (Some(id), Some(flags)) = (u16_at(response, 0), u16_at(response, 2)) else {
        return writeln!(text, "came     {}", hexadecimal(response));
    };
    write!(text, "came     {}, ID {id}, ", question(response))?;
    write!(text, "{}", RCODE_NAMES[usize::from(flags & 0x0f)])?;
    for (name, bit) in
        [("qr", flag::QR), ("aa", flag::AA), ("tc", flag::TC), ("rd", flag::RD), ("ra", flag::RA)]
    {
        if flags & bit != 0 {
            write!(text, " {name}")?;
        }
    }
    writeln!(text)?;
    let question_end = match u16_at(response, 4) {
        Some(0) => HEADER_LEN,
        _ => match name_len(response, HEADER_LEN) {
            Some(len) => HEADER_LEN + len + 4,
            None => return writeln!(text, "unread   {}", hexadecimal(response)),
        },
    };
    let Some(records) = Records::behind(response, question_end) else { return Ok(()) };
    for record in records {
        match record {
            Some(record) => write_record(text, response, &record)?,
            None => writeln!(text, "cut      {}", hexadecimal(response))?,
        }
    }
    Ok(())
}

/// A message's question.
fn question(message: &[u8]) -> String {
    let Some(len) = name_len(message, HEADER_LEN) else { return "an unreadable name".to_owned() };
    let qtype = u16_at(message, HEADER_LEN + len).unwrap_or(0);
    format!("{} {}", name_at(message, HEADER_LEN), rrtype::name_of(qtype))
}

/// Writes one record.
fn write_record(text: &mut String, message: &[u8], record: &Record<'_>) -> std::fmt::Result {
    let section = match record.section {
        Section::Answer => "answer",
        Section::Authority => "authority",
        Section::Additional => "additional",
    };
    let owner = name_at(message, record.owner_at);
    if record.rtype == rtype::OPT {
        return writeln!(text, "{section:10} OPT {}", hexadecimal(record.data));
    }
    let data = match (record.rtype, record.data) {
        (rtype::A, &[w, x, y, z]) => Ipv4Addr::new(w, x, y, z).to_string(),
        (rtype::AAAA, data) => match <[u8; 16]>::try_from(data) {
            Ok(octets) => Ipv6Addr::from(octets).to_string(),
            Err(_) => format!("\\# {} {}", data.len(), hexadecimal(data)),
        },
        (rtype::CNAME | rtype::PTR | rtype::SOA, _) => name_at(message, record.data_at),
        (_, data) => format!("\\# {} {}", data.len(), hexadecimal(data)),
    };
    let rtype = rrtype::name_of(record.rtype);
    writeln!(text, "{section:10} {owner} {} {rtype} {data}", record.ttl_secs)
}

/// The possibly compressed name at this place, with octets that are no graphic letters as `\DDD`.
fn name_at(message: &[u8], at: usize) -> String {
    let mut name = String::new();
    for label in labels_at(message, at) {
        let Some(label) = label else { return name + "(unreadable)" };
        for octet in label {
            match octet {
                b'.' | b'\\' => {
                    name.push('\\');
                    name.push(char::from(*octet));
                }
                b'!'..=b'~' => name.push(char::from(*octet)),
                _ => name += &format!("\\{octet:03}"),
            }
        }
        if !label.is_empty() || name.is_empty() {
            name.push('.');
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::fault::Fault;

    #[test]
    fn a_wrong_answer_reads_like_a_zone_file() {
        let query =
            b"\x00\x07\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01a\x01t\x00\x00\x1c\x00\x01";
        let mut response = query.to_vec();
        response[2] = 0x81;
        response[3] = 0x80;
        response[7] = 2;
        response.extend(b"\xc0\x0c\x00\x05\x00\x01\x00\x00\x00\x09\x00\x04\x01.\xc0\x0e");
        response.extend(b"\xc0\x21\x00\x1c\x00\x01\x00\x00\x00\x09\x00\x10");
        response.extend(b"\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01");
        let sample = Sample { fault: Some(Fault::Prefix), query: query.to_vec(), response };
        assert_eq!(
            describe(&sample),
            "asked    a.t. AAAA\n\
             came     a.t. AAAA, ID 7, NOERROR qr rd ra\n\
             answer     a.t. 9 CNAME \\..t.\n\
             answer     \\..t. 9 AAAA 2001:db8::1\n"
        );
    }

    #[test]
    fn what_cannot_be_read_is_given_in_hexadecimal() {
        let sample = |response: &[u8]| Sample {
            fault: Some(Fault::Malformed),
            query: Vec::new(),
            response: response.to_vec(),
        };
        assert_eq!(describe(&sample(b"\x01")), "came     01\n");
        let cut = b"\x00\x07\x80\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00";
        assert!(describe(&sample(cut)).ends_with("cut      00078000000000010000000000\n"));
    }
}

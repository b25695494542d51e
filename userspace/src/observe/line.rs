//! One line of the query log: a reply, in words.
//!
//! Whatever a client sends, it is one line: names are written as in a master file, where every
//! octet that is not printable is `\DDD`, and nothing else of a line is the client's.

use std::fmt::Write;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use ipnet::{Ipv4Net, Ipv6Net};
use jiff::Timestamp;
use serde_json::json;

use super::lane::Event;
use crate::config::QueryLogFormat;
use crate::limits::HEADER_LEN;
use crate::pref64::Pref64;
use crate::wire::name::Name;
use crate::wire::question::Rtype;

/// Bits of a client's address that an anonymous line keeps.
const IPV4_BITS: u8 = 24;
/// See [`IPV4_BITS`].
const IPV6_BITS: u8 = 48;

/// Records that are looked at for their prefixes: more than any answer has that is synthesized.
const RECORDS_MAX: usize = 512;

/// Writes lines.
#[derive(Clone, Copy, Debug)]
pub struct Lines {
    /// Text or JSON.
    pub format: QueryLogFormat,
    /// Whether clients are named by their networks alone.
    pub anonymise: bool,
}

impl Lines {
    /// Appends the line of a reply. Synthesized addresses have one of these prefixes, of which the
    /// longest come first.
    pub fn append(self, event: &Event, prefixes: &[Pref64], out: &mut String) {
        let head = &event.head;
        let question = Question::of(&event.bytes);
        let prefixes = match head.note.synthesized {
            true => prefixes_in(&event.bytes, prefixes),
            false => Vec::new(),
        };
        let took =
            head.asked_us.map(|asked| Duration::from_micros(head.at_us - asked.min(head.at_us)));
        let time = time(head.at_us);
        let transport = if head.is_tcp { "tcp" } else { "udp" };
        let source = head.note.source.name();
        let client = self.client(head.peer.ip(), head.peer.port());
        match self.format {
            QueryLogFormat::Text => {
                let (name, rtype) = match &question {
                    Some(question) => (question.name.as_str(), question.rtype.to_string()),
                    None => ("-", "-".to_owned()),
                };
                let took = took.map_or_else(|| "-".to_owned(), seconds);
                let under = match prefixes.is_empty() {
                    true => "-".to_owned(),
                    false => prefixes.join(","),
                };
                let rcode = head.note.rcode;
                // Writing to a string cannot fail.
                let _infallible = writeln!(
                    out,
                    "{time} {client} {transport} {name} {rtype} {rcode} {source} {took} {under}"
                );
            }
            QueryLogFormat::Json => {
                let line = json!({
                    "time": time,
                    "client": client,
                    "transport": transport,
                    "name": question.as_ref().map(|question| question.name.as_str()),
                    "type": question.as_ref().map(|question| question.rtype.to_string()),
                    "rcode": head.note.rcode.to_string(),
                    "source": source,
                    "seconds": took.map(|took| took.as_micros() as f64 / 1e6),
                    "synthesized": head.note.synthesized,
                    "prefixes": prefixes,
                });
                let _infallible = writeln!(out, "{line}");
            }
        }
    }

    /// Who has asked: an address and a port as BIND writes them, or a network.
    fn client(self, address: IpAddr, port: u16) -> String {
        if !self.anonymise {
            return format!("{address}#{port}");
        }
        match address {
            IpAddr::V4(address) => Ipv4Net::new_assert(address, IPV4_BITS).trunc().to_string(),
            IpAddr::V6(address) => Ipv6Net::new_assert(address, IPV6_BITS).trunc().to_string(),
        }
    }
}

/// What a message asks.
struct Question {
    /// As in a master file.
    name: String,
    rtype: Rtype,
}

impl Question {
    /// `None` where there is no question, as in a reply to what cannot be understood.
    fn of(message: &[u8]) -> Option<Self> {
        let count = message.get(4..6)?;
        if count == [0, 0] {
            return None;
        }
        let (name, rest) = Name::split(message.get(HEADER_LEN..)?).ok()?;
        let rtype = u16::from_be_bytes(*rest.first_chunk::<2>()?);
        Some(Self { name: name.to_string(), rtype: Rtype(rtype) })
    }
}

/// The prefixes that the AAAA of an answer have, each once, in the order of the records.
fn prefixes_in(message: &[u8], prefixes: &[Pref64]) -> Vec<String> {
    let mut found: Vec<Pref64> = Vec::new();
    for address in aaaa_in(message) {
        let prefix = prefixes.iter().find(|prefix| prefix.extract(address).is_some());
        if let Some(prefix) = prefix
            && !found.contains(prefix)
        {
            found.push(*prefix);
        }
    }
    found.iter().map(ToString::to_string).collect()
}

/// The addresses in the AAAA records of an answer.
fn aaaa_in(message: &[u8]) -> impl Iterator<Item = Ipv6Addr> {
    let mut rest = after_question(message);
    let answers = message.get(6..8).map_or(0, |count| u16::from_be_bytes([count[0], count[1]]));
    let records = usize::from(answers).min(RECORDS_MAX);
    (0..records)
        .map_while(move |_| {
            let record = after_name(rest?)?;
            let (fixed, data) = record.split_first_chunk::<10>()?;
            let len = usize::from(u16::from_be_bytes([fixed[8], fixed[9]]));
            let (data, behind) = data.split_at_checked(len)?;
            rest = Some(behind);
            let is_aaaa = fixed[..2] == Rtype::AAAA.0.to_be_bytes();
            Some(is_aaaa.then(|| data.first_chunk::<16>().copied().map(Ipv6Addr::from)).flatten())
        })
        .flatten()
}

/// What follows the question of a message.
fn after_question(message: &[u8]) -> Option<&[u8]> {
    let rest = message.get(HEADER_LEN..)?;
    match message.get(4..6)? {
        [0, 0] => Some(rest),
        _ => after_name(rest)?.get(4..),
    }
}

/// What follows a name.
fn after_name(mut rest: &[u8]) -> Option<&[u8]> {
    loop {
        let (len, behind) = rest.split_first()?;
        match len {
            0 => return Some(behind),
            0xc0.. => return behind.get(1..),
            len => rest = behind.get(usize::from(*len)..)?,
        }
    }
}

/// A time as RFC 3339 has it, to the microsecond, in UTC.
fn time(at_us: u64) -> String {
    let at = i64::try_from(at_us).ok().and_then(|at| Timestamp::from_microsecond(at).ok());
    format!("{:.6}", at.unwrap_or(Timestamp::UNIX_EPOCH))
}

/// A duration in seconds, to the microsecond.
fn seconds(took: Duration) -> String {
    format!("{}.{:06}", took.as_secs(), took.subsec_micros())
}

#[cfg(test)]
mod tests {
    use super::super::lane::Head;
    use super::*;
    use crate::config::DnstapMessage;
    use crate::counters::Source;
    use crate::engine::ReplyNote;
    use crate::pref64::UOctet;
    use crate::wire::header::Rcode;

    const TEXT: Lines = Lines { format: QueryLogFormat::Text, anonymise: false };
    const JSON: Lines = Lines { format: QueryLogFormat::Json, anonymise: true };

    fn event(label: &[u8]) -> Event {
        let mut bytes = vec![0, 1, 0x81, 0x80, 0, 1, 0, 2, 0, 0, 0, 0, label.len() as u8];
        bytes.extend_from_slice(label);
        bytes.extend_from_slice(&[0, 0, 28, 0, 1]);
        // A CNAME, and an AAAA.
        bytes.extend_from_slice(&[0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 9, 0, 2, 0xc0, 12]);
        bytes.extend_from_slice(&[0xc0, 12, 0, 28, 0, 1, 0, 0, 0, 9, 0, 16]);
        let address: Ipv6Addr = "2001:db8:64::c000:201".parse().unwrap();
        bytes.extend_from_slice(&address.octets());
        let note = ReplyNote {
            source: Source::Miss,
            rcode: Rcode::NOERROR,
            synthesized: true,
            waited: None,
        };
        let head = Head {
            message: DnstapMessage::ClientResponse,
            peer: "192.0.2.77:5353".parse().unwrap(),
            asked_us: Some(1_700_000_000_000_001),
            at_us: 1_700_000_001_000_123,
            note,
            ..Head::default()
        };
        Event { head, bytes }
    }

    fn prefixes() -> Vec<Pref64> {
        ["2001:db8:64::/96", "64:ff9b::/96"]
            .map(|text| {
                Pref64::new(text.parse().unwrap(), Ipv6Addr::UNSPECIFIED, UOctet::Zero).unwrap()
            })
            .to_vec()
    }

    fn line(lines: Lines, event: &Event) -> String {
        let mut out = String::new();
        lines.append(event, &prefixes(), &mut out);
        out
    }

    #[test]
    fn a_line_says_who_asked_what_and_what_came_of_it() {
        assert_eq!(
            line(TEXT, &event(b"www")),
            "2023-11-14T22:13:21.000123Z 192.0.2.77#5353 udp www. AAAA NOERROR miss 1.000122 \
             2001:db8:64::/96\n"
        );
        let json: serde_json::Value = serde_json::from_str(&line(JSON, &event(b"www"))).unwrap();
        assert_eq!(
            json,
            json!({
                "time": "2023-11-14T22:13:21.000123Z", "client": "192.0.2.0/24",
                "transport": "udp", "name": "www.", "type": "AAAA", "rcode": "NOERROR",
                "source": "miss", "seconds": 1.000_122, "synthesized": true,
                "prefixes": ["2001:db8:64::/96"],
            })
        );
    }

    #[test]
    fn a_name_cannot_make_another_line_or_another_column() {
        let hostile = event(b"a\nb c\"\x1b[31m\\");
        let text = line(TEXT, &hostile);
        assert_eq!((text.lines().count(), text.split(' ').count()), (1, 9));
        assert!(text.contains(" a\\010b\\032c\"\\027[31m\\\\. "), "{text}");
        let json = line(JSON, &hostile);
        assert_eq!(json.lines().count(), 1);
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json["name"], "a\\010b\\032c\"\\027[31m\\\\.");
    }

    #[test]
    fn an_anonymous_client_is_its_network() {
        let lines = Lines { anonymise: true, ..TEXT };
        assert_eq!(lines.client("192.0.2.77".parse().unwrap(), 9), "192.0.2.0/24");
        let client = lines.client("2001:db8:1:2:3::4".parse().unwrap(), 9);
        assert_eq!(client, "2001:db8:1::/48");
        assert_eq!(TEXT.client("2001:db8::4".parse().unwrap(), 9), "2001:db8::4#9");
    }

    #[test]
    fn what_is_cut_off_or_no_message_has_a_line_too() {
        let whole = event(b"www");
        for len in 0..whole.bytes.len() {
            let cut = Event { bytes: whole.bytes[..len].to_vec(), ..whole.clone() };
            assert_eq!(line(TEXT, &cut).split(' ').count(), 9, "{len}");
            assert_eq!(line(JSON, &cut).lines().count(), 1, "{len}");
        }
        let mut bare = event(b"www");
        bare.head.asked_us = None;
        bare.bytes = vec![0, 1, 0x80, 1, 0, 0, 0, 0, 0, 0, 0, 0];
        assert!(line(TEXT, &bare).contains(" udp - - NOERROR miss - -\n"));
    }
}

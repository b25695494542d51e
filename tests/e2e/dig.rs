//! `dig` as a client, and what it says read back.

use dns64_tests::netns::Netns;

/// A record of an answer as dig prints it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    /// Owner name.
    pub(crate) name: String,
    /// Time to live in seconds.
    pub(crate) ttl_secs: u32,
    /// Type.
    pub(crate) rtype: String,
    /// Data, fields separated by one space.
    pub(crate) data: String,
}

/// What dig printed about one query.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    /// All of it.
    pub(crate) text: String,
    /// Records of the answer section.
    pub(crate) answer: Vec<Record>,
}

/// Asks `server` from within `netns`, once, with dig's own defaults but for `arguments`.
pub(crate) fn dig(netns: &Netns, server: &str, arguments: &[&str]) -> Reply {
    let at = format!("@{server}");
    let mut all = vec![at.as_str(), "+tries=1", "+timeout=5"];
    all.extend_from_slice(arguments);
    let output = netns.output("dig", &all);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let answer = section(&text, "ANSWER").filter_map(record).collect();
    Reply { text, answer }
}

/// The lines of a section.
fn section<'a>(text: &'a str, name: &str) -> impl Iterator<Item = &'a str> {
    let heading = format!(";; {name} SECTION:");
    text.lines()
        .skip_while(move |line| *line != heading)
        .skip(1)
        .take_while(|line| !line.is_empty())
}

/// Reads a line of a section.
fn record(line: &str) -> Option<Record> {
    let mut fields = line.split_whitespace();
    let name = fields.next()?.to_owned();
    let ttl_secs = fields.next()?.parse().ok()?;
    let _class = fields.next()?;
    let rtype = fields.next()?.to_owned();
    Some(Record { name, ttl_secs, rtype, data: fields.collect::<Vec<_>>().join(" ") })
}

impl Reply {
    /// The RCODE's name; empty if there was no reply.
    pub(crate) fn status(&self) -> &str {
        let (_, rest) = self.text.split_once("status: ").unwrap_or_default();
        rest.split(',').next().unwrap_or_default()
    }

    /// Whether a flag such as `ad` is set in the header.
    pub(crate) fn has_flag(&self, flag: &str) -> bool {
        let (_, rest) = self.text.split_once(";; flags: ").unwrap_or_default();
        let flags = rest.split(';').next().unwrap_or_default();
        flags.split_whitespace().any(|word| word == flag)
    }

    /// How long dig waited for the reply.
    ///
    /// # Panics
    /// If there was none.
    pub(crate) fn query_time_ms(&self) -> u64 {
        let (_, rest) = self.text.split_once(";; Query time: ").unwrap_or_default();
        let time = rest.split(' ').next().and_then(|time| time.parse().ok());
        time.unwrap_or_else(|| panic!("no reply: {}", self.text))
    }

    /// The data of the answer's records of a type, in order.
    pub(crate) fn data(&self, rtype: &str) -> Vec<&str> {
        let of_type = self.answer.iter().filter(|record| record.rtype == rtype);
        of_type.map(|record| record.data.as_str()).collect()
    }

    /// Whether dig showed an Extended DNS Error with this code (RFC 8914).
    pub(crate) fn has_extended_error(&self, code: u16) -> bool {
        self.extended_errors().contains(&code)
    }

    /// The codes of the Extended DNS Errors (RFC 8914) that dig showed.
    pub(crate) fn extended_errors(&self) -> Vec<u16> {
        let lines = self.text.lines().filter_map(|line| line.strip_prefix("; EDE: "));
        lines.filter_map(|line| line.split([' ', ':']).next()?.parse().ok()).collect()
    }
}

#[test]
fn what_dig_prints_is_read_back() {
    let text = "\
;; Got answer:
;; ->>HEADER<<- opcode: QUERY, status: NOERROR, id: 1
;; flags: qr rd ra; QUERY: 1, ANSWER: 2, AUTHORITY: 0, ADDITIONAL: 1

;; OPT PSEUDOSECTION:
; EDNS: version: 0, flags:; udp: 1232
; EDE: 29 (Synthesized)
;; QUESTION SECTION:
;a.test.\t\tIN\tAAAA

;; ANSWER SECTION:
a.test.\t\t60\tIN\tCNAME\tb.test.
b.test.\t\t59\tIN\tAAAA\t2001:db8::1

;; Query time: 0 msec
";
    let answer = section(text, "ANSWER").filter_map(record).collect();
    let reply = Reply { text: text.to_owned(), answer };
    assert_eq!(reply.status(), "NOERROR");
    assert!(reply.has_flag("ra") && !reply.has_flag("ad"));
    assert_eq!(reply.extended_errors(), [29]);
    assert_eq!(reply.query_time_ms(), 0);
    assert_eq!(reply.data("CNAME"), ["b.test."]);
    assert_eq!(reply.answer[1].ttl_secs, 59);
    assert_eq!(reply.answer[1].name, "b.test.");
}

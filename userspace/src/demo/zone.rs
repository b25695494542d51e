//! The sample zone, and what the demonstration asks about it.

/// A question of the demonstration.
#[derive(Clone, Copy, Debug)]
pub struct Question {
    /// The name.
    pub name: &'static str,
    /// The type.
    pub rtype: &'static str,
    /// What the reply shows.
    pub why: &'static str,
}

/// The records, as owner, type and data. A type of `SERVFAIL AAAA` makes AAAA queries fail.
pub(super) const RECORDS: &[(&str, &str, &str)] = &[
    ("web.demo.test.", "A", "203.0.113.10"),
    ("www.demo.test.", "CNAME", "web.demo.test."),
    ("dual.demo.test.", "A", "203.0.113.20"),
    ("dual.demo.test.", "AAAA", "2001:db8::20"),
    ("mapped.demo.test.", "A", "203.0.113.30"),
    ("mapped.demo.test.", "AAAA", "::ffff:203.0.113.30"),
    ("private.demo.test.", "A", "10.1.2.3"),
    ("broken.demo.test.", "A", "203.0.113.40"),
    ("broken.demo.test.", "SERVFAIL AAAA", ""),
    ("demo.test.", "TXT", "\"the sample zone of dns64d demo\""),
    ("10.113.0.203.in-addr.arpa.", "PTR", "web.demo.test."),
];

/// What the demonstration asks.
pub const QUESTIONS: &[Question] = &[
    Question {
        name: "web.demo.test.",
        rtype: "AAAA",
        why: "web.demo.test has only an A record: its AAAA was synthesized (RFC 6147 5.1.6, 5.1.7)",
    },
    Question {
        name: "www.demo.test.",
        rtype: "AAAA",
        why: "the CNAME stays, and the synthesized AAAA belongs to its target (5.1.5)",
    },
    Question {
        name: "dual.demo.test.",
        rtype: "AAAA",
        why: "a real AAAA exists: it is passed on and nothing is synthesized (5.1.1)",
    },
    Question {
        name: "mapped.demo.test.",
        rtype: "AAAA",
        why: "the only AAAA is an IPv4-mapped address: it counts as absent (5.1.4)",
    },
    Question {
        name: "broken.demo.test.",
        rtype: "AAAA",
        why: "the AAAA query fails upstream (SERVFAIL): treated as empty, the A record is used (5.1.2)",
    },
    Question {
        name: "private.demo.test.",
        rtype: "AAAA",
        why: "10.1.2.3 is not global: 64:ff9b::/96 must not carry it (RFC 6052 3.1), so no AAAA",
    },
    Question {
        name: "nothing.demo.test.",
        rtype: "AAAA",
        why: "the name does not exist: NXDOMAIN stays NXDOMAIN (5.1.2)",
    },
    Question {
        name: "a.0.1.7.0.0.b.c.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.b.9.f.f.4.6.0.0.ip6.arpa.",
        rtype: "PTR",
        why: "the reverse of a synthesized address: a CNAME to the IPv4 name and its PTR (5.3.1)",
    },
    Question {
        name: "ipv4only.arpa.",
        rtype: "AAAA",
        why: "how clients learn the prefix (RFC 7050): answered here, never asked upstream (RFC 8880)",
    },
];

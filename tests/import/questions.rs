//! A thousand questions in groups: for each of what DNS64 does, names that say their own answer.

use dns64::pref64::{Pref64, UOctet};
use dns64_bench::names::ReverseName;
use ipnet::Ipv6Net;

/// A question.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// What it is an example of.
    pub(crate) group: &'static str,
    pub(crate) name: String,
    pub(crate) rtype: &'static str,
    pub(crate) dnssec_ok: bool,
    pub(crate) checking_disabled: bool,
}

impl Asked {
    /// A question without DO and CD.
    pub(crate) fn plain(group: &'static str, name: &str, rtype: &'static str) -> Self {
        let name = name.to_owned();
        Self { group, name, rtype, dnssec_ok: false, checking_disabled: false }
    }
}

/// All questions, for a server with these prefixes.
pub(crate) fn questions(prefixes: &[Ipv6Net]) -> Vec<Asked> {
    let mut all = Vec::new();
    for number in 0..40_u8 {
        names(number, &mut all);
        flags(number, &mut all);
    }
    for prefix in prefixes {
        let pref64 = Pref64::new(*prefix, std::net::Ipv6Addr::UNSPECIFIED, UOctet::Zero).unwrap();
        reverse(&pref64, 80 / prefixes.len() as u8, &mut all);
    }
    for (name, rtype) in [
        ("ipv4only.arpa", "A"),
        ("ipv4only.arpa", "AAAA"),
        ("ipv4only.arpa", "TXT"),
        ("x.ipv4only.arpa", "AAAA"),
    ] {
        all.push(Asked::plain("ipv4only", name, rtype));
    }
    all
}

/// Forward names of each kind.
fn names(number: u8, all: &mut Vec<Asked>) {
    let a = format!("a-11-22-33-{number}");
    let q = format!("q-20010db8{number:024x}");
    let zone = if number % 4 == 3 { "other.test" } else { "v4.test" };
    let mut ask = |group, label: String, rtype| {
        all.push(Asked::plain(group, &format!("{label}.{zone}"), rtype));
    };
    ask("A only", a.clone(), "AAAA");
    ask("several A", format!("{a}--a-12-0-0-{number}"), "AAAA");
    ask("dual", format!("{a}--{q}"), "AAAA");
    ask("AAAA only", q.clone(), "AAAA");
    ask("no data", format!("ttl{}", 100 + u16::from(number)), "AAAA");
    ask("no such name", format!("{a}--nx"), "AAAA");
    ask("no such word", format!("www{number}"), "AAAA");
    let code = [2, 4, 5][usize::from(number % 3)];
    ask("AAAA fails", format!("{a}--rcaaaa{code}"), "AAAA");
    ask("AAAA fails, no A", format!("rcaaaa{code}--ttl{}", 100 + u16::from(number)), "AAAA");
    ask("AAAA has no name", format!("{a}--rcaaaa3"), "AAAA");
    if number < 6 {
        // Some servers try such a server for long.
        ask("both fail", format!("{a}--rc{code}"), "AAAA");
    }
    let chain = number % 5 + 1;
    ask("chain to A", format!("c{chain}--{a}"), "AAAA");
    ask("chain to both", format!("c{chain}--{a}--{q}"), "AAAA");
    ask("chain to nothing", format!("c{chain}--ttl{}", 100 + u16::from(number)), "AAAA");
    ask("mapped AAAA", format!("q-00000000000000000000ffff0b0000{number:02x}--{a}"), "AAAA");
    ask("mapped AAAA alone", format!("q-00000000000000000000ffff0c0000{number:02x}"), "AAAA");
    ask("listed AAAA", format!("q-20010db8dead{number:020x}--{a}"), "AAAA");
    ask("private A", format!("a-10-1-2-{number}"), "AAAA");
    ask("private and global A", format!("a-10-1-3-{number}--{a}"), "AAAA");
    ask("A asked", format!("{a}--ttl77"), "A");
    let other = ["MX", "TXT", "HTTPS", "SRV", "NS", "SOA", "CNAME"][usize::from(number % 7)];
    ask("other types", a.clone(), other);
    ask("truncated", format!("{a}--tc"), "AAAA");
    if number < 5 {
        ask("ANY", a.clone(), "ANY");
    }
    let name = format!("a-13-0-0-{number}--{q}.ignored.test");
    all.push(Asked::plain("ignored AAAA", &name, "AAAA"));
}

/// The flags of RFC 6147 5.5.
fn flags(number: u8, all: &mut Vec<Asked>) {
    let a = format!("a-14-0-0-{number}");
    let flagged = |group, label: &str, dnssec_ok, checking_disabled| Asked {
        dnssec_ok,
        checking_disabled,
        ..Asked::plain(group, &format!("{label}.v4.test"), "AAAA")
    };
    all.push(flagged("DO", &a, true, false));
    if number < 20 {
        all.push(flagged("CD", &a, false, true));
        all.push(flagged("DO and CD", &a, true, true));
        let dual = format!("{a}--q-20010db8{number:024x}");
        all.push(flagged("dual, DO and CD", &dual, true, true));
    }
}

/// Reverse names under a prefix, in full and not.
fn reverse(pref64: &Pref64, count: u8, all: &mut Vec<Asked>) {
    for number in 0..count {
        let address = pref64.embed([11, 44, 55, number].into());
        all.push(Asked::plain("PTR", &ReverseName(address).to_string(), "PTR"));
    }
    for number in 0..5 {
        let name = ReverseName(pref64.embed([11, 44, 66, number].into())).to_string();
        all.push(Asked::plain("PTR in capitals", &name.to_uppercase(), "PTR"));
        all.push(Asked::plain("type TXT of a reverse name", &name, "TXT"));
        // Without its last nibbles: no address.
        let short: Vec<&str> = name.split('.').skip(2 + usize::from(number)).collect();
        all.push(Asked::plain("short PTR", &short.join("."), "PTR"));
        let elsewhere = std::net::Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, number.into());
        let name = ReverseName(elsewhere).to_string();
        all.push(Asked::plain("PTR elsewhere", &name, "PTR"));
        let name = format!("{number}.22.33.11.in-addr.arpa");
        all.push(Asked::plain("IPv4 PTR", &name, "PTR"));
    }
}

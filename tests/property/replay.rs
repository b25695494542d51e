//! Replays what is kept: inputs that were trouble once, with their story (tests/crashes), and the
//! seeds that the fuzz targets start from (tests/fuzz/seeds), which are written here.
//!
//! With `DNS64_WRITE_SEEDS=1` in the environment the seeds are written anew; else they must be
//! what would be written.

use std::fs;
use std::path::{Path, PathBuf};

use dns64::reverse::{in_addr_arpa, ip6_arpa};
use dns64::wire::{Flags, Header, NameBuf, SectionCounts};
use proptest::prelude::*;
use proptest::sample::Index;
use serde::Deserialize;

use crate::checks::TARGETS;
use crate::imported;

/// An entry of tests/crashes.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Crash {
    /// The input, in hexadecimal digits.
    bytes: String,
    /// The fuzz target whose check it must pass now.
    target: String,
    /// What went wrong, or what could.
    story: String,
}

/// A directory beside this package's manifest.
fn directory(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// The check of a target.
fn check_of(target: &str) -> fn(&[u8]) {
    let found = TARGETS.iter().find(|(name, _)| *name == target);
    found.unwrap_or_else(|| panic!("there is no target {target}")).1
}

/// Octets from hexadecimal digits.
fn octets_of(digits: &str) -> Vec<u8> {
    assert!(digits.is_ascii() && digits.len().is_multiple_of(2), "pairs of digits");
    (0..digits.len())
        .step_by(2)
        .map(|place| u8::from_str_radix(&digits[place..place + 2], 16).unwrap())
        .collect()
}

#[test]
fn inputs_that_were_trouble_once_are_none_any_more() {
    let mut replayed = 0;
    for entry in fs::read_dir(directory("crashes")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        println!("{}", path.display());
        let crash: Crash = toml::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        assert!(!crash.story.trim().is_empty(), "every entry tells its story");
        check_of(&crash.target)(&octets_of(&crash.bytes));
        replayed += 1;
    }
    assert!(replayed > 0, "tests/crashes has entries");
}

#[test]
fn the_seeds_of_the_fuzz_targets_are_those_written_here() {
    let write = std::env::var_os("DNS64_WRITE_SEEDS").is_some();
    for (target, seeds) in all_seeds() {
        let directory = directory("fuzz/seeds").join(target);
        for (name, octets) in &seeds {
            let path = directory.join(name);
            if write {
                fs::create_dir_all(&directory).unwrap();
                fs::write(&path, octets).unwrap();
            }
            let kept = fs::read(&path).unwrap_or_default();
            assert_eq!(&kept, octets, "{}; see the head of this file", path.display());
            check_of(target)(octets);
        }
        assert_eq!(fs::read_dir(&directory).unwrap().count(), seeds.len(), "no others in {target}");
    }
}

/// A change of an input: what a fuzzer does, without its knowledge of the code.
#[derive(Clone, Debug)]
enum Change {
    /// Another octet at a place.
    Set(Index, u8),
    /// One bit the other way.
    Flip(Index, u8),
    /// The octets from a place on are gone.
    Cut(Index),
    /// One octet more at a place.
    Insert(Index, u8),
    /// The octets from one place on follow those before another.
    Splice(Index, Index),
}

impl Change {
    fn of(self, octets: &mut Vec<u8>) {
        let len = octets.len();
        match self {
            _ if len == 0 => {}
            Self::Set(place, octet) => octets[place.index(len)] = octet,
            Self::Flip(place, bit) => octets[place.index(len)] ^= 1 << (bit % 8),
            Self::Cut(place) => octets.truncate(place.index(len) + 1),
            Self::Insert(place, octet) => octets.insert(place.index(len), octet),
            Self::Splice(end, start) => {
                let behind = octets[start.index(len)..].to_vec();
                octets.truncate(end.index(len));
                // Ten splices double the input ten times: more than 4 KiB teach nothing new.
                octets.extend_from_slice(&behind[..behind.len().min(4_096)]);
            }
        }
    }
}

fn change() -> impl Strategy<Value = Change> {
    // Octets that mean something: ends of ranges, types, compression pointers.
    let octet = prop_oneof![
        any::<u8>(),
        prop::sample::select(
            &[0_u8, 1, 5, 6, 12, 28, 39, 41, 46, 63, 64, 0x7f, 0x80, 0xc0, 0xff][..]
        ),
    ];
    prop_oneof![
        4 => (any::<Index>(), octet.clone()).prop_map(|(place, octet)| Change::Set(place, octet)),
        2 => (any::<Index>(), 0_u8..8).prop_map(|(place, bit)| Change::Flip(place, bit)),
        1 => any::<Index>().prop_map(Change::Cut),
        2 => (any::<Index>(), octet).prop_map(|(place, octet)| Change::Insert(place, octet)),
        2 => (any::<Index>(), any::<Index>()).prop_map(|(end, start)| Change::Splice(end, start)),
    ]
}

proptest! {
    #![proptest_config(crate::config())]

    /// The checks of the fuzz targets where there is no fuzzer.
    #[test]
    fn what_holds_for_the_seeds_holds_when_chance_has_changed_them(
        seed in any::<Index>(),
        changes in prop::collection::vec(change(), 1..12),
    ) {
        for (target, seeds) in all_seeds() {
            let (_, mut octets) = seeds[seed.index(seeds.len())].clone();
            for change in &changes {
                change.clone().of(&mut octets);
            }
            let digits: String = octets.iter().map(|octet| format!("{octet:02x}")).collect();
            println!("target = \"{target}\", bytes = \"{digits}\"");
            check_of(target)(&octets);
        }
    }
}

// ---- Seeds

/// A name for each seed.
type Seeds = Vec<(&'static str, Vec<u8>)>;

/// The seeds of every target.
fn all_seeds() -> [(&'static str, Seeds); 11] {
    [
        ("query", query_seeds()),
        ("name", name_seeds()),
        ("response", response_seeds()),
        ("frame", frame_seeds()),
        ("engine", engine_seeds()),
        ("import_unbound", imported::unbound_seeds()),
        ("import_bind", imported::bind_seeds()),
        ("import_pdns", imported::pdns_seeds()),
        ("import_knot", imported::knot_seeds()),
        ("import_coredns", imported::coredns_seeds()),
        ("script", script_seeds()),
    ]
}

/// A query with these flags, counts, and octets behind the header.
fn message(flags: u16, counts: [u16; 4], body: &[&[u8]]) -> Vec<u8> {
    let [questions, answers, authorities, additionals] = counts;
    let counts = SectionCounts { questions, answers, authorities, additionals };
    let header = Header { id: 0x1234, flags: Flags(flags), counts }.to_wire();
    [&header[..], &body.concat()].concat()
}

/// The octets of a question.
fn question(name: &str, rtype: u8) -> Vec<u8> {
    let name: NameBuf = name.parse().unwrap();
    [name.as_wire(), &[0, rtype, 0, 1]].concat()
}

/// One seed for each kind of use.
fn script_seeds() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("address", b"\x00192.0.2.1".to_vec()),
        ("strings", b"\x03\"a \\\"b\" \\007 c".to_vec()),
        ("generic", b"\x07\\# 3 0a0b0c".to_vec()),
        ("followup", b"\x0awww.other.test".to_vec()),
        ("network", b"\x0c2001:db8::/32".to_vec()),
        ("text", b"\x7ffunction preresolve(dq) dq.variable = true return false end".to_vec()),
    ]
}

/// One seed for each way that a query can go.
fn query_seeds() -> Vec<(&'static str, Vec<u8>)> {
    let aaaa = question("www.example.org", 28);
    let opt = &b"\0\0\x29\x04\xd0\0\0\x80\0\0\0"[..];
    let version_1 = &b"\0\0\x29\x04\xd0\0\x01\0\0\0\0"[..];
    let options = &b"\0\0\x29\x10\0\0\0\0\0\0\x10\0\x03\0\0\0\x0a\0\x08abcdefgh"[..];
    let tsig = &b"\x03key\0\0\xfa\0\xff\0\0\0\0\0\x03abc"[..];
    let soa = &b"\xc0\x0c\0\x06\0\x01\0\0\0\0\0\x02ab"[..];
    let reverse = ip6_arpa("64:ff9b::192.0.2.33".parse().unwrap()).to_string();
    let longest = "x".repeat(63) + "." + &"y.".repeat(95);
    vec![
        ("plain", message(0x0100, [1, 0, 0, 0], &[&aaaa])),
        ("edns", message(0x0110, [1, 0, 0, 1], &[&aaaa, opt])),
        ("options", message(0x0120, [1, 0, 0, 1], &[&aaaa, options])),
        ("badvers", message(0x0100, [1, 0, 0, 1], &[&aaaa, version_1])),
        ("second-opt", message(0x0100, [1, 0, 0, 2], &[&aaaa, opt, opt])),
        ("tsig", message(0x0100, [1, 0, 0, 2], &[&aaaa, opt, tsig])),
        ("ixfr", message(0, [1, 0, 1, 0], &[&question("example.org", 251), soa])),
        ("notify", message(0x2400, [1, 0, 0, 0], &[&question("example.org", 6)])),
        ("update", message(0x2800, [1, 0, 1, 1], &[&question("example.org", 6), soa, opt])),
        ("response", message(0x8180, [1, 1, 0, 0], &[&question("example.org", 6), soa])),
        ("no-question", message(0x0100, [0, 0, 0, 1], &[opt])),
        ("pointer", message(0x0100, [1, 0, 0, 0], &[b"\xc0\x0c\0\x1c\0\x01"])),
        ("reverse", message(0x0100, [1, 0, 0, 1], &[&question(&reverse, 12), opt])),
        ("longest", message(0x0100, [1, 0, 0, 1], &[&question(&longest, 28), opt])),
        ("root", message(0x0100, [1, 0, 0, 1], &[&question(".", 2), opt])),
        ("trailing", message(0x0100, [1, 0, 0, 0], &[&aaaa, b"\xff\xff"])),
        ("short", b"\x12\x34\x01\0\0\x01\0".to_vec()),
    ]
}

/// Names in wire form, as text, and compressed behind a header.
fn name_seeds() -> Vec<(&'static str, Vec<u8>)> {
    let wire = |name: NameBuf| name.as_wire().to_vec();
    let ipv6 = ip6_arpa("2001:db8::1".parse().unwrap());
    let compressed = &b"\x07example\x03org\0\x03www\xc0\x0c\x03ftp\xc0\x19"[..];
    vec![
        ("root", b"\0".to_vec()),
        ("plain", b"\x03www\x07Example\x03org\0rest".to_vec()),
        ("escapes", b"\x07a.b\\c d\x03\xff\0\"\0".to_vec()),
        ("labels-127", [&b"\x01a".repeat(127)[..], b"\0"].concat()),
        ("label-63", [&b"\x3f"[..], &[b'x'; 63], b"\0"].concat()),
        ("ip6-arpa", wire(ipv6.clone())),
        ("in-addr-arpa", wire(in_addr_arpa("192.0.2.33".parse().unwrap()))),
        ("text", b"www.example.org.".to_vec()),
        ("text-escapes", b"a\\.b\\\\c\\032d.\\255".to_vec()),
        ("text-ip6-arpa", ipv6.to_string().into_bytes()),
        ("compressed", message(0x8180, [0; 4], &[compressed])),
        // The first octet is the place of the name that is read.
        ("compressed-twice", [&[31][..], &[0; 11], compressed].concat()),
        ("loop", message(0, [0; 4], &[b"\x01a\xc0\x0c"])),
    ]
}

/// One response for each way that compiling can go.
fn response_seeds() -> Vec<(&'static str, Vec<u8>)> {
    let a = question("www.example.org", 1);
    let aaaa = question("www.example.org", 28);
    let ptr = question("33.2.0.192.in-addr.arpa", 12);
    let a_record = &b"\xc0\x0c\0\x01\0\x01\0\0\x01\x2c\0\x04\xc0\0\x02\x21"[..];
    let aaaa_record =
        &b"\xc0\x0c\0\x1c\0\x01\0\0\x01\x2c\0\x10 \x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01"[..];
    let mapped =
        &b"\xc0\x0c\0\x1c\0\x01\0\0\0\x3c\0\x10\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\0\x02\x01"[..];
    // CNAME to "a" under the zone of the question, and an A record there.
    let cname = &b"\xc0\x0c\0\x05\0\x01\0\0\0\x3c\0\x04\x01a\xc0\x10"[..];
    let behind = &b"\xc0\x2d\0\x01\0\x01\0\0\0\x1e\0\x04\xc0\0\x02\x21"[..];
    // DNAME of example.org to the root's "net", without the CNAME that follows from it.
    let dname = &b"\xc0\x10\0\x27\0\x01\0\0\0\x3c\0\x05\x03net\0"[..];
    let ptr_record = &b"\xc0\x0c\0\x0c\0\x01\0\0\0\x3c\0\x06\x04host\0"[..];
    let soa = &b"\xc0\x10\0\x06\0\x01\0\0\0\x3c\0\x18\xc0\x0c\xc0\x10\0\0\0\x01\0\0\x0e\x10\0\0\x03\x84\0\x09\x3a\x80\0\0\0\x1e"[..];
    let rrsig = &b"\xc0\x0c\0\x2e\0\x01\0\0\0\x3c\0\x1f\0\x01\x08\x03\0\0\0\x3c\x70\0\0\0\x60\0\0\0\x12\x34\x07example\x03org\0"[..];
    let opt = &b"\0\0\x29\x04\xd0\0\0\x80\0\0\x06\0\x0f\0\x02\0\x06"[..];
    vec![
        ("a", message(0x8180, [1, 2, 0, 1], &[&a, a_record, a_record, opt])),
        ("aaaa", message(0x81a0, [1, 2, 0, 0], &[&aaaa, aaaa_record, mapped])),
        ("cname", message(0x8180, [1, 2, 0, 0], &[&a, cname, behind])),
        (
            "cname-loop",
            message(0x8180, [1, 1, 0, 0], &[&a, b"\xc0\x0c\0\x05\0\x01\0\0\0\x3c\0\x02\xc0\x0c"]),
        ),
        ("dname", message(0x8180, [1, 1, 0, 0], &[&a, dname])),
        ("signed", message(0x81a0, [1, 2, 0, 1], &[&a, a_record, rrsig, opt])),
        ("nodata", message(0x8180, [1, 0, 1, 1], &[&aaaa, soa, opt])),
        ("nxdomain", message(0x8183, [1, 0, 1, 0], &[&aaaa, soa])),
        ("ptr", message(0x8180, [1, 1, 0, 0], &[&ptr, ptr_record])),
        ("many", message(0x8180, [1, 90, 0, 0], &[&a, &a_record.repeat(90)])),
        (
            "root",
            message(
                0x8180,
                [1, 1, 0, 0],
                &[&question(".", 2), b"\0\0\x02\0\x01\0\0\0\x3c\0\x03\x01a\0"],
            ),
        ),
    ]
}

/// Frames of both families, with and without a tag, and a DNS message alone.
fn frame_seeds() -> Vec<(&'static str, Vec<u8>)> {
    let query = message(0x0100, [1, 0, 0, 0], &[&question("www.example.org", 28)]);
    let ethernet = b"\x02\0\0\0\0\x01\x02\0\0\0\0\x02";
    let udp = |checksum: u16| {
        let len = (query.len() as u16 + 8).to_be_bytes();
        [&b"\xc0\0\0\x35"[..], &len, &checksum.to_be_bytes(), &query].concat()
    };
    let v6 = [
        &b"\x60\0\0\0\0\x35\x11\x40"[..],
        b" \x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01 \x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x02",
        &udp(0x1234),
    ]
    .concat();
    let mut v4 = b"\x45\0\0\0\0\0\x40\0\x40\x11\0\0\xc0\0\x02\x01\xc0\0\x02\x02".to_vec();
    v4[2..4].copy_from_slice(&(query.len() as u16 + 28).to_be_bytes());
    let sum = v4.chunks_exact(2).map(|word| u32::from(word[0]) << 8 | u32::from(word[1]));
    let sum = sum.fold(0, |sum, word| (sum + word) % 0xffff);
    v4[10..12].copy_from_slice(&(!(sum as u16)).to_be_bytes());
    v4.extend_from_slice(&udp(0));
    vec![
        ("ipv6", [&ethernet[..], b"\x86\xdd", &v6].concat()),
        ("ipv4", [&ethernet[..], b"\x08\0", &v4].concat()),
        ("tagged", [&ethernet[..], b"\x81\0\0\x07\x86\xdd", &v6].concat()),
        ("message", query),
    ]
}

/// Lives of two engines; see tests/fuzz/checks/engine.rs for the octets.
fn engine_seeds() -> Vec<(&'static str, Vec<u8>)> {
    // A query for AAAA of the first name at the first engine, and answers to all that is open: no
    // data for AAAA, then an address for A.
    let ask = [0, 0, 0, 0, 0];
    let synthesize = [&ask[..], &[6, 0, 0xe8, 3], &[6, 0, 0xe0, 3], &[6, 0, 0xe0, 3]].concat();
    let hand_over = [12, 0x8c].repeat(4);
    let wait = |span: u8| [15, span];
    vec![
        ("synthesis", [&[0][..], &synthesize, &ask].concat()),
        ("owner", [&[0][..], &ask, &[0x80, 0, 0, 0, 0], &hand_over, &synthesize[5..]].concat()),
        ("silence", [&[0][..], &ask, &wait(3), &wait(4), &wait(6)].concat()),
        ("stale", [&[0][..], &synthesize, &wait(7), &ask, &wait(4), &ask].concat()),
        ("tcp", [&[0][..], &ask, &[6, 0, 0xff, 0], &[6, 0, 0xe8, 3], &[6, 0, 0x7f, 2]].concat()),
        ("forged", [&[0][..], &ask, &[6, 0, 0, 3, 1, 9], &[6, 0, 0x80, 3]].concat()),
        ("limits", [&[0x60][..], &ask.repeat(12), &wait(5)].concat()),
        ("raw", [&[0][..], &[5, 14], b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\0\x02"].concat()),
    ]
}

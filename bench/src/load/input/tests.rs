//! Files of each form, and what is wrong with bad ones.

use super::*;
use crate::load::encode::Encoding;
use crate::load::queries::Queries;
use crate::wire::Query;

fn read_as(form: Form, file: &[u8]) -> Result<(Kind, Queries), InputError> {
    let mut encoder = Encoder::new(Encoding::default());
    let mut file = file;
    let kind = read(&mut file, form, &mut encoder)?;
    Ok((kind, encoder.finish()))
}

fn error_of(form: Form, file: &[u8]) -> String {
    read_as(form, file).unwrap_err().to_string()
}

#[test]
fn lines_become_queries() {
    let file = b"; comment\n\n# another\na.test AAAA\r\nb.test.\ttype65\n. NS";
    let (kind, queries) = read_as(Form::TextOrCapture, file).unwrap();
    assert_eq!((kind, queries.len()), (Kind::Text, 3));
    assert!(queries.query(0).ends_with(b"\x01a\x04test\x00\x00\x1c\x00\x01"));
    assert!(queries.query(1).ends_with(b"\x01b\x04test\x00\x00\x41\x00\x01"));
    assert!(queries.query(2).ends_with(b"\x00\x00\x00\x02\x00\x01"));
}

#[test]
fn names_may_hold_any_octet() {
    assert_eq!(text::wire_name("a\\.b.c\\\\\\032"), Some(b"\x03a.b\x03c\\ \x00".to_vec()));
    let longest = format!("{0}.{0}.{0}.{1}", "x".repeat(63), "y".repeat(61));
    assert_eq!(text::wire_name(&longest).unwrap().len(), 255);
    for bad in
        ["", "..", "a..b", ".a", "a\\", "a\\25", "a\\256", &"x".repeat(64), &format!("{longest}y")]
    {
        let name = text::wire_name(bad);
        assert!(name.is_none() || bad.is_empty(), "{bad}: {name:?}");
    }
}

#[test]
fn a_bad_line_is_named_by_its_number_and_its_fault() {
    for (bad, fault) in [
        ("a.test", "no type behind the name a.test"),
        ("a.test AAAA x", "more than a name and a type: x"),
        ("a..test A", "not a name: a..test"),
        ("a.test QQ", "no such type: QQ"),
    ] {
        let file = format!("a.test A\n{bad}\n");
        assert_eq!(error_of(Form::TextOrCapture, file.as_bytes()), format!("line 2: {fault}"));
    }
    assert_eq!(error_of(Form::TextOrCapture, b"#\n"), "no query in it");
    assert_eq!(
        error_of(Form::TextOrCapture, b"a.test A\n\xff\xfe"),
        "line 2: not text; -B reads the binary form"
    );
}

#[test]
fn binary_messages_are_taken_as_they_are() {
    let (kind, queries) = read_as(Form::Binary, b"\x00\x03abc\x00\x02de").unwrap();
    assert_eq!((kind, queries.len(), queries.query(1)), (Kind::Binary, 2, &b"de"[..]));
    assert_eq!(error_of(Form::Binary, b"\x00\x02ab\x00"), "message 2: its length is cut");
    assert_eq!(
        error_of(Form::Binary, b"\x00\x09abc"),
        "message 1: only 3 of its 9 octets are there"
    );
    assert_eq!(
        error_of(Form::Binary, b"\x00\x01a"),
        "message 1: a length of 1 octets; 2 to 4096 can be sent"
    );
    assert_eq!(error_of(Form::Binary, b""), "no query in it");
}

/// A capture of these frames.
fn capture(big: bool, link: u32, frames: &[Vec<u8>]) -> Vec<u8> {
    let u32 = |number: u32| if big { number.to_be_bytes() } else { number.to_le_bytes() };
    let mut file = u32(0xa1b2_c3d4).to_vec();
    file.extend([0; 16]);
    file.extend(u32(link));
    for frame in frames {
        file.extend([0; 8]);
        file.extend(u32(frame.len() as u32));
        file.extend(u32(frame.len() as u32));
        file.extend(frame);
    }
    file
}

/// A query in a UDP datagram, with two octets of padding behind.
fn datagram(port: u16, flags: u8) -> Vec<u8> {
    let message = [
        &b"\x00\x01"[..],
        &[flags],
        b"\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01a\x00\x00\x1c\x00\x01",
    ]
    .concat();
    let mut datagram = vec![0x99, 0x99];
    datagram.extend(port.to_be_bytes());
    datagram.extend((8 + message.len() as u16).to_be_bytes());
    datagram.extend([0, 0]);
    datagram.extend(message);
    datagram.extend(b"\xee\xee");
    datagram
}

/// An IPv4 packet with options.
fn ipv4(payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0; 24];
    (packet[0], packet[9]) = (0x46, 17);
    packet.extend(payload);
    packet
}

/// An IPv6 packet with a hop-by-hop header of 16 octets.
fn ipv6(payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0; 56];
    packet[0] = 0x60;
    (packet[40], packet[41]) = (17, 1);
    packet.extend(payload);
    packet
}

#[test]
fn queries_are_found_behind_every_link_and_in_both_orders_of_octets() {
    let (four, six) = (ipv4(&datagram(53, 1)), ipv6(&datagram(53, 1)));
    let behind = |start: &[u8], packet: &[u8]| [start, packet].concat();
    for (link, frames) in [
        (
            1,
            vec![
                behind(b"ddddddssssss\x08\x00", &four),
                behind(b"ddddddssssss\x81\x00\x00\x07\x86\xdd", &six),
            ],
        ),
        (101, vec![four.clone(), six.clone()]),
        (0, vec![behind(b"\x02\x00\x00\x00", &four), behind(b"\x00\x00\x00\x1e", &six)]),
        (
            113,
            vec![behind(b"00001111222222\x08\x00", &four), behind(b"00001111222222\x86\xdd", &six)],
        ),
        (
            276,
            vec![
                behind(b"\x08\x00", &behind(&[0; 18], &four)),
                behind(b"\x86\xdd", &behind(&[0; 18], &six)),
            ],
        ),
    ] {
        for big in [false, true] {
            let (kind, queries) = read_as(Form::TextOrCapture, &capture(big, link, &frames))
                .unwrap_or_else(|error| panic!("link {link}: {error}"));
            assert_eq!((kind, queries.len()), (Kind::Capture, 2), "link {link}");
            for place in 0..2 {
                let query = Query::parse(queries.query(place)).unwrap();
                assert_eq!((query.name, query.bytes.len()), (&b"\x01a\x00"[..], 19));
            }
        }
    }
}

#[test]
fn other_packets_of_a_capture_are_passed_over() {
    let mut fragment = ipv4(&datagram(53, 1));
    fragment[6] = 0x20;
    let mut tcp = ipv4(&datagram(53, 1));
    tcp[9] = 6;
    let others = [
        ipv4(&datagram(5353, 1)),
        ipv4(&datagram(53, 0x81)),
        fragment,
        tcp,
        ipv4(&datagram(53, 1)[..20]),
        vec![],
        vec![0x50],
    ];
    let file = capture(false, 101, &others);
    assert_eq!(
        error_of(Form::TextOrCapture, &file),
        "no query to UDP port 53 over IPv4 or IPv6 in this capture"
    );
    let mut mixed = others.to_vec();
    mixed.push(ipv6(&datagram(53, 1)));
    assert_eq!(read_as(Form::TextOrCapture, &capture(true, 12, &mixed)).unwrap().1.len(), 1);
}

#[test]
fn a_bad_capture_is_refused_with_the_reason() {
    let file = capture(false, 101, &[ipv4(&datagram(53, 1))]);
    assert_eq!(error_of(Form::TextOrCapture, &file[..20]), "the capture's header is cut");
    assert_eq!(error_of(Form::TextOrCapture, &file[..30]), "message 1: its header is cut");
    assert_eq!(error_of(Form::TextOrCapture, &file[..file.len() - 1]), "message 1: it is cut");
    assert!(error_of(Form::TextOrCapture, &capture(false, 105, &[])).starts_with("link type 105 "));
    assert!(
        error_of(Form::TextOrCapture, b"\x0a\x0d\x0d\x0a....").starts_with("pcapng is not read")
    );
}

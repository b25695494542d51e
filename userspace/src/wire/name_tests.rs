//! Tests of names: literal octets in, names or reasons out.

use super::*;

fn name(text: &str) -> NameBuf {
    text.parse().unwrap()
}

/// A name of this many octets, root included, in labels of up to 63.
fn wire_of_len(len: usize) -> Vec<u8> {
    let mut wire = Vec::new();
    while wire.len() + 1 < len {
        let label_len = (len - 2 - wire.len()).min(LABEL_LEN_MAX);
        wire.push(label_len as u8);
        wire.extend(std::iter::repeat_n(b'x', label_len));
    }
    wire.push(0);
    assert_eq!(wire.len(), len);
    wire
}

#[test]
fn a_name_is_split_from_what_follows() {
    let (name, rest) = Name::split(b"\x03www\x07Example\x03org\0\0\x1c").unwrap();
    assert_eq!(name.as_wire(), b"\x03www\x07Example\x03org\0");
    assert_eq!(rest, b"\0\x1c");
    assert_eq!(name.to_string(), "www.Example.org.");
    assert_eq!(name.labels().collect::<Vec<_>>(), [&b"www"[..], b"Example", b"org"]);
    assert_eq!(name.label_count(), 3);
    let (root, rest) = Name::split(b"\0").unwrap();
    assert!(root.is_root() && rest.is_empty() && root.labels().next().is_none());
    assert_eq!(root, Name::ROOT);
}

#[test]
fn a_name_of_255_octets_is_taken_and_one_of_256_is_not() {
    assert_eq!(Name::split(&wire_of_len(255)).map(|(name, _)| name.as_wire().len()), Ok(255));
    for len in 256..=320 {
        assert_eq!(Name::split(&wire_of_len(len)), Err(ParseError::NameTooLong), "{len}");
    }
    // 127 labels of one octet are as many as there can be.
    let most = [&b"\x01a".repeat(127)[..], b"\0"].concat();
    assert_eq!(Name::split(&most).unwrap().0.label_count(), 127);
    let too_many = [&b"\x01a".repeat(128)[..], b"\0"].concat();
    assert_eq!(Name::split(&too_many), Err(ParseError::NameTooLong));
}

/// The patterns of RFC 9267 2 to 4, as far as a lone name can have them.
#[test]
fn malformed_names_of_rfc_9267_are_refused_for_their_reason() {
    for (bytes, reason) in [
        (&b""[..], ParseError::ShortName),
        (b"\x03www", ParseError::ShortName),
        (b"\x03ww", ParseError::ShortName),
        (b"\x3fwww\0", ParseError::ShortName),
        (b"\x40", ParseError::LabelType),
        (b"\x7fwww\0", ParseError::LabelType),
        (b"\x80\0", ParseError::LabelType),
        (b"\xbf\xff", ParseError::LabelType),
        (b"\xc0\x0c", ParseError::PointerInQuestion),
        (b"\x03www\xff\xff", ParseError::PointerInQuestion),
    ] {
        assert_eq!(Name::split(bytes), Err(reason), "{bytes:x?}");
    }
}

#[test]
fn a_nul_inside_a_label_does_not_end_the_name() {
    let (name, rest) = Name::split(b"\x05a\0b\0c\x03org\0!").unwrap();
    assert_eq!(name.to_string(), "a\\000b\\000c.org.");
    assert_eq!(rest, b"!");
}

#[test]
fn text_escapes_what_could_be_misread() {
    let wire = b"\x07a.b\\c d\x03\xff\n\"\0";
    let name = Name::from_wire(wire).unwrap();
    assert_eq!(name.to_string(), "a\\.b\\\\c\\032d.\\255\\010\".");
    assert_eq!(name.to_string().parse::<NameBuf>().unwrap().as_wire(), wire);
    assert_eq!(Name::ROOT.to_string(), ".");
}

#[test]
fn text_is_read_as_absolute_with_or_without_the_last_dot() {
    assert_eq!(name("www.example.org"), name("www.example.org."));
    assert_eq!(name(".").as_wire(), b"\0");
    assert_eq!(name("\\119ww.a\\.b").as_wire(), b"\x03www\x03a.b\0");
    assert_eq!(name("a\\.").as_wire(), b"\x02a.\0");
}

#[test]
fn text_that_is_no_name_is_refused_for_its_reason() {
    let long_label = "x".repeat(64);
    let long_name = "x.".repeat(128);
    for (text, reason) in [
        ("", NameError::Empty),
        ("..", NameError::EmptyLabel),
        (".a", NameError::EmptyLabel),
        ("a..b", NameError::EmptyLabel),
        (&long_label, NameError::LabelTooLong),
        (&long_name, NameError::NameTooLong),
        ("a\\", NameError::Escape),
        ("a\\25", NameError::Escape),
        ("a\\256", NameError::Escape),
        ("a\\2x5", NameError::Escape),
        ("bücher.example", NameError::NotAscii),
        ("a\\ü", NameError::NotAscii),
    ] {
        assert_eq!(text.parse::<NameBuf>(), Err(reason), "{text:?}");
    }
    assert!("x.".repeat(127).parse::<NameBuf>().is_ok());
}

#[test]
fn a_label_that_does_not_fit_leaves_the_name_as_it_was() {
    let mut buf = NameBuf::from_wire(&wire_of_len(250)).unwrap();
    let before = buf.clone();
    assert_eq!(buf.push_label(b"12345"), Err(NameError::NameTooLong));
    assert_eq!(buf.push_label(&[b'x'; 63]), Err(NameError::NameTooLong));
    assert_eq!(buf.push_label(b""), Err(NameError::EmptyLabel));
    assert_eq!(buf.push_label(&[b'x'; 64]), Err(NameError::LabelTooLong));
    assert_eq!(buf, before);
    assert_eq!(buf.push_label(b"1234"), Ok(()));
    assert_eq!(buf.as_wire().len(), 255);
    assert!(Name::from_wire(buf.as_wire()).is_ok());
}

#[test]
fn equality_is_exact_unless_case_is_ignored() {
    let (lower, mixed) = (name("www.example.org"), name("wWw.eXample.ORG"));
    assert_ne!(lower, mixed);
    assert!(lower.as_name().eq_ignore_case(mixed.as_name()));
    assert_eq!(mixed.folded(), lower);
    assert!(!name("a.b").as_name().eq_ignore_case(name("a\\.b").as_name()));
    // 0x40 and 0x60, 0x5b and 0x7b differ in the bit of letter case, but are no letters.
    assert!(!name("@[").as_name().eq_ignore_case(name("`{").as_name()));
}

#[test]
fn a_subdomain_shares_whole_labels() {
    let below = |a: &str, b: &str| name(a).as_name().is_subdomain_of(name(b).as_name());
    assert!(below("www.Example.org", "eXample.org"));
    assert!(below("example.org", "example.org"));
    assert!(below("example.org", "."));
    assert!(below(".", "."));
    assert!(!below("notexample.org", "example.org"));
    assert!(!below("org", "example.org"));
    assert!(!below("7example.org", "example.org"));
    // The octets of the second are a suffix of those of the first, but not at a label.
    assert!(!below("a\\003org", "org"));
}

#[test]
fn parents_lead_to_the_root() {
    let name = name("a.b");
    let parent = name.as_name().parent().unwrap();
    assert_eq!(parent.as_wire(), b"\x01b\0");
    assert_eq!(parent.parent(), Some(Name::ROOT));
    assert_eq!(Name::ROOT.parent(), None);
}

#[test]
fn folding_pads_with_zeros_to_a_whole_word() {
    let mut into = [0xaa; 256];
    assert_eq!(fold(name("WWW.Ex\\196mple").as_name(), &mut into), 13);
    assert_eq!(&into[..16], b"\x03www\x07ex\xc4mple\0\0\0\0");
    assert_eq!(into[16], 0xaa);
    let longest = NameBuf::from_wire(&wire_of_len(255)).unwrap();
    let mut into = [0xaa; 256];
    assert_eq!(fold(longest.as_name(), &mut into), 255);
    assert_eq!(into[255], 0);
}

// ---- Compression

/// A header's worth of octets that would be a name if they were looked at.
const HEADER: &[u8; 12] = b"\x01a\0\0\0\0\0\0\0\0\0\0";

fn decompressed(body: &[u8], offset: usize) -> Result<(String, usize), ParseError> {
    let message = [HEADER, body].concat();
    decompress(&message, offset).map(|(name, next)| (name.to_string(), next))
}

#[test]
fn a_compressed_name_is_put_together() {
    let body = b"\x07example\x03org\0\x03www\xc0\x0c\x03ftp\xc0\x19\0";
    assert_eq!(decompressed(body, 12), Ok(("example.org.".into(), 25)));
    assert_eq!(decompressed(body, 25), Ok(("www.example.org.".into(), 31)));
    assert_eq!(decompressed(body, 31), Ok(("ftp.www.example.org.".into(), 37)));
    assert_eq!(decompressed(body, 37), Ok((".".into(), 38)));
}

/// The patterns of RFC 9267 2: pointers that loop, lead forward, outside or nowhere.
#[test]
fn pointers_of_rfc_9267_are_refused_for_their_reason() {
    for (body, offset, reason) in [
        (&b"\xc0\x0c"[..], 12, ParseError::ForwardPointer),
        (b"\xc0\x0e\xc0\x0c", 12, ParseError::ForwardPointer),
        (b"\xc0\x0e\xc0\x0c", 14, ParseError::ForwardPointer),
        (b"\xff\xff", 12, ParseError::ForwardPointer),
        (b"\xc0", 12, ParseError::ShortName),
        (b"\xc0\x00", 12, ParseError::PointerIntoHeader),
        (b"\xc0\x0b", 12, ParseError::PointerIntoHeader),
        // Into the name that holds the pointer, at a label and into the octets of one.
        (b"\x01a\xc0\x0c", 12, ParseError::ForwardPointer),
        (b"\x03\x01b\0\xc0\x0d", 12, ParseError::ForwardPointer),
        // To labels that only end in the name that holds the pointer.
        (b"\x03a\x01b\xc0\x0c", 14, ParseError::ShortName),
        (b"\x40\0", 12, ParseError::LabelType),
        (b"\x03ww", 12, ParseError::ShortName),
        (b"", 12, ParseError::ShortName),
        (b"\0", 99, ParseError::ShortName),
        (b"\0", usize::MAX, ParseError::ShortName),
    ] {
        assert_eq!(decompressed(body, offset), Err(reason), "{body:x?} at {offset}");
    }
}

#[test]
fn a_name_that_grows_by_compression_stays_within_255_octets() {
    // Each name adds 63 octets to the one before.
    let mut body = vec![0];
    let mut starts = vec![12_usize];
    for _ in 0..5 {
        let target = *starts.last().unwrap() as u16 | 0xc000;
        starts.push(12 + body.len());
        body.push(62);
        body.extend([b'x'; 62]);
        body.extend(target.to_be_bytes());
    }
    assert!(decompressed(&body, starts[4]).is_ok());
    assert_eq!(decompressed(&body, starts[5]), Err(ParseError::NameTooLong));
}

#[test]
fn a_long_chain_of_pointers_ends() {
    let mut body = vec![0];
    let mut target = 12_u16;
    for _ in 0..1000 {
        let start = 12 + body.len() as u16;
        body.extend((target | 0xc000).to_be_bytes());
        target = start;
    }
    assert_eq!(decompressed(&body, 13 + 2 * 126), Ok((".".into(), 13 + 2 * 127)));
    assert_eq!(decompressed(&body, 13 + 2 * 127), Err(ParseError::PointerChain));
    assert_eq!(decompressed(&body, usize::from(target)), Err(ParseError::PointerChain));
}

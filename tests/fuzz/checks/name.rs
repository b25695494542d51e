//! A name that was accepted is a name in every form.

use dns64::limits::NAME_LEN_MAX;
use dns64::reverse::{ReverseV6, in_addr_arpa, ip6_arpa, parse_in_addr_arpa, parse_ip6_arpa};
use dns64::wire::name::{Name, NameBuf, decompress, fold};

/// Checks octets as a name in wire form, as a message with compressed names, and as text.
pub(crate) fn check(bytes: &[u8]) {
    if let Ok((name, rest)) = Name::split(bytes) {
        assert_eq!(name.as_wire().len() + rest.len(), bytes.len());
        check_name(name);
    }
    for offset in [0, 12, bytes.first().copied().map_or(0, usize::from), bytes.len()] {
        if let Ok((name, next)) = decompress(bytes, offset) {
            assert!(next > offset && next <= bytes.len());
            check_name(name.as_name());
        }
    }
    if let Some(name) = std::str::from_utf8(bytes).ok().and_then(|text| text.parse().ok()) {
        let name: NameBuf = name;
        check_name(name.as_name());
    }
}

/// What holds for every name.
fn check_name(name: Name<'_>) {
    assert!((1..=NAME_LEN_MAX).contains(&name.as_wire().len()));
    let text = name.to_string();
    assert!(text.bytes().all(|octet| octet.is_ascii_graphic()), "nothing can break a log line");
    let read: NameBuf = text.parse().expect("the text of a name is a name");
    assert_eq!(read.as_wire(), name.as_wire());
    assert_eq!(name.label_count(), name.labels().count());
    assert_eq!(name.parent().is_none(), name.is_root());
    assert!(name.parent().is_none_or(|parent| name.is_subdomain_of(parent)));
    assert!(name.is_subdomain_of(Name::ROOT));

    let mut folded = [0xff; 256];
    let len = fold(name, &mut folded);
    assert_eq!(&folded[..len], name.as_wire().to_ascii_lowercase());
    assert!(folded[len..len.next_multiple_of(8)].iter().all(|octet| *octet == 0));
    assert_eq!(read.folded().as_wire(), &folded[..len]);

    if let ReverseV6::Address(address) = parse_ip6_arpa(name) {
        assert!(ip6_arpa(address).as_name().eq_ignore_case(name));
    }
    if let Some(address) = parse_in_addr_arpa(name) {
        assert!(in_addr_arpa(address).as_name().eq_ignore_case(name));
    }
}

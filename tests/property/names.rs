//! Names in text and wire form, and against hickory-proto.

use dns64::wire::ParseError;
use dns64::wire::name::{NameBuf, decompress};
use hickory_proto::rr::Name as HickoryName;
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder};
use proptest::prelude::*;

/// Any name: labels of any octets, as many as fit.
pub(crate) fn any_name() -> impl Strategy<Value = NameBuf> {
    let label = prop_oneof![
        4 => prop::collection::vec(prop::char::range('a', 'z').prop_map(|c| c as u8), 1..12),
        1 => prop::collection::vec(any::<u8>(), 1..=63),
    ];
    prop::collection::vec(label, 0..20).prop_map(|labels| {
        let mut name = NameBuf::ROOT;
        for label in labels {
            // What does not fit any more is left out.
            let _ = name.push_label(&label);
        }
        name
    })
}

/// The wire form that hickory-proto's labels make.
pub(crate) fn wire_of(name: &HickoryName) -> Vec<u8> {
    let mut wire = Vec::new();
    for label in name.iter() {
        wire.push(label.len() as u8);
        wire.extend(label);
    }
    wire.push(0);
    wire
}

/// Octets with names in them that chance has compressed, well or badly.
fn any_message() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => prop::collection::vec(prop::char::range('a', 'z').prop_map(|c| c as u8), 1..6)
            .prop_map(|label| [&[label.len() as u8][..], &label].concat()),
        3 => (0..64_u8).prop_map(|low| vec![0xc0, low]),
        2 => Just(vec![0]),
        1 => prop::collection::vec(any::<u8>(), 1..4),
    ];
    (prop::collection::vec(any::<u8>(), 12), prop::collection::vec(piece, 1..20))
        .prop_map(|(header, pieces)| [header, pieces.concat()].concat())
}

/// Where we refuse what hickory-proto takes.
const KNOWN_TO_BE_STRICTER: &[ParseError] = &[
    // No name can lie in the header; and no use can be made of a pointer to a pointer.
    ParseError::PointerIntoHeader,
    ParseError::PointerChain,
    // hickory-proto takes a pointer whose second octet lies behind the end of the view.
    ParseError::ShortName,
];

proptest! {
    #![proptest_config(crate::config())]

    #[test]
    fn a_name_survives_being_written_as_text(name in any_name()) {
        let text = name.to_string();
        prop_assert_eq!(text.parse::<NameBuf>(), Ok(name.clone()));
        // And without the dot at the end, but for the root.
        if let Some(relative) = text.strip_suffix('.').filter(|text| !text.is_empty()) {
            prop_assert_eq!(relative.parse::<NameBuf>(), Ok(name));
        }
    }

    #[test]
    fn a_plain_text_is_read_as_hickory_reads_it(text in "[a-z0-9][a-z0-9-]{0,18}(\\.[a-z0-9][a-z0-9-]{0,18}){0,6}") {
        let theirs = HickoryName::from_ascii(&text).unwrap();
        let ours: NameBuf = text.parse().unwrap();
        prop_assert_eq!(ours.as_wire(), wire_of(&theirs));
    }

    #[test]
    fn a_compressed_name_is_read_as_hickory_reads_it(
        message in any_message(),
        place in any::<u16>(),
    ) {
        let offset = 12 + usize::from(place) % (message.len() - 12);
        let mut decoder = BinDecoder::new(&message).clone(offset as u16);
        match (decompress(&message, offset), HickoryName::read(&mut decoder)) {
            (Ok((ours, next)), Ok(theirs)) => {
                prop_assert_eq!(ours.as_wire(), wire_of(&theirs));
                prop_assert_eq!(next, decoder.index());
            }
            (Err(_), Err(_)) => {}
            (Err(reason), Ok(theirs)) => {
                prop_assert!(KNOWN_TO_BE_STRICTER.contains(&reason), "{} but {}", reason, theirs);
            }
            (Ok((ours, _)), Err(reason)) => prop_assert!(false, "{} but {}", ours, reason),
        }
    }

    #[test]
    fn any_octets_and_texts_keep_the_promises_of_names(
        bytes in any::<Vec<u8>>(),
        text in ".{0,40}",
    ) {
        crate::checks::name::check(&bytes);
        crate::checks::name::check(text.as_bytes());
    }
}

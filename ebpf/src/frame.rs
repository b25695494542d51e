//! Reading the headers of a received frame.
//!
//! [`Frame`] is the only way to the octets: every read says how many octets it wants and where, and
//! gets nothing if they are not all there. In the kernel the same comparison is what convinces the
//! verifier. The views ([`Ethernet`], [`Ipv4`], [`Ipv6`], [`Udp`], [`Dns`]) copy the few fields
//! that matter and judge nothing; what a field's value means for the frame is decided in
//! [`crate::classify`].
//!
//! ```text
//!   Ethernet   14 octets, 18 with one 802.1Q tag
//!   IPv4       20 octets, up to 60 with options          IPv6   40 octets
//!   UDP         8 octets
//!   DNS        12 octets of header, then the question
//! ```

/// Octets of a received frame, read only within its bounds.
pub trait Frame {
    /// The `N` octets from `offset` on; `None` unless all of them lie inside the frame.
    fn octets<const N: usize>(&self, offset: usize) -> Option<[u8; N]>;

    /// Octets in the frame, from the Ethernet header on, without the frame check sequence.
    fn len(&self) -> usize;

    /// Whether the frame has no octets.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The 16-bit number in network order at `offset`.
    fn number(&self, offset: usize) -> Option<u16> {
        self.octets(offset).map(u16::from_be_bytes)
    }
}

/// A frame that can be rewritten in place.
pub trait FrameMut: Frame {
    /// Puts `octets` at `offset`; `None`, and nothing is written, unless all of them lie inside the
    /// frame.
    fn set_octets<const N: usize>(&mut self, offset: usize, octets: [u8; N]) -> Option<()>;
}

impl Frame for [u8] {
    fn octets<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        self.get(offset..)?.first_chunk().copied()
    }

    fn len(&self) -> usize {
        <[u8]>::len(self)
    }
}

impl FrameMut for [u8] {
    fn set_octets<const N: usize>(&mut self, offset: usize, octets: [u8; N]) -> Option<()> {
        *self.get_mut(offset..)?.first_chunk_mut()? = octets;
        Some(())
    }
}

/// Offsets of fields from the start of their header, and lengths of headers, in octets.
mod field {
    /// IEEE 802.3: destination, source, `EtherType`.
    pub(super) mod ethernet {
        pub(in crate::frame) const DESTINATION: usize = 0;
        pub(in crate::frame) const ETHER_TYPE: usize = 12;
        pub(in crate::frame) const HEADER_LEN: usize = 14;
        /// IEEE 802.1Q puts the tag control information where the `EtherType` was, plus two.
        pub(in crate::frame) const TAGGED_ETHER_TYPE: usize = 16;
        pub(in crate::frame) const TAGGED_HEADER_LEN: usize = 18;
    }

    /// RFC 791 3.1.
    pub(super) mod ipv4 {
        pub(in crate::frame) const VERSION_AND_IHL: usize = 0;
        pub(in crate::frame) const TOTAL_LENGTH: usize = 2;
        pub(in crate::frame) const FLAGS_AND_FRAGMENT_OFFSET: usize = 6;
        pub(in crate::frame) const PROTOCOL: usize = 9;
        pub(in crate::frame) const SOURCE: usize = 12;
        pub(in crate::frame) const DESTINATION: usize = 16;
        pub(in crate::frame) const MIN_HEADER_LEN: usize = 20;
    }

    /// RFC 8200 3.
    pub(super) mod ipv6 {
        pub(in crate::frame) const VERSION: usize = 0;
        pub(in crate::frame) const PAYLOAD_LENGTH: usize = 4;
        pub(in crate::frame) const NEXT_HEADER: usize = 6;
        pub(in crate::frame) const SOURCE: usize = 8;
        pub(in crate::frame) const DESTINATION: usize = 24;
        pub(in crate::frame) const HEADER_LEN: usize = 40;
    }

    /// RFC 768.
    pub(super) mod udp {
        pub(in crate::frame) const SOURCE_PORT: usize = 0;
        pub(in crate::frame) const DESTINATION_PORT: usize = 2;
        pub(in crate::frame) const LENGTH: usize = 4;
        pub(in crate::frame) const CHECKSUM: usize = 6;
        pub(in crate::frame) const HEADER_LEN: usize = 8;
    }

    /// RFC 1035 4.1.1.
    pub(super) mod dns {
        pub(in crate::frame) const FLAGS: usize = 2;
        pub(in crate::frame) const QUESTION_COUNT: usize = 4;
        pub(in crate::frame) const HEADER_LEN: usize = 12;
    }
}

/// `EtherType` of IPv4.
pub const ETHER_TYPE_IPV4: u16 = 0x0800;
/// `EtherType` of IPv6.
pub const ETHER_TYPE_IPV6: u16 = 0x86dd;
/// `EtherType` of a customer tag (IEEE 802.1Q).
pub const ETHER_TYPE_CUSTOMER_TAG: u16 = 0x8100;
/// `EtherType` of a service tag (IEEE 802.1ad, "`QinQ`").
pub const ETHER_TYPE_SERVICE_TAG: u16 = 0x88a8;
/// Service tags of equipment older than IEEE 802.1ad.
pub const ETHER_TYPE_OLD_SERVICE_TAG: u16 = 0x9100;

/// IP protocol number of UDP.
pub const PROTOCOL_UDP: u8 = 17;

/// What the Ethernet header leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ethernet {
    /// `EtherType` after at most one customer tag. A tag's own type if there are more.
    pub ether_type: u16,
    /// Offset of the network header: 14, or 18 behind a tag.
    pub network: usize,
    /// Whether the destination is a group address (the lowest bit of the first octet).
    pub to_group: bool,
}

impl Ethernet {
    /// Reads the header at the start of the frame.
    pub fn read<F: Frame + ?Sized>(frame: &F) -> Option<Self> {
        let [first] = frame.octets(field::ethernet::DESTINATION)?;
        let to_group = first & 1 != 0;
        let ether_type = frame.number(field::ethernet::ETHER_TYPE)?;
        if ether_type == ETHER_TYPE_CUSTOMER_TAG {
            let ether_type = frame.number(field::ethernet::TAGGED_ETHER_TYPE)?;
            return Some(Self {
                ether_type,
                network: field::ethernet::TAGGED_HEADER_LEN,
                to_group,
            });
        }
        Some(Self { ether_type, network: field::ethernet::HEADER_LEN, to_group })
    }

    /// Whether a tag is left where the network header should be: stacked or service tags.
    #[must_use]
    pub const fn has_further_tag(&self) -> bool {
        matches!(
            self.ether_type,
            ETHER_TYPE_CUSTOMER_TAG | ETHER_TYPE_SERVICE_TAG | ETHER_TYPE_OLD_SERVICE_TAG
        )
    }
}

/// The fields of an IPv4 header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ipv4 {
    /// Octets of the header as the IHL says: 20 without options, up to 60.
    pub header_len: usize,
    /// Octets of header and payload as the Total Length says. Not compared with anything yet.
    pub total_len: usize,
    /// Protocol of the payload.
    pub protocol: u8,
    /// Source address.
    pub source: [u8; 4],
    /// Destination address.
    pub destination: [u8; 4],
    /// Flags and fragment offset.
    fragment: u16,
}

impl Ipv4 {
    /// The flag More Fragments and the 13 bits of the fragment offset (RFC 791 3.1).
    const FRAGMENT_MASK: u16 = 0x3fff;

    /// Reads the header at `at`; `None` if it is not all there, is not version 4, or claims to be
    /// shorter than 20 octets.
    pub fn read<F: Frame + ?Sized>(frame: &F, at: usize) -> Option<Self> {
        let [version_and_ihl] = frame.octets(at + field::ipv4::VERSION_AND_IHL)?;
        let header_len = usize::from(version_and_ihl & 0x0f) * 4;
        if version_and_ihl >> 4 != 4 || header_len < field::ipv4::MIN_HEADER_LEN {
            return None;
        }
        let [protocol] = frame.octets(at + field::ipv4::PROTOCOL)?;
        let view = Self {
            header_len,
            total_len: usize::from(frame.number(at + field::ipv4::TOTAL_LENGTH)?),
            protocol,
            source: frame.octets(at + field::ipv4::SOURCE)?,
            destination: frame.octets(at + field::ipv4::DESTINATION)?,
            fragment: frame.number(at + field::ipv4::FLAGS_AND_FRAGMENT_OFFSET)?,
        };
        (at + header_len <= frame.len()).then_some(view)
    }

    /// Whether the header carries options.
    #[must_use]
    pub const fn has_options(&self) -> bool {
        self.header_len > field::ipv4::MIN_HEADER_LEN
    }

    /// Whether the packet is a fragment: the first, one between, or the last.
    #[must_use]
    pub const fn is_fragment(&self) -> bool {
        self.fragment & Self::FRAGMENT_MASK != 0
    }

    /// Whether the sum over the header without options at `at` is right (RFC 1071).
    ///
    /// Network cards may leave the checksum of UDP to be done, never the one of the header.
    pub fn checksum_holds<F: Frame + ?Sized>(frame: &F, at: usize) -> bool {
        let Some(header) = frame.octets::<{ field::ipv4::MIN_HEADER_LEN }>(at) else {
            return false;
        };
        let (words, _) = header.as_chunks::<2>();
        let sum: u32 = words.iter().map(|word| u32::from(u16::from_be_bytes(*word))).sum();
        // Ten words: two folds leave no carry.
        let folded = (sum & 0xffff) + (sum >> 16);
        (folded & 0xffff) + (folded >> 16) == 0xffff
    }
}

/// The fields of an IPv6 header. Extension headers are named, never walked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ipv6 {
    /// Octets behind the header as the Payload Length says. Not compared with anything yet.
    pub payload_len: usize,
    /// Protocol of the payload, or the first extension header.
    pub next_header: u8,
    /// Source address.
    pub source: [u8; 16],
    /// Destination address.
    pub destination: [u8; 16],
}

impl Ipv6 {
    /// Octets of the header.
    pub const HEADER_LEN: usize = field::ipv6::HEADER_LEN;
    /// The Fragment header (RFC 8200 4.5).
    const FRAGMENT: u8 = 44;

    /// Reads the header at `at`; `None` if it is not all there or is not version 6.
    pub fn read<F: Frame + ?Sized>(frame: &F, at: usize) -> Option<Self> {
        let [version] = frame.octets(at + field::ipv6::VERSION)?;
        if version >> 4 != 6 {
            return None;
        }
        let [next_header] = frame.octets(at + field::ipv6::NEXT_HEADER)?;
        Some(Self {
            payload_len: usize::from(frame.number(at + field::ipv6::PAYLOAD_LENGTH)?),
            next_header,
            source: frame.octets(at + field::ipv6::SOURCE)?,
            destination: frame.octets(at + field::ipv6::DESTINATION)?,
        })
    }

    /// Whether a Fragment header comes next, be it of an "atomic" fragment (RFC 6946).
    #[must_use]
    pub const fn is_fragment(&self) -> bool {
        self.next_header == Self::FRAGMENT
    }

    /// Whether any extension header comes next (the IANA list of RFC 7045 2.2).
    ///
    /// Hop-by-Hop Options 0, Routing 43, Fragment 44, ESP 50, AH 51, Destination Options 60,
    /// Mobility 135, HIP 139, Shim6 140, experiments 253 and 254.
    #[must_use]
    pub const fn has_extension_header(&self) -> bool {
        matches!(self.next_header, 0 | 43 | 44 | 50 | 51 | 60 | 135 | 139 | 140 | 253 | 254)
    }
}

/// The fields of a UDP header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Udp {
    /// Source port.
    pub source_port: u16,
    /// Destination port.
    pub destination_port: u16,
    /// Octets of header and payload. Not compared with anything yet.
    pub length: usize,
    /// Whether the checksum field is zero: none was computed.
    pub without_checksum: bool,
}

impl Udp {
    /// Octets of the header.
    pub const HEADER_LEN: usize = field::udp::HEADER_LEN;

    /// Reads the header at `at`.
    pub fn read<F: Frame + ?Sized>(frame: &F, at: usize) -> Option<Self> {
        Some(Self {
            source_port: frame.number(at + field::udp::SOURCE_PORT)?,
            destination_port: frame.number(at + field::udp::DESTINATION_PORT)?,
            length: usize::from(frame.number(at + field::udp::LENGTH)?),
            without_checksum: frame.number(at + field::udp::CHECKSUM)? == 0,
        })
    }
}

/// The fields of a DNS header that steering looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dns {
    /// Number of questions.
    pub question_count: u16,
    /// QR, opcode, and the other flags.
    flags: u16,
}

impl Dns {
    /// Octets of the header; the question follows.
    pub const HEADER_LEN: usize = field::dns::HEADER_LEN;

    /// Reads the header at `at`.
    pub fn read<F: Frame + ?Sized>(frame: &F, at: usize) -> Option<Self> {
        Some(Self {
            flags: frame.number(at + field::dns::FLAGS)?,
            question_count: frame.number(at + field::dns::QUESTION_COUNT)?,
        })
    }

    /// Whether this is a response: the bit QR.
    #[must_use]
    pub const fn is_response(&self) -> bool {
        self.flags & 0x8000 != 0
    }

    /// Whether the opcode is QUERY (0).
    #[must_use]
    pub const fn is_standard_query(&self) -> bool {
        self.flags & 0x7800 == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_that_crosses_the_end_gets_nothing() {
        let frame: &[u8] = &[1, 2, 3];
        assert_eq!(frame.octets::<2>(1), Some([2, 3]));
        assert_eq!(frame.octets::<2>(2), None);
        assert_eq!(frame.octets::<0>(3), Some([]));
        assert_eq!(frame.octets::<1>(4), None);
        assert_eq!(frame.octets::<1>(usize::MAX), None);
    }

    #[test]
    fn options_move_the_payload_of_ipv4() {
        let mut header = [0_u8; 60];
        header[0] = 0x4f;
        assert_eq!(Ipv4::read(&header[..], 0).map(|view| view.header_len), Some(60));
        assert_eq!(Ipv4::read(&header[..59], 0), None, "the options are cut");
        header[0] = 0x44;
        assert_eq!(Ipv4::read(&header[..], 0), None, "an IHL of 4 words is too short");
    }

    #[test]
    fn the_header_checksum_is_the_one_of_rfc_1071() {
        let mut header = [
            0x45, 0, 0, 0x3c, 0x1c, 0x46, 0x40, 0, 0x40, 6, 0xb1, 0xe6, 172, 16, 10, 99, 172, 16,
            10, 12,
        ];
        assert!(Ipv4::checksum_holds(&header[..], 0));
        header[8] -= 1;
        assert!(!Ipv4::checksum_holds(&header[..], 0));
    }
}

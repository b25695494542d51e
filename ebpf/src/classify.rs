//! What to do with a received frame.
//!
//! [`classify`] reads a frame once, from the outside in, and comes to one of three verdicts:
//!
//! * **Pass**: not for us, or too odd to judge. The network stack takes it, reassembles fragments,
//!   walks extension headers, obeys options, answers with ICMP. Passing is never wrong.
//! * **Drop**: certainly for us and certainly worthless, so that nobody ever has to look at it
//!   again. Whatever could get an answer, be it FORMERR or NOTIMP, is not worthless.
//! * **Steer**: a query for us whose lengths agree; here is where its headers lie, and hashes to
//!   choose a core by.
//!
//! Nothing is dropped before the address and port are known to be ours: other people's traffic is
//! none of our business, however broken it is.
//!
//! UDP checksums are not verified: on a virtual interface a local sender leaves them to be
//! computed by hardware that is not there, and the packet is good all the same.

use core::fmt;

use crate::abi::{ClientKey, ServiceKey, SteerBy, SteerConfig};
use crate::frame::{
    Dns, ETHER_TYPE_IPV4, ETHER_TYPE_IPV6, Ethernet, Frame, Ipv4, Ipv6, PROTOCOL_UDP, Udp,
};
use crate::hash;

/// The longest frame that is judged: beyond it a receive buffer may come in several parts, of which
/// a program sees the first only. No query is anywhere near as long. It is also what an `AF_XDP`
/// socket has room for in a frame of 2,048 octets, of which the kernel keeps 256.
pub const MAX_FRAME_LEN: usize = 1792;

/// The longest name in octets with its root label (RFC 1035 2.3.4).
const MAX_NAME_LEN: usize = 255;

/// What the classifier asks the maps.
pub trait Tables {
    /// The configuration.
    fn config(&self) -> &SteerConfig;

    /// Whether we listen there.
    fn serves(&self, service: &ServiceKey) -> bool;

    /// Whether queries of this client are dropped unseen.
    fn denies(&self, client: &ClientKey) -> bool;

    /// [`name_hash`], where that is best done.
    fn question_name<F: Frame + ?Sized>(&self, frame: &F, at: usize, end: usize) -> (u64, u8) {
        name_hash(frame, at, end, self.config().name_seed())
    }
}

/// What to do with a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Leave it to the network stack.
    Pass(PassReason),
    /// Throw it away.
    Drop(DropReason),
    /// Bring it to the core of its query.
    Steer(Steer),
}

/// Where the parts of a query lie, and what its core is chosen by. Every part lies within the
/// frame, and behind the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Steer {
    /// Offset of the IPv4 or IPv6 header.
    pub ip: u16,
    /// Offset of the UDP header.
    pub udp: u16,
    /// Offset of the DNS message.
    pub dns: u16,
    /// Octets of the DNS message, at least 12.
    pub dns_len: u16,
    /// Hash of addresses and ports.
    pub flow_hash: u64,
    /// Hash of the question's name in any letter case: [`hash::name_hash`] of it, but for names
    /// that hold a zero octet inside a label (no host has one), which have some other hash.
    ///
    /// `None` if the query has another opcode or number of questions, or if its name is cut, too
    /// long, or holds an octet of 0x80 or more, as compression pointers do.
    pub name_hash: Option<u64>,
    /// Octets of the name that was hashed, with its root label; 0 without a hash.
    pub name_len: u8,
}

impl Steer {
    /// The core that the query belongs to, from 0 up to but without the configured number.
    #[must_use]
    pub fn core(&self, config: &SteerConfig) -> u16 {
        let hash = match (config.by(), self.name_hash) {
            (SteerBy::Name, Some(name_hash)) => name_hash,
            (SteerBy::Name, None) | (SteerBy::Flow, _) => self.flow_hash,
        };
        share(hash, config.core_count())
    }
}

/// Spreads hashes evenly over `count` shares without a division; 0 counts as 1.
#[must_use]
pub const fn share(hash: u64, count: u16) -> u16 {
    // The upper 32 bits as a fraction of one, times the count.
    (((hash >> 32) * count as u64) >> 32) as u16
}

/// Defines the reasons of a verdict, numbered from 0, each with its name for metrics.
macro_rules! reasons {
    (
        $(#[$of_type:meta])*
        $type:ident { $($(#[$of_reason:meta])* $reason:ident = $name:literal,)* }
    ) => {
        $(#[$of_type])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $type {
            $($(#[$of_reason])* $reason,)*
        }

        impl $type {
            /// Every reason, in the order of the index.
            pub const ALL: [Self; Self::COUNT] = [$(Self::$reason,)*];
            /// Number of reasons.
            pub const COUNT: usize = [$($name,)*].len();

            /// The reason's place among the counters.
            #[must_use]
            pub const fn index(self) -> usize {
                self as usize
            }

            /// The reason's name in metrics.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$reason => $name,)*
                }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.name())
            }
        }
    };
}

pub(crate) use reasons;

reasons! {
    /// Why a frame is left to the network stack.
    PassReason {
        /// Longer than [`MAX_FRAME_LEN`].
        Jumbo = "jumbo",
        /// Ends within a header.
        Short = "short",
        /// Sent to an Ethernet broadcast or multicast address.
        Group = "group",
        /// More than one VLAN tag, or a service tag.
        StackedTags = "stacked_tags",
        /// Neither IPv4 nor IPv6.
        NotIp = "not_ip",
        /// An IP header that is cut, has another version, an impossible length, or a wrong
        /// checksum.
        IpHeader = "ip_header",
        /// IPv4 options: they may ask for anything.
        Ipv4Options = "ipv4_options",
        /// A fragment: only the first has ports, and none is the whole.
        Fragment = "fragment",
        /// An IPv6 extension header, which may hide anything.
        ExtensionHeader = "extension_header",
        /// Another protocol: TCP, ICMP.
        NotUdp = "not_udp",
        /// The IP length reaches beyond the frame, or leaves no room for UDP.
        IpLength = "ip_length",
        /// An IPv4-mapped address in an IPv6 header.
        MappedAddress = "mapped_address",
        /// An address or port that we do not listen on.
        NotOurs = "not_ours",
        /// UDP over IPv6 without a checksum: RFC 6936 allows it to few.
        NoChecksum = "no_checksum",
        /// Octets behind the UDP datagram: UDP options (RFC 9868).
        UdpSurplus = "udp_surplus",
    }
}

reasons! {
    /// Why a frame for us is thrown away.
    DropReason {
        /// The UDP length is less than its header or more than IP brought.
        UdpLength = "udp_length",
        /// The source is one that no answer can or may go to: unspecified, loopback, multicast,
        /// broadcast, or port 0.
        Source = "source",
        /// The source is one of our own services: an answer would go round for ever.
        OwnSource = "own_source",
        /// The client is denied.
        DeniedClient = "denied_client",
        /// Less than a DNS header: there is not even an ID to answer to.
        ShortMessage = "short_message",
        /// A response. Answering one makes two servers talk for ever.
        Response = "response",
    }
}

/// Judges a frame. The maps are asked last, and only about datagrams of UDP.
pub fn classify<F: Frame + ?Sized, T: Tables + ?Sized>(frame: &F, tables: &T) -> Verdict {
    match judge(frame, tables) {
        Ok(steer) => Verdict::Steer(steer),
        Err(verdict) => verdict,
    }
}

/// The path of a good query; every other way leaves early, with its verdict.
fn judge<F: Frame + ?Sized, T: Tables + ?Sized>(frame: &F, tables: &T) -> Result<Steer, Verdict> {
    if frame.len() > MAX_FRAME_LEN {
        return Err(Verdict::Pass(PassReason::Jumbo));
    }
    let packet = Packet::read(frame).map_err(Verdict::Pass)?;
    let udp = Udp::read(frame, packet.udp).ok_or(Verdict::Pass(PassReason::Short))?;
    packet.belongs_to_us(frame, &udp, tables).map_err(Verdict::Pass)?;

    if udp.length < Udp::HEADER_LEN || udp.length > packet.payload_len {
        return Err(Verdict::Drop(DropReason::UdpLength));
    }
    if udp.length < packet.payload_len {
        return Err(Verdict::Pass(PassReason::UdpSurplus));
    }
    packet.may_be_answered(&udp, tables).map_err(Verdict::Drop)?;

    let dns_at = packet.udp + Udp::HEADER_LEN;
    let dns_len = udp.length - Udp::HEADER_LEN;
    if dns_len < Dns::HEADER_LEN {
        return Err(Verdict::Drop(DropReason::ShortMessage));
    }
    let dns = Dns::read(frame, dns_at).ok_or(Verdict::Pass(PassReason::Short))?;
    if dns.is_response() {
        return Err(Verdict::Drop(DropReason::Response));
    }
    let (name_hash, name_len) = if dns.is_standard_query() && dns.question_count == 1 {
        let question = dns_at + Dns::HEADER_LEN;
        tables.question_name(frame, question, dns_at + dns_len)
    } else {
        NO_NAME
    };
    Ok(Steer {
        ip: packet.ip as u16,
        udp: packet.udp as u16,
        dns: dns_at as u16,
        dns_len: dns_len as u16,
        flow_hash: flow_hash(
            [&packet.source, &packet.destination],
            [udp.source_port, udp.destination_port],
            tables.config().flow_seed(),
        ),
        name_hash: (name_len != 0).then_some(name_hash),
        name_len,
    })
}

// The casts above lose nothing: every part lies within the frame.
const _: () = assert!(MAX_FRAME_LEN <= u16::MAX as usize);

/// An unfragmented IP packet with UDP in it, of either family.
pub(crate) struct Packet {
    /// Whether it is IPv4.
    pub(crate) is_ipv4: bool,
    /// Offset of the IP header.
    pub(crate) ip: usize,
    /// Offset of the UDP header.
    pub(crate) udp: usize,
    /// Octets behind the IP header, all of them within the frame, and at least a UDP header.
    pub(crate) payload_len: usize,
    /// Source address; IPv4 in its mapped form.
    pub(crate) source: [u8; 16],
    /// Destination address; IPv4 in its mapped form.
    pub(crate) destination: [u8; 16],
}

/// The first 96 bits of IPv4-mapped addresses (RFC 4291 2.5.5.2).
const MAPPED_PREFIX: [u8; 12] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff];

/// The IPv4-mapped form of an address.
pub(crate) const fn mapped([a, b, c, d]: [u8; 4]) -> [u8; 16] {
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d]
}

/// Whether an address has the IPv4-mapped form.
fn is_mapped(address: &[u8; 16]) -> bool {
    address.first_chunk() == Some(&MAPPED_PREFIX)
}

impl Packet {
    /// Reads Ethernet and IP headers and compares the IP length with the frame.
    pub(crate) fn read<F: Frame + ?Sized>(frame: &F) -> Result<Self, PassReason> {
        let ethernet = Ethernet::read(frame).ok_or(PassReason::Short)?;
        if ethernet.to_group {
            return Err(PassReason::Group);
        }
        if ethernet.has_further_tag() {
            return Err(PassReason::StackedTags);
        }
        let packet = match ethernet.ether_type {
            ETHER_TYPE_IPV4 => Self::read_ipv4(frame, ethernet.network)?,
            ETHER_TYPE_IPV6 => Self::read_ipv6(frame, ethernet.network)?,
            _ => return Err(PassReason::NotIp),
        };
        // Less than the frame is usual: Ethernet pads to 60 octets.
        if packet.payload_len < Udp::HEADER_LEN || packet.udp + packet.payload_len > frame.len() {
            return Err(PassReason::IpLength);
        }
        Ok(packet)
    }

    fn read_ipv4<F: Frame + ?Sized>(frame: &F, at: usize) -> Result<Self, PassReason> {
        let view = Ipv4::read(frame, at).ok_or(PassReason::IpHeader)?;
        if view.is_fragment() {
            return Err(PassReason::Fragment);
        }
        if view.protocol != PROTOCOL_UDP {
            return Err(PassReason::NotUdp);
        }
        if view.has_options() {
            return Err(PassReason::Ipv4Options);
        }
        Ok(Self {
            is_ipv4: true,
            ip: at,
            udp: at + view.header_len,
            payload_len: view.total_len.checked_sub(view.header_len).ok_or(PassReason::IpLength)?,
            source: mapped(view.source),
            destination: mapped(view.destination),
        })
    }

    fn read_ipv6<F: Frame + ?Sized>(frame: &F, at: usize) -> Result<Self, PassReason> {
        let view = Ipv6::read(frame, at).ok_or(PassReason::IpHeader)?;
        if view.is_fragment() {
            return Err(PassReason::Fragment);
        }
        if view.has_extension_header() {
            return Err(PassReason::ExtensionHeader);
        }
        if view.next_header != PROTOCOL_UDP {
            return Err(PassReason::NotUdp);
        }
        // Else an IPv6 packet could name our IPv4 services and clients.
        if is_mapped(&view.source) || is_mapped(&view.destination) {
            return Err(PassReason::MappedAddress);
        }
        Ok(Self {
            is_ipv4: false,
            ip: at,
            udp: at + Ipv6::HEADER_LEN,
            payload_len: view.payload_len,
            source: view.source,
            destination: view.destination,
        })
    }

    /// Whether the datagram goes to one of our services and its headers can be trusted.
    fn belongs_to_us<F: Frame + ?Sized, T: Tables + ?Sized>(
        &self,
        frame: &F,
        udp: &Udp,
        tables: &T,
    ) -> Result<(), PassReason> {
        if !tables.serves(&ServiceKey::new(self.destination, udp.destination_port)) {
            return Err(PassReason::NotOurs);
        }
        if self.is_ipv4 && !Ipv4::checksum_holds(frame, self.ip) {
            return Err(PassReason::IpHeader);
        }
        if !self.is_ipv4 && udp.without_checksum {
            return Err(PassReason::NoChecksum);
        }
        Ok(())
    }

    /// Whether the source is one to answer to.
    fn may_be_answered<T: Tables + ?Sized>(&self, udp: &Udp, tables: &T) -> Result<(), DropReason> {
        if udp.source_port == 0 || !self.source_is_unicast() {
            return Err(DropReason::Source);
        }
        if self.source == self.destination
            || tables.serves(&ServiceKey::new(self.source, udp.source_port))
        {
            return Err(DropReason::OwnSource);
        }
        if tables.denies(&ClientKey::new(self.source)) {
            return Err(DropReason::DeniedClient);
        }
        Ok(())
    }

    /// Whether the source address can be another host's: not unspecified, loopback, multicast or
    /// broadcast (RFC 1122 3.2.1.3, RFC 4291 2.7).
    fn source_is_unicast(&self) -> bool {
        let [.., first, _, _, _] = self.source;
        if self.is_ipv4 {
            // 0/8 and 127/8; 224/4 is multicast, and 240/4 holds the broadcast address.
            return !matches!(first, 0 | 127 | 224..);
        }
        let address = u128::from_be_bytes(self.source);
        // The unspecified address is 0 and loopback 1.
        address > 1 && self.source.first() != Some(&0xff)
    }
}

/// Hashes addresses and ports; source first, IPv4 in its mapped form.
#[inline(always)]
pub(crate) fn flow_hash(addresses: [&[u8; 16]; 2], ports: [u16; 2], seed: u64) -> u64 {
    let mut state = seed;
    for address in addresses {
        let (words, _) = address.as_chunks::<8>();
        for word in words {
            state = hash::mix_word(state, u64::from_le_bytes(*word));
        }
    }
    let [source, destination] = ports;
    let ports = u64::from(source) << 16 | u64::from(destination);
    hash::finish(hash::mix_word(state, ports), 36)
}

/// What has no name, or none that can be hashed. Not `None`: what the compiler leaves undefined
/// there may be an address, and the verifier looks at how it is carried along.
const NO_NAME: (u64, u8) = (0, 0);

/// Hashes and measures the name that a message from `at` up to `end` asks for, if it asks for one.
#[inline(always)]
pub(crate) fn name_of<F: Frame + ?Sized>(
    frame: &F,
    dns: &Dns,
    at: usize,
    end: usize,
    seed: u64,
) -> (u64, u8) {
    if dns.is_standard_query() && dns.question_count == 1 {
        name_hash(frame, at + Dns::HEADER_LEN, end, seed)
    } else {
        NO_NAME
    }
}

/// Hashes and measures the name of the question at `at` in a message that ends at `end`. The length
/// is 0, and the hash means nothing, if there is no name that can be hashed.
///
/// A walk from label to label has a bound for every label and a branch for every octet, which
/// leads the verifier into hundreds of thousands of paths. Here the name is taken eight octets at
/// a time until the first zero octet, which ends every name that has none inside its labels. A
/// length octet of 0x80 or more (a compression pointer, RFC 1035 4.1.4) is not told from other
/// such octets: all of them mean "no hash", and the query is steered by its flow.
#[inline(always)]
pub fn name_hash<F: Frame + ?Sized>(frame: &F, at: usize, end: usize, seed: u64) -> (u64, u8) {
    let mut state = seed;
    let mut whole = 0;
    let last = loop {
        let Some(octets) = frame.octets(at + whole) else { break last_word(frame, at + whole) };
        let word = u64::from_le_bytes(octets);
        if zeros(word) != 0 {
            break word;
        }
        if word & HIGH != 0 || whole >= MAX_NAME_LEN - WORD_LEN {
            return NO_NAME;
        }
        state = hash::mix_word(state, hash::fold_word(word));
        whole += WORD_LEN;
    };
    let zeros = zeros(last);
    let name_len = whole + (zeros.trailing_zeros() as usize) / 8 + 1;
    let word = last & ((zeros & zeros.wrapping_neg()) - 1);
    let is_whole = name_len <= MAX_NAME_LEN && at + name_len + TYPE_AND_CLASS_LEN <= end;
    if word & HIGH != 0 || !is_whole {
        return NO_NAME;
    }
    state = hash::mix_word(state, hash::fold_word(word));
    (hash::finish(state, name_len as u64), name_len as u8)
}

/// Octets of type and class behind the name.
const TYPE_AND_CLASS_LEN: usize = 4;
const WORD_LEN: usize = 8;
const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

/// Not zero if one of the octets is; the lowest bit that is set is then the high bit of the first
/// octet that is zero.
const fn zeros(word: u64) -> u64 {
    word.wrapping_sub(ONES) & !word & HIGH
}

/// The octets of the frame from `at` on, seven at most, the first one lowest; zeros behind them.
fn last_word<F: Frame + ?Sized>(frame: &F, at: usize) -> u64 {
    // The last eight octets of the frame without those before `at`. One by one they would be seven
    // branches, and the verifier would follow each for every word of the name.
    let Some(last) = frame.len().checked_sub(WORD_LEN) else { return 0 };
    let Some(octets) = frame.octets(last) else { return 0 };
    let before = at.wrapping_sub(last);
    if before >= WORD_LEN {
        return 0;
    }
    u64::from_le_bytes(octets) >> (8 * before)
}

#[cfg(test)]
#[path = "classify_tests.rs"]
mod tests;

//! IPv4-embedded IPv6 addresses (RFC 6052) and the prefixes that make them.
//!
//! ```text
//!  octet  0   1   2   3   4   5   6   7   8   9  10  11  12  13  14  15
//!  /32   |    prefix     |  IPv4 address | u |         suffix           |
//!  /40   |      prefix       |   IPv4    | u |v4 |       suffix         |
//!  /48   |        prefix         |  IPv4 | u | IPv4  |     suffix       |
//!  /56   |          prefix           |v4 | u |   IPv4    |   suffix     |
//!  /64   |            prefix             | u |     IPv4      |  suffix  |
//!  /96   |                    prefix                     |     IPv4     |
//! ```
#![forbid(unsafe_code)]

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::Ipv6Net;

/// The octet that every IPv4-embedded address keeps zero: bits 64 to 71 (RFC 6052 2.2).
const U_OCTET: usize = 8;

/// The lengths a Pref64 can have (RFC 6052 2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PrefixLength {
    /// 32 bits: the IPv4 address in octets 4 to 7.
    L32,
    /// 40 bits: octets 5 to 7, and 9.
    L40,
    /// 48 bits: octets 6, 7, 9 and 10.
    L48,
    /// 56 bits: octet 7, and 9 to 11.
    L56,
    /// 64 bits: octets 9 to 12.
    L64,
    /// 96 bits: octets 12 to 15.
    L96,
}

impl PrefixLength {
    /// The length with this many bits.
    #[must_use]
    pub const fn from_bits(bits: u8) -> Option<Self> {
        match bits {
            32 => Some(Self::L32),
            40 => Some(Self::L40),
            48 => Some(Self::L48),
            56 => Some(Self::L56),
            64 => Some(Self::L64),
            96 => Some(Self::L96),
            _ => None,
        }
    }

    /// How many bits: 32, 40, 48, 56, 64 or 96.
    #[must_use]
    pub const fn bits(self) -> u8 {
        match self {
            Self::L32 => 32,
            Self::L40 => 40,
            Self::L48 => 48,
            Self::L56 => 56,
            Self::L64 => 64,
            Self::L96 => 96,
        }
    }

    /// The places of the four IPv4 octets in the IPv6 address.
    #[must_use]
    pub const fn ipv4_octets(self) -> [usize; 4] {
        match self {
            Self::L32 => [4, 5, 6, 7],
            Self::L40 => [5, 6, 7, 9],
            Self::L48 => [6, 7, 9, 10],
            Self::L56 => [7, 9, 10, 11],
            Self::L64 => [9, 10, 11, 12],
            Self::L96 => [12, 13, 14, 15],
        }
    }

    /// The first octet that belongs to the suffix; 16 if there is none.
    const fn suffix_start(self) -> usize {
        self.ipv4_octets()[3] + 1
    }
}

/// A NAT64 prefix: the prefix, where the IPv4 address goes, and the suffix behind it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Pref64 {
    /// Prefix and suffix; the octets of the IPv4 address are zero.
    template: [u8; 16],
    length: PrefixLength,
}

/// The Well-Known Prefix, 64:ff9b::/96 (RFC 6052 2.1).
pub const WELL_KNOWN: Pref64 = Pref64 {
    template: [0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    length: PrefixLength::L96,
};

/// Whether a /96 may have bits 64 to 71 that are not zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UOctet {
    /// They must be zero, as RFC 6052 2.2 says.
    Zero,
    /// They may be anything: some PowerDNS installations use such a prefix.
    Any,
}

impl Pref64 {
    /// A Pref64 from a prefix and a suffix (`::` for none).
    ///
    /// # Errors
    /// [`Pref64Error`] if RFC 6052 2.2 forbids the combination.
    pub fn new(prefix: Ipv6Net, suffix: Ipv6Addr, u_octet: UOctet) -> Result<Self, Pref64Error> {
        let bits = prefix.prefix_len();
        let length = PrefixLength::from_bits(bits).ok_or(Pref64Error::Length(bits))?;
        if prefix.addr() != prefix.network() {
            return Err(Pref64Error::HostBits);
        }
        let mut template = prefix.network().octets();
        if template[U_OCTET] != 0 && u_octet == UOctet::Zero {
            return Err(Pref64Error::UOctet);
        }
        let suffix = suffix.octets();
        let start = length.suffix_start();
        if suffix[..start].iter().any(|octet| *octet != 0) || suffix[U_OCTET] != 0 {
            return Err(Pref64Error::Suffix);
        }
        template[start..].copy_from_slice(&suffix[start..]);
        Ok(Self { template, length })
    }

    /// The IPv6 address that stands for this IPv4 address behind the NAT64 (RFC 6052 2.3).
    #[inline]
    #[must_use]
    pub fn embed(&self, address: Ipv4Addr) -> Ipv6Addr {
        let mut octets = self.template;
        let [a, b, c, d] = address.octets();
        // One arm a length, so that every store has a constant place.
        match self.length {
            PrefixLength::L32 => [octets[4], octets[5], octets[6], octets[7]] = [a, b, c, d],
            PrefixLength::L40 => [octets[5], octets[6], octets[7], octets[9]] = [a, b, c, d],
            PrefixLength::L48 => [octets[6], octets[7], octets[9], octets[10]] = [a, b, c, d],
            PrefixLength::L56 => [octets[7], octets[9], octets[10], octets[11]] = [a, b, c, d],
            PrefixLength::L64 => [octets[9], octets[10], octets[11], octets[12]] = [a, b, c, d],
            PrefixLength::L96 => [octets[12], octets[13], octets[14], octets[15]] = [a, b, c, d],
        }
        Ipv6Addr::from(octets)
    }

    /// The IPv4 address inside an address under this prefix; `None` if the address is not under
    /// it, or its bits 64 to 71 are not those of the prefix (RFC 6052 2.2). The suffix is ignored,
    /// as the RFC asks.
    #[must_use]
    pub fn extract(&self, address: Ipv6Addr) -> Option<Ipv4Addr> {
        let octets = address.octets();
        if !self.covers(address) || octets[U_OCTET] != self.template[U_OCTET] {
            return None;
        }
        Some(Ipv4Addr::from(self.length.ipv4_octets().map(|place| octets[place])))
    }

    /// Whether the address lies under the prefix, whatever its other bits are.
    #[must_use]
    pub fn covers(&self, address: Ipv6Addr) -> bool {
        let whole = usize::from(self.length.bits() / 8);
        address.octets()[..whole] == self.template[..whole]
    }

    /// The prefix without the suffix.
    #[must_use]
    pub fn network(&self) -> Ipv6Net {
        Ipv6Net::new_assert(Ipv6Addr::from(self.template), self.length.bits()).trunc()
    }

    /// The prefix's length.
    #[must_use]
    pub const fn length(&self) -> PrefixLength {
        self.length
    }

    /// Whether this is 64:ff9b::/96.
    #[must_use]
    pub fn is_well_known(&self) -> bool {
        *self == WELL_KNOWN
    }
}

impl fmt::Display for Pref64 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.network().fmt(f)
    }
}

impl fmt::Debug for Pref64 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pref64({self})")
    }
}

// ---- Errors

/// Why a prefix and suffix make no Pref64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pref64Error {
    /// The prefix has this many bits, not 32, 40, 48, 56, 64 or 96.
    Length(u8),
    /// The address has bits behind the prefix.
    HostBits,
    /// Bits 64 to 71 are not zero.
    UOctet,
    /// The suffix touches the prefix, the IPv4 address or bits 64 to 71.
    Suffix,
}

impl fmt::Display for Pref64Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length(bits) => {
                write!(f, "a NAT64 prefix has 32, 40, 48, 56, 64 or 96 bits, not {bits}")
            }
            Self::HostBits => f.write_str("the address has bits set behind the prefix length"),
            Self::UOctet => f.write_str("bits 64 to 71 of the prefix are not zero (RFC 6052 2.2)"),
            Self::Suffix => {
                f.write_str("the suffix may only set bits behind the IPv4 address (RFC 6052 2.2)")
            }
        }
    }
}

impl std::error::Error for Pref64Error {}

#[cfg(test)]
mod tests {
    use super::*;

    fn pref64(prefix: &str) -> Pref64 {
        Pref64::new(prefix.parse().unwrap(), Ipv6Addr::UNSPECIFIED, UOctet::Zero).unwrap()
    }

    #[test]
    fn the_table_of_rfc_6052_2_4_holds() {
        let v4 = "192.0.2.33".parse().unwrap();
        for (prefix, expected) in [
            ("2001:db8::/32", "2001:db8:c000:221::"),
            ("2001:db8:100::/40", "2001:db8:1c0:2:21::"),
            ("2001:db8:122::/48", "2001:db8:122:c000:2:2100::"),
            ("2001:db8:122:300::/56", "2001:db8:122:3c0:0:221::"),
            ("2001:db8:122:344::/64", "2001:db8:122:344:c0:2:2100::"),
            ("2001:db8:122:344::/96", "2001:db8:122:344::192.0.2.33"),
            ("64:ff9b::/96", "64:ff9b::192.0.2.33"),
        ] {
            let expected: Ipv6Addr = expected.parse().unwrap();
            assert_eq!(pref64(prefix).embed(v4), expected, "{prefix}");
            assert_eq!(pref64(prefix).extract(expected), Some(v4), "{prefix}");
        }
    }

    #[test]
    fn an_address_with_bits_in_the_u_octet_embeds_nothing() {
        let address = "2001:db8:122:344:1c0:2:2100::".parse().unwrap();
        assert_eq!(pref64("2001:db8:122:344::/64").extract(address), None);
    }

    #[test]
    fn the_suffix_is_written_and_ignored_when_reading() {
        let pref64 =
            Pref64::new("2001:db8::/32".parse().unwrap(), "::1".parse().unwrap(), UOctet::Zero)
                .unwrap();
        let v4 = Ipv4Addr::new(192, 0, 2, 33);
        assert_eq!(pref64.embed(v4), "2001:db8:c000:221::1".parse::<Ipv6Addr>().unwrap());
        assert_eq!(pref64.extract("2001:db8:c000:221::2".parse().unwrap()), Some(v4));
        assert_eq!(pref64.network().to_string(), "2001:db8::/32");
    }

    #[test]
    fn what_rfc_6052_2_2_forbids_is_refused() {
        let new = |prefix: &str, suffix: &str, u| {
            Pref64::new(prefix.parse().unwrap(), suffix.parse().unwrap(), u)
        };
        assert_eq!(new("2001:db8::/33", "::", UOctet::Zero), Err(Pref64Error::Length(33)));
        assert_eq!(new("2001:db8::1/96", "::", UOctet::Zero), Err(Pref64Error::HostBits));
        let odd = "fe80::21b:77ff:0:0/96";
        assert_eq!(new(odd, "::", UOctet::Zero), Err(Pref64Error::UOctet));
        let odd = new(odd, "::", UOctet::Any).unwrap();
        let mapped = odd.embed(Ipv4Addr::new(1, 2, 3, 4));
        assert_eq!(mapped, "fe80::21b:77ff:102:304".parse::<Ipv6Addr>().unwrap());
        assert_eq!(odd.extract(mapped), Some(Ipv4Addr::new(1, 2, 3, 4)));
        assert_eq!(new("2001:db8::/96", "::1", UOctet::Zero), Err(Pref64Error::Suffix));
        assert_eq!(new("2001:db8::/32", "::1:0:0:0:0", UOctet::Zero), Err(Pref64Error::Suffix));
        assert_eq!(new("2001:db8::/32", "::ff00:0:0:0", UOctet::Zero), Err(Pref64Error::Suffix));
    }
}

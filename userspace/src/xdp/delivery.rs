//! Whether what the XDP program sends arrives.
//!
//! A network card sends what it is given. veth, the virtual cable to a container, hands it to the
//! other end, which takes it only if an XDP program is attached there in the driver; otherwise the
//! frame is gone (`veth_xdp_xmit` and `veth_xdp_flush` of drivers/net/veth.c). The other end is
//! usually in another network namespace, where we cannot look.
//!
//! But it shows at our end. While the other end has a program, the kernel bounds the MTU that ours
//! may be given (`veth_xdp_set` sets `max_mtu` of the peer), because longer frames would not reach
//! that program; without one the bound is that of every veth. So the bound is read at start and
//! several times a second, and hot answers are given while it says that they arrive.
//!
//! What this cannot see: a program at the other end that drops what it gets, and a cable that is no
//! veth.
#![forbid(unsafe_code)]

use super::ladder::Tier;
use super::{interface, netlink};

/// The bound of the MTU of a veth whose other end has no program: `ETH_MAX_MTU`.
const UNBOUND_MTU: u32 = 65_535;

/// Whether what the program sends by an interface arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Delivery {
    /// It does.
    Sure,
    /// The other end of the cable has an XDP program.
    Taken,
    /// The other end of the cable has none.
    Lost,
    /// Nobody knows.
    Unknown,
}

impl Delivery {
    /// That of an interface.
    pub(super) fn of(tier: Tier, index: u32, name: &str) -> Self {
        // In generic mode the network stack sends.
        if matches!(tier, Tier::GenericCopy | Tier::Socket) || interface::has_device(name) {
            return Self::Sure;
        }
        netlink::link(index).map_or(Self::Unknown, |link| Self::of_link(&link))
    }

    /// That of an interface without a device.
    fn of_link(link: &netlink::Link) -> Self {
        match (link.kind.as_deref(), link.mtu_max) {
            (Some("veth"), Some(UNBOUND_MTU)) => Self::Lost,
            (Some("veth"), Some(_)) => Self::Taken,
            _ => Self::Unknown,
        }
    }

    /// Whether hot answers are given inside the program; `wanted` is what the operator has said.
    pub(super) const fn gives_hot_answers(self, wanted: Option<bool>) -> bool {
        match (wanted, self) {
            (Some(false), _) | (_, Self::Lost) | (None, Self::Unknown) => false,
            (_, Self::Sure | Self::Taken) | (Some(true), Self::Unknown) => true,
        }
    }

    /// Why not, and what can be done about it.
    pub(super) const fn refusal(self, wanted: Option<bool>) -> Option<&'static str> {
        match self {
            Self::Lost => Some(
                "the other end of this virtual cable has no XDP program in its driver, and loses \
                 what XDP sends; any program there helps (one that passes everything), and hot \
                 answers then begin by themselves; attach = \"generic\" does without",
            ),
            Self::Unknown if wanted.is_none() => Some(
                "this interface has no device, and nobody knows whether what XDP sends by it \
                 arrives; if it does, write datapath.hot_answers = true",
            ),
            Self::Sure | Self::Taken | Self::Unknown => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hot_answers_are_given_where_they_arrive_and_on_demand_where_nobody_knows() {
        let given = |delivery: Delivery| {
            [None, Some(true), Some(false)].map(|wanted| delivery.gives_hot_answers(wanted))
        };
        assert_eq!(given(Delivery::Sure), [true, true, false]);
        assert_eq!(given(Delivery::Taken), [true, true, false]);
        assert_eq!(given(Delivery::Lost), [false, false, false]);
        assert_eq!(given(Delivery::Unknown), [false, true, false]);
        for delivery in [Delivery::Sure, Delivery::Taken, Delivery::Lost, Delivery::Unknown] {
            for wanted in [None, Some(true)] {
                let refused = delivery.refusal(wanted).is_some();
                assert_eq!(refused, !delivery.gives_hot_answers(wanted), "{delivery:?}");
            }
        }
    }

    #[test]
    fn the_bound_of_the_mtu_tells_of_the_other_end() {
        let of = |kind: &str, mtu_max| {
            let kind = Some(kind.to_owned());
            Delivery::of_link(&netlink::Link { kind, mtu_max, address: None })
        };
        assert_eq!(of("veth", Some(65_535)), Delivery::Lost);
        assert_eq!(of("veth", Some(3_506)), Delivery::Taken);
        // With a program that takes frames in several parts.
        assert_eq!(of("veth", Some(73_138)), Delivery::Taken);
        assert_eq!(of("veth", None), Delivery::Unknown);
        assert_eq!(of("bond", Some(65_535)), Delivery::Unknown);
    }
}

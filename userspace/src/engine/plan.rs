//! What is done with a query, decided from the question, the client's view and the flags alone.

use std::net::Ipv4Addr;

use crate::answer::encode::Request;
use crate::policy::{ClientClass, PrefixMask, PtrMode, View};
use crate::reverse::{ReverseV6, parse_ip6_arpa};
use crate::wire::question::{Class, Question, Rtype};

use super::local::LocalAnswer;

/// What is done with a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plan {
    /// Pass the answer on as it is.
    Relay,
    /// AAAA, made from A where there is none (RFC 6147 5.1).
    Synthesize,
    /// The PTR of the IPv4 address under a Pref64 (RFC 6147 5.3.1).
    Reverse(Ipv4Addr, PtrMode),
    /// An answer that is made here.
    Local(LocalAnswer),
}

/// The bits of a query that bear on the plan.
#[derive(Clone, Copy, Debug)]
pub(super) struct PlanFlags {
    /// RD.
    pub(super) recursion_desired: bool,
    /// CD.
    pub(super) checking_disabled: bool,
}

impl PlanFlags {
    /// Those of a request.
    pub(super) const fn of(request: &Request<'_>) -> Self {
        Self {
            recursion_desired: request.recursion_desired,
            checking_disabled: request.checking_disabled,
        }
    }
}

impl Plan {
    /// The plan for a question, and the prefixes that may be used.
    pub(super) fn of(
        question: &Question<'_>,
        flags: PlanFlags,
        client: ClientClass,
        view: &View,
    ) -> (Self, PrefixMask) {
        if question.class != Class::IN {
            return (Self::Relay, PrefixMask::EMPTY);
        }
        let name = question.name;
        let (of_name, prefixes) =
            Self::of_name(name.as_wire(), question.rtype, flags, client, view);
        let reverse =
            if ends_in_arpa(name.as_wire()) { parse_ip6_arpa(name) } else { ReverseV6::NotReverse };
        if ends_in_arpa(name.as_wire())
            && let Some(local) = LocalAnswer::of(question, reverse, flags, client, view)
        {
            return (Self::Local(local), prefixes);
        }
        match question.rtype {
            Rtype::ANY => {
                let mapped = mapped_by(reverse, client, view);
                (mapped.unwrap_or(Self::Local(LocalAnswer::Any)), prefixes)
            }
            Rtype::PTR => (mapped_by(reverse, client, view).unwrap_or(Self::Relay), prefixes),
            _ => (of_name, prefixes),
        }
    }

    /// The plan for a question of class IN that is not answered here and not about an address:
    /// relay or synthesize; and the prefixes that may be used.
    pub(super) fn of_name(
        name: &[u8],
        rtype: Rtype,
        flags: PlanFlags,
        client: ClientClass,
        view: &View,
    ) -> (Self, PrefixMask) {
        let mut prefixes = view.prefixes_for(name, client.prefixes);
        if !flags.recursion_desired {
            prefixes = prefixes.without(view.recursive_only());
        }
        // RFC 6147 5.5(3) says so for CD with DO; CD alone is read the same way, since RFC 7050 3
        // tells clients to clear CD when they want synthesis.
        let synthesizes = rtype == Rtype::AAAA
            && !prefixes.is_empty()
            && !flags.checking_disabled
            && !view.bypasses(name);
        (if synthesizes { Self::Synthesize } else { Self::Relay }, prefixes)
    }
}

/// The look-up behind a whole name under a prefix.
fn mapped_by(reverse: ReverseV6, client: ClientClass, view: &View) -> Option<Plan> {
    if client.prefixes.is_empty() || view.ptr == PtrMode::Off {
        return None;
    }
    let ReverseV6::Address(address) = reverse else { return None };
    let prefix = view.reverse_prefix(address)?;
    Some(Plan::Reverse(prefix.pref64.extract(address)?, view.ptr))
}

/// Whether the last label is "arpa": all names that are answered here lie there.
fn ends_in_arpa(name: &[u8]) -> bool {
    name.last_chunk::<6>().is_some_and(|end| end.eq_ignore_ascii_case(b"\x04arpa\0"))
}

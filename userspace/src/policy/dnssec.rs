//! What is made of DNSSEC: the `[dnssec]` table.

use super::names::NameSet;
use crate::wire::question::Class;

/// Who validates answers (RFC 4035 5), and what AD in our replies means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum DnssecMode {
    /// Nobody whose word counts: no AD is asked for, believed or given.
    Off,
    /// The upstream servers: their AD is passed on, their DNSSEC failures are final.
    #[default]
    TrustUpstream,
    /// We do, from trust anchors down.
    Validate,
}

impl DnssecMode {
    /// Every mode.
    pub const ALL: [Self; 3] = [Self::Off, Self::TrustUpstream, Self::Validate];

    /// The word for it in the configuration.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::TrustUpstream => "trust-upstream",
            Self::Validate => "validate",
        }
    }
}

/// The values of `[dnssec]` that bear on each query.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DnssecSettings {
    /// Who validates.
    pub mode: DnssecMode,
    /// Negative trust anchors (RFC 7646) in wire form: these names, and those below, count as
    /// unsigned.
    pub negative: Vec<Vec<u8>>,
}

/// What the table means for a look-up.
#[derive(Clone, Debug, Default)]
pub struct DnssecPolicy {
    mode: DnssecMode,
    negative: NameSet,
}

impl DnssecPolicy {
    /// The policy of these settings.
    #[must_use]
    pub fn new(settings: &DnssecSettings) -> Self {
        Self { mode: settings.mode, negative: NameSet::new(&settings.negative) }
    }

    /// Who validates.
    #[must_use]
    pub const fn mode(&self) -> DnssecMode {
        self.mode
    }

    /// Whether answers for this name (lower-cased wire form) are validated here.
    #[must_use]
    pub fn validates(&self, name: &[u8], class: Class) -> bool {
        self.mode == DnssecMode::Validate && class == Class::IN && !self.is_negative(name)
    }

    /// Whether this name (lower-cased wire form) lies at or below a negative trust anchor.
    #[must_use]
    pub fn is_negative(&self, name: &[u8]) -> bool {
        self.negative.covers(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_negative_trust_anchor_covers_its_name_and_all_below_and_nothing_else() {
        let settings = DnssecSettings {
            mode: DnssecMode::Validate,
            negative: vec![b"\x06broken\x04test\0".to_vec()],
        };
        let policy = DnssecPolicy::new(&settings);
        let validates = |name: &[u8]| policy.validates(name, Class::IN);
        assert!(!validates(b"\x06broken\x04test\0"));
        assert!(!validates(b"\x01a\x06broken\x04test\0"));
        assert!(validates(b"\x04test\0"));
        assert!(validates(b"\x07xbroken\x04test\0"));
        assert!(!policy.validates(b"\x04test\0", Class(3)), "only the class IN has trust anchors");
    }

    #[test]
    fn only_validate_validates() {
        for mode in DnssecMode::ALL {
            let policy = DnssecPolicy::new(&DnssecSettings { mode, negative: Vec::new() });
            let validates = policy.validates(b"\x01a\0", Class::IN);
            assert_eq!(validates, mode == DnssecMode::Validate, "{mode:?}");
        }
    }
}

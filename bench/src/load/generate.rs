//! Workloads that are made here: names that say their own answer, and in what order and how often
//! they are asked for.
#![forbid(unsafe_code)]

use std::fmt;
use std::str::FromStr;

use dns64::pref64::Pref64;
use ipnet::Ipv4Net;

use crate::names::{Kind, NAMES_MAX, Question};
use crate::wire::{name_from_text, rtype};

use super::encode::Encoder;
use super::random::Random;

/// The most names of a Zipf distribution: its table has eight octets for each.
pub const ZIPF_NAMES_MAX: u32 = 50_000_000;

/// A workload.
#[derive(Clone, Debug, PartialEq)]
pub enum Workload {
    /// `zipf:N[:S]`: AAAA of N names; the r-th is asked for in proportion to 1 / r^S.
    Zipf {
        /// How many names.
        names: u32,
        /// The exponent.
        exponent: f64,
    },
    /// `random:ZONE`: AAAA of random names in a zone: what a random subdomain attack looks like.
    Random {
        /// The zone.
        zone: String,
    },
    /// `dns64perf[:NETWORK]`: AAAA of the names of RFC 8219's tester dns64perf++, of all addresses
    /// of a network in order.
    Dns64perf {
        /// The network.
        network: Ipv4Net,
    },
    /// `mix[:V4ONLY,DUAL,A,PTR,NX]`: shares in per cent of AAAA of names with an A record only,
    /// AAAA of names with both, A, PTR under the NAT64 prefix, and AAAA of no such name.
    Mix {
        /// The shares, in this order; they add up to 100.
        shares: [f64; 5],
    },
    /// `hit[:N]`: AAAA of N names in order, again and again.
    Hit {
        /// How many names.
        names: u32,
    },
    /// `cold[:FIRST]`: AAAA of names in order, none twice.
    Cold {
        /// The number of the first name.
        first: u32,
    },
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Zipf { names, exponent } => write!(f, "zipf:{names}:{exponent}"),
            Self::Random { zone } => write!(f, "random:{zone}"),
            Self::Dns64perf { network } => write!(f, "dns64perf:{network}"),
            Self::Mix { shares: [v4only, dual, a, ptr, nx] } => {
                write!(f, "mix:{v4only},{dual},{a},{ptr},{nx}")
            }
            Self::Hit { names } => write!(f, "hit:{names}"),
            Self::Cold { first } => write!(f, "cold:{first}"),
        }
    }
}

impl FromStr for Workload {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (word, rest) = match text.split_once(':') {
            Some((word, rest)) => (word, Some(rest)),
            None => (text, None),
        };
        match (word, rest) {
            ("zipf", Some(rest)) => {
                let (names, exponent) = rest.split_once(':').unwrap_or((rest, "1"));
                let names = number(names, 1, ZIPF_NAMES_MAX)?;
                let exponent: f64 =
                    exponent.parse().map_err(|_| format!("{exponent}: not a number"))?;
                if !(0.0..=10.0).contains(&exponent) {
                    return Err(format!("{exponent}: an exponent is from 0 to 10"));
                }
                Ok(Self::Zipf { names, exponent })
            }
            ("random", Some(zone)) => {
                let name = name_from_text(zone).ok_or_else(|| format!("{zone}: not a name"))?;
                if name.len() > 255 - 1 - RANDOM_LABEL_LEN {
                    return Err(format!("{zone}: too long a name to prepend a label to"));
                }
                Ok(Self::Random { zone: zone.trim_end_matches('.').to_owned() })
            }
            ("dns64perf", network) => {
                let network = network.unwrap_or("11.0.0.0/8");
                let parsed =
                    network.parse().map_err(|_| format!("{network}: not an IPv4 network"))?;
                Ok(Self::Dns64perf { network: parsed })
            }
            ("mix", None) => Ok(Self::Mix { shares: [60.0, 20.0, 10.0, 5.0, 5.0] }),
            ("mix", Some(shares)) => Ok(Self::Mix { shares: mix_shares(shares)? }),
            ("hit", names) => {
                Ok(Self::Hit { names: number(names.unwrap_or("1000"), 1, NAMES_MAX)? })
            }
            ("cold", first) => {
                Ok(Self::Cold { first: number(first.unwrap_or("0"), 0, NAMES_MAX - 1)? })
            }
            _ => Err(format!(
                "{text}: no such workload; there are zipf:N[:S], random:ZONE, dns64perf[:NETWORK], \
                 mix[:V4ONLY,DUAL,A,PTR,NX], hit[:N] and cold[:FIRST]"
            )),
        }
    }
}

/// A number in a range.
fn number(text: &str, least: u32, most: u32) -> Result<u32, String> {
    match text.parse() {
        Ok(number) if (least..=most).contains(&number) => Ok(number),
        Ok(_) | Err(_) => Err(format!("{text}: not a number from {least} to {most}")),
    }
}

/// Five shares that add up to 100.
fn mix_shares(text: &str) -> Result<[f64; 5], String> {
    let wrong = || format!("{text}: not five shares in per cent that add up to 100");
    let mut shares = [0.0; 5];
    let mut words = text.split(',');
    for share in &mut shares {
        *share = words.next().and_then(|word| word.parse().ok()).ok_or_else(wrong)?;
        if !(0.0..=100.0).contains(share) {
            return Err(wrong());
        }
    }
    let sum: f64 = shares.iter().sum();
    if words.next().is_some() || (sum - 100.0).abs() > 1e-6 {
        return Err(wrong());
    }
    Ok(shares)
}

/// Letters of a random label.
const RANDOM_LABEL_LEN: usize = 12;

/// How a workload is made.
#[derive(Clone, Copy, Debug)]
pub struct Making<'a> {
    /// The zone of the names that say their own answer.
    pub zone: &'a str,
    /// The NAT64 prefix of PTR questions.
    pub prefix: &'a Pref64,
    /// How many queries to make; `hit` makes one for each name, `cold` and `dns64perf` no more
    /// than there are names.
    pub queries: u64,
    /// Of the random numbers.
    pub seed: u64,
}

impl Workload {
    /// Whether asking a second time would spoil it.
    #[must_use]
    pub fn is_asked_once(&self) -> bool {
        matches!(self, Self::Cold { .. })
    }

    /// Makes the queries.
    ///
    /// # Errors
    /// A text, if the zone is no name or there are too many queries.
    pub fn make(&self, making: &Making<'_>, encoder: &mut Encoder) -> Result<(), String> {
        let mut random = Random::new(making.seed, 0x7a69_7066);
        let mut maker = Maker { making, encoder };
        let queries = making.queries;
        match self {
            Self::Zipf { names, exponent } => {
                let zipf = Zipf::new(*names, *exponent);
                (0..queries).try_for_each(|_| maker.ask(Kind::Synth, zipf.draw(&mut random)))
            }
            Self::Random { zone } => (0..queries).try_for_each(|_| {
                let letters =
                    (0..RANDOM_LABEL_LEN).map(|_| char::from(b'a' + random.below(26) as u8));
                maker.push(&format!("{}.{zone}", letters.collect::<String>()), rtype::AAAA)
            }),
            Self::Dns64perf { network } => network
                .hosts()
                .take(usize::try_from(queries).unwrap_or(usize::MAX))
                .try_for_each(|address| {
                    let [w, x, y, z] = address.octets();
                    let name = format!("{w:03}-{x:03}-{y:03}-{z:03}.dns64perf.test");
                    maker.push(&name, rtype::AAAA)
                }),
            Self::Mix { shares } => (0..queries).try_for_each(|number| {
                let kind = kind_of(shares, random.unit() * 100.0);
                maker.ask(kind, (number % u64::from(NAMES_MAX)) as u32)
            }),
            Self::Hit { names } => {
                (0..*names).try_for_each(|number| maker.ask(Kind::Synth, number))
            }
            Self::Cold { first } => {
                let left = u64::from(NAMES_MAX - first).min(queries) as u32;
                (*first..first + left).try_for_each(|number| maker.ask(Kind::Synth, number))
            }
        }
    }
}

/// The kind of question at this place of 100.
fn kind_of(shares: &[f64; 5], mut place: f64) -> Kind {
    let kinds = [Kind::Synth, Kind::Dual, Kind::A, Kind::Ptr, Kind::Absent];
    for (kind, share) in kinds.into_iter().zip(shares) {
        if place < *share {
            return kind;
        }
        place -= share;
    }
    // Rounding: the last kind that has a share at all.
    let last = kinds.into_iter().zip(shares).rev().find(|(_, share)| **share > 0.0);
    last.map_or(Kind::Synth, |(kind, _)| kind)
}

/// Makes queries of questions.
struct Maker<'a, 'e> {
    /// How.
    making: &'a Making<'a>,
    /// Where they go.
    encoder: &'e mut Encoder,
}

impl Maker<'_, '_> {
    /// A question of a kind.
    fn ask(&mut self, kind: Kind, number: u32) -> Result<(), String> {
        let Making { zone, prefix, .. } = *self.making;
        let (name, qtype) = Question { kind, number, zone, prefix }.parts();
        self.push(&name, qtype)
    }

    /// A question for this name.
    fn push(&mut self, name: &str, qtype: u16) -> Result<(), String> {
        let wire_name = name_from_text(name).ok_or_else(|| format!("{name}: not a name"))?;
        if self.encoder.push(&wire_name, qtype) {
            Ok(())
        } else {
            Err("too many queries".to_owned())
        }
    }
}

/// Ranks by Zipf's law.
struct Zipf {
    /// By rank: the sum of the weights so far.
    sums: Vec<f64>,
}

impl Zipf {
    /// So many ranks, from 0 on.
    fn new(names: u32, exponent: f64) -> Self {
        let mut sum = 0.0;
        let weights = (1..=names).map(|rank| {
            sum += f64::from(rank).powf(-exponent);
            sum
        });
        Self { sums: weights.collect() }
    }

    /// A rank.
    fn draw(&self, random: &mut Random) -> u32 {
        let all = self.sums.last().copied().unwrap_or(0.0);
        let place = random.unit() * all;
        let rank = self.sums.partition_point(|sum| *sum <= place);
        rank.min(self.sums.len() - 1) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::encode::Encoding;
    use crate::load::queries::Queries;
    use crate::wire::{Query, name_to_text};
    use dns64::pref64::WELL_KNOWN;
    use std::collections::BTreeMap;

    fn make(workload: &str, queries: u64, seed: u64) -> Queries {
        let mut encoder = Encoder::new(Encoding::default());
        let making = Making { zone: "v4.test", prefix: &WELL_KNOWN, queries, seed };
        let workload: Workload = workload.parse().unwrap();
        workload.make(&making, &mut encoder).unwrap();
        encoder.finish()
    }

    fn questions(queries: &Queries) -> Vec<(String, u16)> {
        let query = |place| Query::parse(queries.query(place)).unwrap();
        (0..queries.len()).map(|at| (name_to_text(query(at).name), query(at).qtype)).collect()
    }

    #[test]
    fn words_are_read_back_as_they_are_shown() {
        for text in [
            "zipf:10:0.9",
            "random:a.test",
            "dns64perf:11.0.0.0/8",
            "mix:50,20,10,15,5",
            "hit:7",
            "cold:9",
        ] {
            assert_eq!(text.parse::<Workload>().unwrap().to_string(), text);
        }
        assert_eq!("mix".parse::<Workload>().unwrap().to_string(), "mix:60,20,10,5,5");
        for bad in [
            "zip:3",
            "zipf",
            "zipf:0",
            "zipf:10:x",
            "zipf:10:-1",
            "random",
            "random:a..b",
            "hit:0",
            "dns64perf:x",
            "mix:60,20,10,5",
            "mix:60,20,10,5,6",
            "mix:60,20,10,5,5,0",
            "cold:x",
        ] {
            assert!(bad.parse::<Workload>().is_err(), "{bad}");
        }
    }

    #[test]
    fn zipfs_law_holds_and_its_seed_repeats_it() {
        let queries = questions(&make("zipf:100:1", 50_000, 1));
        assert_eq!(queries, questions(&make("zipf:100:1", 50_000, 1)));
        assert_ne!(queries, questions(&make("zipf:100:1", 50_000, 2)));
        let mut counts = BTreeMap::new();
        for (name, _) in &queries {
            *counts.entry(name.clone()).or_insert(0_u32) += 1;
        }
        // The sum of 1/1 .. 1/100 is 5.187.
        let first = f64::from(counts["a-11-0-0-0.v4.test."]) / 50_000.0;
        let tenth = f64::from(counts["a-11-0-0-9.v4.test."]) / 50_000.0;
        assert!((first - 1.0 / 5.187).abs() < 0.01, "{first}");
        assert!((tenth - 0.1 / 5.187).abs() < 0.003, "{tenth}");
    }

    #[test]
    fn a_mix_has_its_shares() {
        let queries = questions(&make("mix", 20_000, 1));
        let share = |test: &dyn Fn(&(String, u16)) -> bool| {
            queries.iter().filter(|query| test(query)).count() as f64 / 200.0
        };
        let near =
            |share: f64, wanted: f64| assert!((share - wanted).abs() < 1.0, "{share} {wanted}");
        near(share(&|(_, qtype)| *qtype == rtype::PTR), 5.0);
        near(share(&|(_, qtype)| *qtype == rtype::A), 10.0);
        near(share(&|(name, _)| name.contains("--q-")), 20.0);
        near(share(&|(name, _)| name.contains("--nx")), 5.0);
        near(share(&|(_, qtype)| *qtype == rtype::AAAA), 85.0);
    }

    #[test]
    fn cold_names_differ_hot_ones_are_few_and_dns64perf_counts_addresses() {
        let mut names = questions(&make("cold:5", 3, 1));
        assert_eq!(names[0].0, "a-11-0-0-5.v4.test.");
        names.dedup();
        assert_eq!(names.len(), 3);
        assert_eq!(make("hit:4", 100, 1).len(), 4);
        let names = questions(&make("dns64perf:1.2.3.0/30", 100, 1));
        assert_eq!(names[0].0, "001-002-003-001.dns64perf.test.");
        assert_eq!(names.len(), 2);
        let names = questions(&make("random:z.test", 10, 1));
        assert!(names.iter().all(|(name, _)| name.len() == 12 + ".z.test.".len()));
    }
}

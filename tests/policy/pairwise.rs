//! All pairs: every choice of each part of the policy together with every choice of each other
//! part, by the real engine, against an oracle that was written from the rules alone and knows
//! nothing of the program's tables.
//!
//! A further part of the policy is a further column of [`COLUMNS`], a line in [`configuration`] and
//! its rule in [`expected`].

use std::collections::BTreeSet;
use std::fmt::Write as _;

use dns64::engine::Validation;
use dns64::engine::script::Script;
use dns64::script::{LuaScript, ScriptSource};
use dns64::wire::edns::InfoCode;
use dns64_tests::in_process::{Query, Responder, Response};
use dns64_tests::netns::Scratch;

use crate::{NOERROR, NXDOMAIN, SOA};

/// RCODE SERVFAIL.
const SERVFAIL: u16 = 2;

/// The asked name.
const NAME: &str = "www.shop.example.";

/// The parts of the policy and of the question, with their choices.
const COLUMNS: [&[&str]; 10] = [
    &["default", "north", "door", "off"],
    &["all", "split", "exclude_a"],
    &["default", "view", "first"],
    &["none", "second", "elsewhere", "longest", "first"],
    &["none", "nxdomain", "data", "passthru", "redirect", "chain", "view", "wildcard"],
    &["plain", "cd", "do"],
    &["nodata", "two", "bad", "nxdomain", "servfail", "chain"],
    &["prefixes", "pool"],
    &["none", "silent", "nodata"],
    &["off", "trust-upstream", "insecure", "bogus"],
];

/// A script that is called for everything and says nothing.
const SILENT: &str = "function preresolve(dq) return false end nodata = preresolve \
                      nxdomain = preresolve postresolve = preresolve";

/// A script that has AAAA made under a prefix of its own where there are none.
const NODATA: &str = "function nodata(dq) if dq.qtype ~= pdns.AAAA then return false end \
                      dq.followupFunction = 'getFakeAAAARecords' dq.followupName = dq.qname \
                      dq.followupPrefix = '2001:db8:50::' return true end";

/// One row: a choice of each column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Row {
    view: &'static str,
    mapped: &'static str,
    exclude: &'static str,
    domains: &'static str,
    rpz: &'static str,
    flags: &'static str,
    world: &'static str,
    gateways: &'static str,
    script: &'static str,
    dnssec: &'static str,
}

impl Row {
    fn of(choices: [usize; COLUMNS.len()]) -> Self {
        let [view, mapped, exclude, domains, rpz, flags, world, gateways, script, dnssec] =
            std::array::from_fn(|column| COLUMNS[column][choices[column]]);
        Self { view, mapped, exclude, domains, rpz, flags, world, gateways, script, dnssec }
    }

    /// Whether what is said of the asked name counts as forged.
    fn is_bogus(self) -> bool {
        self.dnssec == "bogus" && self.flags != "cd"
    }
}

/// Every pair of different columns, once.
fn pairs_of_columns() -> impl Iterator<Item = (usize, usize)> {
    (0..COLUMNS.len()).flat_map(|one| (one + 1..COLUMNS.len()).map(move |other| (one, other)))
}

/// Rows drawn without luck until every pair of choices has been in one, and at least so many.
fn rows(least: usize) -> Vec<Row> {
    let mut missing = BTreeSet::new();
    for (one, other) in pairs_of_columns() {
        for a in 0..COLUMNS[one].len() {
            missing.extend((0..COLUMNS[other].len()).map(|b| (one, a, other, b)));
        }
    }
    let mut rows = Vec::new();
    let mut state = 64_u64;
    while rows.len() < least || !missing.is_empty() {
        let choices = std::array::from_fn(|column| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % COLUMNS[column].len()
        });
        for (one, other) in pairs_of_columns() {
            missing.remove(&(one, choices[one], other, choices[other]));
        }
        rows.push(Row::of(choices));
    }
    rows
}

/// The number of a view in its prefixes: 2001:db8:N0::/96 and 2001:db8:N1::/96.
fn number(view: &str) -> char {
    match view {
        "north" => 'b',
        "door" => 'c',
        _ => 'a',
    }
}

/// The configuration of a row.
fn configuration(row: Row, files: &Scratch) -> String {
    let (mut first, mut second, mut keys) = (String::new(), String::new(), String::new());
    match row.mapped {
        "split" => {
            first += ", mapped = [\"10.0.0.0/8\"]";
            second += ", mapped = [\"!10.0.0.0/8\", \"0.0.0.0/0\"]";
        }
        "exclude_a" => keys += ", exclude_a = [\"10.0.0.0/8\"]",
        _ => {}
    }
    match row.exclude {
        "view" => keys += ", exclude_aaaa = [\"2001:db8:bad::/48\"]",
        "first" => first += ", exclude_aaaa = [\"2001:db8:bad::/48\"]",
        _ => {}
    }
    match row.domains {
        "second" => second += ", domains = [\"shop.example.\"]",
        "elsewhere" => first += ", domains = [\"other.example.\"]",
        "longest" => {
            first += ", domains = [\"shop.example.\"]";
            second += ", domains = [\"Www.Shop.example.\"]";
        }
        "first" => first += ", domains = [\"shop.example.\"]",
        _ => {}
    }
    let mut pools = String::new();
    let mut dns64 = |view| {
        let n = number(view);
        if row.gateways == "pool" {
            let _infallible =
                write!(pools, "[[pool]]\nname = \"{n}\"\nprefixes = [\"2001:db8:{n}0::/96\"]\n");
            return format!("dns64 = {{ pool = \"{n}\"{keys} }}");
        }
        format!(
            "dns64 = {{ prefixes = [{{ prefix = \"2001:db8:{n}0::/96\"{first} }}, \
             {{ prefix = \"2001:db8:{n}1::/96\"{second} }}]{keys} }}"
        )
    };
    let mut text = format!(
        "listen = [\"[2001:db8::53]:53\", \"[::]:5353\"]\nallow = [\"::/0\"]\n{}\n\
         [upstream]\nservers = [\"192.0.2.53\"]\n\
         [[view]]\nname = \"north\"\nclients = [\"fd00:1::/32\"]\n{}\n\
         [[view]]\nname = \"off\"\nclients = [\"fd00:2::/32\"]\ndns64 = {{ enabled = false }}\n\
         [[view]]\nname = \"door\"\nlisten = [\"[2001:db8::d]:5353\"]\n{}\n",
        dns64("default"),
        dns64("north"),
        dns64("door"),
    );
    text += &pools;
    let mode = match row.dnssec {
        "insecure" | "bogus" => "validate",
        mode => mode,
    };
    let _infallible = write!(text, "[dnssec]\nmode = \"{mode}\"\n");
    let (zone, views) = match row.rpz {
        "nxdomain" => ("www.shop.example CNAME .\n", ""),
        "data" => ("www.shop.example A 192.0.2.77\n", ""),
        "passthru" => ("www.shop.example CNAME rpz-passthru.\n* CNAME .\n", ""),
        "redirect" => ("www.shop.example CNAME walled.example.\n", ""),
        "chain" => ("end.example CNAME *.\n", ""),
        "view" => ("www.shop.example CNAME .\n", "views = [\"north\"]\n"),
        "wildcard" => ("*.shop.example CNAME *.\n", ""),
        _ => return text,
    };
    let file = files.write("rpz.zone", zone);
    let _infallible =
        write!(text, "[[rpz]]\nname = \"rpz.\"\nfile = \"{}\"\n{views}", file.display());
    text
}

/// What the servers say in a row.
fn tell(responder: &mut Responder, row: Row) {
    let record = |data: &str| format!("{NAME} 300 IN {data}");
    let chain = record("CNAME end.example.");
    let (bad, good) = (record("AAAA 2001:db8:bad::1"), record("AAAA 2001:db8:900d::1"));
    let a = [record("A 192.0.2.10"), record("A 10.1.2.3")];
    let a = Response::answer(&[&a[0], &a[1]]);
    let aaaa = match row.world {
        "two" => Response::answer(&[&bad, &good]),
        "bad" => Response::answer(&[&bad]),
        "nxdomain" => Response::no_such_name(SOA),
        "servfail" => Response::error(2),
        "chain" => Response::answer(&[&chain]).authority(&[SOA]),
        _ => Response::no_data(SOA),
    };
    let a = match row.world {
        "chain" => Response::answer(&[
            &chain,
            "end.example. 300 IN A 192.0.2.10",
            "end.example. 300 IN A 10.1.2.3",
        ]),
        _ => a,
    };
    responder
        .says(&format!("{NAME} AAAA"), aaaa)
        .says(&format!("{NAME} A"), a)
        .says("walled.example. AAAA", Response::no_data(SOA))
        .says("walled.example. A", Response::answer(&["walled.example. 300 IN A 192.0.2.99"]));
    for rtype in ["A", "AAAA"] {
        let verdict = match row.dnssec {
            "bogus" => Validation::Bogus(InfoCode::SIGNATURE_EXPIRED),
            _ => Validation::Insecure,
        };
        responder
            .validates_as(&format!("{NAME} {rtype}"), verdict)
            .validates_as(&format!("walled.example. {rtype}"), Validation::Insecure);
    }
}

/// What a client must get: RCODE, the targets of CNAME and the AAAA in order, and the EDE; none is
/// expected of a failure.
type Expected = (u16, Vec<String>, Option<u16>);

/// The rules, told once more.
fn expected(row: Row) -> Expected {
    let blocked = |rcode| (rcode, Vec::new(), Some(15));
    // The zone comes first, by the asked name.
    match row.rpz {
        "nxdomain" => return blocked(NXDOMAIN),
        "wildcard" => return blocked(NOERROR),
        "view" if row.view == "north" => return blocked(NXDOMAIN),
        "data" => {
            let made = made_of(row, applicable(row, NAME), &[[192, 0, 2, 77]]);
            return (NOERROR, made, Some(15));
        }
        "redirect" => {
            let mut answers = vec!["walled.example.".to_owned()];
            answers.extend(made_of(row, applicable(row, "walled.example."), &[[192, 0, 2, 99]]));
            return (NOERROR, answers, Some(15));
        }
        "chain" if row.world == "chain" => return blocked(NOERROR),
        _ => {}
    }
    let prefixes = applicable(row, NAME);
    if row.is_bogus() {
        return (SERVFAIL, Vec::new(), None);
    }
    // An AAAA is absent if every prefix that applies excludes it.
    let excludes = |prefix: &usize| match row.exclude {
        "view" => true,
        "first" => *prefix == 0 && row.gateways != "pool",
        _ => false,
    };
    let bad_is_absent = !prefixes.is_empty() && prefixes.iter().all(excludes);
    let (bad, good) = ("2001:db8:bad::1".to_owned(), "2001:db8:900d::1".to_owned());
    match row.world {
        "nxdomain" => return (NXDOMAIN, Vec::new(), None),
        "two" if bad_is_absent => return (NOERROR, vec![good], None),
        "two" => return (NOERROR, vec![bad, good], None),
        "bad" if !bad_is_absent => return (NOERROR, vec![bad], None),
        "servfail" if prefixes.is_empty() => return (SERVFAIL, Vec::new(), None),
        _ => {}
    }
    let made = match row.script {
        // Native synthesis comes after the hook, which has ended the matter.
        "nodata" if row.world != "servfail" => {
            ["2001:db8:50::c000:20a", "2001:db8:50::a01:203"].map(str::to_owned).to_vec()
        }
        _ => made_of(row, prefixes, &[[192, 0, 2, 10], [10, 1, 2, 3]]),
    };
    let ede = (!made.is_empty()).then_some(29);
    let chain = (row.world == "chain").then(|| "end.example.".to_owned());
    (NOERROR, chain.into_iter().chain(made).collect(), ede)
}

/// The prefixes that may be used for a name: none without DNS64 or with CD; by the longest domain
/// that a prefix names, else those that name none.
fn applicable(row: Row, name: &str) -> Vec<usize> {
    if row.view == "off" || row.flags == "cd" {
        return Vec::new();
    }
    if row.gateways == "pool" {
        return vec![0];
    }
    let shop = name == NAME;
    match (row.domains, shop) {
        ("none", _) => vec![0, 1],
        ("second" | "longest", true) | ("elsewhere", _) | ("first", false) => vec![1],
        ("second", false) | ("first", true) => vec![0],
        _ => Vec::new(),
    }
}

/// The AAAA of IPv4 addresses, prefix by prefix.
fn made_of(row: Row, prefixes: Vec<usize>, addresses: &[[u8; 4]]) -> Vec<String> {
    let mut made = Vec::new();
    for prefix in prefixes {
        for [a, b, c, d] in addresses {
            let private = *a == 10;
            let mapped = match row.mapped {
                "split" if row.gateways != "pool" => private == (prefix == 0),
                "exclude_a" => !private,
                _ => true,
            };
            if mapped {
                let n = number(row.view);
                let text = format!("2001:db8:{n}{prefix}::{a:x}{b:02x}:{c:x}{d:02x}");
                made.push(text.parse::<std::net::Ipv6Addr>().unwrap().to_string());
            }
        }
    }
    made
}

/// The question of a row.
fn question(row: Row) -> Query {
    let query = Query::of(&format!("{NAME} AAAA"));
    let query = match row.view {
        "north" => query.from_client("fd00:1::7"),
        "off" => query.from_client("fd00:2::7"),
        "door" => query.from_client("fd00:3::7").sent_to(1, "2001:db8::d"),
        _ => query.from_client("fd00:3::7"),
    };
    match row.flags {
        "cd" => query.checking_disabled(),
        "do" => query.dnssec_ok(),
        _ => query,
    }
}

#[test]
fn every_pair_of_policies_answers_as_the_rules_say() {
    let rows = rows(200);
    for row in &rows {
        let files = Scratch::new();
        let mut responder = Responder::configured(&configuration(*row, &files));
        tell(&mut responder, *row);
        let script = match row.script {
            "silent" => Some(SILENT),
            "nodata" => Some(NODATA),
            _ => None,
        };
        responder.engine.set_script(script.map(|text| -> Box<dyn Script> {
            Box::new(LuaScript::load(&ScriptSource::new("test.lua", text)).unwrap())
        }));
        let (rcode, answers, ede) = expected(*row);
        // From a look-up, from the cache, and from what is kept ready.
        for round in ["miss", "hit", "ready", "ready"] {
            let answered = responder.ask(&question(*row));
            let got: Vec<String> =
                answered.reply.answer.iter().map(|record| record.rdata_text.clone()).collect();
            assert_eq!((answered.rcode(), &got), (rcode, &answers), "{row:?}, {round}");
            if rcode != SERVFAIL {
                let ede: Vec<u16> = ede.into_iter().collect();
                assert_eq!(answered.extended_errors(), ede, "{row:?}, {round}");
            }
        }
        let counters = responder.engine.counters();
        assert_eq!(counters.queries_total(), counters.responses_total(), "{row:?}");
    }
    println!("{} rows", rows.len());
}

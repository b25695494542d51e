//! DNSSEC with real zones, signed by BIND's tools, served by NSD and resolved by Unbound: what is
//! secure is answered with AD, what is unsigned without, and what is broken not at all.

mod tree;
mod world;

use std::process::ExitCode;
use std::sync::Arc;

use dns64_tests::netns::available;
use libtest_mimic::{Arguments, Failed, Trial};

use self::world::{OFF, Reply, TRUST, VALIDATE, World};

/// Programs that the tests start.
const PROGRAMS: [&str; 9] = [
    "ip",
    "nsd",
    "unbound",
    "dig",
    "dnssec-keygen",
    "dnssec-signzone",
    "dnssec-dsfromkey",
    "named-compilezone",
    "setpriv",
];

type Test = fn(&World) -> Result<(), Failed>;

const TESTS: [(&str, Test); 11] = [
    ("synthesis_from_secure_denials_is_authentic_where_do_is_set", secure_synthesis),
    ("secure_data_is_authentic_for_those_who_ask", secure_data),
    ("unsigned_zones_are_served_and_never_authentic", unsigned),
    ("what_is_broken_is_servfail_with_the_reason", broken),
    ("a_hidden_aaaa_does_not_lead_to_synthesis", hidden),
    ("checking_disabled_passes_broken_data_untouched", checking_disabled),
    ("chains_are_as_good_as_their_weakest_link", chains),
    ("every_combination_of_bits_gets_what_the_rules_say", combinations),
    ("names_below_a_negative_trust_anchor_count_as_unsigned", negative_anchor),
    ("a_trusted_upstream_decides_what_is_authentic_and_what_is_broken", trust_upstream),
    ("without_dnssec_nothing_is_authentic", off),
];

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    if arguments.list || !available(&PROGRAMS) {
        let names = TESTS.map(|(name, _)| Trial::test(name, || Ok(())).with_ignored_flag(true));
        return libtest_mimic::run(&arguments, names.into()).exit_code();
    }
    let world = Arc::new(World::start());
    let trials = TESTS.map(|(name, test)| {
        let world = Arc::clone(&world);
        Trial::test(name, move || test(&world))
    });
    let conclusion = libtest_mimic::run(&arguments, trials.into());
    drop(world);
    conclusion.exit_code()
}

/// Fails with the reply if something does not hold.
fn check(holds: bool, what: &str, reply: &Reply) -> Result<(), Failed> {
    if holds { Ok(()) } else { Err(format!("{what}:\n{}", reply.text).into()) }
}

/// Expects one synthesized AAAA, and AD or not.
fn synthesized(reply: &Reply, address: &str, authentic: bool) -> Result<(), Failed> {
    check(reply.status() == "NOERROR", "it is answered", reply)?;
    check(reply.answers("AAAA") == [address], "there is one AAAA, synthesized", reply)?;
    check(reply.has_flag("ad") == authentic, "AD is as it should be", reply)?;
    let left = ["A", "NSEC", "NSEC3"];
    check(left.iter().all(|rtype| reply.answers(rtype).is_empty()), "nothing else", reply)?;
    let signatures = reply.answers("RRSIG");
    let of_data = |rdata: &String| rdata.starts_with("A ") || rdata.starts_with("AAAA ");
    check(!signatures.iter().any(of_data), "no signature of what is not there", reply)?;
    check(reply.section("AUTHORITY", "NSEC").is_empty(), "no denial beside it", reply)
}

fn secure_synthesis(world: &World) -> Result<(), Failed> {
    for zone in ["secure", "hashed"] {
        for round in ["looked up", "cached"] {
            let question = format!("v4.{zone}.test AAAA");
            let reply = world.ask(VALIDATE, &question, &["+dnssec"]);
            synthesized(&reply, "2001:db8:64::c633:6450", true)
                .map_err(|failed| format!("{round}: {}", failed.message().unwrap_or_default()))?;
            let reply = world.ask(VALIDATE, &question, &[]);
            synthesized(&reply, "2001:db8:64::c633:6450", false)?;
        }
        let reply = world.ask(VALIDATE, &format!("a.b.wild.{zone}.test AAAA"), &["+dnssec"]);
        synthesized(&reply, "2001:db8:64::c633:6453", true)?;
    }
    Ok(())
}

fn secure_data(world: &World) -> Result<(), Failed> {
    for zone in ["secure", "hashed"] {
        for round in 0..2 {
            let what = format!("round {round}");
            let reply = world.ask(VALIDATE, &format!("dual.{zone}.test AAAA"), &["+dnssec"]);
            check(reply.answers("AAAA") == ["2001:db8:feed::81"], &what, &reply)?;
            check(reply.has_flag("ad"), "AD", &reply)?;
            check(reply.answers("RRSIG").len() == 1, "its signature", &reply)?;
            let reply = world.ask(VALIDATE, &format!("dual.{zone}.test AAAA"), &[]);
            check(!reply.has_flag("ad"), "no AD for those who do not ask", &reply)?;
            check(reply.answers("RRSIG").is_empty(), "no signature either", &reply)?;
            let reply = world.ask(VALIDATE, &format!("none.{zone}.test A"), &["+dnssec"]);
            check(reply.status() == "NXDOMAIN" && reply.has_flag("ad"), "no such name", &reply)?;
            let reply = world.ask(VALIDATE, &format!("v6.{zone}.test A"), &["+adflag"]);
            check(reply.status() == "NOERROR" && reply.has_flag("ad"), "no such type", &reply)?;
        }
    }
    let reply = world.ask(VALIDATE, "secure.test DNSKEY", &["+dnssec"]);
    check(reply.has_flag("ad") && !reply.answers("DNSKEY").is_empty(), "keys", &reply)?;
    let reply = world.ask(VALIDATE, "secure.test DS", &["+dnssec"]);
    check(reply.has_flag("ad") && !reply.answers("DS").is_empty(), "digests", &reply)
}

fn unsigned(world: &World) -> Result<(), Failed> {
    for flags in [&["+dnssec"][..], &["+adflag"], &[]] {
        let reply = world.ask(VALIDATE, "v4.unsigned.test AAAA", flags);
        synthesized(&reply, "2001:db8:64::c633:6450", false)?;
        let reply = world.ask(VALIDATE, "dual.unsigned.test AAAA", flags);
        check(reply.answers("AAAA") == ["2001:db8:feed::81"], "the real one", &reply)?;
        check(!reply.has_flag("ad"), "no AD", &reply)?;
        let reply = world.ask(VALIDATE, "none.unsigned.test AAAA", flags);
        check(reply.status() == "NXDOMAIN" && !reply.has_flag("ad"), "no such name", &reply)?;
    }
    Ok(())
}

fn broken(world: &World) -> Result<(), Failed> {
    let cases: [(&str, u16); 12] = [
        ("v4.expired.test AAAA", 7),
        ("dual.expired.test AAAA", 7),
        ("v4.future.test AAAA", 8),
        ("dual.future.test A", 8),
        ("v4.forged.test AAAA", 6),
        ("dual.forged.test AAAA", 6),
        ("v4.stripped.test AAAA", 10),
        ("dual.stripped.test AAAA", 10),
        // Without keys NSD serves no signatures either.
        ("dual.nokeys.test AAAA", 10),
        ("v4.nokeys.test AAAA", 10),
        ("dual.otherds.test AAAA", 9),
        ("v4.noproofs.test AAAA", 12),
    ];
    let mut wrong = String::new();
    for (question, code) in cases {
        for round in ["looked up", "cached"] {
            for flags in [&["+dnssec"][..], &["+adflag"], &[]] {
                let reply = world.ask(VALIDATE, question, flags);
                check(reply.status() == "SERVFAIL", &format!("{question} {round}"), &reply)?;
                check(reply.answers("AAAA").is_empty(), "nothing in it", &reply)?;
                if reply.extended_error() != Some(code) {
                    let said = reply.extended_error();
                    wrong.push_str(&format!("{question} {round} {flags:?}: {said:?}\n"));
                }
            }
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.into()) }
}

fn hidden(world: &World) -> Result<(), Failed> {
    // Its NSEC says that there are AAAA.
    let reply = world.ask(VALIDATE, "dual.hidden.test AAAA", &["+dnssec"]);
    check(reply.status() == "SERVFAIL", "a denial that denies nothing", &reply)?;
    check(reply.extended_error() == Some(6), "the reason", &reply)?;
    // The zone is good otherwise.
    let reply = world.ask(VALIDATE, "v4.hidden.test AAAA", &["+dnssec"]);
    synthesized(&reply, "2001:db8:64::c633:6450", true)
}

fn checking_disabled(world: &World) -> Result<(), Failed> {
    for question in ["dual.expired.test AAAA", "dual.forged.test AAAA", "dual.otherds.test AAAA"] {
        let reply = world.ask(VALIDATE, question, &["+cdflag", "+dnssec"]);
        check(reply.answers("AAAA") == ["2001:db8:feed::81"], question, &reply)?;
        check(reply.answers("RRSIG").len() == 1, "its signature", &reply)?;
        check(!reply.has_flag("ad"), "nobody has checked it", &reply)?;
    }
    let reply = world.ask(VALIDATE, "v4.secure.test AAAA", &["+cdflag", "+dnssec"]);
    check(reply.answers("AAAA").is_empty(), "nothing is synthesized", &reply)?;
    check(!reply.section("AUTHORITY", "NSEC").is_empty(), "the denial as it is", &reply)?;
    check(!reply.has_flag("ad"), "nobody has checked it", &reply)
}

fn chains(world: &World) -> Result<(), Failed> {
    for (question, authentic) in [
        ("alias.secure.test AAAA", true),
        ("to-hashed.secure.test AAAA", true),
        ("v4.down.secure.test AAAA", true),
        ("to-unsigned.secure.test AAAA", false),
    ] {
        for _ in 0..2 {
            let reply = world.ask(VALIDATE, question, &["+dnssec"]);
            synthesized(&reply, "2001:db8:64::c633:6450", authentic)?;
            check(!reply.answers("CNAME").is_empty(), "the chain is there", &reply)?;
        }
    }
    let reply = world.ask(VALIDATE, "to-forged.secure.test AAAA", &["+dnssec"]);
    check(reply.status() == "SERVFAIL", "the end of the chain is forged", &reply)
}

/// RFC 6147 5.5 and RFC 6840 5.7 to 5.9, for each DO, CD and AD; twice, so that the second answer
/// comes from the cache.
fn combinations(world: &World) -> Result<(), Failed> {
    for bits in 0..8_u8 {
        let (dnssec_ok, checking, authentic) = (bits & 1 != 0, bits & 2 != 0, bits & 4 != 0);
        let flags = [
            if dnssec_ok { "+dnssec" } else { "+nodnssec" },
            if checking { "+cdflag" } else { "+nocdflag" },
            if authentic { "+adflag" } else { "+noadflag" },
        ];
        for _ in 0..2 {
            let what = format!("{flags:?}");
            let asks = !checking && (dnssec_ok || authentic);
            // A synthesized answer: AD only with DO.
            let reply = world.ask(VALIDATE, "v4.secure.test AAAA", &flags);
            check(reply.answers("AAAA").is_empty() == checking, &what, &reply)?;
            check(reply.has_flag("ad") == (dnssec_ok && !checking), &what, &reply)?;
            // One that is there.
            let reply = world.ask(VALIDATE, "dual.secure.test AAAA", &flags);
            check(reply.answers("AAAA") == ["2001:db8:feed::81"], &what, &reply)?;
            check(reply.has_flag("ad") == asks, &what, &reply)?;
            check(reply.answers("RRSIG").is_empty() != dnssec_ok, &what, &reply)?;
            // A denial.
            let reply = world.ask(VALIDATE, "none.secure.test AAAA", &flags);
            check(reply.status() == "NXDOMAIN" && reply.has_flag("ad") == asks, &what, &reply)?;
            let proofs = reply.section("AUTHORITY", "NSEC");
            check(proofs.is_empty() != dnssec_ok, &what, &reply)?;
            // An unsigned zone.
            let reply = world.ask(VALIDATE, "v4.unsigned.test AAAA", &flags);
            check(reply.answers("AAAA").is_empty() == checking, &what, &reply)?;
            check(!reply.has_flag("ad"), &what, &reply)?;
            // A broken one.
            let reply = world.ask(VALIDATE, "dual.forged.test AAAA", &flags);
            let status = if checking { "NOERROR" } else { "SERVFAIL" };
            check(reply.status() == status && !reply.has_flag("ad"), &what, &reply)?;
        }
    }
    Ok(())
}

fn negative_anchor(world: &World) -> Result<(), Failed> {
    let reply = world.ask(VALIDATE, "dual.negative.test AAAA", &["+dnssec"]);
    check(reply.answers("AAAA") == ["2001:db8:feed::81"], "expired, and excused", &reply)?;
    check(!reply.has_flag("ad"), "not authentic", &reply)?;
    let reply = world.ask(VALIDATE, "v4.negative.test AAAA", &["+dnssec"]);
    synthesized(&reply, "2001:db8:64::c633:6450", false)
}

fn trust_upstream(world: &World) -> Result<(), Failed> {
    let reply = world.ask(TRUST, "dual.secure.test AAAA", &["+dnssec"]);
    check(reply.has_flag("ad"), "the upstream's word", &reply)?;
    let reply = world.ask(TRUST, "v4.secure.test AAAA", &["+dnssec"]);
    synthesized(&reply, "2001:db8:64::c633:6450", false)?;
    let reply = world.ask(TRUST, "v4.expired.test AAAA", &["+dnssec"]);
    check(reply.status() == "SERVFAIL", "the upstream's failure", &reply)?;
    check(matches!(reply.extended_error(), Some(6..=12)), "and its reason", &reply)
}

fn off(world: &World) -> Result<(), Failed> {
    for flags in [&["+dnssec"][..], &["+adflag"], &[]] {
        let reply = world.ask(OFF, "dual.secure.test AAAA", flags);
        check(reply.answers("AAAA") == ["2001:db8:feed::81"], "an answer", &reply)?;
        check(!reply.has_flag("ad"), "not authentic", &reply)?;
        let has_signature = !reply.answers("RRSIG").is_empty();
        check(has_signature == (flags == ["+dnssec"]), "signatures with DO only", &reply)?;
        let reply = world.ask(OFF, "v4.secure.test AAAA", flags);
        synthesized(&reply, "2001:db8:64::c633:6450", false)?;
    }
    Ok(())
}

//! What comes out of one cache goes into another: the same answers, never for longer than they
//! hold, and no octets that make the other one stumble.

use dns64::answer::check::is_sound;
use dns64::engine::snapshot::{Page, Restored, Wanted, records};
use dns64_tests::in_process::{Query, Responder, Response};
use proptest::prelude::*;

use super::config;

/// A server that answers, and serves what has ended for 100 seconds.
const CONFIGURATION: &str = "[upstream]\nservers = [\"192.0.2.53\"]\n\
                             [cache]\nmax_stale = 100\nprefetch = false\n";

/// The zone of every denial.
const SOA: &str = "test. 60 IN SOA ns.test. host.test. 1 2 3 4 60";

/// Questions, and what the server says to what is asked for them.
fn says(responder: &mut Responder) -> Vec<Query> {
    let signature = "s.test. 300 IN RRSIG AAAA 13 2 300 20380101000000 20200101000000 1 test. AAAA";
    for (question, response) in [
        ("a.test. AAAA", Response::no_data(SOA)),
        (
            "a.test. A",
            Response::answer(&["a.test. 300 IN A 192.0.2.1", "a.test. 300 IN A 192.0.2.2"]),
        ),
        ("s.test. AAAA", Response::answer(&["s.test. 300 IN AAAA 2001:db8::1", signature])),
        (
            "c.test. AAAA",
            Response::answer(&[
                "c.test. 200 IN CNAME d.c.test.",
                "d.c.test. 300 IN CNAME e.other.",
                "e.other. 400 IN AAAA 2001:db8::2",
            ]),
        ),
        (
            "x.d.test. AAAA",
            Response::answer(&[
                "d.test. 300 IN DNAME e.test.",
                "x.d.test. 300 IN CNAME x.e.test.",
                "x.e.test. 300 IN AAAA 2001:db8::3",
            ]),
        ),
        ("none.test. AAAA", Response::no_such_name(SOA)),
        ("m.test. MX", Response::answer(&["m.test. 300 IN MX 10 mail.m.test."])),
        ("t.test. TXT", Response::answer(&["t.test. 300 IN TXT \"text\""])),
        (
            "1.2.0.192.in-addr.arpa. PTR",
            Response::answer(&["1.2.0.192.in-addr.arpa. 300 IN PTR a.test."]),
        ),
    ] {
        responder.says(question, response);
    }
    let reverse = "1.0.2.0.0.0.0.c.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.b.9.f.f.4.6.0.0.ip6.arpa.";
    vec![
        Query::of("a.test. AAAA"),
        Query::of("a.test. A"),
        Query::of("s.test. AAAA").dnssec_ok(),
        Query::of("c.test. AAAA"),
        Query::of("x.d.test. AAAA"),
        Query::of("none.test. AAAA"),
        Query::of("m.test. MX"),
        Query::of("t.test. TXT"),
        Query::of(&format!("{reverse} PTR")),
    ]
}

/// Everything that a responder's cache has for another one.
fn pages(responder: &Responder) -> Vec<Page> {
    let mut pages = Vec::new();
    let mut from = Some(0);
    while let Some(bucket) = from {
        let page = responder.engine.cache_page(bucket, &Wanted::Own, responder.now());
        from = page.next;
        pages.push(page);
    }
    pages
}

/// Puts pages into a responder's cache that were written so long ago.
fn restore(responder: &mut Responder, pages: &[Page], elapsed_secs: u32) -> Restored {
    let mut restored = Restored::default();
    for page in pages {
        let now = responder.now();
        restored.add(responder.engine.restore(&page.octets, elapsed_secs, now));
    }
    restored
}

/// A responder that has been asked everything, and the questions.
fn warm() -> (Responder, Vec<Query>) {
    let mut responder = Responder::configured(CONFIGURATION);
    let queries = says(&mut responder);
    for query in &queries {
        responder.ask(query);
    }
    (responder, queries)
}

#[test]
fn every_answer_is_given_again_without_a_question_and_with_what_is_left_of_its_ttl() {
    let (mut first, queries) = warm();
    first.pass_secs(10);
    let taken = pages(&first);
    first.pass_secs(20);
    let mut second = Responder::configured(CONFIGURATION);
    let restored = restore(&mut second, &taken, 20);
    assert!(restored.taken >= queries.len() as u64 && restored.expired == 0, "{restored:?}");
    assert_eq!(second.engine.counters().cache_restored, restored.taken);
    for query in &queries {
        let (old, new) = (first.ask(query), second.ask(query));
        assert_eq!(old.reply.octets, new.reply.octets, "{query:?}");
    }
    assert_eq!(second.questions_asked(), Vec::<String>::new());
}

#[test]
fn what_has_ended_is_stale_as_long_as_it_would_have_been() {
    let (first, _) = warm();
    let taken = pages(&first);
    let query = Query::of("s.test. AAAA").dnssec_ok();
    for (elapsed_secs, is_there) in [(299, true), (300, true), (398, true), (400, false)] {
        let mut second = Responder::configured(CONFIGURATION);
        restore(&mut second, &taken, elapsed_secs);
        second.says("s.test. AAAA", Response::silence()).says("s.test. A", Response::silence());
        let answered = second.ask(&query);
        assert_eq!(answered.rcode() == 0, is_there, "{elapsed_secs}: {:?}", answered.answer());
        let is_stale = answered.extended_errors().contains(&3);
        assert_eq!(is_stale, is_there && elapsed_secs >= 300, "{elapsed_secs}");
    }
    let text = CONFIGURATION.replace("max_stale = 100", "max_stale = 100\nserve_stale = false");
    let mut strict = Responder::configured(&text);
    let restored = restore(&mut strict, &taken, 301);
    assert_eq!((restored.taken, restored.expired > 0), (0, true), "{restored:?}");
}

#[test]
fn what_is_known_already_stays_and_a_failure_gives_way() {
    let (first, _) = warm();
    let taken = pages(&first);
    let mut second = Responder::configured(CONFIGURATION);
    second.says("t.test. TXT", Response::answer(&["t.test. 300 IN TXT \"newer\""]));
    second.says("m.test. MX", Response::error(2));
    second.ask(&Query::of("t.test. TXT"));
    second.ask(&Query::of("m.test. MX"));
    restore(&mut second, &taken, 1);
    assert_eq!(second.ask(&Query::of("t.test. TXT")).answer(), ["t.test. 300 IN TXT \"newer\""]);
    assert_eq!(second.ask(&Query::of("m.test. MX")).rcode(), 0);
}

#[test]
fn failures_are_left_behind() {
    let mut responder = Responder::configured(CONFIGURATION);
    responder.says("f.test. TXT", Response::error(2));
    responder.ask(&Query::of("f.test. TXT"));
    assert!(responder.engine.shard().stats().entries > 0);
    assert!(pages(&responder).iter().all(|page| page.octets.is_empty()));
}

/// All octets of the pages of a cache.
fn octets() -> Vec<u8> {
    let (responder, _) = warm();
    pages(&responder).into_iter().flat_map(|page| page.octets).collect()
}

#[test]
fn what_was_compiled_here_is_sound_and_nothing_shorter_is() {
    let octets = octets();
    let mut seen = 0;
    for record in records(&octets) {
        assert!(record.is_restorable(), "{record:?}");
        let len = record.answer.len();
        for len in 0..len {
            assert!(!is_sound(&record.answer[..len], record.name, record.rtype), "{record:?}");
        }
        seen += 1;
    }
    assert!(seen >= 9, "{seen} records");
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn no_octets_make_a_cache_stumble_that_takes_them_for_records(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in prop::option::of(any::<prop::sample::Index>()),
        elapsed_secs in 0..500_u32,
    ) {
        let mut octets = octets();
        for (place, octet) in changes {
            let place = place.index(octets.len());
            octets[place] = octet;
        }
        if let Some(cut) = cut {
            octets.truncate(cut.index(octets.len()));
        }
        let mut responder = Responder::configured(CONFIGURATION);
        let queries = says(&mut responder);
        let now = responder.now();
        responder.engine.restore(&octets, elapsed_secs, now);
        for query in &queries {
            for query in [query.clone(), query.clone().payload_len(512).without_edns()] {
                // Whatever it says now: a changed answer may be no message any more.
                let _reply = responder.ask_octets(&query.octets());
            }
        }
        let page = responder.engine.cache_page(0, &Wanted::Own, responder.now());
        prop_assert!(records(&page.octets).all(|record| record.is_restorable()));
    }
}

//! What is kept of what scripts say: a hit runs no script, and nobody gets what a script has said
//! of somebody else.

use dns64::engine::HotSettings;
use dns64_tests::in_process::{Query, Responder, Response};

use crate::{DNS64, PREFIX_BY_CLIENT, SOA, calls, load, responder, tell};

/// Adds what a script counts to the answer.
const COUNTING: &str = r#"
    count = 0
    function postresolve(dq)
      count = count + 1
      dq:addAnswer(pdns.TXT, '"' .. count .. '"', 40)
      return true
    end
"#;

#[test]
fn a_hit_runs_no_script() {
    for script in [DNS64, COUNTING, "function postresolve(dq) return false end"] {
        let mut responder = responder(script);
        for question in ["v4.example. AAAA", "www.example. A", "dual.example. AAAA"] {
            let first = responder.ask(&Query::of(question));
            let calls = calls(&responder);
            assert_ne!(responder.questions_asked(), [""; 0]);
            for _ in 0..5 {
                let again = responder.ask(&Query::of(question));
                assert_eq!(again.answer(), first.answer(), "{question}");
                assert_eq!(again.extended_errors(), first.extended_errors(), "{question}");
                assert_eq!(again.authority(), first.authority(), "{question}");
            }
            assert_eq!(crate::calls(&responder), calls, "{question}: {script}");
            assert_eq!(responder.questions_asked(), [""; 0]);
        }
        assert!(responder.engine.counters().cache_hits >= 15);
    }
}

#[test]
fn a_hit_is_as_old_as_its_answer_and_ends_with_it() {
    let mut responder = responder(DNS64);
    responder.ask(&Query::of("v4.example. AAAA"));
    responder.pass_secs(20);
    assert_eq!(
        responder.ask(&Query::of("v4.example. AAAA")).answer(),
        ["v4.example. 40 IN AAAA fe80::21b:77ff:c000:201"]
    );
    assert_eq!(calls(&responder), 2, "preresolve and nodata, once each");
    responder.pass_secs(41);
    responder.ask(&Query::of("v4.example. AAAA"));
    assert_eq!(calls(&responder), 4);
}

#[test]
fn what_a_script_has_not_seen_is_not_answered_when_answers_are_renewed() {
    let mut responder = responder(
        "function nodata(dq) dq:addAnswer(pdns.AAAA, '2001:db8::77', 200) return true end",
    );
    let real = "v4.example. 10 IN AAAA 2001:db8::1";
    responder.says("v4.example. AAAA", Response::answer(&[real]));
    assert_eq!(responder.ask(&Query::of("v4.example. AAAA")).answer(), [real]);
    // In its last second it is renewed, and the new answer has no data.
    responder.pass_ms(9_200);
    responder.says("v4.example. AAAA", Response::no_data(SOA));
    responder.ask(&Query::of("v4.example. AAAA"));
    responder.pass_ms(1_500);
    let answered = responder.ask(&Query::of("v4.example. AAAA"));
    assert_eq!(answered.answer(), ["v4.example. 200 IN AAAA 2001:db8::77"]);
    assert_eq!(calls(&responder), 1);
}

#[test]
fn clients_get_the_prefix_of_their_site_and_never_each_others() {
    let mut responder = responder(PREFIX_BY_CLIENT);
    let clients = [
        ("2001:db8:100::5", Some("2001:db8:64:1::c000:201")),
        ("2001:db8:200::5", Some("2001:db8:64:2::c000:201")),
        ("2001:db8:2ff::5", None),
        ("192.0.2.5", None),
    ];
    for _ in 0..4 {
        for (client, address) in clients {
            let answered = responder.ask(&Query::of("v4.example. AAAA").from_client(client));
            let expected = address.map(|address| format!("v4.example. 60 IN AAAA {address}"));
            assert_eq!(answered.answer(), expected.iter().collect::<Vec<_>>(), "{client}");
        }
    }
    assert_eq!(responder.questions_asked(), ["v4.example. AAAA", "v4.example. A"]);
    assert_eq!(calls(&responder), 16, "each of them is asked about");
}

#[test]
fn a_variable_answer_is_made_anew_each_time() {
    let variable = COUNTING.replace("count = count + 1", "count = count + 1 dq.variable = true");
    // Also where the hook returns false, and where it is another hook that says so.
    let unchanged = "function preresolve(dq) dq.variable = true return false end";
    for script in [variable.as_str(), unchanged] {
        let mut responder = responder(script);
        for number in 1..=4 {
            let answered = responder.ask(&Query::of("v4.example. A"));
            if script == variable {
                let text = format!("v4.example. 40 IN TXT \"{number}\"");
                assert_eq!(answered.answer()[1], text);
            }
            assert_eq!(calls(&responder), number);
        }
        assert_eq!(responder.questions_asked(), ["v4.example. A"], "upstream is asked once");
    }
}

#[test]
fn looking_at_the_client_the_connection_or_the_header_makes_an_answer_variable() {
    for look in ["remoteaddr", "localaddr", "isTcp", "getDH(dq)"] {
        let mut responder =
            responder(&format!("function preresolve(dq) local it = dq.{look} return false end"));
        for number in 1..=3 {
            responder.ask(&Query::of("v4.example. A"));
            assert_eq!(calls(&responder), number, "{look}");
        }
    }
    let mut responder = responder("function preresolve(dq) return dq.qtype == pdns.MX end");
    for _ in 0..3 {
        responder.ask(&Query::of("v4.example. A"));
    }
    assert_eq!(calls(&responder), 1);
}

#[test]
fn verdicts_are_kept_apart_by_view_and_by_the_bits_of_the_query() {
    let mut responder = Responder::configured(
        "allow = [\"::/0\"]\n[upstream]\nservers = [\"192.0.2.53\"]\n\
         [dns64]\nprefixes = [\"2001:db8:64::/96\"]\n\
         [[view]]\nname = \"north\"\nclients = [\"2001:db8:1::/48\"]\n\
         dns64 = { prefixes = [\"2001:db8:65::/96\"] }\n",
    );
    responder.engine.set_script(Some(load("function postresolve(dq) return false end")));
    tell(&mut responder);
    for _ in 0..3 {
        for (client, prefix) in [("2001:db8:1::5", "65"), ("2001:db8:2::5", "64")] {
            let answered = responder.ask(&Query::of("v4.example. AAAA").from_client(client));
            let expected = format!("v4.example. 60 IN AAAA 2001:db8:{prefix}::c000:201");
            assert_eq!(answered.answer(), [expected]);
        }
        let answered = responder.ask(&Query::of("v4.example. AAAA").checking_disabled());
        assert_eq!(answered.answer(), [""; 0]);
        responder.ask(&Query::of("v4.example. AAAA").dnssec_ok());
    }
    assert_eq!(calls(&responder), 4, "two views, CD, DO");
}

#[test]
fn another_script_takes_over_at_once_with_what_is_in_the_cache() {
    let mut responder = responder(DNS64);
    responder.engine.publish_hot(HotSettings { sample: 1, threshold: 1, generation: 1 });
    for _ in 0..3 {
        responder.ask(&Query::of("v4.example. AAAA"));
    }
    let asked = responder.questions_asked();
    responder.engine.set_script(Some(load(
        "function nodata(dq) dq:addAnswer(pdns.AAAA, '2001:db8::2') return true end",
    )));
    responder.engine.flush_hot(2);
    for _ in 0..3 {
        let answered = responder.ask(&Query::of("v4.example. AAAA"));
        assert_eq!(answered.answer(), ["v4.example. 3600 IN AAAA 2001:db8::2"]);
    }
    responder.engine.set_script(None);
    for _ in 0..3 {
        let answered = responder.ask(&Query::of("v4.example. AAAA"));
        assert_eq!(answered.answer(), ["v4.example. 60 IN AAAA 2001:db8:64::c000:201"]);
    }
    assert_ne!(asked, [""; 0]);
    assert_eq!(responder.engine.counters().script_errors, 0);
}

#[test]
fn a_script_that_comes_in_the_middle_of_a_query_finds_nothing_of_the_other() {
    let script = "function preresolve(dq) dq.data = { 1 } return false end \
                  function postresolve(dq) dq:addAnswer(pdns.TXT, '1') return true end";
    let mut responder = responder(script);
    assert_eq!(responder.send(&Query::of("v4.example. A")), None);
    responder.engine.set_script(Some(load(
        "function postresolve(dq) assert(dq.data == nil) dq:addAnswer(pdns.TXT, '2') return true \
         end",
    )));
    responder.pass_ms(100);
    assert_eq!(responder.replies().len(), 1);
    let counters = responder.engine.counters();
    assert_eq!((counters.script_calls, counters.script_errors), (2, 0));
}

#[test]
fn every_swap_up_to_the_end_of_the_numbers_leaves_nothing_behind() {
    let mut responder = responder(COUNTING);
    // One audience and 65,535 numbers: they are used up, and begin anew.
    for swap in 0..70_000_u32 {
        if swap % 7_000 == 0 {
            responder.engine.set_script(Some(load(COUNTING)));
            let answered = responder.ask(&Query::of("v4.example. A"));
            assert_eq!(answered.answer()[1], "v4.example. 40 IN TXT \"1\"", "swap {swap}");
        } else {
            responder.engine.set_script(None);
        }
    }
}

#[test]
fn stale_answers_pass_the_script() {
    let mut responder = responder(
        "function nodata(dq) dq:addAnswer(pdns.AAAA, '2001:db8::77', 200) return true end",
    );
    responder.ask(&Query::of("v4.example. AAAA"));
    responder.pass_secs(400);
    responder.says("v4.example. AAAA", Response::silence());
    responder.says("v4.example. A", Response::silence());
    let answered = responder.ask(&Query::of("v4.example. AAAA"));
    assert_eq!(answered.answer(), ["v4.example. 200 IN AAAA 2001:db8::77"]);
    assert_eq!(answered.extended_errors(), [3]);
    assert_eq!(responder.engine.counters().cache_stale, 1);
    // It is not kept: the next one is asked about again.
    let calls_before = calls(&responder);
    responder.pass_secs(20);
    responder.ask(&Query::of("v4.example. AAAA"));
    assert_eq!(calls(&responder), calls_before + 1);
}

#[test]
fn what_a_script_is_asked_about_is_renewed_before_it_ends() {
    let mut responder = responder(DNS64);
    responder.ask(&Query::of("v4.example. AAAA"));
    responder.questions_asked();
    responder.pass_secs(56);
    responder.ask(&Query::of("v4.example. AAAA"));
    responder.pass_ms(100);
    assert_eq!(responder.questions_asked(), ["v4.example. AAAA"], "A is not due");
    responder.pass_secs(10);
    let calls = calls(&responder);
    let answered = responder.ask(&Query::of("v4.example. AAAA"));
    assert_eq!(answered.after_ms, 0, "both are in the cache");
    assert_eq!(crate::calls(&responder), calls + 2);
    assert_eq!(responder.questions_asked(), [""; 0]);
}

#[test]
fn a_long_answer_is_kept_whole_though_the_first_client_takes_little() {
    let mut responder = responder(COUNTING);
    let records: Vec<String> =
        (0..60).map(|number| format!("long.example. 300 IN A 192.0.2.{number}")).collect();
    let records: Vec<&str> = records.iter().map(String::as_str).collect();
    responder.says("long.example. A", Response::answer(&records));
    let short = responder.ask(&Query::of("long.example. A").without_edns());
    assert!(short.reply.octets.len() <= 512 && short.answer().is_empty());
    let long = responder.ask(&Query::of("long.example. A").by_tcp());
    assert_eq!(long.answer().len(), 61);
    assert_eq!(calls(&responder), 1);
}

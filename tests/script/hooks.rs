//! What each hook sees, and what comes of what it says.

use dns64_tests::in_process::{Query, Response};

use crate::{DNS64, SOA, calls, responder};

/// The reverse name of fe80::21b:77ff:c000:201.
const REVERSE: &str = "1.0.2.0.0.0.0.c.f.f.7.7.b.1.2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.e.f.ip6.arpa.";

#[test]
fn nodata_has_aaaa_made_under_a_prefix_whose_bits_64_to_71_are_not_zero() {
    let mut responder = responder(DNS64);
    let answered = responder.ask(&Query::of("v4.example. AAAA"));
    assert_eq!(answered.answer(), ["v4.example. 60 IN AAAA fe80::21b:77ff:c000:201"]);
    assert_eq!(answered.extended_errors(), [29]);
    assert_eq!(answered.authority(), [""; 0], "what denied AAAA stays behind");
    let answered = responder.ask(&Query::of("www.example. AAAA"));
    assert_eq!(
        answered.answer(),
        ["www.example. 300 IN CNAME v4.example.", "v4.example. 60 IN AAAA fe80::21b:77ff:c000:201"]
    );
}

#[test]
fn preresolve_leads_reverse_names_to_those_of_ipv4() {
    let mut responder = responder(DNS64);
    let answered = responder.ask(&Query::of(&format!("{REVERSE} PTR")));
    let cname = format!("{REVERSE} 300 IN CNAME 1.2.0.192.in-addr.arpa.");
    let ptr = "1.2.0.192.in-addr.arpa. 300 IN PTR v4.example.";
    assert_eq!(answered.answer(), [cname.as_str(), ptr]);
    // A name that is too short has no address in it.
    let short = REVERSE.strip_prefix("1.0.").unwrap();
    assert_eq!(responder.ask(&Query::of(&format!("{short} PTR"))).rcode(), 3);
}

#[test]
fn preresolve_answers_without_anybody_being_asked() {
    let mut responder = responder(
        r#"
        function preresolve(dq)
          if dq.qname:equal("fixed.example") then
            dq:addAnswer(pdns.A, "192.0.2.77", 90)
            dq:addAnswer(dq.qtype, "192.0.2.78", 80, newDN("other.example"))
            return true
          elseif dq.qname == newDN("none.example") then
            dq.rcode = pdns.NXDOMAIN
            return true
          end
          return false
        end
        "#,
    );
    let answered = responder.ask(&Query::of("Fixed.example. A"));
    assert_eq!(
        answered.answer(),
        ["Fixed.example. 90 IN A 192.0.2.77", "other.example. 80 IN A 192.0.2.78"]
    );
    let answered = responder.ask(&Query::of("none.example. A"));
    assert_eq!((answered.rcode(), answered.answer()), (3, vec![]));
    assert_eq!(responder.questions_asked(), [""; 0]);
    assert_eq!(
        responder.ask(&Query::of("dual.example. A")).answer(),
        ["dual.example. 300 IN A 192.0.2.1"]
    );
}

#[test]
fn nxdomain_and_nodata_are_called_for_what_they_are_named_after() {
    let mut responder = responder(
        r#"
        local function mark(dq, word)
          dq.rcode = pdns.NOERROR
          dq:addAnswer(pdns.TXT, word, 30)
          return true
        end
        function nxdomain(dq) return mark(dq, '"nxdomain ' .. dq.rcode .. '"') end
        function nodata(dq) return mark(dq, '"nodata ' .. dq.rcode .. '"') end
        "#,
    );
    let text = |answered: &dns64_tests::in_process::Answered| answered.answer().join(" ");
    let gone = responder.ask(&Query::of("gone.example. A"));
    assert_eq!(text(&gone), "gone.example. 30 IN TXT \"nxdomain 3\"");
    assert_eq!(gone.rcode(), 0);
    assert_eq!(gone.authority(), [SOA], "the records that were there stay");
    let empty = responder.ask(&Query::of("v4.example. TXT"));
    assert_eq!(text(&empty), "v4.example. 30 IN TXT \"nodata 0\"");
    let calls_before = calls(&responder);
    assert_eq!(responder.ask(&Query::of("v4.example. A")).answer().len(), 1);
    assert_eq!(calls(&responder), calls_before, "there is data");
}

#[test]
fn nodata_is_called_when_every_aaaa_counts_as_absent() {
    let mut responder = responder(DNS64);
    responder
        .says("mapped.example. AAAA", Response::answer(&["mapped.example. 9 IN AAAA ::ffff:0:1"]))
        .says("mapped.example. A", Response::answer(&["mapped.example. 9 IN A 192.0.2.9"]));
    assert_eq!(
        responder.ask(&Query::of("mapped.example. AAAA")).answer(),
        ["mapped.example. 9 IN AAAA fe80::21b:77ff:c000:209"]
    );
}

#[test]
fn postresolve_reads_and_replaces_records() {
    let mut responder = responder(
        r#"
        function postresolve(dq)
          local kept = {}
          for _, record in ipairs(dq:getRecords()) do
            if record.type == pdns.A and record.place == 1 then
              assert(record:getCA():isIPv4() and record.name:equal("v4.example"))
              assert(record:getContent() == "192.0.2.1" and record.ttl == 300)
              record:changeContent("192.0.2.99")
              record.ttl = 20
            end
            kept[#kept + 1] = record
          end
          dq:setRecords(kept)
          return dq.qtype == pdns.A
        end
        "#,
    );
    assert_eq!(
        responder.ask(&Query::of("www.example. A")).answer(),
        ["www.example. 300 IN CNAME v4.example.", "v4.example. 20 IN A 192.0.2.99"]
    );
    // What a hook that returns false has done to records does not count.
    assert_eq!(
        responder.ask(&Query::of("dual.example. AAAA")).answer(),
        ["dual.example. 300 IN AAAA 2001:db8::1"]
    );
}

#[test]
fn a_chain_that_a_script_begins_is_followed_and_synthesized_for() {
    let mut responder = responder(
        r#"
        function preresolve(dq)
          if dq.qname:equal("alias.example") then
            dq:addAnswer(pdns.CNAME, "v4.example", 70)
            dq.followupFunction = "followCNAMERecords"
            return true
          end
          return false
        end
        "#,
    );
    let alias = "alias.example. 70 IN CNAME v4.example.";
    assert_eq!(
        responder.ask(&Query::of("alias.example. A")).answer(),
        [alias, "v4.example. 300 IN A 192.0.2.1"]
    );
    assert_eq!(
        responder.ask(&Query::of("alias.example. AAAA")).answer(),
        [alias, "v4.example. 60 IN AAAA 2001:db8:64::c000:201"]
    );
}

#[test]
fn records_of_another_name_can_be_faked_behind_those_of_the_script() {
    let mut responder = responder(
        r#"
        function nxdomain(dq)
          dq.rcode = 0
          dq:setRecords({ { type = pdns.CNAME, content = "v4.example", ttl = 50 } })
          dq.followupFunction = "getFakeAAAARecords"
          dq.followupName = "v4.example"
          dq.followupPrefix = "2001:db8:6464::/48"
          return dq.qtype == pdns.AAAA
        end
        "#,
    );
    assert_eq!(
        responder.ask(&Query::of("gone.example. AAAA")).answer(),
        [
            "gone.example. 50 IN CNAME v4.example.",
            "v4.example. 60 IN AAAA 2001:db8:6464:c000:2:100::"
        ]
    );
}

#[test]
fn a_script_can_drop_a_query_and_frees_its_place_on_a_connection() {
    let script = "function nodata(dq) dq.rcode = pdns.DROP return true end";
    let mut responder = responder(script);
    assert_eq!(responder.send(&Query::of("v4.example. AAAA")), None);
    responder.pass_ms(9_000);
    assert!(responder.replies().is_empty());
    assert_eq!(responder.send(&Query::of("www.example. AAAA").by_tcp()), None);
    responder.pass_ms(100);
    assert_eq!(responder.replies(), [Vec::<u8>::new()], "an empty message is its end");
    assert_eq!(responder.engine.counters().drops_total(), 2);
}

#[test]
fn data_is_kept_from_hook_to_hook_of_one_query_and_no_further() {
    let mut responder = responder(
        r#"
        function preresolve(dq)
          assert(dq.data == nil)
          dq.data = { name = dq.qname:toString() }
          return false
        end
        function postresolve(dq)
          dq:addAnswer(pdns.TXT, dq.data.name, 30)
          return true
        end
        "#,
    );
    for name in ["v4.example.", "dual.example."] {
        let answered = responder.ask(&Query::of(&format!("{name} A")));
        assert_eq!(answered.answer()[1], format!("{name} 30 IN TXT \"{name}\""));
    }
    assert_eq!(responder.engine.counters().script_errors, 0);
}

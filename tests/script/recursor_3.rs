//! Hooks in the form of Recursor 3, told from the newer one by their parameters.

use dns64_tests::in_process::Query;

use crate::{RECURSOR_3, calls, responder};

#[test]
fn nodata_preresolve_and_nxdomain_answer_as_they_did() {
    let mut responder = responder(RECURSOR_3);
    assert_eq!(
        responder.ask(&Query::of("v4.example. AAAA")).answer(),
        ["v4.example. 60 IN AAAA fe80::21b:77ff:c000:201"]
    );
    assert_eq!(
        responder.ask(&Query::of("fixed.example. A")).answer(),
        ["fixed.example. 90 IN A 192.0.2.77"]
    );
    assert_eq!(
        responder.ask(&Query::of("alias.example. A")).answer(),
        ["alias.example. 3600 IN CNAME v4.example.", "v4.example. 300 IN A 192.0.2.1"]
    );
    let reverse = "1.0.2.0.0.0.0.c.f.f.7.7.b.1.2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.e.f.ip6.arpa.";
    assert_eq!(responder.ask(&Query::of(&format!("{reverse} PTR"))).answer().len(), 2);
    assert_eq!(responder.ask(&Query::of("gone.example. A")).rcode(), 3);
    assert_eq!(responder.engine.counters().script_errors, 0);
}

#[test]
fn a_client_s_address_is_looked_at_where_the_function_names_it() {
    let mut responder = responder(RECURSOR_3);
    for client in ["2001:db8::5", "192.0.2.5", "2001:db8::5"] {
        let query = Query::of("mine.example. TXT").from_client(client);
        assert_eq!(
            responder.ask(&query).answer(),
            [format!("mine.example. 90 IN TXT \"{client}\"")]
        );
    }
    // A function that does not is asked once.
    let unused = "function nodata(remoteip, domain, qtype)\n  return 0, {}\nend";
    let used = "function nodata(remoteip, domain, qtype)\n  local it = remoteip\n  return -1\nend";
    for (script, expected) in [(unused, 1), (used, 3)] {
        let mut responder = crate::responder(script);
        for _ in 0..3 {
            responder.ask(&Query::of("v4.example. TXT"));
        }
        assert_eq!(calls(&responder), expected, "{script}");
    }
}

#[test]
fn postresolve_gets_records_and_rcode() {
    let mut responder = responder(
        r#"
        function postresolve(remoteip, domain, qtype, records, rcode)
          assert(#records == 1 and records[1].qname == domain and records[1].ttl == 300)
          assert(records[1].qtype == pdns.A and records[1].place == "1" and rcode == 0)
          records[1].content = "192.0.2.9"
          return rcode, records
        end
        "#,
    );
    assert_eq!(
        responder.ask(&Query::of("v4.example. A")).answer(),
        ["v4.example. 300 IN A 192.0.2.9"]
    );
    assert_eq!(responder.engine.counters().script_errors, 0);
}

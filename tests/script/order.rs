//! The order of hooks, native DNS64 and what is answered here.

use dns64_tests::in_process::{Query, Response};

use crate::{SOA, calls, responder};

#[test]
fn native_dns64_comes_after_nodata_and_before_postresolve() {
    let mut responder = responder(
        r#"
        seen = ""
        function preresolve(dq) seen = "preresolve" return false end
        function nodata(dq)
          seen = seen .. " nodata:" .. #dq:getRecords()
          return false
        end
        function postresolve(dq)
          for _, record in ipairs(dq:getRecords()) do
            if record.place == 1 then seen = seen .. " postresolve:" .. record:getContent() end
          end
          dq:addAnswer(pdns.TXT, '"' .. seen .. '"', 30)
          return true
        end
        "#,
    );
    let answered = responder.ask(&Query::of("v4.example. AAAA"));
    assert_eq!(
        answered.answer(),
        [
            "v4.example. 60 IN AAAA 2001:db8:64::c000:201",
            "v4.example. 30 IN TXT \"preresolve nodata:1 postresolve:2001:db8:64::c000:201\"",
        ]
    );
    assert_eq!(responder.questions_asked(), ["v4.example. AAAA", "v4.example. A"]);
}

#[test]
fn nodata_ends_the_matter_by_returning_true() {
    let mut responder = responder("function nodata(dq) return dq.qtype == pdns.AAAA end");
    let answered = responder.ask(&Query::of("v4.example. AAAA"));
    assert_eq!((answered.rcode(), answered.answer()), (0, vec![]));
    assert_eq!(answered.authority(), [SOA]);
    assert_eq!(responder.questions_asked(), ["v4.example. AAAA"], "A is not asked for");
}

#[test]
fn what_preresolve_answers_passes_no_other_hook() {
    let mut responder = responder(
        r#"
        function preresolve(dq) return true end
        function nodata(dq) error("not for this") end
        function postresolve(dq) error("not for this") end
        "#,
    );
    let answered = responder.ask(&Query::of("v4.example. AAAA"));
    assert_eq!((answered.rcode(), answered.answer()), (0, vec![]));
    assert_eq!((calls(&responder), responder.engine.counters().script_errors), (1, 0));
}

#[test]
fn postresolve_sees_failures_too() {
    let mut responder = responder(
        "function postresolve(dq) if dq.rcode ~= pdns.SERVFAIL then return false end \
         dq.rcode = pdns.REFUSED return true end",
    );
    responder.says("broken.example. A", Response::error(2));
    assert_eq!(responder.ask(&Query::of("broken.example. A")).rcode(), 5);
    responder.says("silent.example. A", Response::silence());
    assert_eq!(responder.ask(&Query::of("silent.example. A")).rcode(), 5);
}

#[test]
fn names_that_are_answered_here_pass_no_hook() {
    let mut responder = responder("function preresolve(dq) error('not for this') end");
    let answered = responder.ask(&Query::of("ipv4only.arpa. AAAA"));
    assert_eq!(answered.answer().len(), 2);
    assert_eq!(calls(&responder), 0);
}

#[test]
fn a_class_other_than_in_passes_no_hook() {
    let mut responder = responder("function preresolve(dq) error('not for this') end");
    responder.says("v4.example. TXT", Response::error(5));
    assert_eq!(responder.ask(&Query::of("v4.example. TXT").class(3)).rcode(), 2);
    assert_eq!(calls(&responder), 0);
}

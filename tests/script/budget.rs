//! What a script cannot do to us: run on, fill the memory, reach the machine, end the answers.

use std::fmt::Write as _;

use dns64::answer::encode::Request;
use dns64::datagram::{Channel, Client};
use dns64::engine::script::{Hook, Script, ScriptCall, Validation};
use dns64::script::{LuaScript, ScriptSource};
use dns64::wire::Rcode;
use dns64_tests::in_process::Query;

use crate::{calls, responder};

/// The answer that v4.example has without a script.
const NATIVE: &str = "v4.example. 60 IN AAAA 2001:db8:64::c000:201";

/// Scripts whose hook fails, and words of why.
const FAILING: [(&str, &str); 14] = [
    ("while true do end", "more instructions"),
    ("while true do pcall(function() while true do end end) end", "more instructions"),
    ("pcall(function() while true do end end) return true", "more instructions"),
    ("local f f = function() return f() end f()", "more instructions"),
    ("local f f = function() return 1 + f() end f()", "stack overflow"),
    ("local t = {} for i = 1, 9e9 do t[i] = ('x'):rep(1e6) end", "memory"),
    ("local s = 'x' while true do s = s .. s end", "memory"),
    ("error('on purpose')", "on purpose"),
    ("local x = nil + 1", "arithmetic"),
    ("dq.nonsense = 1", "nonsense"),
    ("dq:addAnswer(pdns.A, 'no address') return true", "no address"),
    ("dq.followupFunction = 'fly' return true", "fly"),
    ("dq.followupFunction = 'getFakeAAAARecords' return true", "prefix"),
    ("setmetatable({}, { __gc = function() while true do end end })", "finalizers"),
];

#[test]
fn a_query_is_answered_without_the_script_that_fails_and_the_failure_is_counted() {
    for (body, _) in FAILING {
        for hook in ["preresolve", "nodata", "postresolve"] {
            let mut responder = responder(&format!("function {hook}(dq)\n  {body}\nend"));
            for number in 1..=2 {
                let answered = responder.ask(&Query::of("v4.example. AAAA"));
                assert_eq!(answered.answer(), [NATIVE], "{hook}: {body}");
                let counters = responder.engine.counters();
                assert_eq!(counters.script_errors, number, "{hook}: {body}");
            }
        }
    }
}

#[test]
fn a_failure_is_told_by_file_and_line() {
    for (body, why) in FAILING {
        // The same mistakes while the text is read are mistakes of the script.
        let text = format!("local dq = nil\n\n{body}\nfunction nodata() end");
        if body.contains("dq") || body.contains("while true") || body.contains("return") {
            continue;
        }
        let error = LuaScript::load(&ScriptSource::new("some/dns64.lua", &text)).unwrap_err();
        let shown = error.to_string();
        assert!(shown.contains(why), "{body}: {shown}");
        if !why.contains("memory") {
            assert!(shown.starts_with("some/dns64.lua:3: "), "{body}: {shown}");
        }
    }
    let error = LuaScript::load(&ScriptSource::new("dns64.lua", "x = 1\ny = = 2\n")).unwrap_err();
    assert_eq!((error.file.as_str(), error.line), ("dns64.lua", Some(2)));
    let error = LuaScript::load(&ScriptSource::new("dns64.lua", "\nnewDN('a..b')")).unwrap_err();
    assert_eq!(error.line, Some(2), "{error}");
    for (text, why) in [("x = 1", "no hook"), ("nodata = 5", "should be a function")] {
        let error = LuaScript::load(&ScriptSource::new("dns64.lua", text)).unwrap_err();
        assert!(error.to_string().contains(why), "{error}");
    }
}

#[test]
fn a_call_has_its_budget_whatever_calls_before_have_used() {
    let script = "function preresolve(dq) for i = 1, 20000 do end return false end";
    let mut responder = responder(script);
    for number in 0..50 {
        responder.says(
            &format!("n{number}.example. A"),
            dns64_tests::in_process::Response::answer(&[&format!(
                "n{number}.example. 9 IN A 192.0.2.1"
            )]),
        );
        responder.ask(&Query::of(&format!("n{number}.example. A")));
    }
    assert_eq!((calls(&responder), responder.engine.counters().script_errors), (50, 0));
}

#[test]
fn budgets_are_as_configured() {
    let text = "function nodata(dq) for i = 1, 50000 do end return true end";
    let source = ScriptSource { instructions: 10_000, ..ScriptSource::new("test.lua", text) };
    let mut responder = responder(text);
    responder.ask(&Query::of("v4.example. AAAA"));
    assert_eq!(responder.engine.counters().script_errors, 0);
    responder.engine.set_script(Some(Box::new(LuaScript::load(&source).unwrap())));
    responder.ask(&Query::of("v4.example. AAAA"));
    assert_eq!(responder.engine.counters().script_errors, 1);
    let text = "t = ('x'):rep(3000000) function nodata() end";
    let source = |memory_bytes| ScriptSource { memory_bytes, ..ScriptSource::new("t.lua", text) };
    assert!(LuaScript::load(&source(2 << 20)).is_err());
    assert!(LuaScript::load(&source(8 << 20)).is_ok());
}

#[test]
fn nothing_of_the_machine_is_in_reach() {
    let mut text = String::new();
    for name in [
        "io",
        "os",
        "package",
        "require",
        "debug",
        "coroutine",
        "dofile",
        "loadfile",
        "load",
        "loadstring",
        "collectgarbage",
        "string.dump",
    ] {
        let _ = writeln!(text, "assert({name} == nil, \"{name}\")");
    }
    text.push_str("assert(getmetatable(newNMG()) == false)\nfunction nodata() end");
    let loaded = LuaScript::load(&ScriptSource::new("test.lua", &text));
    assert!(loaded.is_ok(), "{loaded:?}");
    let bytecode = ScriptSource::new("test.lua", "\u{1b}Lua");
    assert!(LuaScript::load(&bytecode).is_err());
}

#[test]
fn what_calls_leave_behind_does_not_fill_the_memory() {
    // Where it fills, the first call fails after some hundred thousand.
    const CALLS: usize = 400_000;
    let text = "function nodata(dq) local name = newDN('a.example') return dq.qname == name end";
    let source = ScriptSource { memory_bytes: 1 << 20, ..ScriptSource::new("dns64.lua", text) };
    let mut script = LuaScript::load(&source).expect("the script is good");
    let request = Request {
        id: 7,
        recursion_desired: true,
        checking_disabled: false,
        wants_authentic: false,
        edns: true,
        dnssec_ok: false,
        limit: 1_232,
        question: b"\x03www\x04test\0\0\x1c\0\x01",
        alias: None,
    };
    let client = Client {
        peer: "[::1]:53000".parse().expect("an address"),
        local: "::1".parse().expect("an address"),
        interface: 0,
        channel: Channel::Udp { socket: 0 },
    };
    let call = ScriptCall {
        hook: Hook::Nodata,
        request: &request,
        client: &client,
        rcode: Rcode::NOERROR,
        reply: &[0; 80],
        validation: Validation::Indeterminate,
    };
    let failed = (0..CALLS).position(|_| script.call(&call, &mut None).failed);
    assert_eq!(failed, None);
}

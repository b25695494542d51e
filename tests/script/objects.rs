//! The objects of scripts, each statement an assertion in Lua.

use dns64::script::{LuaScript, ScriptSource};
use dns64_tests::in_process::Query;

use crate::responder;

/// Runs statements as the text of a script.
fn run(text: &str) {
    let text = format!("{text}\nfunction nodata() end");
    if let Err(error) = LuaScript::load(&ScriptSource::new("test.lua", &text)) {
        panic!("{error}");
    }
}

#[test]
fn names_are_compared_as_domains() {
    run(r#"
        local name = newDN("www.Example.com")
        assert(name:toString() == "www.Example.com." and tostring(name) == name:toString())
        assert(name:toStringNoDot() == "www.Example.com")
        assert(name == newDN("WWW.example.COM.") and name ~= newDN("ww.example.com"))
        assert(name:equal("www.example.com") and name:equal(newDN("www.example.com")))
        assert(name:countLabels() == 3 and name:wirelength() == 17)
        assert(name:isPartOf(newDN("example.com")) and name:isPartOf(name) and name:isPartOf("."))
        assert(not name:isPartOf(newDN("ple.com")) and not newDN("com"):isPartOf(name))
        local copy = newDN(name)
        assert(copy:chopOff() and copy == newDN("example.com") and name:countLabels() == 3)
        copy:chopoff() copy:chopoff()
        assert(not copy:chopOff() and copy:toString() == ".")
        local set = newDS()
        set:add("example.com") set:add({ "example.net", newDN("a.test") })
        assert(set:check(newDN("www.EXAMPLE.com")) and set:check("a.test"))
        assert(not set:check("b.test") and not set:check("com"))
        assert(set:toString() == "a.test, example.com, example.net")
    "#);
}

#[test]
fn addresses_know_their_family_and_port() {
    run(r#"
        local a, b = newCA("[2001:db8::1]:56"), newCA("2001:db8::1")
        assert(a ~= b and a:equal(b) and a:getPort() == 56 and b:getPort() == 0)
        assert(a:isIPv6() and not a:isIPv4() and a:toString() == "2001:db8::1")
        assert(a:toStringWithPort() == "[2001:db8::1]:56" and tostring(a) == "2001:db8::1")
        assert(#a:getRaw() == 16 and #newCA("192.0.2.1"):getRaw() == 4)
        local mapped = newCA("::ffff:192.0.2.1")
        assert(mapped:isMappedIPv4() and mapped:mapToIPv4() == newCA("192.0.2.1"))
        local c = newCA("192.0.2.77:53")
        c:truncate(24)
        assert(c:toStringWithPort() == "192.0.2.0:53")
        assert(not pcall(newCA, "192.0.2") and not pcall(newCA, {}))
    "#);
}

#[test]
fn groups_of_networks_are_decided_by_the_longest() {
    run(r#"
        local group = newNMG()
        group:addMask("192.0.2.0/24")
        group:addMasks({ "2001:db8::/32", "!2001:db8:1::/48", "198.51.100.7", "!192.0.2.7" })
        assert(group:match(newCA("192.0.2.8")) and group:match("2001:db8::1"))
        assert(not group:match("192.0.2.7") and not group:match("2001:db8:1::1"))
        assert(group:match("198.51.100.7") and not group:match("198.51.100.8"))
        assert(not newNMG():match("::1") and group:size() == 5)
        local mask = newNetmask("192.0.2.1/24")
        assert(mask:isIPv4() and mask:match("192.0.2.8") and not mask:match("::1"))
        assert(mask:getBits() == 24 and mask:toString() == "192.0.2.1/24")
        assert(mask:getNetwork() == newCA("192.0.2.1"))
        assert(mask:getMaskedNetwork() == newCA("192.0.2.0") and not mask:empty())
        group:addMask(newNetmask("203.0.113.0/24"))
        assert(group:match("203.0.113.1"))
        assert(matchnetmask("192.0.2.1", { "198.51.100.0/24", "192.0.2.0/24" }))
        assert(not matchnetmask("192.0.2.1", "198.51.100.0/24"))
        assert(not pcall(group.addMask, group, "192.0.2.0/33"))
    "#);
}

#[test]
fn the_table_pdns_has_types_rcodes_levels_and_states() {
    run(r#"
        assert(pdns.A == 1 and pdns.AAAA == 28 and pdns.PTR == 12 and pdns.HTTPS == 65)
        assert(pdns.NOERROR == 0 and pdns.SERVFAIL == 2 and pdns.NXDOMAIN == 3)
        assert(pdns.PASS == -1 and pdns.DROP == -2)
        assert(pdns.loglevels.Error == 3 and pdns.loglevels.Warning == 4)
        assert(pdns.validationstates.Indeterminate == 0)
        assert(pdns.validationstates.Bogus ~= pdns.validationstates.Secure)
        pdnslog("said", pdns.loglevels.Debug) pdnslog("said") print("said", 1, nil)
    "#);
}

#[test]
fn dq_says_who_asks_what_and_how() {
    let mut responder = responder(
        r#"
        function preresolve(dq)
          assert(dq.qname == newDN("v4.example") and dq.qtype == pdns.A)
          assert(dq.remoteaddr:toStringWithPort() == "[2001:db8::5]:40053")
          assert(dq.localaddr:toString() == "::1")
          assert(dq.isTcp and dq.rcode == 0 and not dq.variable)
          assert(dq.followupFunction == "" and #dq:getRecords() == 0)
          local dh = dq:getDH()
          assert(dh:getRD() and not dh:getCD() and not dh:getAA() and dh:getID() == 77)
          assert(not pcall(function() dq.qname = "other" end))
          return false
        end
        function postresolve(dq)
          local record = dq:getRecords()[1]
          assert(record.name == dq.qname and record.place == 1 and record:getCA() ~= nil)
          record.name, record.place = "other.example", 2
          dq:setRecords({ record, { type = pdns.MX, content = "10 mail.example", ttl = 5 } })
          dq:addRecord(pdns.TXT, "text", 2, 7, "third.example")
          return true
        end
        "#,
    );
    let query = Query::of("v4.example. A").from_client("2001:db8::5").by_tcp().with_id(77);
    let answered = responder.ask(&query);
    assert_eq!(responder.engine.counters().script_errors, 0);
    assert_eq!(answered.answer(), ["v4.example. 5 IN MX 10 mail.example."]);
    assert_eq!(
        answered.authority(),
        ["other.example. 300 IN A 192.0.2.1", "third.example. 7 IN TXT \"text\""]
    );
}

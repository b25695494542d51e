//! Policy zones through the real program: what it refuses, and what it answers.

use std::process::Command;

use dns64_tests::netns::Scratch;
use dns64_tests::program::dns64d;

/// What `dns64d check` says of a configuration with this zone, and its exit code.
fn check(keys: &str, zone: &str) -> (Option<i32>, String) {
    let files = Scratch::new();
    files.write("block.zone", zone);
    let config = format!(
        "[upstream]\nservers = [\"192.0.2.53\"]\n[[rpz]]\nname = \"rpz.\"\n\
         file = \"block.zone\"\n{keys}\n"
    );
    let config = files.write("dns64d.toml", &config);
    let output = Command::new(dns64d()).args(["check", "--config"]).arg(&config).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8(said).unwrap().replace(&files.path().display().to_string(), "");
    (output.status.code(), said)
}

#[test]
fn a_mistake_in_a_zone_is_refused_with_file_line_and_a_way_out() {
    let (code, said) = check("", "a.example CNAME .\n32.1.2.0.192.rpz-ip CNAME .\n");
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("/block.zone:2:1: triggers of the kind rpz-ip"), "{said}");
    assert!(said.contains("unsupported = \"skip\""), "{said}");
}

#[test]
fn what_is_left_out_is_warned_about() {
    let (code, said) = check("unsupported = \"skip\"", "a CNAME .\n32.1.2.0.192.rpz-ip CNAME .\n");
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("/block.zone:2:1: 1 triggers are left out"), "{said}");
}

#[test]
fn the_summary_names_each_zone_with_its_triggers() {
    let (code, said) = check("", "a.example CNAME .\nb.example CNAME .\n");
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("rpz       rpz.: 2 triggers"), "{said}");
}

#[test]
fn a_zone_file_that_is_not_there_and_keys_that_contradict_are_refused() {
    let (code, said) = check("redirect = \"a.\"\npolicy = \"nxdomain\"", "a CNAME .\n");
    assert_eq!(code, Some(2));
    assert!(said.contains("a zone has either a policy or a redirect"), "{said}");
    let (code, said) = check("views = [\"nord\"]", "a CNAME .\n");
    assert_eq!(code, Some(2));
    assert!(said.contains("there is no view \"nord\""), "{said}");
}

//! Every kind of wrong answer is caught, and counted in its own place.

use std::time::Duration;

use crate::liar::{Asked, Liar, Reply};
use crate::program::{Outcome, load, names};

/// Of twenty names, those that a liar lies about.
const LIES: u64 = 5;

/// Asks a liar about twenty names.
fn ask(liar: &Liar, arguments: &str) -> Outcome {
    load(liar.address, &format!("--json -t 0.3 {arguments}"), &names(20, ""))
}

/// Five lies of twenty answers are of this kind, and nothing else is wrong.
#[track_caller]
fn assert_caught(kind: &str, change: impl Fn(&mut Vec<u8>) + Send + 'static) {
    let liar = Liar::about_every_fourth(move |mut asked| {
        change(&mut asked.answer);
        Reply::Now(vec![asked.answer])
    });
    let outcome = ask(&liar, "");
    let json = outcome.json();
    assert_eq!(json["wrong_by_kind"][kind].as_u64(), Some(LIES), "{json:#}");
    assert_eq!(outcome.numbers(["wrong", "verified", "completed", "lost"]), [LIES, 15, 20, 0]);
    assert_eq!(outcome.code, Some(1));
    let sample = &json["wrong_samples"][0];
    assert_eq!(sample["kind"].as_str(), Some(kind));
    assert!(sample["text"].as_str().is_some_and(|text| text.contains(".v4.test. AAAA")));
}

#[test]
fn a_wrong_prefix_is_caught() {
    assert_caught("prefix", |answer| {
        let at = answer.len() - 16;
        answer[at + 1] = 0x65;
    });
}

#[test]
fn a_wrong_ipv4_address_under_the_prefix_is_caught() {
    assert_caught("ipv4", |answer| {
        let at = answer.len() - 2;
        answer[at] ^= 1;
    });
}

#[test]
fn a_bit_set_between_prefix_and_address_is_caught() {
    assert_caught("prefix", |answer| {
        let at = answer.len() - 8;
        answer[at] = 1;
    });
}

#[test]
fn a_missing_record_is_caught() {
    assert_caught("missing", |answer| {
        answer[7] = 0;
        answer.truncate(answer.len() - 28);
    });
}

#[test]
fn a_record_twice_is_caught() {
    assert_caught("address", |answer| {
        answer[7] = 2;
        answer.extend_from_within(answer.len() - 28..);
    });
}

#[test]
fn a_second_address_of_another_name_is_caught() {
    assert_caught("ipv4", |answer| {
        answer[7] = 2;
        answer.extend_from_within(answer.len() - 28..);
        let at = answer.len() - 1;
        answer[at] ^= 1;
    });
}

#[test]
fn a_longer_ttl_than_the_name_allows_is_caught() {
    assert_caught("ttl", |answer| {
        let at = answer.len() - 19;
        // 301
        answer[at] = 0x2d;
    });
}

#[test]
fn a_nonexistent_name_that_exists_is_caught() {
    assert_caught("rcode", |answer| answer[3] = 0x83);
}

#[test]
fn a_record_of_another_owner_is_caught() {
    assert_caught("owner", |answer| {
        let owner_at = answer.len() - 28;
        // The zone instead of the name.
        answer[owner_at + 1] = answer[12] + 13;
    });
}

#[test]
fn an_answer_that_is_cut_is_caught() {
    assert_caught("malformed", |answer| answer.truncate(answer.len() - 1));
}

#[test]
fn a_count_of_records_that_are_not_there_is_caught() {
    assert_caught("malformed", |answer| answer[11] = 1);
}

#[test]
fn a_question_in_other_letters_is_caught() {
    assert_caught("letter_case", |answer| answer[13] = b'A');
}

#[test]
fn a_wrong_id_is_caught_and_the_query_is_lost() {
    let liar = Liar::about_every_fourth(|mut asked| {
        asked.answer[0] ^= 0x80;
        Reply::Now(vec![asked.answer])
    });
    assert_lost_and_caught(&ask(&liar, ""), "id");
}

#[test]
fn a_wrong_question_is_caught_and_the_query_is_lost() {
    let liar = Liar::about_every_fourth(|mut asked| {
        asked.answer[13] = b'b';
        Reply::Now(vec![asked.answer])
    });
    assert_lost_and_caught(&ask(&liar, ""), "question");
}

#[test]
fn an_answer_from_another_port_is_caught_and_the_query_is_lost() {
    let liar = Liar::about_every_fourth(|asked| Reply::FromElsewhere(asked.answer));
    assert_lost_and_caught(&ask(&liar, ""), "source");
}

#[track_caller]
fn assert_lost_and_caught(outcome: &Outcome, kind: &str) {
    let json = outcome.json();
    assert_eq!(json["wrong_by_kind"][kind].as_u64(), Some(LIES), "{json:#}");
    let keys = ["wrong", "verified", "completed", "lost", "late"];
    assert_eq!(outcome.numbers(keys), [LIES, 15, 15, LIES, 0]);
    assert_eq!(outcome.code, Some(1));
}

#[test]
fn the_true_answer_behind_a_forged_one_is_still_taken() {
    let liar = Liar::about_every_fourth(|asked| {
        let mut forged = asked.answer.clone();
        forged[13] = b'b';
        Reply::Now(vec![forged, asked.answer])
    });
    let outcome = ask(&liar, "");
    assert_eq!(outcome.numbers(["wrong", "verified", "lost"]), [LIES, 20, 0]);
}

#[test]
fn a_second_answer_is_counted_apart_and_is_not_wrong() {
    let liar =
        Liar::about_every_fourth(|asked| Reply::Now(vec![asked.answer.clone(), asked.answer]));
    let outcome = ask(&liar, "");
    let keys = ["duplicates", "wrong", "verified", "completed", "lost"];
    // The very last answer may come after the end of the run.
    assert_eq!(outcome.numbers(keys), [LIES, 0, 20, 20, 0]);
    assert_eq!(outcome.code, Some(0));
}

#[test]
fn a_message_that_is_no_response_is_counted_apart() {
    let liar = Liar::about_every_fourth(|asked| {
        Reply::Now(vec![asked.query.to_vec(), b"short".to_vec(), asked.answer])
    });
    let outcome = ask(&liar, "");
    assert_eq!(outcome.numbers(["unknown", "wrong", "verified"]), [2 * LIES, 0, 20]);
    assert_eq!(outcome.code, Some(0));
}

#[test]
fn late_answers_are_told_from_those_that_never_come() {
    let delay = Duration::from_millis(600);
    let liar = Liar::about_every_fourth(move |asked| match asked.number {
        0 | 4 => Reply::Now(Vec::new()),
        _ => Reply::Later(delay, asked.answer),
    });
    for arguments in ["", "-Q 1000"] {
        let outcome = ask(&liar, arguments);
        let keys = ["late", "lost", "completed", "sent", "verified", "wrong"];
        assert_eq!(outcome.numbers(keys), [3, 2, 15, 20, 18, 0], "{arguments}");
        assert_eq!(outcome.code, Some(0));
    }
}

#[test]
fn a_late_answer_that_is_wrong_is_wrong() {
    let delay = Duration::from_millis(600);
    let liar = Liar::about_every_fourth(move |mut asked| {
        let last = asked.end() - 1;
        asked.answer[last] ^= 1;
        Reply::Later(delay, asked.answer)
    });
    let outcome = ask(&liar, "");
    assert_eq!(outcome.numbers(["late", "wrong", "verified"]), [LIES, LIES, 15]);
    assert_eq!(outcome.code, Some(1));
}

#[test]
fn a_server_that_says_nothing_at_all_is_reported_and_the_run_exits_with_2() {
    let silent = Liar::start(|_: Asked<'_>| Reply::Now(Vec::new()));
    let outcome = ask(&silent, "");
    assert_eq!(outcome.code, Some(2));
    assert_eq!(outcome.numbers(["sent", "lost", "completed"]), [20, 20, 0]);
    assert!(outcome.stderr.ends_with("no answer to 20 queries\n"), "{}", outcome.stderr);
}

#[test]
fn failures_and_truncated_answers_are_neither_right_nor_wrong() {
    let liar = Liar::about_every_fourth(|mut asked| {
        match asked.number {
            0 => asked.answer[3] = 0x82,
            4 => asked.answer[3] = 0x85,
            _ => asked.answer[2] |= 2,
        }
        Reply::Now(vec![asked.answer])
    });
    let outcome = ask(&liar, "");
    assert_eq!(outcome.numbers(["failed", "wrong", "verified"]), [LIES, 0, 15]);
    let rcodes = &outcome.json()["rcodes"];
    assert_eq!((rcodes["SERVFAIL"].as_u64(), rcodes["REFUSED"].as_u64()), (Some(1), Some(1)));
    assert_eq!(outcome.code, Some(0));
}

#[test]
fn with_form_only_lies_about_addresses_pass_and_forgeries_do_not() {
    let liar = Liar::about_every_fourth(|mut asked| {
        if asked.number == 0 {
            asked.answer[13] = b'b';
        } else {
            let last = asked.end() - 1;
            asked.answer[last] ^= 1;
        }
        Reply::Now(vec![asked.answer])
    });
    let outcome = ask(&liar, "--form-only");
    assert_eq!(outcome.numbers(["wrong", "unchecked", "verified"]), [1, 19, 0]);
    assert_eq!(outcome.code, Some(1));
}

/// Names that say nothing to the verification, and all to a liar.
fn silent_names() -> String {
    names(20, "--salt")
}

#[test]
fn answers_to_names_that_say_nothing_must_not_contradict_each_other() {
    let liar = Liar::about_every_fourth(|mut asked| {
        if asked.before >= 20 {
            let last = asked.end() - 1;
            asked.answer[last] ^= 1;
        }
        Reply::Now(vec![asked.answer])
    });
    let arguments = "--json -n 3 -q 1";
    let outcome = load(liar.address, arguments, &silent_names());
    let keys = ["inconsistent", "unchecked", "wrong", "verified"];
    // Each changes its answer once.
    assert_eq!(outcome.numbers(keys), [LIES, 60, 0, 0], "{}", outcome.stdout);
    assert_eq!(outcome.code, Some(0), "it may be two servers behind one address");
    let sample = &outcome.json()["inconsistent_samples"][0];
    let text = sample["text"].as_str().expect("a sample");
    assert!(text.contains("--salt.v4.test. AAAA"), "{text}");
    let words = load(liar.address, "-q 1", &silent_names());
    assert!(words.stdout.contains("; inconsistent 0\n"), "{}", words.stdout);

    let lies_again = Liar::about_every_fourth(|mut asked| {
        let last = asked.end() - 1;
        asked.answer[last] ^= (asked.before / 20) as u8;
        Reply::Now(vec![asked.answer])
    });
    let judged = load(lies_again.address, "-n 2 -q 1", &silent_names());
    assert!(judged.stdout.contains(&format!("; inconsistent {LIES}\n")), "{}", judged.stdout);
    assert!(judged.stdout.contains("Inconsistent with an answer before:"), "{}", judged.stdout);
    // Nothing is compared where only the form is.
    let unjudged = load(lies_again.address, "--json -n 2 -q 1 --form-only", &silent_names());
    assert!(unjudged.json()["inconsistent"].is_null(), "{}", unjudged.stdout);
}

#[test]
fn other_orders_ttls_and_failures_are_no_contradictions() {
    let server = Liar::start(|mut asked| {
        // Two addresses, the second one above the first or below it.
        asked.answer[7] = 2;
        asked.answer.extend_from_within(asked.answer.len() - 28..);
        let (len, round) = (asked.answer.len(), asked.before / 20);
        let other = if round.is_multiple_of(2) { len - 1 } else { len - 29 };
        asked.answer[other] ^= 0x80;
        // The TTL falls.
        for ttl_at in [len - 19, len - 47] {
            asked.answer[ttl_at] -= round as u8;
        }
        match (round, asked.number) {
            (2, 3) => asked.answer[3] |= 2,
            (2, 5) => asked.answer[2] |= 2,
            _ => {}
        }
        Reply::Now(vec![asked.answer])
    });
    let outcome = load(server.address, "--json -n 4 -q 1", &silent_names());
    let keys = ["inconsistent", "unchecked", "failed", "wrong"];
    assert_eq!(outcome.numbers(keys), [0, 78, 2, 0], "{}", outcome.stdout);
}

#[test]
fn a_cookie_that_is_not_ours_is_caught() {
    let liar = Liar::about_every_fourth(|mut asked| {
        let mut option = b"\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x0c\x00\x0a\x00\x08".to_vec();
        option.extend(&asked.query[asked.query.len() - 8..]);
        if asked.number == 4 {
            option[15] ^= 1;
        }
        asked.answer.extend(option);
        asked.answer[11] = 1;
        Reply::Now(vec![asked.answer])
    });
    let outcome = ask(&liar, "--cookie-share 100");
    assert_eq!(outcome.json()["wrong_by_kind"]["cookie"].as_u64(), Some(1));
    assert_eq!(outcome.numbers(["verified"]), [19]);
}

#[test]
fn every_prefix_that_is_given_must_have_its_address() {
    let honest = Liar::start(|asked| Reply::Now(vec![asked.answer]));
    let outcome = ask(&honest, "--prefix 64:ff9b::/96 --prefix 2001:db8:64::/96");
    assert_eq!(outcome.json()["wrong_by_kind"]["missing"].as_u64(), Some(20));

    let both = Liar::start(|mut asked| {
        asked.answer[7] = 2;
        let start = asked.end() - 28;
        asked.answer.extend_from_within(start..);
        let address_at = asked.end() - 16;
        asked.answer[address_at..address_at + 12]
            .copy_from_slice(b"\x20\x01\x0d\xb8\x00\x64\x00\x00\x00\x00\x00\x00");
        Reply::Now(vec![asked.answer])
    });
    let outcome = ask(&both, "--prefix 2001:db8:64::/96 --prefix 64:ff9b::/96");
    assert_eq!(outcome.numbers(["verified", "wrong"]), [20, 0]);
}

#[test]
fn every_length_of_prefix_is_verified() {
    // 11.0.0.n under each prefix (RFC 6052 2.2): where the four octets go around bits 64 to 71.
    for (prefix, octets, places) in [
        ("2001:db8::/32", &b"\x20\x01\x0d\xb8"[..], [4, 5, 6, 7]),
        ("2001:db8:100::/40", b"\x20\x01\x0d\xb8\x01", [5, 6, 7, 9]),
        ("2001:db8:122::/48", b"\x20\x01\x0d\xb8\x01\x22", [6, 7, 9, 10]),
        ("2001:db8:122:300::/56", b"\x20\x01\x0d\xb8\x01\x22\x03", [7, 9, 10, 11]),
        ("2001:db8:122:344::/64", b"\x20\x01\x0d\xb8\x01\x22\x03\x44", [9, 10, 11, 12]),
    ] {
        let server = Liar::start(move |mut asked| {
            let mut address = [0; 16];
            address[..octets.len()].copy_from_slice(octets);
            for (place, octet) in places.into_iter().zip([11, 0, 0, asked.number]) {
                address[place] = octet;
            }
            let at = asked.end() - 16;
            asked.answer[at..].copy_from_slice(&address);
            Reply::Now(vec![asked.answer])
        });
        let outcome = ask(&server, &format!("--prefix {prefix}"));
        assert_eq!(outcome.numbers(["verified", "wrong"]), [20, 0], "{prefix}");
        let outcome = ask(&server, "");
        assert_eq!(outcome.json()["wrong_by_kind"]["prefix"].as_u64(), Some(20), "{prefix}");
    }
}

//! The schema that `dns64ctl schema` prints says what the reader says: judged by a validator that
//! knows nothing of the reader (python3-jsonschema).

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use dns64_tests::cases;
use dns64_tests::daemon::dns64ctl;
use dns64_tests::netns::Scratch;
use dns64_tests::program::installed;
use dns64_tests::subject::{Place, Subject};
use serde_json::{Value, json};

use super::refusal;

/// Reads a schema and documents in TOML from standard input; prints for each what is wrong.
const VALIDATOR: &str = "
import json, sys, tomllib
from jsonschema import Draft202012Validator
given = json.load(sys.stdin)
Draft202012Validator.check_schema(given['schema'])
validator = Draft202012Validator(given['schema'])
def first(text):
    errors = list(validator.iter_errors(tomllib.loads(text)))
    return errors and errors[0].message
print(json.dumps([first(text) or None for text in given['documents']]))
";

/// The root of the workspace.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests lie in the workspace")
}

/// What `dns64ctl schema` prints.
fn schema() -> Value {
    let output = dns64ctl(&["schema"]);
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// What the validator finds wrong with documents: nothing, or a mistake of each.
fn judged(documents: &[String]) -> Vec<Option<String>> {
    let mut validator = Command::new("/usr/bin/python3")
        .args(["-c", VALIDATOR])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 can be run");
    let given = json!({ "schema": schema(), "documents": documents }).to_string();
    let mut input = validator.stdin.take().expect("it is a pipe");
    input.write_all(given.as_bytes()).expect("it reads");
    drop(input);
    let output = validator.wait_with_output().expect("it ends");
    assert!(output.status.success(), "the schema is none, or a document no TOML");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// The example with every key switched on, files that are there, and one of two things that shut
/// each other out: prefixes or a pool, a socket or an address.
fn every_key() -> [String; 2] {
    let example = fs::read_to_string(root().join("userspace/example.toml")).expect("the example");
    let enabled: Vec<&str> = example
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(rest) if !rest.is_empty() && !rest.starts_with(' ') => rest,
            _ => line,
        })
        .collect();
    let path = |file: &str| format!("{:?}", root().join(file));
    let text = enabled
        .join("\n")
        .replace("\"conf.d/*.toml\"", "")
        .replace("\"dns64.lua\"", &path("tests/script/scripts/dns64.lua"))
        .replace("\"example.zone\"", &path("userspace/example.zone"))
        .replace("trust_anchors = \"/etc/dns64d/anchors\"\n", "");
    let without = |lines: &[&str]| {
        lines.iter().fold(text.clone(), |text, line| text.replacen(&format!("\n{line}\n"), "\n", 1))
    };
    [
        without(&["prefixes = [\"64:ff9b::/96\"]", "socket = \"/run/dnstap.sock\""]),
        without(&["pool = \"nat64\"", "address = \"127.0.0.1:6000\""]),
    ]
}

/// The blocks of a document in TOML.
fn blocks(document: &str) -> Vec<String> {
    let text = fs::read_to_string(root().join(document)).expect("a document");
    let blocks = text.split("\n```toml\n").skip(1);
    blocks.map(|rest| rest.split("```").next().unwrap_or_default().to_owned()).collect()
}

#[test]
fn what_the_reader_accepts_the_schema_accepts() {
    if !installed(&["jsonschema"]) {
        return;
    }
    let mut documents = Vec::from(every_key());
    documents.push(String::new());
    documents.push(fs::read_to_string(root().join("userspace/example.toml")).expect("it is there"));
    documents.push("include = [\"conf.d/*.toml\"]".to_owned());
    for document in ["README.md", "userspace/ARCHITECTURE.md", "bench/README.md"] {
        documents.extend(blocks(document));
    }
    let texts = documents.len();
    assert!(texts > 6, "README.md has configurations");
    let subject = Subject::dns64d().expect("it is built");
    let place = Place::on_loopback(5364, "127.0.0.1:53".parse().expect("good"), "/".into());
    for case in cases::load(&root().join("tests/cases")).expect("the cases") {
        let Ok(text) = subject.configuration(&case.config, &place) else { continue };
        if dns64::config::parse(&text, "case").is_ok() {
            documents.push(text);
        }
    }
    assert!(documents.len() > texts + 100, "there are many cases");
    for (document, wrong) in documents.iter().zip(judged(&documents)) {
        assert_eq!(wrong, None, "{document}");
    }
}

#[test]
fn what_check_refuses_for_its_form_the_schema_refuses() {
    if !installed(&["jsonschema"]) {
        return;
    }
    let wrong = [
        "workers = 0",
        "workers = 257",
        "workers = \"4\"",
        "worker = 4",
        "listen = \"127.0.0.1\"",
        "listen = [53]",
        "allow = [[\"::1\"]]",
        "[upstream]\ntimeout_ms = 9",
        "[upstream]\nserver = [\"192.0.2.1\"]",
        "[[forward]]\nzone = \"a.\"",
        "[forward]\nzone = \"a.\"\nservers = [\"192.0.2.1\"]",
        "[dns64]\nptr = \"alias\"",
        "[dns64]\nprefixes = [96]",
        "[dns64]\nprefixes = [{ length = 96 }]",
        "[dns64]\nprefixes = [{ prefix = \"64:ff9b::/96\", break_dnssec = 1 }]",
        "[[view]]\nname = \"v\"\nclients = [\"::1\"]\ndns64 = { hold = 3 }",
        "[[view]]\nclients = [\"::1\"]",
        "[[pool]]\nname = \"p\"\nprefixes = [{ prefix = \"64:ff9b::/96\", weight = 0 }]",
        "[[pool]]\nname = \"p\"\nprefixes = [\"64:ff9b::/96\"]\n[pool.probe]\nrise = 0",
        "[[rpz]]\nname = \"z.\"\nfile = \"z\"\nede = \"because\"",
        "[cache]\nsize = 256",
        "[cache]\nprefetch = \"yes\"",
        "[datapath]\nmode = \"fast\"",
        "[limits]\nudp_payload = 511",
        "[limits]\ntcp_idle_ms = 1.5",
        "[metrics]\nlisten = 9164",
        "[log]\nlevel = 3",
        "[logs]",
        "include = \"conf.d/*.toml\"",
    ];
    for text in wrong {
        let scratch = Scratch::new();
        scratch.write("dns64d.toml", text);
        let _said = refusal(&scratch);
    }
    let documents = wrong.map(str::to_owned);
    for (document, wrong) in documents.iter().zip(judged(&documents)) {
        assert!(wrong.is_some(), "{document}");
    }
}

// ---- Key by key

/// A step from a value into it.
#[derive(Clone, Debug)]
enum Step {
    Key(String),
    At(usize),
}

/// The ways to all values below one, without the tables of lists themselves: these may have another
/// form.
fn ways(value: &toml::Value, at: &mut Vec<Step>, found: &mut Vec<Vec<Step>>) {
    let of_table = value.as_table().into_iter().flatten();
    let of_table = of_table.map(|(key, value)| (Step::Key(key.clone()), value, true));
    let of_list = value.as_array().into_iter().flatten().enumerate();
    let of_list = of_list.map(|(index, value)| (Step::At(index), value, !value.is_table()));
    for (step, value, counts) in of_table.chain(of_list) {
        at.push(step);
        if counts {
            found.push(at.clone());
        }
        ways(value, at, found);
        at.pop();
    }
}

/// A value of a document.
fn value_at<'v>(document: &'v mut toml::Value, way: &[Step]) -> &'v mut toml::Value {
    way.iter().fold(document, |at, step| match step {
        Step::Key(key) => &mut at[key.as_str()],
        Step::At(index) => &mut at[*index],
    })
}

/// What the schema says of a value.
fn schema_at<'v>(root: &'v Value, way: &[Step], value: &toml::Value) -> &'v Value {
    let mut at = root;
    for step in way {
        at = form_of(root, at, |form| match step {
            Step::Key(key) => &form["properties"][key],
            Step::At(_) => &form["items"],
        });
    }
    let of_type = |form: &'v Value| {
        // TOML and JSON have other words for tables.
        let name = if value.is_table() { "object" } else { value.type_str() };
        if form["type"] == name { form } else { &Value::Null }
    };
    form_of(root, at, of_type)
}

/// The part of a schema behind a reference and among several forms.
fn form_of<'v>(root: &'v Value, at: &'v Value, part: impl Fn(&'v Value) -> &'v Value) -> &'v Value {
    let at = match at["$ref"].as_str() {
        Some(reference) => root.pointer(&reference[1..]).expect("it leads somewhere"),
        None => at,
    };
    let forms = at["anyOf"].as_array();
    let mut parts = forms.into_iter().flatten().chain([at]).map(part);
    parts.find(|part| !part.is_null()).expect("the schema has every key of the example")
}

/// Values that a schema of one type does not have.
fn wrong_values(schema: &Value) -> Vec<toml::Value> {
    let number = |key: &str| schema[key].as_i64().expect("a bound");
    match schema["type"].as_str().expect("a type") {
        "integer" => vec![
            (number("minimum") - 1).into(),
            (number("maximum") + 1).into(),
            "many".into(),
            1.5.into(),
        ],
        "boolean" => vec![1.into(), "true".into()],
        "string" if schema["enum"].is_array() => vec!["no such word".into(), 1.into()],
        "string" => vec![1.into(), true.into()],
        "array" | "object" => vec![1.into(), "one".into()],
        other => panic!("{other}"),
    }
}

#[test]
fn every_key_has_the_type_the_range_the_words_and_the_company_that_the_reader_wants() {
    if !installed(&["jsonschema"]) {
        return;
    }
    let root = schema();
    let (mut documents, mut keys) = (Vec::new(), Vec::new());
    for text in every_key() {
        let whole = toml::Value::Table(text.parse().expect("TOML"));
        let mut all = Vec::new();
        ways(&whole, &mut Vec::new(), &mut all);
        for way in all {
            let mut document = whole.clone();
            let value = value_at(&mut document, &way).clone();
            let says = schema_at(&root, &way, &value);
            for wrong in wrong_values(says) {
                let mut document = whole.clone();
                *value_at(&mut document, &way) = wrong;
                documents.push(document);
                keys.push(way.clone());
            }
            let mut document = whole.clone();
            if value.is_table() {
                let table = value_at(&mut document, &way).as_table_mut().expect("a table");
                table.insert("no_such_key".to_owned(), 1.into());
                documents.push(document);
                keys.push(way.clone());
            }
            for key in says["required"].as_array().into_iter().flatten() {
                let mut document = whole.clone();
                let table = value_at(&mut document, &way).as_table_mut().expect("a table");
                table.remove(key.as_str().expect("a name"));
                documents.push(document);
                keys.push(way.clone());
            }
        }
    }
    assert!(documents.len() > 300, "{} documents", documents.len());
    let texts: Vec<String> =
        documents.iter().map(|document| toml::to_string(document).expect("TOML")).collect();
    for ((text, wrong), way) in texts.iter().zip(judged(&texts)).zip(&keys) {
        assert!(wrong.is_some(), "the schema accepts {way:?}:\n{text}");
        assert!(dns64::config::parse(text, "x").is_err(), "the reader accepts {way:?}:\n{text}");
    }
}

//! The schema is written here: the reader goes through the example, and what it asks of each key is
//! noted. So the schema knows the keys, types, ranges and words that the reader knows, and a test
//! fails where `schema.json` says otherwise.
//!
//! `DNS64_WRITE_SCHEMA=1` in the environment of this test writes it anew.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fs;

use serde_json::{Map, Value, json};

use super::notes::{Shape, noted};
use super::reference::{EXAMPLE, SCHEMA, examples, sections};
use super::{Config, file};

/// What the example cannot say, because it has another form or value in the place: each form of a
/// probe, and lists that are empty by default.
const BESIDE: &str = r#"
drop = ["192.0.2.1"]
[[pool]]
name = "a"
prefixes = [{ prefix = "2001:db8::/96", weight = 1, probe = { udp = "192.0.2.1:53" } }]
probe = { icmp = "192.0.2.1" }
[[pool]]
name = "b"
prefixes = [{ prefix = "2001:db8::/64", suffix = "::1", probe = { http = "http://192.0.2.1/" } }]
probe = { command = ["/bin/true"] }
[dns64]
exclude_a = ["192.0.2.0/24"]
ignore_aaaa = ["a.example."]
bypass = ["b.example."]
"#;

/// Tables that are the same in two places: the path of one, the path of the other, and their name
/// in the schema.
const SAME: [(&str, &str, &str); 2] =
    [("view[].dns64", "dns64", "dns64"), ("pool[].prefixes[].probe", "pool[].probe", "probe")];

/// Reads a text as on a machine whose resolver is 192.0.2.53; `None` if it is refused.
fn read(text: &str) -> Option<Config> {
    let config = file::read(text, "test.toml", || Ok(vec!["192.0.2.53:53".parse().unwrap()]));
    let config = config.ok()?;
    Some(Config { written: BTreeMap::new(), warnings: Vec::new(), ..config })
}

/// What the reader asks of a configuration with every key.
fn notes() -> Vec<(String, Shape)> {
    noted(|| {
        // Names of files: what is in them does not matter here.
        let files = "include = [\"nowhere-*.toml\"]\n[dnssec]\nmode = \"validate\"\n\
                     trust_anchors = \"nowhere\"\n";
        assert!(read(files).is_none(), "there is no such file");
        for text in [&examples("")[0], &examples("")[1], BESIDE] {
            assert!(read(text).is_some(), "{}", file::read(text, "x", || Ok(vec![])).unwrap_err());
        }
    })
}

/// A path without the places in lists, and by one name where two tables are the same.
fn plain(path: &str) -> String {
    let mut plain = String::new();
    let mut rest = path;
    while let Some((before, behind)) = rest.split_once('[') {
        plain.push_str(before);
        plain.push_str("[]");
        rest = behind.split_once(']').map_or("", |(_, rest)| rest);
    }
    plain.push_str(rest);
    for (path, same, _) in SAME {
        if let Some(rest) = plain.strip_prefix(path) {
            return format!("{same}{rest}");
        }
    }
    plain
}

/// What the reader asks, by path.
#[derive(Default)]
struct Asked {
    /// Of each value.
    shapes: BTreeMap<String, Vec<Shape>>,
    /// How often a table was read, and how often a key of it had to be there.
    counts: BTreeMap<String, (usize, usize)>,
}

impl Asked {
    fn of(notes: &[(String, Shape)]) -> Self {
        let mut asked = Self::default();
        for (path, shape) in notes {
            let path = plain(path);
            match shape {
                Shape::Required => asked.counts.entry(path.clone()).or_default().1 += 1,
                Shape::Table(_) => asked.counts.entry(path.clone()).or_default().0 += 1,
                Shape::String
                | Shape::Boolean
                | Shape::Integer(_)
                | Shape::Words(_)
                | Shape::Array => {}
            }
            if *shape != Shape::Required {
                let shapes = asked.shapes.entry(path).or_default();
                if !shapes.contains(shape) {
                    shapes.push(shape.clone());
                }
            }
        }
        for shapes in asked.shapes.values_mut() {
            // A word is read as a string first.
            if shapes.iter().any(|shape| matches!(shape, Shape::Words(_))) {
                shapes.retain(|shape| *shape != Shape::String);
            }
        }
        asked
    }
}

// ---- The schema

/// What is documented of keys, by their dotted names.
struct Documented {
    remarks: BTreeMap<String, String>,
    /// By plain paths.
    defaults: BTreeMap<String, Value>,
}

impl Documented {
    fn new() -> Self {
        let mut remarks = BTreeMap::new();
        for section in sections() {
            let mut tell = |name: String, remark: &[String]| {
                if !remark.is_empty() {
                    remarks.entry(name).or_insert_with(|| remark.join("\n"));
                }
            };
            for key in &section.keys {
                tell(joined(&section.name, &key.name), &key.remark);
            }
            if !section.name.is_empty() {
                tell(section.name.clone(), &section.remark);
            }
        }
        Self { remarks, defaults: defaults() }
    }

    /// The remark on a key, in the view that has it or in the table that this is like; that of its
    /// table if it has none.
    fn remark(&self, table: &str, key: &str) -> Option<&String> {
        let own = joined(table, key);
        let others = SAME.iter().filter(|(_, same, _)| plain(table).starts_with(same));
        let elsewhere = others.map(|(path, same, _)| plain(&own).replacen(same, path, 1));
        let names = [own.clone(), plain(&own)].into_iter().chain(elsewhere);
        let mut names = names.chain([table.to_owned()]).map(|name| name.replace("[]", ""));
        names.find_map(|name| self.remarks.get(&name))
    }
}

/// The path of a key.
fn joined(table: &str, key: &str) -> String {
    if table.is_empty() { key.to_owned() } else { format!("{table}.{key}") }
}

/// The schema of a configuration.
fn schema() -> Value {
    let asked = Asked::of(&notes());
    let documented = Documented::new();
    let Value::Object(mut schema) = asked.schema("", &documented) else {
        panic!("a document is a table")
    };
    let named = SAME.map(|(_, path, name)| (name.to_owned(), asked.schema(path, &documented)));
    let about = [
        ("$schema", json!("https://json-schema.org/draft/2020-12/schema")),
        ("$defs", Value::Object(named.into_iter().collect())),
        ("title", json!("The configuration of dns64d")),
    ];
    schema.extend(about.map(|(key, value)| (key.to_owned(), value)));
    Value::Object(schema)
}

impl Asked {
    /// The schema of the value of a plain path.
    fn schema(&self, path: &str, documented: &Documented) -> Value {
        let shapes = self.shapes.get(path).map(Vec::as_slice).unwrap_or_default();
        assert!(!shapes.is_empty(), "no example has {path}: say it in BESIDE");
        let forms = shapes.iter().map(|shape| match shape {
            Shape::String => json!({ "type": "string" }),
            Shape::Boolean => json!({ "type": "boolean" }),
            Shape::Integer(range) => {
                json!({ "type": "integer", "minimum": range.start(), "maximum": range.end() })
            }
            Shape::Words(words) => json!({ "type": "string", "enum": words }),
            Shape::Array => {
                let items = self.schema(&format!("{path}[]"), documented);
                json!({ "type": "array", "items": items })
            }
            Shape::Table(keys) => self.table(path, keys, documented),
            Shape::Required => unreachable!("it is counted apart"),
        });
        let mut forms: Vec<Value> = forms.collect();
        if forms.len() == 1 { forms.remove(0) } else { json!({ "anyOf": forms }) }
    }

    /// The schema of a table with these keys.
    fn table(&self, path: &str, keys: &[String], documented: &Documented) -> Value {
        let mut properties = Map::new();
        let mut required = Vec::new();
        let read = self.counts.get(path).map_or(0, |(read, _)| *read);
        for key in keys {
            let own = joined(path, key);
            let child = plain(&own);
            let same = SAME.iter().find(|(path, same, _)| own == *path || own == *same);
            let mut schema = match same {
                Some((_, _, name)) => json!({ "$ref": format!("#/$defs/{name}") }),
                None => self.schema(&child, documented),
            };
            let remark = documented.remark(path, key);
            schema["description"] = json!(remark.unwrap_or_else(|| panic!("no remark on {own}")));
            if let Some(default) = documented.defaults.get(&child) {
                schema["default"] = default.clone();
            }
            if self.counts.get(&child).is_some_and(|(_, required)| *required == read) {
                required.push(key);
            }
            properties.insert(key.clone(), schema);
        }
        let mut table = json!({
            "type": "object", "additionalProperties": false, "properties": properties,
        });
        if !required.is_empty() {
            table["required"] = json!(required);
        }
        table
    }
}

// ---- Defaults

/// A step from a value into it.
#[derive(Clone)]
enum Step {
    Key(String),
    At(usize),
}

/// The defaults: those values of the examples without which the configuration is the same.
fn defaults() -> BTreeMap<String, Value> {
    let mut defaults: BTreeMap<String, Value> = BTreeMap::new();
    for text in [&examples("")[0], &examples("")[1], BESIDE] {
        let whole = read(text).expect("it is accepted");
        let document: toml::Table = text.parse().expect("it is TOML");
        let mut leaves = Vec::new();
        collect(&toml::Value::Table(document.clone()), &mut Vec::new(), &mut leaves);
        for (steps, value) in leaves {
            let mut without = toml::Value::Table(document.clone());
            remove(&mut without, &steps);
            let text = toml::to_string(&without).expect("it is TOML still");
            if read(&text).is_none_or(|config| config != whole) {
                continue;
            }
            let value = serde_json::to_value(value).expect("JSON has all that we use");
            let earlier = defaults.insert(path_of(&steps), value.clone());
            assert!(earlier.is_none_or(|earlier| earlier == value), "{}", path_of(&steps));
        }
    }
    defaults
}

/// The values that are no tables and no lists with tables, and the ways to them.
fn collect(value: &toml::Value, at: &mut Vec<Step>, leaves: &mut Vec<(Vec<Step>, toml::Value)>) {
    if let Some(table) = value.as_table() {
        for (key, value) in table {
            at.push(Step::Key(key.clone()));
            collect(value, at, leaves);
            at.pop();
        }
    } else if let Some(items) = value.as_array()
        && items.iter().any(toml::Value::is_table)
    {
        for (index, item) in items.iter().enumerate().filter(|(_, item)| item.is_table()) {
            at.push(Step::At(index));
            collect(item, at, leaves);
            at.pop();
        }
    } else {
        leaves.push((at.clone(), value.clone()));
    }
}

/// Removes a key.
fn remove(document: &mut toml::Value, steps: &[Step]) {
    let Some((Step::Key(last), way)) = steps.split_last() else { return };
    let mut at = document;
    for step in way {
        at = match step {
            Step::Key(key) => &mut at[key.as_str()],
            Step::At(index) => &mut at[*index],
        };
    }
    at.as_table_mut().expect("keys are those of tables").remove(last);
}

/// The plain path of these steps.
fn path_of(steps: &[Step]) -> String {
    let path = steps.iter().fold(String::new(), |path, step| match step {
        Step::Key(key) => joined(&path, key),
        Step::At(index) => format!("{path}[{index}]"),
    });
    plain(&path)
}

// ---- Tests

#[test]
fn the_schema_says_what_the_reader_asks() {
    let text = format!("{:#}\n", schema());
    if env::var_os("DNS64_WRITE_SCHEMA").is_some() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/schema.json");
        fs::write(path, &text).expect("the source can be written");
    }
    assert!(text == SCHEMA, "schema.json is out of step: DNS64_WRITE_SCHEMA=1 writes it anew");
}

#[test]
fn what_the_example_sets_is_a_default_of_the_schema() {
    let set: toml::Table = EXAMPLE.parse().expect("it is TOML");
    let mut leaves = Vec::new();
    collect(&toml::Value::Table(set), &mut Vec::new(), &mut leaves);
    let known = defaults();
    for (steps, value) in leaves {
        let path = path_of(&steps);
        let value = serde_json::to_value(value).expect("JSON has all that we use");
        assert_eq!(known.get(&path), Some(&value), "{path}");
    }
}

#[test]
fn the_keys_that_the_reader_knows_are_those_of_the_examples() {
    let asked = Asked::of(&notes());
    let known = asked.shapes.iter().flat_map(|(path, shapes)| {
        shapes.iter().filter_map(move |shape| match shape {
            Shape::Table(keys) => Some(keys.iter().map(move |key| plain(&joined(path, key)))),
            Shape::String
            | Shape::Boolean
            | Shape::Integer(_)
            | Shape::Words(_)
            | Shape::Array
            | Shape::Required => None,
        })
    });
    let known: BTreeSet<String> = known.flatten().collect();
    let examined: BTreeSet<String> = asked
        .shapes
        .keys()
        .filter(|path| !path.is_empty() && !path.ends_with(']'))
        .cloned()
        .collect();
    assert_eq!(known, examined);
}

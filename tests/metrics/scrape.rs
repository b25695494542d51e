//! A scrape: one request by HTTP, and the text read as OpenMetrics 1.0 says, strictly.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::PATIENCE;

/// A response.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

impl Response {
    /// Reads a response whose body ends with the connection.
    pub(crate) fn read(octets: &[u8]) -> Self {
        let text = String::from_utf8(octets.to_vec()).expect("text");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).expect("a status");
        let headers = lines.filter_map(|line| line.split_once(": "));
        Self {
            status: status.parse().expect("a number"),
            headers: headers.map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect(),
            body: body.to_owned(),
        }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

/// Sends a request that ends its connection.
pub(crate) fn send(address: SocketAddr, request: &[u8]) -> Response {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a valid time");
    stream.write_all(request).expect("it is read");
    let mut octets = Vec::new();
    stream.read_to_end(&mut octets).expect("a response");
    Response::read(&octets)
}

/// Gets a path.
pub(crate) fn get(address: SocketAddr, path: &str) -> Response {
    let request = format!("GET {path} HTTP/1.1\r\nHost: dns64d\r\nConnection: close\r\n\r\n");
    send(address, request.as_bytes())
}

/// Labels of a sample.
type Labels = BTreeMap<String, String>;

/// What was scraped: samples by name and labels.
#[derive(Debug)]
pub(crate) struct Scrape {
    samples: BTreeMap<(String, Labels), f64>,
    /// The names of the families, also of those without samples.
    families: BTreeSet<String>,
}

impl Scrape {
    /// Reads a text, which must keep the rules: each family has its type and help before its
    /// samples, samples belong to the family they stand in, none is there twice, the last line is
    /// the end.
    pub(crate) fn read(text: &str) -> Self {
        let body = text.strip_suffix("# EOF\n").expect("the end is said");
        let mut samples = BTreeMap::new();
        let (mut seen, mut helped) = (BTreeSet::new(), BTreeSet::new());
        let mut family = (String::new(), String::new());
        for line in body.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').expect("a text");
                assert!(help.len() > 5, "{line}");
                assert!(helped.insert(name.to_owned()), "{line} again");
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').expect("a type");
                assert!(helped.contains(name), "no help for {name}");
                assert!(name.starts_with("dns64_"), "{name}");
                assert!(seen.insert(name.to_owned()), "{name} is there twice");
                family = (name.to_owned(), kind.to_owned());
            } else {
                let (name, labels, value) = sample(line);
                let suffixes: &[&str] = match family.1.as_str() {
                    "counter" => &["_total"],
                    "gauge" => &[""],
                    "histogram" => &["_bucket", "_count", "_sum"],
                    kind => panic!("{kind} is no type of ours"),
                };
                let suffix = name.strip_prefix(family.0.as_str()).expect("of its family");
                assert!(suffixes.contains(&suffix), "{line} in {family:?}");
                assert!(value.is_finite() && value >= 0.0, "{line}");
                assert!(samples.insert((name, labels), value).is_none(), "{line} again");
            }
        }
        Self { samples, families: seen }
    }

    /// Whether there is a family that has samples of this name.
    pub(crate) fn has_family_of(&self, name: &str) -> bool {
        let suffixes = ["", "_total", "_bucket", "_count", "_sum"];
        suffixes
            .iter()
            .filter_map(|suffix| name.strip_suffix(suffix))
            .any(|family| self.families.contains(family))
    }

    /// The value of a sample with these labels and no others.
    pub(crate) fn value(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let labels: Labels =
            labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let value = self.samples.get(&(name.to_owned(), labels.clone()));
        *value.unwrap_or_else(|| panic!("no {name} with {labels:?}"))
    }

    /// The sum of all samples of a name.
    pub(crate) fn sum(&self, name: &str) -> f64 {
        let of_it: Vec<f64> = self
            .samples
            .iter()
            .filter(|((its, _), _)| its == name)
            .map(|(_, value)| *value)
            .collect();
        assert!(!of_it.is_empty(), "there is no {name}");
        of_it.iter().sum()
    }

    /// The sum of the samples of a name that have a label.
    pub(crate) fn sum_with(&self, name: &str, (key, value): (&str, &str)) -> f64 {
        let has_it = |labels: &Labels| labels.get(key).is_some_and(|its| its == value);
        let of_it = self.samples.iter().filter(|((its, labels), _)| its == name && has_it(labels));
        of_it.map(|(_, value)| *value).sum()
    }
}

/// Reads a line such as `name{key="value"} 1`.
fn sample(line: &str) -> (String, Labels, f64) {
    let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no sample: {line:?}"));
    let value = value.parse().unwrap_or_else(|_| panic!("no number: {line}"));
    let Some((name, rest)) = series.split_once('{') else {
        return (series.to_owned(), Labels::new(), value);
    };
    let inner = rest.strip_suffix('}').unwrap_or_else(|| panic!("no end of labels: {line}"));
    let mut labels = Labels::new();
    for label in inner.split(',') {
        let (key, text) = label.split_once('=').unwrap_or_else(|| panic!("no label: {line}"));
        let text = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
        let text = text.unwrap_or_else(|| panic!("no quotes: {line}"));
        assert!(labels.insert(key.to_owned(), text.to_owned()).is_none(), "{key} twice: {line}");
    }
    (name.to_owned(), labels, value)
}

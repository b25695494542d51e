//! `dns64bench report` in a real browser: a headless Chromium opens the page, and what it has drawn
//! and written is compared with the results that the page was made of.

mod browser;
mod results;

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use dns64_bench::results::{Load, Workload};
use dns64_bench::upstream::{Options, Upstream};
use dns64_tests::browser::available;
use dns64_tests::netns::Scratch;
use dns64_tests::program;
use serde_json::Value;

use browser::{Seen, open};

/// A name that would end an element, open another and run a program, were it not escaped.
pub(crate) const NASTY: &str =
    "BIND </script><script>throw 1</script><img src=x onerror=boom()>\"'&";

/// The program under test, which Cargo builds next to the tests' directory.
fn dns64bench(arguments: &[&str]) -> Output {
    Command::new(program::dns64bench()).args(arguments).output().expect("it starts")
}

/// Makes a report of files; its path.
fn report(scratch: &Scratch, files: &[PathBuf]) -> PathBuf {
    let page = scratch.path().join("report.html");
    let page_path = page.to_str().expect("UTF-8");
    let mut arguments = vec!["report", "-o", page_path, "--title", NASTY];
    arguments.extend(files.iter().map(|file| file.to_str().expect("UTF-8")));
    let output = dns64bench(&arguments);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {error}", output.status);
    page
}

/// What `load --json` writes of a real run.
fn load_run() -> String {
    let address = "127.0.0.1:0".parse().expect("valid");
    let upstream = Upstream::start(address, Options::default()).expect("loopback is there");
    let scratch = Scratch::new();
    let lines: String = (0..200).map(|n| format!("a-11-0-0-{n}.v4.test A\n")).collect();
    let queries = scratch.write("queries.txt", &lines);
    let server = upstream.local_addr();
    let output = dns64bench(&[
        "load",
        "-s",
        &server.ip().to_string(),
        "-p",
        &server.port().to_string(),
        "-d",
        queries.to_str().expect("UTF-8"),
        "-n",
        "1",
        "-Q",
        "2000",
        "--json",
    ]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// A list of numbers, some of which may not be there.
fn numbers(list: &Value) -> Vec<Option<f64>> {
    list.as_array().expect("a list").iter().map(Value::as_f64).collect()
}

/// JSON in which it does not matter whether a whole number was written with a fraction.
fn with_plain_numbers(value: &Value) -> Value {
    match value {
        Value::Number(number) => Value::from(number.as_f64()),
        Value::Array(list) => list.iter().map(with_plain_numbers).collect(),
        Value::Object(map) => {
            map.iter().map(|(key, value)| (key.clone(), with_plain_numbers(value))).collect()
        }
        Value::Null | Value::Bool(_) | Value::String(_) => value.clone(),
    }
}

/// Numbers by their size.
fn sorted(numbers: impl IntoIterator<Item = f64>) -> Vec<f64> {
    let mut numbers: Vec<f64> = numbers.into_iter().collect();
    numbers.sort_by(f64::total_cmp);
    numbers
}

/// The numbers that a chart's table has to show, by the form of the chart.
fn expected_numbers(chart: &Value, data: &[Vec<Option<f64>>]) -> Vec<f64> {
    let values = data[1..].iter().flatten().copied().flatten();
    match chart["form"].as_str() {
        Some("bars") => sorted(values),
        // A place for each point.
        Some("lines") => {
            let places = data[1..].iter().flat_map(|series| {
                series.iter().zip(&data[0]).filter(|(value, _)| value.is_some())
            });
            let places = places.filter_map(|(_, place)| *place);
            sorted(values.chain(places))
        }
        Some("steps") => sorted(values.chain(data[0].iter().copied().flatten())),
        other => panic!("{other:?} is no form of a chart"),
    }
}

/// Fails unless every chart is drawn, and drawn and tabulated as its data says.
fn assert_drawn(seen: &Seen) {
    assert_eq!(seen.errors, Vec::<String>::new());
    let charts = seen.charts.as_array().expect("a list of charts");
    assert_eq!(seen.drawn.len(), charts.len());
    for chart in charts {
        let id = chart["id"].as_str().expect("a name");
        let drawn = seen.drawn.get(id).unwrap_or_else(|| panic!("{id} is not drawn"));
        let mut data = vec![numbers(&chart["xs"])];
        let mut labels = vec![chart["x"]["label"].clone()];
        for series in chart["series"].as_array().expect("series") {
            data.push(numbers(&series["values"]));
            labels.push(series["name"].clone());
        }
        assert_eq!(drawn.data, data, "{id}");
        assert_eq!(Value::from(labels), Value::from(drawn.labels.clone()), "{id}");
        assert_eq!(sorted(drawn.table.clone()), expected_numbers(chart, &drawn.data), "{id}");
        // The axes alone have some thousand.
        assert!(drawn.inked > 3_000, "{id}: {} points have ink", drawn.inked);
        assert!(drawn.colours >= labels_drawn(chart), "{id}: {} colours", drawn.colours);
    }
}

/// Series of a chart that have something to draw.
fn labels_drawn(chart: &Value) -> usize {
    let has_value = |series: &&Value| {
        series["values"].as_array().expect("values").iter().any(|value| !value.is_null())
    };
    chart["series"].as_array().expect("series").iter().filter(has_value).count()
}

#[test]
fn what_is_drawn_and_written_is_what_was_measured() {
    if !available() {
        return;
    }
    let scratch = Scratch::new();
    let comparison = results::comparison();
    let capacity = results::capacity();
    let texts = [
        serde_json::to_string(&comparison).expect("JSON"),
        serde_json::to_string(&capacity).expect("JSON"),
        load_run(),
    ];
    let files: Vec<PathBuf> = ["compare <b>&.json", "capacity.json", "load.json"]
        .iter()
        .zip(&texts)
        .map(|(name, text)| scratch.write(name, text))
        .collect();
    let seen = open(&scratch, &report(&scratch, &files));
    assert_drawn(&seen);
    assert_eq!(seen.title, NASTY);

    // The files are in the page, whole.
    for (place, text) in texts.iter().enumerate() {
        let file: Value = serde_json::from_str(text).expect("JSON");
        let there = with_plain_numbers(&seen.results[place]["results"]);
        assert_eq!(there, with_plain_numbers(&file));
    }

    // Not only as the page's own data says: as the results say.
    let cost = &seen.drawn["f1-cost-of-an-answer"];
    for (place, server) in comparison.servers.iter().enumerate() {
        assert_eq!(cost.labels[place + 1], server.title);
        let of = |workload| {
            let summary = comparison.summary.iter().find(|summary| {
                summary.server == server.name
                    && summary.workload == workload
                    && summary.load == Load::Saturated
            });
            summary.and_then(|summary| summary.cpu_us_per_answer).map(|spread| spread.median)
        };
        assert_eq!(cost.data[place + 1], [of(Workload::Hit), of(Workload::Cold)]);
    }
    let rates = &seen.drawn["f2-grid"];
    assert_eq!(rates.labels[1..], ["0 % with AAAA", "100 % with AAAA"]);
    assert_eq!(rates.data[1], [Some(20_000.0), Some(90_000.0)], "by cached share");
    assert_eq!(rates.data[2], [Some(30_000.0), None]);
    let latency: Value = serde_json::from_str(&texts[2]).expect("JSON");
    let percentiles = &seen.drawn["load-percentiles"].data[1];
    assert_eq!(percentiles[2], latency["latency_us"]["p50"].as_f64());
    assert_eq!(*percentiles.last().expect("values"), latency["latency_us"]["max"].as_f64());

    // A histogram's shares are of all answers.
    let shares: f64 = seen.drawn["f1-latency-hit"].data[1].iter().flatten().sum();
    assert!((shares - 100.0).abs() < 1e-6, "{shares}");
}

#[test]
fn a_file_that_is_none_of_ours_is_refused_with_the_key_that_is_missing() {
    let scratch = Scratch::new();
    let page = scratch.path().join("report.html");
    let page_path = page.to_str().expect("UTF-8");
    let mut cut = serde_json::to_value(results::comparison()).expect("JSON");
    cut["trials"][0]["latency"].as_object_mut().expect("an object").remove("p99_us");
    for (text, error) in [
        ("{\"a\": 1}", "not a result: it has neither `trials`"),
        ("no JSON", "not JSON"),
        ("{\"schema_version\": 1, \"cells\": []}", "missing field `server`"),
        ("{\"schema_version\": 7, \"cells\": []}", "schema_version is 7"),
        (&cut.to_string(), "trials[0].latency: missing field `p99_us`"),
    ] {
        let file = scratch.write("bad.json", text);
        let file = file.to_str().expect("UTF-8");
        let output = dns64bench(&["report", file, "-o", page_path]);
        assert_eq!(output.status.code(), Some(2), "{text}");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains(&format!("{file}: ")) && said.contains(error), "{said}");
        assert!(!page.exists(), "no page of what cannot be read");
    }
    let output = dns64bench(&["report", "/nonexistent.json", "-o", page_path]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("/nonexistent.json: cannot be read"));
}

#[test]
fn the_browser_sees_errors_and_missing_charts_where_there_are_any() {
    if !available() {
        return;
    }
    // The test would be worth nothing if it passed whatever the page does.
    let scratch = Scratch::new();
    let file = scratch.write("c.json", &serde_json::to_string(&results::capacity()).expect("JSON"));
    let page = report(&scratch, &[file]);
    let html = fs::read_to_string(&page).expect("it was written");
    fs::write(&page, html.replace("const barWidth =", "undefinedName(); const barWidth ="))
        .expect("it can be written");
    let seen = open(&scratch, &page);
    assert!(seen.errors.iter().any(|error| error.contains("undefinedName")), "{:?}", seen.errors);
    assert!(seen.drawn.is_empty());
}

//! Opens a page in a headless Chromium, and tells what it sees.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use dns64_tests::browser::{arguments, base64};
use dns64_tests::netns::Scratch;
use serde::Deserialize;
use serde_json::Value;

/// Stands before everything else in the page: keeps what goes wrong.
const LISTEN: &str = r#"<script>
window.seenErrors = [];
addEventListener("error", (event) => seenErrors.push(String(event.message)));
addEventListener("unhandledrejection", (event) => seenErrors.push(String(event.reason)));
document.addEventListener("securitypolicyviolation", (event) => seenErrors.push(event.violatedDirective));
for (const kind of ["error", "warn"]) console[kind] = (...words) => seenErrors.push(words.join(" "));
</script>"#;

/// Stands at the end: writes what is there into the page, which the browser then prints.
const TELL: &str = r#"<script>
const tell = () => {
  const drawn = {};
  for (const [id, plot] of globalThis.reportCharts ?? []) {
    const canvas = plot.ctx.canvas;
    const points = new Uint32Array(plot.ctx.getImageData(0, 0, canvas.width, canvas.height).data.buffer);
    const opaque = points.filter((point) => point >>> 24 === 255);
    drawn[id] = {
      data: plot.data.map((values) => Array.from(values)),
      labels: plot.series.map((series) => series.label),
      inked: points.filter((point) => point !== 0).length,
      colours: new Set(opaque).size,
      table: [...document.querySelectorAll(`table[data-chart="${id}"] [data-value]`)]
        .map((cell) => Number(cell.dataset.value)),
    };
  }
  const read = (id) => JSON.parse(document.getElementById(id).textContent);
  const element = document.createElement("pre");
  element.id = "seen";
  const seen = { title: document.title, errors: seenErrors, charts: read("charts"), results: read("results"), drawn };
  element.textContent = btoa(String.fromCodePoint(...new TextEncoder().encode(JSON.stringify(seen))));
  document.body.append(element);
};
addEventListener("load", () => setTimeout(tell, 100)); // of virtual time
</script>"#;

/// What a browser sees of a page.
#[derive(Debug, Deserialize)]
pub(crate) struct Seen {
    /// The title of the document.
    pub(crate) title: String,
    /// Whatever went wrong.
    pub(crate) errors: Vec<String>,
    /// The element `charts`.
    pub(crate) charts: Value,
    /// The element `results`.
    pub(crate) results: Value,
    /// The charts that are drawn.
    pub(crate) drawn: BTreeMap<String, Drawn>,
}

/// A chart that is drawn.
#[derive(Debug, Deserialize)]
pub(crate) struct Drawn {
    /// What it draws: places, then the values of each series.
    pub(crate) data: Vec<Vec<Option<f64>>>,
    /// Names of the places and series.
    pub(crate) labels: Vec<String>,
    /// Points of the picture that are not empty.
    pub(crate) inked: usize,
    /// Different colours of the picture.
    pub(crate) colours: usize,
    /// The numbers in its table.
    pub(crate) table: Vec<f64>,
}

/// Opens a page, and tells what is there.
pub(crate) fn open(scratch: &Scratch, page: &Path) -> Seen {
    let html = fs::read_to_string(page).expect("the page is there");
    let html = html.replacen("<head>", &format!("<head>{LISTEN}"), 1);
    let end = html.rfind("</body>").expect("a page has an end");
    let html = format!("{}{TELL}{}", &html[..end], &html[end..]);
    let watched = scratch.write("watched.html", &html);
    let output = Command::new("timeout")
        .args(arguments(scratch, Duration::from_secs(120)))
        .args(["--window-size=1280,1000", "--virtual-time-budget=10000", "--dump-dom"])
        .arg(format!("file://{}", watched.display()))
        .env("HOME", scratch.path())
        .output()
        .expect("chromium starts");
    let dom = String::from_utf8_lossy(&output.stdout);
    let told = dom.split_once("<pre id=\"seen\">").and_then(|(_, rest)| rest.split_once("</pre>"));
    let Some((told, _)) = told else {
        panic!("the page told nothing: {}", String::from_utf8_lossy(&output.stderr));
    };
    serde_json::from_slice(&base64(told)).expect("it tells JSON")
}

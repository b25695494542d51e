//! A headless Chromium that opens a page and tells what it sees.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

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

/// Whether there is a browser; says why not, and with `CI=true` does not let that pass.
pub(crate) fn available() -> bool {
    let is_there = Command::new("chromium").arg("--version").output().is_ok();
    let in_ci = std::env::var_os("CI").is_some_and(|value| value == "true");
    assert!(is_there || !in_ci, "chromium is not installed");
    if !is_there {
        eprintln!("skipped: chromium is not installed");
    }
    is_there
}

/// Opens a page, and tells what is there.
pub(crate) fn open(scratch: &Scratch, page: &Path) -> Seen {
    let html = fs::read_to_string(page).expect("the page is there");
    let html = html.replacen("<head>", &format!("<head>{LISTEN}"), 1);
    let end = html.rfind("</body>").expect("a page has an end");
    let html = format!("{}{TELL}{}", &html[..end], &html[end..]);
    let watched = scratch.write("watched.html", &html);
    let profile = scratch.path().join("profile");
    // `timeout` ends a browser that hangs, with all its processes.
    let output = Command::new("timeout")
        .args(["--kill-after=5", "120", "chromium", "--headless=new", "--disable-gpu"])
        // The sandbox needs a user that is not root; the page is ours.
        .args(["--no-sandbox", "--disable-dev-shm-usage", "--no-first-run"])
        // Nothing is to be asked for outside.
        .args(["--disable-background-networking", "--host-resolver-rules=MAP * ~NOTFOUND"])
        .args(["--window-size=1280,1000", "--virtual-time-budget=10000", "--dump-dom"])
        .arg(format!("--user-data-dir={}", profile.display()))
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

/// Octets from base64 (RFC 4648 4).
fn base64(text: &str) -> Vec<u8> {
    let digits = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut octets, mut bits, mut count) = (Vec::new(), 0_u32, 0);
    for letter in text.bytes().filter(|letter| *letter != b'=') {
        let value = digits.iter().position(|digit| *digit == letter).expect("base64");
        bits = bits << 6 | value as u32;
        count += 6;
        if count >= 8 {
            count -= 8;
            octets.push((bits >> count) as u8);
            bits &= (1 << count) - 1;
        }
    }
    octets
}

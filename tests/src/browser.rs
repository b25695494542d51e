//! A headless Chromium: opened once for a page that tells what it sees, or driven while a page
//! lives, by the DevTools protocol over a pair of pipes.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{CWD, FileType, Mode, mknodat};
use serde_json::{Value, json};

use crate::netns::Scratch;
use crate::server::Server;

/// How long one command of the protocol may take on a busy machine.
const COMMAND_LIMIT: Duration = Duration::from_secs(60);

/// How often what has no notification is looked at again.
const POLL: Duration = Duration::from_millis(50);

/// One browser at a time: each takes a core.
static ONE: Mutex<()> = Mutex::new(());

/// Whether there is a browser; says why not, and with `CI=true` does not let that pass.
///
/// # Panics
/// If there is none and must be one.
#[must_use]
pub fn available() -> bool {
    let is_there = Command::new("chromium").arg("--version").output().is_ok();
    let in_ci = std::env::var_os("CI").is_some_and(|value| value == "true");
    assert!(is_there || !in_ci, "chromium is not installed");
    if !is_there {
        eprintln!("skipped: chromium is not installed");
    }
    is_there
}

/// The arguments of `timeout` that start a browser, which keeps what it has in `scratch` and
/// reaches nothing but the addresses of loopback. `timeout` ends one that hangs, with all its
/// processes.
#[must_use]
pub fn arguments(scratch: &Scratch, limit: Duration) -> Vec<String> {
    let mut arguments = vec!["--kill-after=5".to_owned(), limit.as_secs().to_string()];
    arguments.extend(
        [
            "chromium",
            "--headless=new",
            "--disable-gpu",
            // The sandbox needs a user that is not root; the pages are ours.
            "--no-sandbox",
            "--disable-dev-shm-usage",
            "--no-first-run",
            // Nothing is to be asked for outside.
            "--disable-background-networking",
            "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
        ]
        .map(str::to_owned),
    );
    arguments.push(format!("--user-data-dir={}", scratch.path().join("profile").display()));
    arguments
}

/// A running browser with one page.
#[derive(Debug)]
pub struct Browser {
    commands: File,
    messages: Receiver<Value>,
    session: String,
    last_id: u64,
    /// What the page has said since somebody last looked.
    events: VecDeque<Value>,
    program: Server,
    _one: MutexGuard<'static, ()>,
    _scratch: Scratch,
}

impl Browser {
    /// Starts a browser with an empty page, of the size of a desktop.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn start() -> Self {
        let one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        let scratch = Scratch::new();
        let [commands, messages] = ["commands", "messages"].map(|name| {
            let path = scratch.path().join(name);
            let mode = Mode::RUSR | Mode::WUSR;
            mknodat(CWD, &path, FileType::Fifo, mode, 0).expect("a pipe can be made");
            path
        });
        // Open for both: it must not wait for the other end.
        let write = OpenOptions::new().read(true).write(true).open(&commands);
        let mut command = Command::new("sh");
        command
            .args(["-c", "exec timeout \"$@\" 3<\"$COMMANDS\" 4>\"$MESSAGES\"", "sh"])
            .args(arguments(&scratch, Duration::from_secs(280)))
            .args(["--remote-debugging-pipe", "about:blank"])
            .env("COMMANDS", &commands)
            .env("MESSAGES", &messages)
            .env("HOME", scratch.path())
            .stdin(std::process::Stdio::null());
        let program = Server::start("chromium", command);
        let mut browser = Self {
            commands: write.expect("the pipe is there"),
            messages: follow(&messages),
            session: String::new(),
            last_id: 0,
            events: VecDeque::new(),
            program,
            _one: one,
            _scratch: scratch,
        };
        let page = browser.call("Target.createTarget", &json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": page["targetId"], "flatten": true });
        let attached = browser.call("Target.attachToTarget", &attach);
        attached["sessionId"].as_str().expect("a session").clone_into(&mut browser.session);
        for part in ["Page", "Runtime", "Log", "Network"] {
            browser.call(&format!("{part}.enable"), &json!({}));
        }
        browser.resize(1_280, 1_000);
        browser
    }

    /// Gives a command; what comes of it.
    ///
    /// # Panics
    /// If it fails.
    pub fn call(&mut self, method: &str, parameters: &Value) -> Value {
        self.last_id += 1;
        let mut message = json!({ "id": self.last_id, "method": method, "params": parameters });
        if !self.session.is_empty() {
            message["sessionId"] = self.session.as_str().into();
        }
        let sent = self.commands.write_all(format!("{message}\0").as_bytes());
        sent.expect("the browser reads");
        let deadline = Instant::now() + COMMAND_LIMIT;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(mut message) = self.messages.recv_timeout(left) else {
                panic!("no reply to {method}:\n{}", self.program.log());
            };
            if message["id"] == self.last_id {
                assert!(message["error"].is_null(), "{method}: {message}");
                return message["result"].take();
            }
            self.events.push_back(message);
        }
    }

    /// Opens a page.
    pub fn open(&mut self, url: &str) {
        let opened = self.call("Page.navigate", &json!({ "url": url }));
        assert!(opened["errorText"].is_null(), "{url}: {opened}");
    }

    /// The value of an expression in the page.
    ///
    /// # Panics
    /// If it throws.
    pub fn evaluate(&mut self, expression: &str) -> Value {
        let parameters =
            json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let mut result = self.call("Runtime.evaluate", &parameters);
        assert!(result["exceptionDetails"].is_null(), "{expression}: {result}");
        result["result"]["value"].take()
    }

    /// Waits until an expression in the page is true.
    ///
    /// # Panics
    /// If it is not in time.
    pub fn wait_until(&mut self, expression: &str, limit: Duration) {
        let deadline = Instant::now() + limit;
        while self.evaluate(expression) != true {
            if Instant::now() >= deadline {
                let text = self.evaluate("document.body.innerText");
                panic!("never true: {expression}\n{}", text.as_str().unwrap_or_default());
            }
            thread::sleep(POLL);
        }
    }

    /// Gives the page a size in pixels: a narrow one is that of a phone.
    pub fn resize(&mut self, width: u32, height: u32) {
        let parameters = json!({
            "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600,
        });
        self.call("Emulation.setDeviceMetricsOverride", &parameters);
    }

    /// Whether the user wants dark colours.
    pub fn set_dark(&mut self, dark: bool) {
        let value = if dark { "dark" } else { "light" };
        let feature = json!({ "name": "prefers-color-scheme", "value": value });
        self.call("Emulation.setEmulatedMedia", &json!({ "features": [feature] }));
    }

    /// Writes a picture of the whole page into the directory that `DNS64_SCREENSHOTS` names;
    /// without it, nothing.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn picture(&mut self, name: &str) {
        let Some(directory) = std::env::var_os("DNS64_SCREENSHOTS") else { return };
        let parameters = json!({ "format": "png", "captureBeyondViewport": true });
        let picture = self.call("Page.captureScreenshot", &parameters);
        let octets = base64(picture["data"].as_str().expect("a picture"));
        fs::write(Path::new(&directory).join(name), octets).expect("it can be written");
    }

    /// What has gone wrong in the page since this was last asked, and what it has asked for.
    pub fn seen(&mut self) -> Seen {
        // All that the page has said by now has come when the next reply comes.
        self.evaluate("0");
        let mut seen = Seen::default();
        for event in self.events.drain(..) {
            let parameters = &event["params"];
            let is_bad = |level: &Value| matches!(level.as_str(), Some("error" | "warning"));
            match event["method"].as_str().unwrap_or_default() {
                "Runtime.exceptionThrown" => seen.errors.push(parameters.to_string()),
                "Runtime.consoleAPICalled" if is_bad(&parameters["type"]) => {
                    seen.errors.push(parameters.to_string());
                }
                "Log.entryAdded" if is_bad(&parameters["entry"]["level"]) => {
                    seen.errors.push(parameters["entry"].to_string());
                }
                "Network.requestWillBeSent" => {
                    let url = parameters["request"]["url"].as_str().expect("a place");
                    seen.requests.push(url.to_owned());
                }
                _ => {}
            }
        }
        seen
    }
}

/// What came of a page.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Exceptions, errors and warnings.
    pub errors: Vec<String>,
    /// The places that it has asked for something.
    pub requests: Vec<String>,
}

/// Follows the messages of the browser, which end with octets of 0, until it ends.
fn follow(path: &Path) -> Receiver<Value> {
    let (send, receive) = channel();
    let path = path.to_owned();
    thread::spawn(move || {
        let mut messages = BufReader::new(File::open(path).expect("the pipe is there"));
        let mut message = Vec::new();
        while matches!(messages.read_until(0, &mut message), Ok(1..)) {
            let octets = message.strip_suffix(b"\0").unwrap_or(&message);
            let Ok(json) = serde_json::from_slice(octets) else { break };
            if send.send(json).is_err() {
                break;
            }
            message.clear();
        }
    });
    receive
}

/// Octets from base64 (RFC 4648 4).
///
/// # Panics
/// If it is none.
#[must_use]
pub fn base64(text: &str) -> Vec<u8> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_read_with_and_without_its_end() {
        for (text, octets) in [("", &b""[..]), ("Zg==", b"f"), ("Zm9v", b"foo"), ("Zm8", b"fo")] {
            assert_eq!(base64(text), octets);
        }
    }
}

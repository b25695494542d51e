//! `dns64ctl top`: who asks most, and for what. Workers begin to count when somebody asks, and end
//! by themselves.

use std::fmt::Write as _;
use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::daemon::{Daemon, Top};
use crate::top::sketch::Counted;
use crate::top::{Asked, COUNTERS, Fate, Settings};
use crate::wire::Class;

/// Seconds for which is counted if nobody says otherwise.
pub const SECONDS: u64 = 10;

/// The most seconds for which is counted.
pub const SECONDS_MAX: u64 = 60;

/// Lines of each list if nobody says otherwise.
pub const LINES: usize = 10;

/// The most lines of a list: as many as each worker has counters.
pub const LINES_MAX: usize = COUNTERS;

/// The most labels that a name can have.
pub const LABELS_MAX: u8 = 127;

/// What is to be counted. What is not said is as `dns64ctl top` has it without options.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Wanted {
    /// For how many seconds, 1 to [`SECONDS_MAX`].
    pub seconds: u64,
    /// Lines of each list, 1 to [`LINES_MAX`].
    pub count: usize,
    /// Whether names are counted.
    pub names: bool,
    /// Whether clients are counted.
    pub clients: bool,
    /// Names alike in so many labels at their end are one, 1 to [`LABELS_MAX`].
    pub labels: Option<u8>,
    /// Bits of an IPv4 client that count, 0 to 32.
    pub ipv4_prefix_length: u8,
    /// Bits of an IPv6 client that count, 0 to 128.
    pub ipv6_prefix_length: u8,
}

impl Default for Wanted {
    /// Names, and clients: each IPv4 address, and each /64, which is one subscriber or one link.
    fn default() -> Self {
        Self {
            seconds: SECONDS,
            count: LINES,
            names: true,
            clients: true,
            labels: None,
            ipv4_prefix_length: 32,
            ipv6_prefix_length: 64,
        }
    }
}

impl Wanted {
    /// What workers are told, and for how long.
    fn settings(&self) -> Result<(Settings, Duration), String> {
        let within = |what: &str, value: u64, least: u64, most: u64| {
            if (least..=most).contains(&value) {
                return Ok(());
            }
            Err(format!("{what} is {least} to {most}, not {value}"))
        };
        within("seconds", self.seconds, 1, SECONDS_MAX)?;
        within("count", self.count as u64, 1, LINES_MAX as u64)?;
        within("labels", self.labels.unwrap_or(1).into(), 1, LABELS_MAX.into())?;
        within("ipv4_prefix_length", self.ipv4_prefix_length.into(), 0, 32)?;
        within("ipv6_prefix_length", self.ipv6_prefix_length.into(), 0, 128)?;
        if !self.names && !self.clients {
            return Err("neither names nor clients are to be counted".to_owned());
        }
        let settings = Settings {
            names: self.names,
            clients: self.clients,
            labels: self.labels,
            ipv4_bits: self.ipv4_prefix_length,
            ipv6_bits: self.ipv6_prefix_length,
        };
        Ok((settings, Duration::from_secs(self.seconds)))
    }
}

/// Counts, and says what it was.
///
/// # Errors
/// If what is wanted is out of range, too many look already, or a worker does not answer in time.
pub(super) async fn answer(daemon: &Daemon, wanted: &Wanted) -> Result<Value, String> {
    let (settings, lasts) = wanted.settings()?;
    Ok(to_json(&daemon.top(settings, lasts).await?, wanted.count))
}

/// The first lines of each list, for programs: keys are always there, and are never renamed.
/// `names` and `clients` are null if they were not counted; `type` and `class` are null where
/// `labels` joins names.
#[must_use]
pub fn to_json(top: &Top, lines: usize) -> Value {
    let ranking = &top.ranking;
    let seconds = ranking.lasted.as_secs_f64();
    let line = |count: u64, error: u64| {
        let share = if ranking.queries == 0 { 0.0 } else { count as f64 / ranking.queries as f64 };
        let rate = if seconds > 0.0 { count as f64 / seconds } else { 0.0 };
        json!({ "count": count, "error": error, "share": share, "rate": rate })
    };
    let name = |counted: &Counted<Asked, ()>| {
        let mut line = line(counted.count, counted.error);
        line["name"] = counted.key.name.to_string().into();
        line["type"] = counted.key.kind.map(|(rtype, _)| rtype.to_string()).into();
        line["class"] = counted.key.kind.map(|(_, class)| class.to_string()).into();
        line
    };
    let client = |counted: &Counted<IpNet, Fate>| {
        let mut line = line(counted.count, counted.error);
        line["network"] = counted.key.to_string().into();
        line["dropped"] = counted.value.dropped.into();
        line["refused"] = counted.value.refused.into();
        line
    };
    let names = ranking.names.as_ref();
    let clients = ranking.clients.as_ref();
    json!({
        "seconds": seconds,
        "queries": ranking.queries,
        "unreadable": ranking.unreadable,
        "dropped": ranking.fate.dropped,
        "refused": ranking.fate.refused,
        "kernel": { "answers": top.kernel_answers, "drops": top.kernel_drops },
        "names": names.map(|names| names.iter().take(lines).map(name).collect::<Vec<_>>()),
        "clients": clients.map(|rows| rows.iter().take(lines).map(client).collect::<Vec<_>>()),
    })
}

/// The lists for people.
#[must_use]
pub fn render(top: &Value) -> String {
    let mut out = String::new();
    let number = |value: &Value| value.as_u64().unwrap_or_default();
    let real = |value: &Value| value.as_f64().unwrap_or_default();
    // Writing to a string cannot fail.
    let _infallible = writeln!(
        out,
        "{} queries in {:.1} s: {} dropped, {} refused, {} without a question",
        number(&top["queries"]),
        real(&top["seconds"]),
        number(&top["dropped"]),
        number(&top["refused"]),
        number(&top["unreadable"]),
    );
    let kernel = &top["kernel"];
    if number(&kernel["answers"]) + number(&kernel["drops"]) > 0 {
        let _infallible = writeln!(
            out,
            "{} more were answered and {} dropped inside the kernel, and are in no line below: \
             datapath.hot_answers = false has all answers counted",
            number(&kernel["answers"]),
            number(&kernel["drops"]),
        );
    }
    let lists = [("names", "name"), ("clients", "client")];
    for (key, title) in lists {
        let Some(lines) = top[key].as_array() else { continue };
        let _infallible = writeln!(
            out,
            "\n{:>10} {:>8} {:>7} {:>10}  {title}",
            "count", "error", "share", "rate"
        );
        for line in lines {
            let _infallible = writeln!(
                out,
                "{:>10} {:>8} {:>6.1}% {:>8.1}/s  {}",
                number(&line["count"]),
                format!("+{}", number(&line["error"])),
                real(&line["share"]) * 100.0,
                real(&line["rate"]),
                if key == "names" { name_of(line) } else { client_of(line) },
            );
        }
    }
    out
}

/// What is asked for, in a line of names.
fn name_of(line: &Value) -> String {
    let text = |key: &str| line[key].as_str();
    let name = text("name").unwrap_or("?");
    let internet = Class::IN.mnemonic();
    match (text("class").filter(|class| Some(*class) != internet), text("type")) {
        (Some(class), Some(rtype)) => format!("{name} {class} {rtype}"),
        (None, Some(rtype)) => format!("{name} {rtype}"),
        (_, None) => name.to_owned(),
    }
}

/// Who asks, and what became of it, in a line of clients.
fn client_of(line: &Value) -> String {
    let network = line["network"].as_str().unwrap_or("?");
    // A network of one address is that address.
    let single = network.strip_suffix(if network.contains(':') { "/128" } else { "/32" });
    let mut out = single.unwrap_or(network).to_owned();
    for (key, what) in [("dropped", "dropped"), ("refused", "refused")] {
        if let Some(count @ 1..) = line[key].as_u64() {
            out.push_str(&format!(", {count} {what}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::{Request, parse_request};
    use crate::top::Ranking;
    use crate::wire::Rtype;

    fn top() -> Top {
        let asked = |name: &str, kind| Asked { name: name.parse().expect("a name"), kind };
        let names = vec![
            Counted {
                key: asked("evil\\027[2J.example", Some((Rtype::AAAA, Class::IN))),
                count: 30,
                error: 0,
                value: (),
            },
            Counted {
                key: asked("id.server", Some((Rtype::TXT, Class::CH))),
                count: 9,
                error: 2,
                value: (),
            },
        ];
        let fate = Fate { dropped: 4, refused: 0 };
        let client = |network: &str, value| Counted {
            key: network.parse().expect("a network"),
            count: 20,
            error: 1,
            value,
        };
        let clients = vec![client("2001:db8::/64", fate), client("192.0.2.1/32", Fate::default())];
        let ranking = Ranking {
            lasted: Duration::from_secs(10),
            queries: 40,
            unreadable: 1,
            fate,
            names: Some(names),
            clients: Some(clients),
        };
        Top { ranking, kernel_answers: 5, kernel_drops: 0 }
    }

    #[test]
    fn the_keys_for_programs_stay() {
        let mut top = top();
        let all = to_json(&top, 1);
        assert_eq!(
            all,
            json!({
                "seconds": 10.0, "queries": 40, "unreadable": 1, "dropped": 4, "refused": 0,
                "kernel": { "answers": 5, "drops": 0 },
                "names": [{
                    "name": "evil\\027[2J.example.", "type": "AAAA", "class": "IN",
                    "count": 30, "error": 0, "share": 0.75, "rate": 3.0,
                }],
                "clients": [{
                    "network": "2001:db8::/64", "dropped": 4, "refused": 0,
                    "count": 20, "error": 1, "share": 0.5, "rate": 2.0,
                }],
            })
        );
        top.ranking.names = None;
        top.ranking.queries = 0;
        let none = to_json(&top, 1);
        assert_eq!((&none["names"], &none["clients"][0]["share"]), (&Value::Null, &json!(0.0)));
    }

    #[test]
    fn people_get_lists_without_a_character_that_moves_their_cursor() {
        let text = render(&to_json(&top(), 10));
        assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
        for line in [
            "40 queries in 10.0 s: 4 dropped, 0 refused, 1 without a question",
            "        30       +0   75.0%      3.0/s  evil\\027[2J.example. AAAA",
            "         9       +2   22.5%      0.9/s  id.server. CH TXT",
            "        20       +1   50.0%      2.0/s  2001:db8::/64, 4 dropped",
            "        20       +1   50.0%      2.0/s  192.0.2.1",
        ] {
            assert!(text.lines().any(|there| there == line), "{line}\n{text}");
        }
        assert!(text.contains("5 more were answered and 0 dropped inside the kernel"), "{text}");
    }

    #[test]
    fn a_request_has_defaults_and_bounds() {
        let request = parse_request(br#"{"command":"top"}"#);
        assert_eq!(request, Ok(Request::Top(Wanted::default())));
        assert!(parse_request(br#"{"command":"top","second":1}"#).is_err());
        for (line, said) in [
            (r#"{"command":"top","seconds":0}"#, "seconds is 1 to 60, not 0"),
            (r#"{"command":"top","seconds":61}"#, "seconds is 1 to 60, not 61"),
            (r#"{"command":"top","count":1025}"#, "count is 1 to 1024, not 1025"),
            (r#"{"command":"top","labels":0}"#, "labels is 1 to 127, not 0"),
            (r#"{"command":"top","labels":128}"#, "labels is 1 to 127, not 128"),
            (r#"{"command":"top","ipv4_prefix_length":33}"#, "0 to 32, not 33"),
            (r#"{"command":"top","ipv6_prefix_length":129}"#, "0 to 128, not 129"),
            (r#"{"command":"top","names":false,"clients":false}"#, "neither names nor clients"),
        ] {
            let Ok(Request::Top(wanted)) = parse_request(line.as_bytes()) else {
                panic!("{line}");
            };
            let error = wanted.settings().expect_err(line);
            assert!(error.contains(said), "{error}");
        }
    }
}

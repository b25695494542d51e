//! Whose configuration a file is: by its name and by what stands in it.
#![forbid(unsafe_code)]

use std::path::Path;

use super::Peer;
use super::files::ImportError;

/// A form of configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Unbound,
    Bind,
    PdnsOld,
    PdnsYaml,
    KnotYaml,
    KnotLua,
    CoreDns,
}

impl Form {
    const ALL: [Self; 7] = [
        Self::Unbound,
        Self::Bind,
        Self::PdnsOld,
        Self::PdnsYaml,
        Self::KnotYaml,
        Self::KnotLua,
        Self::CoreDns,
    ];

    /// Whose form it is.
    pub(super) const fn peer(self) -> Peer {
        match self {
            Self::Unbound => Peer::Unbound,
            Self::Bind => Peer::Bind,
            Self::PdnsOld | Self::PdnsYaml => Peer::Pdns,
            Self::KnotYaml | Self::KnotLua => Peer::Knot,
            Self::CoreDns => Peer::CoreDns,
        }
    }

    /// Whether a line without white space around it is one of this form and hardly of another.
    fn has(self, line: &str) -> bool {
        let begins = |words: &[&str]| words.iter().any(|word| line.starts_with(word));
        match self {
            Self::Unbound => {
                matches!(line, "server:" | "forward-zone:" | "stub-zone:" | "remote-control:")
                    || begins(&["dns64-prefix:", "module-config:", "access-control:"])
                    || begins(&["forward-addr:", "include-toplevel:", "server: "])
            }
            Self::Bind => {
                line.ends_with([';', '{'])
                    && begins(&["options", "zone ", "acl ", "dns64 ", "include ", "view ", "key "])
                    && !line.starts_with("options:")
            }
            Self::PdnsOld => {
                let name = line.split(['=', '+']).next().unwrap_or_default().trim();
                let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
                line.contains('=')
                    && !name.is_empty()
                    && name.chars().all(is_name)
                    && (name.contains('-') || matches!(name, "threads" | "quiet" | "daemon"))
            }
            Self::PdnsYaml => {
                matches!(line, "incoming:" | "recursor:" | "recordcache:" | "packetcache:")
                    || begins(&["dns64_prefix:", "forward_zones", "allow_from:"])
            }
            Self::KnotYaml => {
                matches!(line, "network:" | "dns64:" | "views:" | "forward:" | "cache:")
                    || begins(&["rundir:", "size-max:", "subtree:", "- subtree:", "dns64: "])
            }
            Self::KnotLua => begins(&[
                "net.listen",
                "modules.load",
                "modules =",
                "policy.add",
                "dns64.config",
                "cache.",
                "trust_anchors.",
                "view:addr",
            ]),
            Self::CoreDns => {
                let words: Vec<&str> = line.split_whitespace().collect();
                matches!(words.as_slice(), ["forward" | "proxy", _, ..])
                    || matches!(words.as_slice(), ["dns64" | "cache" | "errors" | "acl"])
                    || matches!(words.as_slice(), ["bind" | "import", _] | ["dns64", _, "{"])
                    || matches!(words.as_slice(), [key, .., "{"] if key.starts_with(['.', '('])
                        || key.contains(":"))
            }
        }
    }

    /// Whether a file of this name is of this form, unless what is in it says otherwise.
    fn is_named(self, name: &str) -> bool {
        match self {
            Self::Unbound => name.starts_with("unbound"),
            Self::Bind => name.starts_with("named"),
            Self::PdnsOld => name.starts_with("recursor") && name.ends_with(".conf"),
            Self::PdnsYaml => {
                name.starts_with("recursor") && (name.ends_with("yml") || name.ends_with("yaml"))
            }
            Self::KnotYaml => name == "config.yaml" || name == "config.yml",
            Self::KnotLua => name.starts_with("kresd") || name.ends_with(".lua"),
            Self::CoreDns => name.starts_with("corefile"),
        }
    }
}

/// Most lines that are looked at.
const LINES_MAX: usize = 10_000;

/// The form of a file. Told the peer, only which of its forms it is.
///
/// # Errors
/// Nothing, or as much, speaks for several peers.
pub(super) fn form(path: &Path, text: &str, from: Option<Peer>) -> Result<Form, ImportError> {
    let name = path.file_name().map(|name| name.to_string_lossy().to_lowercase());
    let name = name.unwrap_or_default();
    let candidates = || Form::ALL.into_iter().filter(|form| from.is_none_or(|p| form.peer() == p));
    let points = |form: Form| {
        let lines = text.lines().take(LINES_MAX).map(str::trim);
        let named = if form.is_named(&name) { 2 } else { 0 };
        lines.filter(|line| form.has(line)).take(20).count() + named
    };
    let best = candidates().map(points).max().unwrap_or(0);
    let mut winners = candidates().filter(|form| points(*form) == best);
    match (winners.next(), winners.next(), from) {
        (Some(form), None, _) if best > 0 => Ok(form),
        // An empty file, or one of the other kind: its name says which.
        (Some(form), _, Some(_)) => {
            let yaml = name.ends_with("yml") || name.ends_with("yaml");
            let is_yaml = |form: &Form| matches!(form, Form::PdnsYaml | Form::KnotYaml);
            Ok(candidates().find(|form| is_yaml(form) == yaml).unwrap_or(form))
        }
        (_, _, _) => {
            let words = Peer::ALL.map(Peer::word).join(", ");
            let message = format!(
                "{}: it is not clear whose configuration this is: say it by --from ({words})",
                super::files::printable(&path.display().to_string())
            );
            Err(ImportError::plain(message))
        }
    }
}

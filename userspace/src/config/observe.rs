//! Reads `[query_log]` and `[dnstap]`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::control::read_path;
use super::reader::{Item, Table};

/// The least and the most of `sample`.
const SAMPLES: std::ops::RangeInclusive<u32> = 1..=1_000_000;

/// Octets of the longest identity and version.
const IDENTITY_LEN_MAX: usize = 255;

/// How the query log is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum QueryLogFormat {
    /// Columns with a space between them.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// What is logged of queries, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryLogSettings {
    /// The path of the file: absolute.
    pub file: PathBuf,
    /// How it is written.
    pub format: QueryLogFormat,
    /// One reply in so many; 1 to 1 000 000.
    pub sample: u32,
    /// Whether clients are named by their networks alone: /24 and /48.
    pub anonymise: bool,
}

/// A message that dnstap knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DnstapMessage {
    /// A query of a client.
    ClientQuery,
    /// Our reply to it.
    ClientResponse,
    /// Our query to a resolver.
    ForwarderQuery,
    /// Its response.
    ForwarderResponse,
}

impl DnstapMessage {
    /// Every message, in the order of their numbers here.
    pub const ALL: [Self; 4] =
        [Self::ClientQuery, Self::ClientResponse, Self::ForwarderQuery, Self::ForwarderResponse];

    /// The word for it in the configuration.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::ClientQuery => "client_query",
            Self::ClientResponse => "client_response",
            Self::ForwarderQuery => "forwarder_query",
            Self::ForwarderResponse => "forwarder_response",
        }
    }

    /// Whether it is between a client and us.
    #[must_use]
    pub const fn is_of_client(self) -> bool {
        matches!(self, Self::ClientQuery | Self::ClientResponse)
    }

    /// Whether it is a query.
    #[must_use]
    pub const fn is_query(self) -> bool {
        matches!(self, Self::ClientQuery | Self::ForwarderQuery)
    }
}

/// Who reads dnstap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DnstapReader {
    /// At a Unix socket.
    Unix(PathBuf),
    /// At an address, by TCP.
    Tcp(SocketAddr),
}

/// What dnstap gets, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnstapSettings {
    /// Who reads it.
    pub reader: DnstapReader,
    /// Which messages: never empty, each once.
    pub messages: Vec<DnstapMessage>,
    /// One exchange in so many; 1 to 1 000 000.
    pub sample: u32,
    /// Which server this is; empty: nothing is said.
    pub identity: String,
    /// Which program; empty: nothing is said.
    pub version: String,
}

/// Reads `[query_log]`; `None` if there is none.
pub(super) fn read_query_log(document: &Table<'_>) -> Option<QueryLogSettings> {
    let known = ["file", "format", "sample", "anonymise"];
    let table = document.item("query_log")?.table(&known)?;
    let mut format = QueryLogFormat::default();
    let formats = [("text", QueryLogFormat::Text), ("json", QueryLogFormat::Json)];
    table.set_word("format", &formats, &mut format);
    let (mut sample, mut anonymise) = (1, false);
    table.set_integer("sample", SAMPLES, &mut sample);
    table.set_boolean("anonymise", &mut anonymise);
    let file = read_file(&table.required("file")?)?;
    Some(QueryLogSettings { file, format, sample, anonymise })
}

/// Reads the path of a file.
fn read_file(item: &Item<'_>) -> Option<PathBuf> {
    let text = item.string()?;
    let path = Path::new(text);
    if !path.is_absolute() || path.file_name().is_none() || text.contains('\0') {
        item.refuse_with_hint(
            format_args!("{text:?} is no absolute path of a file"),
            "such as \"/var/log/dns64d/queries.log\"",
        );
        return None;
    }
    Some(path.to_owned())
}

/// Reads `[dnstap]`; `None` if there is none.
pub(super) fn read_dnstap(document: &Table<'_>) -> Option<DnstapSettings> {
    let known = ["socket", "address", "messages", "sample", "identity", "version"];
    let item = document.item("dnstap")?;
    let table = item.table(&known)?;
    let mut sample = 1;
    table.set_integer("sample", SAMPLES, &mut sample);
    let messages = read_messages(&table);
    let said = |key, default: String| match table.item(key) {
        Some(item) => read_identity(&item),
        None => Some(default),
    };
    let identity = said("identity", host_name());
    let version = said("version", format!("dns64d {}", env!("CARGO_PKG_VERSION")));
    let reader = match (table.item("socket"), table.item("address")) {
        (Some(_), Some(address)) => {
            address.refuse_with_hint("there is a socket already", "name one of the two");
            None
        }
        (Some(socket), None) => read_path(&socket).map(DnstapReader::Unix),
        (None, Some(address)) => read_address(&address).map(DnstapReader::Tcp),
        (None, None) => {
            item.refuse_with_hint(
                "nobody is named who reads it",
                "socket = \"/run/dnstap.sock\" or address = \"127.0.0.1:6000\"",
            );
            None
        }
    };
    Some(DnstapSettings {
        reader: reader?,
        messages: messages?,
        sample,
        identity: identity?,
        version: version?,
    })
}

/// Reads `messages`: all without the key.
fn read_messages(table: &Table<'_>) -> Option<Vec<DnstapMessage>> {
    let Some(item) = table.item("messages") else { return Some(DnstapMessage::ALL.to_vec()) };
    let items = item.items()?;
    if items.is_empty() {
        item.refuse_with_hint("no message is named", "leave the key out for all");
        return None;
    }
    let words = DnstapMessage::ALL.map(|message| (message.word(), message));
    let mut messages = Vec::new();
    for item in items {
        let message = item.word(&words)?;
        if messages.contains(&message) {
            item.refuse(format_args!("{} is in this list already", message.word()));
            return None;
        }
        messages.push(message);
    }
    Some(messages)
}

/// Reads an address with a port.
fn read_address(item: &Item<'_>) -> Option<SocketAddr> {
    let text = item.string()?;
    let Ok(address) = text.parse::<SocketAddr>() else {
        let hint = "such as \"127.0.0.1:6000\" or \"[::1]:6000\"";
        item.refuse_with_hint(format_args!("{text:?} is no address with a port"), hint);
        return None;
    };
    if !address.ip().is_loopback() {
        let hint = "a reader on this machine can pass it on by something that is encrypted";
        item.warn("who asks what leaves this machine in clear", hint);
    }
    Some(address)
}

/// Reads what a server says of itself.
fn read_identity(item: &Item<'_>) -> Option<String> {
    let text = item.string()?;
    if text.len() > IDENTITY_LEN_MAX {
        item.refuse(format_args!("{} octets are more than {IDENTITY_LEN_MAX}", text.len()));
        return None;
    }
    Some(text.to_owned())
}

/// The name of this machine.
fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::super::{Config, ConfigErrors, parse};
    use super::*;

    fn read(text: &str) -> Result<Config, ConfigErrors> {
        parse(&format!("[upstream]\nservers = [\"192.0.2.53\"]\n{text}"), "test.toml")
    }

    #[test]
    fn all_of_dnstap_is_recorded_unless_something_is_said() {
        let settings = read("[dnstap]\nsocket = \"/run/t.sock\"\n").unwrap().dnstap.unwrap();
        assert_eq!(settings.reader, DnstapReader::Unix("/run/t.sock".into()));
        assert_eq!((settings.messages, settings.sample), (DnstapMessage::ALL.to_vec(), 1));
        assert!(settings.version.starts_with("dns64d ") && !settings.identity.is_empty());
        let text = "[dnstap]\naddress = \"[::1]:6000\"\nmessages = [\"forwarder_response\"]\n\
                    sample = 9\nidentity = \"\"\nversion = \"1\"\n";
        let config = read(text).unwrap();
        assert_eq!(config.warnings, []);
        let expected = DnstapSettings {
            reader: DnstapReader::Tcp("[::1]:6000".parse().unwrap()),
            messages: vec![DnstapMessage::ForwarderResponse],
            sample: 9,
            identity: String::new(),
            version: "1".to_owned(),
        };
        assert_eq!(config.dnstap, Some(expected));
    }

    #[test]
    fn the_query_log_is_text_with_whole_addresses_unless_something_is_said() {
        let settings = read("[query_log]\nfile = \"/var/log/q\"\n").unwrap().query_log.unwrap();
        assert_eq!((settings.format, settings.sample), (QueryLogFormat::Text, 1));
        assert!(!settings.anonymise);
        let text = "[query_log]\nfile = \"/q\"\nformat = \"json\"\nsample = 10\nanonymise = true\n";
        let settings = read(text).unwrap().query_log.unwrap();
        assert_eq!((settings.format, settings.sample), (QueryLogFormat::Json, 10));
        assert!(settings.anonymise);
    }

    #[test]
    fn mistakes_are_named_with_their_keys() {
        for (text, key, hint) in [
            ("[dnstap]\nsample = 2\n", "dnstap", "nobody is named"),
            ("[dnstap]\nsocket = \"/a\"\naddress = \"[::1]:1\"\n", "dnstap.address", "one of the"),
            ("[dnstap]\nsocket = \"a\"\n", "dnstap.socket", "no absolute path"),
            ("[dnstap]\naddress = \"::1\"\n", "dnstap.address", "no address with a port"),
            ("[dnstap]\nsocket = \"/a\"\nmessages = []\n", "dnstap.messages", "leave the key out"),
            ("[dnstap]\nsocket = \"/a\"\nmessages = [\"tool_query\"]\n", "dnstap.messages[0]", ""),
            ("[dnstap]\nsocket = \"/a\"\nsample = 0\n", "dnstap.sample", "1 to 1000000"),
            ("[query_log]\nsample = 1\n", "query_log.file", "missing"),
            ("[query_log]\nfile = \"q\"\n", "query_log.file", "no absolute path"),
            ("[query_log]\nfile = \"/q\"\nformat = \"xml\"\n", "query_log.format", "json"),
            ("[query_log]\nfile = \"/q\"\npath = 1\n", "query_log.path", "unknown key"),
        ] {
            let errors = read(text).expect_err(text).to_string();
            assert!(errors.contains(&format!("{key}: ")) && errors.contains(hint), "{errors}");
        }
        let warned = read("[dnstap]\naddress = \"192.0.2.1:6000\"\n").unwrap();
        assert_eq!(warned.warnings.len(), 1);
    }
}

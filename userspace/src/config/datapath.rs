//! Reads `[datapath]`.

use dns64_ebpf::abi::SteerBy;

use super::reader::Table;
use crate::datapath::{Attach, DatapathSettings, Mode};

/// Most interfaces.
const INTERFACES_MAX: usize = 16;

/// Octets of the longest name of an interface (`IFNAMSIZ` without the zero).
const INTERFACE_NAME_LEN_MAX: usize = 15;

/// Reads the table. What this build cannot do is refused, never ignored.
pub(super) fn read_datapath(document: &Table<'_>) -> DatapathSettings {
    let mut settings = DatapathSettings::default();
    let known = ["mode", "interfaces", "attach", "hot_answers", "steering"];
    let Some(table) = document.item("datapath").and_then(|item| item.table(&known)) else {
        return settings;
    };
    table.set_word("mode", &Mode::ALL.map(|mode| (mode.word(), mode)), &mut settings.mode);
    table.set_word(
        "attach",
        &Attach::ALL.map(|attach| (attach.word(), attach)),
        &mut settings.attach,
    );
    settings.interfaces = read_interfaces(&table);
    if let Some(item) = table.item("hot_answers") {
        settings.hot_answers = item.boolean();
    }
    table.set_word(
        "steering",
        &[("flow", SteerBy::Flow), ("name", SteerBy::Name)],
        &mut settings.steering,
    );
    match settings.mode {
        Mode::Auto | Mode::Socket => {
            if settings.interfaces.is_empty()
                && let Some(item) = table.item("attach")
            {
                item.warn("this means nothing without interfaces", "set datapath.interfaces");
            }
            if settings.mode == Mode::Socket
                && let Some(item) = table.item("hot_answers")
            {
                item.warn("this means nothing with mode = \"socket\"", "leave the key out");
            }
        }
        Mode::Xdp => {
            if settings.interfaces.is_empty()
                && let Some(item) = table.item("interfaces").or_else(|| table.item("mode"))
            {
                item.refuse_with_hint(
                    "XDP needs an interface",
                    "interfaces = [\"eth0\"]; ip link lists those there are",
                );
            }
        }
    }
    settings
}

/// Reads the names of interfaces. Whether they are there is the machine's affair, and may change.
fn read_interfaces(table: &Table<'_>) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    let Some(item) = table.item("interfaces") else { return names };
    let items = item.items().unwrap_or_default();
    if items.len() > INTERFACES_MAX {
        item.refuse(format_args!("more than {INTERFACES_MAX} interfaces"));
    }
    for item in items {
        let Some(name) = item.string() else { continue };
        let is_name = !name.is_empty()
            && name.len() <= INTERFACE_NAME_LEN_MAX
            && !matches!(name, "." | "..")
            && !name
                .contains(|c: char| c == '/' || c == ':' || c.is_whitespace() || c.is_control());
        if !is_name {
            item.refuse_with_hint(
                format_args!("{name:?} is no name of an interface"),
                "ip link lists those there are",
            );
        } else if name == "lo" {
            item.refuse_with_hint(
                "queries of this machine to itself do not pass XDP in a useful way",
                "leave it out: sockets serve it",
            );
        } else if names.iter().any(|known| known == name) {
            item.refuse(format_args!("{name} is named twice"));
        } else {
            names.push(name.to_owned());
        }
    }
    names
}

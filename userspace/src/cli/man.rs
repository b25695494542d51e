//! Manual pages: what the commands say of themselves, and what they do not: exit codes, files and
//! signals.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::Command;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, italic, roman};

pub use super::settings::settings_page;

/// A manual page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Its name, as in `dns64ctl-flush`.
    pub name: String,
    /// Its section, 1 to 8.
    pub section: u8,
    /// The page, for groff and mandoc.
    pub text: String,
}

impl Page {
    /// Its file below a directory of `man`: `man1/dns64ctl-flush.1`.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        PathBuf::from(format!("man{0}/{1}.{0}", self.section, self.name))
    }
}

/// Terms with what they mean.
pub type Terms = &'static [(&'static str, &'static str)];

/// What a program's pages have beside its commands.
#[derive(Clone, Copy, Debug)]
pub struct Manual {
    /// The section of its pages, 1 to 8.
    pub section: u8,
    /// What its exit codes mean, beside 0.
    pub exit: Terms,
    /// More sections of its first page: a title, and terms with what they mean.
    pub more: &'static [(&'static str, Terms)],
    /// Other pages, with their sections.
    pub see_also: &'static [(&'static str, u8)],
}

/// The exit codes of dns64d and dns64ctl.
const EXIT: Terms = &[
    ("1", "It failed while it ran."),
    (
        "2",
        "Wrong usage, a wrong configuration, or an address that cannot be bound. Standard error \
         has the file, line and key, and a way out.",
    ),
];

/// What is said of dns64d.
pub const DNS64D: Manual = Manual {
    section: 8,
    exit: EXIT,
    more: &[
        (
            "SIGNALS",
            &[
                (
                    "SIGTERM, SIGINT",
                    "It takes no new queries, serves the clients that wait, for 2.5 seconds at \
                     most, and ends.",
                ),
                (
                    "SIGHUP",
                    "It reads its configuration again, as dns64ctl reload has it do. After a \
                     mistake everything stays as it was.",
                ),
            ],
        ),
        (
            "ENVIRONMENT",
            &[
                (
                    "LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES",
                    "Set by systemd, which has opened sockets for some addresses of listen: see \
                     sd_listen_fds(3).",
                ),
                ("RUST_LOG", "What is logged, instead of log.level of the configuration."),
                (
                    "NOTIFY_SOCKET, WATCHDOG_USEC",
                    "Set by systemd, which is told of readiness and reloads, and that queries are \
                     answered.",
                ),
            ],
        ),
        (
            "FILES",
            &[
                (
                    "/etc/dns64d/dns64d.toml",
                    "The configuration of the service of systemd. There is no default: --config \
                     names the file.",
                ),
                (
                    "/etc/resolv.conf",
                    "The resolvers that are asked where the configuration names none.",
                ),
                (
                    "/run/dns64d/control.sock",
                    "Where dns64ctl looks for dns64d unless it is told otherwise.",
                ),
            ],
        ),
    ],
    see_also: &[("dns64ctl", 1), ("dns64bench", 1), ("dns64d.toml", 5)],
};

/// What is said of dns64ctl.
pub const DNS64CTL: Manual = Manual {
    section: 1,
    exit: EXIT,
    more: &[(
        "FILES",
        &[(
            "/run/dns64d/control.sock",
            "The control socket of dns64d, unless --socket or --config names another one.",
        )],
    )],
    see_also: &[("dns64d", 8), ("dns64d.toml", 5), ("dns64bench", 1)],
};

/// What is said of dns64bench.
pub const DNS64BENCH: Manual = Manual {
    section: 1,
    exit: &[
        ("1", "It failed while it ran, or saw wrong answers."),
        ("2", "Wrong usage, or the machine does not allow what was asked for."),
    ],
    more: &[],
    see_also: &[("dns64d", 8), ("dns64ctl", 1)],
};

/// The day on which the form of the pages was changed last, for their footers.
pub(super) const DATE: &str = "2026-11-22";

/// The manual that pages are of, for their headers.
pub(super) const MANUAL: &str = "dns64d manual";

/// What the footers of pages say they belong to.
pub(super) fn source() -> String {
    format!("dns64d {}", env!("CARGO_PKG_VERSION"))
}

/// The pages of a program: its own first, then one for each of its commands.
#[must_use]
pub fn pages(command: Command, manual: &Manual) -> Vec<Page> {
    let mut command = command.disable_help_subcommand(true);
    command.build();
    let first = (command.get_name().to_owned(), manual.section);
    let commands: Vec<Command> =
        command.get_subcommands().filter(|command| !command.is_hide_set()).cloned().collect();
    let names = commands.iter().map(|command| (name_of(command), manual.section));
    let others = manual.see_also.iter().map(|(name, section)| ((*name).to_owned(), *section));
    let see_also: Vec<(String, u8)> = names.chain(others).collect();
    let mut pages = vec![page(command, manual, manual.more, &see_also)];
    for command in commands {
        pages.push(page(command, manual, &[], std::slice::from_ref(&first)));
    }
    pages
}

/// The name of a command's page.
fn name_of(command: &Command) -> String {
    command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned()
}

/// One page.
fn page(
    command: Command,
    manual: &Manual,
    more: &[(&str, Terms)],
    see_also: &[(String, u8)],
) -> Page {
    let (name, section) = (name_of(&command), manual.section);
    let has_commands = command.has_subcommands();
    let title = name.to_uppercase();
    let man = Man::new(command).title(title).section(section.to_string()).source(source());
    let man = man.date(DATE).manual(MANUAL);
    let mut text = Vec::new();
    let sections = [
        Man::render_title,
        Man::render_name_section,
        Man::render_synopsis_section,
        Man::render_description_section,
        Man::render_options_section,
    ];
    for render in sections {
        // Nothing fails that writes to memory.
        let _written = render(&man, &mut text);
    }
    if has_commands {
        let _written = man.render_subcommands_section(&mut text);
    }
    let mut rest = Roff::new();
    terms(&mut rest, "EXIT STATUS", &[&[("0", "It is done.")][..], manual.exit].concat());
    for (title, of) in more {
        terms(&mut rest, title, of);
    }
    list_pages(&mut rest, see_also);
    text.extend(rest.render().into_bytes());
    Page { name, section, text: tidied(&String::from_utf8_lossy(&text)) }
}

/// Writes a section of terms.
fn terms(roff: &mut Roff, title: &str, terms: &[(&str, &str)]) {
    roff.control("SH", [title]);
    for (term, meaning) in terms {
        roff.control("TP", []).text([bold(*term)]).text([roman(*meaning)]);
    }
}

/// Writes the section that names other pages.
pub(super) fn list_pages(roff: &mut Roff, pages: &[(String, u8)]) {
    roff.control("SH", ["SEE ALSO"]);
    let mut line = Vec::new();
    for (index, (name, section)) in pages.iter().enumerate() {
        let separator = if index == 0 { "" } else { ", " };
        line.extend([roman(separator), bold(name.as_str()), roman(format!("({section})"))]);
    }
    roff.text(line);
}

/// A page whose preamble stands once, while each part is written with its own; and without requests
/// that mean nothing together.
pub(super) fn tidied(text: &str) -> String {
    let preamble = Roff::new().render();
    // Breaks around an empty line are a paragraph.
    let body = text.replace(&preamble, "").replace("\n.br\n\n.br\n", "\n.IP\n");
    format!("{preamble}{body}")
}

/// A key with what it may be, in front of its remark.
pub(super) fn key_line(roff: &mut Roff, key: &str, kind: &str) {
    roff.control("TP", []).text([bold(key), roman(" "), italic(kind)]);
}

/// Writes pages below a directory, as `man -M` looks for them.
///
/// # Errors
/// The first file that cannot be written, and why.
pub fn write_pages(pages: &[Page], directory: &Path) -> Result<(), String> {
    for page in pages {
        let path = directory.join(page.path());
        let made = path.parent().map_or(Ok(()), fs::create_dir_all);
        let written: io::Result<()> = made.and_then(|()| fs::write(&path, &page.text));
        written.map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::cli::daemon::Arguments;

    #[test]
    fn a_program_has_a_page_and_so_has_each_of_its_commands() {
        let pages = pages(Arguments::command(), &DNS64D);
        let paths: Vec<String> =
            pages.iter().map(|page| page.path().display().to_string()).collect();
        assert_eq!(paths, ["man8/dns64d.8", "man8/dns64d-check.8", "man8/dns64d-demo.8"]);
        for title in ["NAME", "SYNOPSIS", "OPTIONS", "SUBCOMMANDS", "SIGNALS", "FILES"] {
            assert!(pages[0].text.contains(&format!(".SH {title}\n")), "{title}");
        }
        for page in &pages {
            assert!(page.text.contains(".SH \"EXIT STATUS\"\n"), "{}", page.text);
            assert!(page.text.contains(".SH \"SEE ALSO\"\n"));
            assert_eq!(page.text.matches(".TH ").count(), 1);
        }
    }
}

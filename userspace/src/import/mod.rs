//! Reads the configurations of other servers and writes one for dns64d that answers alike.
//!
//! Each peer has a reader of its own, which fills one [`model`] in the words of our configuration.
//! What a peer does without being told is written out where ours does otherwise, so that nothing
//! changes silently; what cannot be carried over is noted with file and line. The writer puts a
//! comment beside every value that says where it came from, and the notes at the end.
//!
//! Input is not trusted: files, their number and size, includes, nesting and lists are bounded, and
//! no input makes a reader panic.
#![forbid(unsafe_code)]

mod bind;
mod bind_syntax;
mod bind_words;
mod coredns;
mod detect;
mod files;
mod knot;
mod kresd;
mod lua;
mod model;
mod pdns;
mod settle;
mod text;
mod unbound;
mod unbound_words;
mod write;
mod yaml;

use std::fmt;
use std::path::Path;

pub use files::{Disk, Files, ImportError, Memory, Place};
pub use model::Note;

use files::Reading;
use model::{Imported, Sourced};

/// Whose configuration a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// unbound.conf.
    Unbound,
    /// named.conf.
    Bind,
    /// recursor.conf or recursor.yml.
    Pdns,
    /// config.yaml or kresd.conf.
    Knot,
    /// A Corefile.
    CoreDns,
}

impl Peer {
    /// Every peer.
    pub const ALL: [Self; 5] = [Self::Unbound, Self::Bind, Self::Pdns, Self::Knot, Self::CoreDns];

    /// The word for it on the command line.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Unbound => "unbound",
            Self::Bind => "bind",
            Self::Pdns => "pdns",
            Self::Knot => "knot",
            Self::CoreDns => "coredns",
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unbound => "Unbound",
            Self::Bind => "BIND",
            Self::Pdns => "PowerDNS Recursor",
            Self::Knot => "Knot Resolver",
            Self::CoreDns => "CoreDNS",
        })
    }
}

/// A configuration of dns64d, and what it does not have.
#[derive(Clone, Debug)]
pub struct Import {
    /// Whose configuration was read.
    pub peer: Peer,
    /// The text, with comments; `dns64d check` accepts it.
    pub text: String,
    /// What was not carried over, or not quite.
    pub notes: Vec<Note>,
}

/// Reads the configuration that begins in a file. `from` says whose it is; without it that is seen
/// from the file's name and content.
///
/// # Errors
/// The file, or one that it includes, cannot be read or understood: with the place. It is not clear
/// whose it is.
pub fn import(path: &Path, from: Option<Peer>, files: &dyn Files) -> Result<Import, ImportError> {
    let mut reading = Reading::new(files);
    let (_, text) = reading.open(path, None)?;
    reading.close();
    let form = detect::form(path, &text, from)?;
    let mut imported = match form {
        detect::Form::Unbound => unbound::read(path, &mut reading),
        detect::Form::Bind => bind::read(path, &mut reading),
        detect::Form::PdnsOld => pdns::read_old(path, &mut reading),
        detect::Form::PdnsYaml => pdns::read_yaml(path, &mut reading),
        detect::Form::KnotYaml => knot::read(path, &mut reading),
        detect::Form::KnotLua => kresd::read(path, &mut reading),
        detect::Form::CoreDns => coredns::read(path, &mut reading),
    }?;
    settle::settle(&mut imported);
    let peer = form.peer();
    let file = files::printable(&path.display().to_string());
    let text = write::configuration(&imported, &format!("From {file} ({peer})."));
    accepted(&imported)?;
    Ok(Import { peer, text, notes: imported.notes })
}

/// Whether our own reader takes what is written. The script need not be on this machine, and
/// servers
/// of this machine are not looked for.
fn accepted(imported: &Imported) -> Result<(), ImportError> {
    let mut tried = imported.clone();
    tried.script = model::Keys::default();
    if tried.servers.is_empty() {
        let server = std::net::SocketAddr::from(([192, 0, 2, 53], text::PORT));
        tried.servers.push(Sourced::default_of(server, ""));
    }
    let text = write::configuration(&tried, "");
    match crate::config::parse(&text, "the imported configuration") {
        Ok(_) => Ok(()),
        Err(errors) => {
            let message = format!("dns64d would not take what was made of this file: {errors}");
            Err(ImportError { is_ours: true, ..ImportError::plain(message) })
        }
    }
}

#[cfg(test)]
mod tests;

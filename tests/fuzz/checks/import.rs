//! Any octets as the configuration of another server: what is imported is a configuration of ours.

use std::path::Path;

use dns64::import::{Memory, Peer, import};

/// A file of Unbound.
pub(crate) fn unbound(bytes: &[u8]) {
    check(Peer::Unbound, &["unbound.conf"], bytes);
}

/// A file of BIND.
pub(crate) fn bind(bytes: &[u8]) {
    check(Peer::Bind, &["named.conf"], bytes);
}

/// A file of PowerDNS Recursor, in both forms.
pub(crate) fn pdns(bytes: &[u8]) {
    check(Peer::Pdns, &["recursor.conf", "recursor.yml"], bytes);
}

/// A file of Knot Resolver, in both forms.
pub(crate) fn knot(bytes: &[u8]) {
    check(Peer::Knot, &["kresd.conf", "config.yaml"], bytes);
}

/// A file of CoreDNS.
pub(crate) fn coredns(bytes: &[u8]) {
    check(Peer::CoreDns, &["Corefile"], bytes);
}

/// Reads the octets up to the first zero as a file of each name; what follows is a file `more`,
/// which the first can include.
fn check(peer: Peer, names: &[&str], bytes: &[u8]) {
    let mut parts = bytes.splitn(2, |octet| *octet == 0);
    let main = parts.next().unwrap_or_default();
    let more = parts.next().unwrap_or_default();
    for name in names {
        let mut files = Memory::default();
        files.0.insert((*name).into(), main.to_vec());
        files.0.insert("more".into(), more.to_vec());
        // Also without being told whose it is.
        for from in [Some(peer), None] {
            match import(Path::new(name), from, &files) {
                Ok(imported) => {
                    assert!(!imported.text.is_empty());
                    let lines = imported.text.lines();
                    let listed = lines.filter(|line| line.starts_with("# - ")).count();
                    assert_eq!(listed, imported.notes.len(), "each note has its line");
                }
                Err(error) => assert!(!error.is_ours, "{peer}: {error}"),
            }
        }
    }
}

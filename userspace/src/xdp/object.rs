//! The BPF objects: built beside this crate by `ebpf/build`, and embedded.
#![forbid(unsafe_code)]

use std::borrow::Cow;
use std::path::Path;

use aya::include_bytes_aligned;

use super::XdpError;

/// Environment variable: a directory with objects to be used instead of the embedded ones, as
/// `ebpf/build --out` writes it.
pub const OBJECT_DIRECTORY: &str = "DNS64_EBPF_OBJECT";

/// An object: the programs and maps of one user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Object {
    /// What dns64bench needs.
    Bench,
    /// What dns64d needs to answer past the network stack.
    Dns64d,
    /// What dns64d needs to choose sockets.
    Select,
    /// What dns64d needs to choose CPUs.
    Spread,
}

impl Object {
    /// The name of its file, without `.o`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bench => "bench",
            Self::Dns64d => "dns64d",
            Self::Select => "select",
            Self::Spread => "spread",
        }
    }

    /// The embedded file.
    const fn embedded(self) -> &'static [u8] {
        match self {
            Self::Bench => include_bytes_aligned!(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/../ebpf/object/bench.o"
            )),
            Self::Dns64d => include_bytes_aligned!(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/../ebpf/object/dns64d.o"
            )),
            Self::Select => include_bytes_aligned!(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/../ebpf/object/select.o"
            )),
            Self::Spread => include_bytes_aligned!(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/../ebpf/object/spread.o"
            )),
        }
    }

    /// The file: the embedded one, or the one in the directory that the environment names.
    ///
    /// # Errors
    /// If the environment names a directory and the file in it cannot be read.
    pub fn bytes(self) -> Result<Cow<'static, [u8]>, XdpError> {
        let Some(directory) = std::env::var_os(OBJECT_DIRECTORY) else {
            return Ok(Cow::Borrowed(self.embedded()));
        };
        let path = Path::new(&directory).join(self.name()).with_extension("o");
        match std::fs::read(&path) {
            Ok(bytes) => Ok(Cow::Owned(bytes)),
            Err(source) => Err(XdpError::ObjectFile { path, source }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_object_is_an_elf_file_for_bpf() {
        for object in [Object::Bench, Object::Dns64d, Object::Select, Object::Spread] {
            let bytes = object.embedded();
            assert_eq!(bytes[..4], *b"\x7fELF");
            // e_machine is EM_BPF.
            assert_eq!(bytes[18..20], [247, 0]);
        }
    }
}

//! The limit on open files: each TCP client and each upstream port is one.

use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The limit on open files before and after [`raise_limit`]; `None` is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenFiles {
    /// What the process was started with.
    pub before: Option<u64>,
    /// What holds now.
    pub after: Option<u64>,
}

/// Raises the soft limit on open files (often 1024, kept low for programs that use `select`) to
/// the hard limit, which needs no privilege.
///
/// # Errors
///
/// Where the kernel refuses, which then leaves the limit as it was.
pub fn raise_limit() -> io::Result<OpenFiles> {
    let Rlimit { current: before, maximum } = getrlimit(Resource::Nofile);
    if before != maximum {
        setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?;
    }
    Ok(OpenFiles { before, after: maximum })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_becomes_the_hard_limit() {
        let report = raise_limit().unwrap();
        let limit = getrlimit(Resource::Nofile);
        assert_eq!(limit.current, limit.maximum);
        assert_eq!(report.after, limit.current);
    }
}

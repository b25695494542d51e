//! Sockets that the service manager has opened before it started us: sd_listen_fds(3).

use std::io;
use std::os::fd::{FromRawFd, OwnedFd};

/// The variables by which they are announced.
const VARIABLES: [&str; 3] = ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"];

/// A file descriptor that the service manager has passed.
#[derive(Debug)]
pub struct ListenFd {
    /// Its name: `FileDescriptorName=`, or the name of the socket unit. `unknown` without names.
    pub name: String,
    /// The descriptor. It is closed in programs that we start.
    pub fd: OwnedFd,
}

/// Takes what `LISTEN_FDS` announces, if `LISTEN_PID` says that it is for this process, and unsets
/// the variables, so that programs which we start do not take it to be theirs. To be called before
/// there is a second thread; a second call finds nothing.
///
/// # Errors
/// `InvalidInput` if a variable is no number, or there are not as many names as descriptors;
/// `EBADF` if there are fewer descriptors than announced.
pub fn take() -> io::Result<Vec<ListenFd>> {
    let announced = sd_notify::listen_fds_with_names();
    for variable in VARIABLES {
        // SAFETY: environ(7) must not be changed while another thread reads it, and there is no
        // other thread yet.
        unsafe { std::env::remove_var(variable) };
    }
    let taken = announced?.map(|(fd, name)| {
        // SAFETY: the descriptor is open: FD_CLOEXEC could be set on it. Nobody else owns it: the
        // service manager has opened it for this process, in which nothing has been opened under
        // its number since, and the variables that announced it are gone.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        ListenFd { name, fd }
    });
    Ok(taken.collect())
}

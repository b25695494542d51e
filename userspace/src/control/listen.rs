//! The file of the control socket: made at the start, removed at the end.
//!
//! What a process that was killed has left is replaced. Another `dns64d` that still answers there
//! is not disturbed: then there is no start.

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, chown};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use socket2::{Domain, SockAddr, Socket, Type};

use crate::accounts;
use crate::config::ControlSettings;

/// Connections that wait to be taken in.
const BACKLOG: i32 = 16;

/// A socket that listens; its file goes with it.
#[derive(Debug)]
pub struct ControlListener {
    listener: UnixListener,
    file: SocketFile,
}

/// The file of a socket, removed when dropped if it is still the one that was made.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    /// Device and inode.
    identity: (u64, u64),
}

impl ControlListener {
    /// Makes the socket, with its mode and group before anybody can connect.
    ///
    /// # Errors
    /// [`ListenError`]: somebody else answers there, or the file cannot be made.
    pub fn bind(settings: &ControlSettings) -> Result<Self, ListenError> {
        let path = settings.socket.as_path();
        let refuse = |reason| ListenError { path: path.to_owned(), reason };
        remove_stale(path).map_err(refuse)?;
        let failed = |what| move |error| refuse(Reason::System(what, error));
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None).map_err(failed("be made"))?;
        let address = SockAddr::unix(path).map_err(failed("be named"))?;
        socket.bind(&address).map_err(|error| {
            if error.kind() == io::ErrorKind::NotFound {
                refuse(Reason::NoDirectory)
            } else {
                refuse(Reason::System("be made", error))
            }
        })?;
        let identity = identity(path).map_err(failed("be found"))?;
        let file = SocketFile { path: path.to_owned(), identity };
        if let Some(group) = settings.group.as_deref() {
            let id =
                accounts::group(group).ok_or_else(|| refuse(Reason::NoGroup(group.to_owned())))?;
            chown(path, None, Some(id)).map_err(failed("be given to its group"))?;
        }
        let mode = fs::Permissions::from_mode(settings.mode);
        fs::set_permissions(path, mode).map_err(failed("be given its mode"))?;
        // Until now whoever tried to connect was refused.
        socket.listen(BACKLOG).map_err(failed("listen"))?;
        socket.set_nonblocking(true).map_err(failed("listen"))?;
        Ok(Self { listener: socket.into(), file })
    }

    /// The socket, and what removes its file.
    #[must_use]
    pub fn into_parts(self) -> (UnixListener, SocketFile) {
        (self.listener, self.file)
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|identity| identity == self.identity) {
            // Nothing can be done about it, and the next start replaces it.
            let _stays = fs::remove_file(&self.path);
        }
    }
}

/// Device and inode of a file.
fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let metadata = fs::symlink_metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}

/// Removes a socket that nobody listens on any more.
fn remove_stale(path: &Path) -> Result<(), Reason> {
    let file_type = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata.file_type(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Reason::System("be looked at", error)),
    };
    if !file_type.is_socket() {
        return Err(Reason::NotASocket);
    }
    let probe = Socket::new(Domain::UNIX, Type::STREAM, None)
        .and_then(|socket| socket.set_nonblocking(true).map(|()| socket))
        .map_err(|error| Reason::System("be tried", error))?;
    let address = SockAddr::unix(path).map_err(|error| Reason::System("be named", error))?;
    match probe.connect(&address) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(|error| Reason::System("be replaced", error))
        }
        // A full backlog (EAGAIN) is somebody's, too.
        Ok(()) => Err(Reason::InUse),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(Reason::InUse),
        Err(error) => Err(Reason::System("be tried", error)),
    }
}

/// Why there is no control socket.
#[derive(Debug)]
pub struct ListenError {
    path: PathBuf,
    reason: Reason,
}

/// What is in the way.
#[derive(Debug)]
enum Reason {
    InUse,
    NotASocket,
    NoDirectory,
    NoGroup(String),
    /// What it cannot do, and why.
    System(&'static str, io::Error),
}

impl fmt::Display for ListenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "control.socket: {}: ", self.path.display())?;
        match &self.reason {
            Reason::InUse => write!(
                f,
                "another process answers there\n  hint: stop it, or give this dns64d another path"
            ),
            Reason::NotASocket => {
                write!(f, "this file is no socket, and is left alone\n  hint: remove it")
            }
            Reason::NoDirectory => write!(
                f,
                "its directory does not exist\n  hint: make it, or let systemd make it \
                 (RuntimeDirectory=dns64d)"
            ),
            Reason::NoGroup(group) => {
                write!(
                    f,
                    "/etc/group has no group {group}\n  hint: control.group takes numbers, too"
                )
            }
            Reason::System(what, error) => write!(f, "the socket cannot {what}: {error}"),
        }
    }
}

impl std::error::Error for ListenError {}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory of its own, gone with the test.
    struct Directory(PathBuf);

    impl Directory {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("dns64-{name}-{}", std::process::id()));
            fs::create_dir(&path).unwrap();
            Self(path)
        }

        fn settings(&self) -> ControlSettings {
            ControlSettings { socket: self.0.join("control.sock"), mode: 0o600, group: None }
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn the_file_has_its_mode_and_is_gone_at_the_end() {
        let directory = Directory::new("mode");
        let settings = ControlSettings { mode: 0o640, ..directory.settings() };
        let listener = ControlListener::bind(&settings).unwrap();
        let mode = fs::metadata(&settings.socket).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o640);
        drop(listener);
        assert!(!settings.socket.exists());
    }

    #[test]
    fn a_socket_that_answers_is_not_disturbed_and_one_that_was_left_is_replaced() {
        let directory = Directory::new("stale");
        let settings = directory.settings();
        let first = UnixListener::bind(&settings.socket).unwrap();
        let error = ControlListener::bind(&settings).unwrap_err().to_string();
        assert!(error.contains("another process answers there"), "{error}");
        drop(first);
        assert!(settings.socket.exists(), "as a killed process leaves it");
        let second = ControlListener::bind(&settings).unwrap();
        drop(second);
        assert!(!settings.socket.exists());
    }

    #[test]
    fn what_is_no_socket_is_left_alone() {
        let directory = Directory::new("file");
        let settings = directory.settings();
        fs::write(&settings.socket, "precious").unwrap();
        let error = ControlListener::bind(&settings).unwrap_err().to_string();
        assert!(error.contains("no socket"), "{error}");
        assert_eq!(fs::read_to_string(&settings.socket).unwrap(), "precious");
    }

    #[test]
    fn the_file_of_a_successor_is_not_removed() {
        let directory = Directory::new("successor");
        let settings = directory.settings();
        let first = ControlListener::bind(&settings).unwrap();
        fs::rename(&settings.socket, directory.0.join("old.sock")).unwrap();
        let second = ControlListener::bind(&settings).unwrap();
        drop(first);
        assert!(settings.socket.exists());
        drop(second);
    }

    #[test]
    fn a_missing_directory_or_group_is_said() {
        let directory = Directory::new("missing");
        let settings = directory.settings();
        let nowhere = ControlSettings { socket: directory.0.join("a/b.sock"), ..settings.clone() };
        let error = ControlListener::bind(&nowhere).unwrap_err().to_string();
        assert!(error.contains("directory does not exist"), "{error}");
        let group = Some("no-such-group-here".to_owned());
        let error = ControlListener::bind(&ControlSettings { group, ..settings.clone() });
        let error = error.unwrap_err().to_string();
        assert!(error.contains("no group no-such-group-here"), "{error}");
        assert!(!settings.socket.exists(), "nothing is left behind");
    }
}

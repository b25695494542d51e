//! The files that are read: from the disk, or from memory in tests. All of it is bounded.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

/// Octets of the longest file.
pub(super) const FILE_MAX: u64 = 8 << 20;

/// How deep files may include one another, as in Unbound and the Recursor within a factor of two.
pub(super) const INCLUDE_DEPTH_MAX: usize = 20;

/// Most files that one configuration may be made of.
const FILES_MAX: usize = 1_000;

/// How deep blocks, lists and expressions may lie in one another.
pub(super) const NESTING_MAX: usize = 32;

/// A place in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file, as it was named.
    pub file: Arc<str>,
    /// Its line, from 1.
    pub line: usize,
    /// The character in the line, from 1; 0: the whole line.
    pub column: usize,
}

impl Place {
    /// A line of a file.
    #[must_use]
    pub fn line(file: &Arc<str>, line: usize) -> Self {
        Self { file: Arc::clone(file), line, column: 0 }
    }

    /// The file and the line, for a comment.
    #[must_use]
    pub fn short(&self) -> String {
        format!("{}:{}", self.file, self.line)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)?;
        match self.column {
            0 => Ok(()),
            column => write!(f, ":{column}"),
        }
    }
}

/// Why nothing was imported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportError {
    /// Where, if it is a matter of a place.
    pub place: Option<Place>,
    /// What is wrong.
    pub message: String,
    /// Whether it is a mistake of this importer's, and none of the file.
    pub is_ours: bool,
}

impl ImportError {
    /// An error at a place.
    pub(super) fn at(place: &Place, message: impl Into<String>) -> Self {
        Self { place: Some(place.clone()), message: message.into(), is_ours: false }
    }

    /// An error of the whole.
    pub(super) fn plain(message: impl Into<String>) -> Self {
        Self { place: None, message: message.into(), is_ours: false }
    }
}

impl fmt::Display for ImportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Some(place) => write!(f, "{place}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

impl std::error::Error for ImportError {}

/// Where files come from.
pub trait Files {
    /// The octets of a file, at most one more than `limit`.
    ///
    /// # Errors
    /// Why it cannot be read.
    fn read(&self, path: &Path, limit: u64) -> Result<Vec<u8>, String>;

    /// The files that match a pattern with `*`, `?` and `[...]`, in the order of their names.
    ///
    /// # Errors
    /// If it is no pattern.
    fn matching(&self, pattern: &str) -> Result<Vec<PathBuf>, String>;
}

/// The files of this machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct Disk;

impl Files for Disk {
    fn read(&self, path: &Path, limit: u64) -> Result<Vec<u8>, String> {
        let file = File::open(path).map_err(|error| error.to_string())?;
        let mut octets = Vec::new();
        file.take(limit + 1).read_to_end(&mut octets).map_err(|error| error.to_string())?;
        Ok(octets)
    }

    fn matching(&self, pattern: &str) -> Result<Vec<PathBuf>, String> {
        let paths = glob::glob(pattern).map_err(|error| error.msg.to_owned())?;
        // Directories that cannot be looked into hold nothing that could be read.
        Ok(paths.flatten().filter(|path| path.is_file()).take(FILES_MAX + 1).collect())
    }
}

/// Files in memory, by their paths.
#[derive(Clone, Debug, Default)]
pub struct Memory(pub BTreeMap<PathBuf, Vec<u8>>);

impl Files for Memory {
    fn read(&self, path: &Path, _limit: u64) -> Result<Vec<u8>, String> {
        self.0.get(&tidy(path)).cloned().ok_or_else(|| "no such file".to_owned())
    }

    fn matching(&self, pattern: &str) -> Result<Vec<PathBuf>, String> {
        let pattern = glob::Pattern::new(pattern).map_err(|error| error.msg.to_owned())?;
        Ok(self.0.keys().filter(|path| pattern.matches_path(path)).cloned().collect())
    }
}

/// A path without `.` and `..`.
fn tidy(path: &Path) -> PathBuf {
    let mut tidied = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                tidied.pop();
            }
            Component::Prefix(_) | Component::RootDir | Component::Normal(_) => tidied.push(part),
        }
    }
    tidied
}

/// The files read so far, and those that are being read, one included by the other.
pub(super) struct Reading<'f> {
    files: &'f dyn Files,
    open: Vec<PathBuf>,
    left: usize,
}

impl<'f> Reading<'f> {
    /// Nothing read yet.
    pub(super) fn new(files: &'f dyn Files) -> Self {
        Self { files, open: Vec::new(), left: FILES_MAX }
    }

    /// The text of a file, and the name that places in it have. Octets that are no UTF-8, as in
    /// comments of old files, become U+FFFD.
    ///
    /// # Errors
    /// It cannot be read, is too long, includes itself, or there are too many.
    pub(super) fn open(
        &mut self,
        path: &Path,
        from: Option<&Place>,
    ) -> Result<(Arc<str>, String), ImportError> {
        let refusal = |message: String| ImportError {
            place: from.cloned(),
            message: format!("{}: {message}", path.display()),
            is_ours: false,
        };
        let path_tidy = tidy(path);
        if self.open.contains(&path_tidy) {
            return Err(refusal("this file includes itself".to_owned()));
        }
        if self.open.len() >= INCLUDE_DEPTH_MAX {
            let message = format!("files include one another more than {INCLUDE_DEPTH_MAX} deep");
            return Err(refusal(message));
        }
        if self.left == 0 {
            return Err(refusal(format!("there are more than {FILES_MAX} files")));
        }
        self.left -= 1;
        let octets = self
            .files
            .read(path, FILE_MAX)
            .map_err(|error| refusal(format!("cannot be read: {error}")))?;
        if octets.len() as u64 > FILE_MAX {
            return Err(refusal(format!("is longer than {} MiB", FILE_MAX >> 20)));
        }
        self.open.push(path_tidy);
        let name: Arc<str> = printable(&path.display().to_string()).into();
        Ok((name, String::from_utf8_lossy(&octets).into_owned()))
    }

    /// The file that was opened last has been read.
    pub(super) fn close(&mut self) {
        self.open.pop();
    }

    /// The files that an `include` names: those of the first base directory that has any. A name
    /// without wildcards is given back as it is, so that its absence is an error.
    ///
    /// # Errors
    /// It is no pattern.
    pub(super) fn included(
        &self,
        name: &str,
        bases: &[PathBuf],
        from: &Place,
    ) -> Result<Vec<PathBuf>, ImportError> {
        let is_pattern = name.contains(['*', '?', '[']);
        let mut first = None;
        for base in bases {
            let path = base.join(name);
            let pattern = match is_pattern {
                true => path.display().to_string(),
                false => glob::Pattern::escape(&path.display().to_string()),
            };
            let found = self
                .files
                .matching(&pattern)
                .map_err(|error| ImportError::at(from, format!("{name}: {error}")))?;
            if !found.is_empty() {
                return Ok(found);
            }
            first = first.or(Some(path));
        }
        Ok(if is_pattern { Vec::new() } else { first.into_iter().collect() })
    }
}

/// The directory that a file lies in.
pub(super) fn directory_of(path: &Path) -> PathBuf {
    path.parent().map(Path::to_path_buf).unwrap_or_default()
}

/// A text for one line of a comment or a log: no control characters, and not too long.
pub(super) fn printable(text: &str) -> String {
    const CHARS_MAX: usize = 200;
    let mut shown: String = text
        .chars()
        .take(CHARS_MAX)
        .map(|c| if c.is_control() || c == '\u{fffd}' { '?' } else { c })
        .collect();
    if text.chars().nth(CHARS_MAX).is_some() {
        shown.push_str("...");
    }
    shown
}

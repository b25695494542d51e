//! Several files as one configuration: `include`.
//!
//! The first file names the others, by their names or by patterns. Tables with one name are joined,
//! lists of tables go on from file to file, and a key that has a value in one file has none in
//! another: so the order of the files decides about nothing but the order of such lists.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use glob::{MatchOptions, Pattern};
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use super::error::ConfigError;
use super::reader::{Item, Source, SourceFile, Table};

/// The key that names other files.
pub(super) const INCLUDE: &str = "include";

/// Most files beside the first.
const FILES_MAX: usize = 1_000;

/// Most octets of a file that is included.
const FILE_LEN_MAX: u64 = 16 << 20;

/// What is special in a pattern.
const WILDCARDS: [char; 3] = ['*', '?', '['];

/// A `*` does not mean what the shell leaves out, too.
const MATCHING: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: true,
};

// ---- Which files

/// The files of a configuration.
#[derive(Debug)]
pub(super) struct Gathered {
    /// The files, the first one first.
    pub(super) files: Vec<SourceFile>,
    /// What `include` names: files and patterns.
    pub(super) named_files: Vec<PathBuf>,
    /// What is wrong with the list.
    pub(super) errors: Vec<ConfigError>,
}

/// The files of a configuration that begins with this one.
pub(super) fn gather(text: &str, origin: &str) -> Gathered {
    let mut files = vec![SourceFile::new(origin, text, None)];
    let (others, named_files, errors) = included(&files);
    for (name, text) in others {
        let file = SourceFile::new(&name, &text, files.last());
        files.push(file);
    }
    Gathered { files, named_files, errors }
}

/// The names and texts of the files that the first one includes, what it names them by, and what is
/// wrong with the list.
fn included(first: &[SourceFile]) -> (Vec<(String, String)>, Vec<PathBuf>, Vec<ConfigError>) {
    let mut others = Vec::new();
    let source = Source::new(first);
    let document = source.parse();
    // Where the syntax is wrong, that is what will be reported.
    if !source.is_clean() {
        return (others, Vec::new(), Vec::new());
    }
    for file in first {
        read_include(&source, &document, Path::new(file.name()), &mut others);
    }
    drop(document);
    let named_files = source.named_files();
    (others, named_files, source.into_reports().0)
}

/// Reads `include`, and the files that it names: their names and texts.
fn read_include<'a>(
    source: &'a Source<'a>,
    document: &'a Spanned<DeTable<'a>>,
    first: &Path,
    files: &mut Vec<(String, String)>,
) {
    // All other keys are looked at when all files are there.
    let table = Table::unchecked(source, document);
    let Some(patterns) = table.item(INCLUDE).and_then(|item| item.items()) else { return };
    let mut seen = BTreeSet::from([identity(first)]);
    for item in patterns {
        for path in item.string().map(|text| find(&item, text)).unwrap_or_default() {
            if !seen.insert(identity(&path)) {
                continue;
            }
            if seen.len() > FILES_MAX + 1 {
                item.refuse(format_args!("more than {FILES_MAX} files"));
                return;
            }
            match read_file(&path) {
                Ok(text) => files.push((path.display().to_string(), text)),
                Err(why) => item.refuse(format_args!("{} {why}", path.display())),
            }
        }
    }
}

/// What a file is known by, whichever way leads to it.
fn identity(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}

/// The files that a pattern names, in the order of their names.
fn find(item: &Item<'_>, text: &str) -> Vec<PathBuf> {
    let path = item.beside(text);
    let (Some(directory), Some(name)) = (path.parent(), path.file_name().and_then(|n| n.to_str()))
    else {
        item.refuse_with_hint(format_args!("{text:?} names no file"), "such as \"conf.d/*.toml\"");
        return Vec::new();
    };
    // What stands in front of the text is a directory's own name and no pattern.
    let in_directory = Path::new(text).parent().and_then(Path::to_str).unwrap_or_default();
    if in_directory.contains(WILDCARDS) {
        let hint = "only the name of a file may be a pattern, as in \"conf.d/*.toml\"";
        item.refuse_with_hint("a pattern for directories", hint);
        return Vec::new();
    }
    if !name.contains(WILDCARDS) {
        return vec![path];
    }
    let pattern = match Pattern::new(name) {
        Ok(pattern) => pattern,
        Err(error) => {
            item.refuse(format_args!("{text:?} is no pattern: {}", error.msg));
            return Vec::new();
        }
    };
    match matching(directory, &pattern) {
        Ok(paths) => paths,
        Err(error) => {
            let hint = "an empty directory is fine, one that is not there is not";
            let directory = shown(directory).display();
            item.refuse_with_hint(format_args!("{directory} cannot be read: {error}"), hint);
            Vec::new()
        }
    }
}

/// The entries of a directory whose names a pattern has, in the order of their names.
fn matching(directory: &Path, pattern: &Pattern) -> std::io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(shown(directory))? {
        let name = entry?.file_name();
        // A name that is no text is matched by no pattern.
        if name.to_str().is_some_and(|name| pattern.matches_with(name, MATCHING)) {
            paths.push(directory.join(name));
        }
    }
    paths.sort();
    Ok(paths)
}

/// A directory by a name that it can be opened by.
fn shown(directory: &Path) -> &Path {
    if directory.as_os_str().is_empty() { Path::new(".") } else { directory }
}

/// Reads a file; what is wrong with it.
fn read_file(path: &Path) -> Result<String, String> {
    let unreadable = |error: std::io::Error| format!("cannot be read: {error}");
    let metadata = fs::metadata(path).map_err(unreadable)?;
    if !metadata.is_file() {
        return Err("is no file".to_owned());
    }
    if metadata.len() > FILE_LEN_MAX {
        return Err("is longer than 16 MiB".to_owned());
    }
    String::from_utf8(fs::read(path).map_err(unreadable)?)
        .map_err(|_| "is not UTF-8 text".to_owned())
}

// ---- One document

/// Puts what another file says into a table of the document. `path` is that of the table; empty for
/// the whole document.
pub(super) fn join<'a>(source: &Source<'_>, path: &str, into: &mut DeTable<'a>, from: DeTable<'a>) {
    for (key, value) in from {
        let name: &str = key.get_ref();
        let path = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
        if path == INCLUDE {
            let hint = "name the files in the first one";
            let message = "a file that is included includes no others";
            source.refuse(Some(&key.span()), &path, message, Some(hint.to_owned()));
            continue;
        }
        let first = into.get_key_value(name).map(|(first, _)| first.span());
        let (Some(first), Some(there)) = (first, into.get_mut(name)) else {
            into.insert(key, value);
            continue;
        };
        match (there.get_mut(), value.into_inner()) {
            (DeValue::Table(there), DeValue::Table(more)) => join(source, &path, there, more),
            (DeValue::Array(there), DeValue::Array(more))
                if is_list_of_tables(there) && is_list_of_tables(&more) =>
            {
                more.into_iter().for_each(|table| there.push(table));
            }
            (_, _) => {
                let message =
                    format!("this key has its value at {}", source.words_for(first.start));
                let hint = "keep it in one of the files".to_owned();
                source.refuse(Some(&key.span()), &path, message, Some(hint));
            }
        }
    }
}

/// Whether a list has tables and nothing else.
fn is_list_of_tables(items: &DeArray<'_>) -> bool {
    !items.is_empty() && items.iter().all(|item| item.get_ref().is_table())
}

//! The files of the repository.

use std::fs;
use std::path::{Path, PathBuf};

/// A file that the rules look at.
pub(crate) struct SourceFile {
    /// Its path from the top, with `/`.
    pub(crate) path: String,
    /// What is in it.
    pub(crate) text: String,
}

/// The top of the repository.
pub(crate) fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// What is made by building, fuzzing and the like.
const MADE: [&str; 6] = ["target", ".git", "artifacts", "corpus", "seeds", "__pycache__"];

/// Every text file. Those that are not UTF-8 are no text.
pub(crate) fn all() -> Vec<SourceFile> {
    let mut found = Vec::new();
    collect(&top(), "", &mut found);
    assert!(found.len() > 100, "the repository is here");
    found
}

/// Every Rust file.
pub(crate) fn rust() -> impl Iterator<Item = SourceFile> {
    all().into_iter().filter(|file| file.path.ends_with(".rs"))
}

fn collect(directory: &Path, prefix: &str, found: &mut Vec<SourceFile>) {
    for entry in fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let path = format!("{prefix}{name}");
        if MADE.contains(&name.as_str()) {
            continue;
        }
        if entry.file_type().unwrap().is_dir() {
            collect(&entry.path(), &format!("{path}/"), found);
        } else if let Ok(text) = fs::read_to_string(entry.path()) {
            found.push(SourceFile { path, text });
        }
    }
}

/// Fails with every fault that a rule finds in some files.
pub(crate) fn assert_faultless(
    files: impl IntoIterator<Item = SourceFile>,
    rule: impl Fn(&str, &str) -> Vec<String>,
) {
    let faults: Vec<String> =
        files.into_iter().flat_map(|file| rule(&file.path, &file.text)).collect();
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

//! Reads a TOML document key by key and remembers what is wrong with it.
//!
//! Every value knows its place and its path, so an error points at the very value, and reading goes
//! on behind it: one run reports all the mistakes of a file. A table is read with the list of the
//! keys it may have; any other key is a mistake, never ignored.

use std::cell::RefCell;
use std::fmt;
use std::ops::{Range, RangeInclusive};
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{ConfigError, Place};

/// The text that is read, and what has been said about it.
#[derive(Debug)]
pub(super) struct Source<'a> {
    /// The file, as it was named to us.
    origin: &'a str,
    /// Its text.
    text: &'a str,
    /// What is wrong.
    errors: RefCell<Vec<ConfigError>>,
    /// What is worth a warning.
    warnings: RefCell<Vec<ConfigError>>,
    /// Other files that it names and that were read.
    files: RefCell<Vec<PathBuf>>,
}

impl<'a> Source<'a> {
    /// A text about which nothing has been said.
    pub(super) const fn new(origin: &'a str, text: &'a str) -> Self {
        Self {
            origin,
            text,
            errors: RefCell::new(Vec::new()),
            warnings: RefCell::new(Vec::new()),
            files: RefCell::new(Vec::new()),
        }
    }

    /// What the text is called: the name of its file.
    pub(super) const fn name(&self) -> &'a str {
        self.origin
    }

    /// The parsed document. Mistakes of syntax are reported, at most one a line: the parser trips
    /// over what follows the first.
    pub(super) fn parse(&self) -> Spanned<DeTable<'a>> {
        let (document, errors) = DeTable::parse_recoverable(self.text);
        let mut last_line = None;
        for error in errors {
            let span = error.span().unwrap_or(0..0);
            let place = Place::of(self.text, span.start);
            if last_line.replace(place.line) != Some(place.line) {
                self.refuse(Some(&span), "", error.message(), None);
            }
        }
        document
    }

    /// Notes a mistake.
    pub(super) fn refuse(
        &self,
        span: Option<&Range<usize>>,
        key: &str,
        message: impl Into<String>,
        hint: Option<String>,
    ) {
        self.errors.borrow_mut().push(self.report(span, key, message.into(), hint));
    }

    /// Notes something worth a warning.
    pub(super) fn warn(
        &self,
        span: Option<&Range<usize>>,
        key: &str,
        message: impl Into<String>,
        hint: Option<String>,
    ) {
        self.warnings.borrow_mut().push(self.report(span, key, message.into(), hint));
    }

    /// A report about a place of this text.
    fn report(
        &self,
        span: Option<&Range<usize>>,
        key: &str,
        message: String,
        hint: Option<String>,
    ) -> ConfigError {
        ConfigError {
            file: self.origin.to_owned(),
            place: span.map(|span| Place::of(self.text, span.start)),
            key: key.to_owned(),
            message,
            hint,
        }
    }

    /// Notes that another file is read because this text names it.
    pub(super) fn note_file(&self, path: &Path) {
        self.files.borrow_mut().push(path.to_owned());
    }

    /// The files that have been noted.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        self.files.borrow().clone()
    }

    /// Notes a mistake outside this text.
    pub(super) fn refuse_other(&self, error: ConfigError) {
        self.errors.borrow_mut().push(error);
    }

    /// Notes a warning about something outside this text.
    pub(super) fn warn_other(&self, warning: ConfigError) {
        self.warnings.borrow_mut().push(warning);
    }

    /// The file, as it was named to us.
    pub(super) const fn origin(&self) -> &'a str {
        self.origin
    }

    /// Whether no mistake has been noted.
    pub(super) fn is_clean(&self) -> bool {
        self.errors.borrow().is_empty()
    }

    /// The mistakes and the warnings.
    pub(super) fn into_reports(self) -> (Vec<ConfigError>, Vec<ConfigError>) {
        (self.errors.into_inner(), self.warnings.into_inner())
    }
}

/// A value of the document: what it is, where it is and how it is called.
#[derive(Clone, Debug)]
pub(super) struct Item<'a> {
    /// The text it is part of.
    source: &'a Source<'a>,
    /// The parsed value.
    value: &'a Spanned<DeValue<'a>>,
    /// Its path, as in `dns64.prefixes[1].suffix`.
    path: String,
}

impl<'a> Item<'a> {
    /// Notes that something is wrong with this value.
    pub(super) fn refuse(&self, message: impl fmt::Display) {
        self.source.refuse(Some(&self.value.span()), &self.path, message.to_string(), None);
    }

    /// Notes that something is wrong with this value, and what may be done.
    pub(super) fn refuse_with_hint(&self, message: impl fmt::Display, hint: impl Into<String>) {
        let hint = Some(hint.into());
        self.source.refuse(Some(&self.value.span()), &self.path, message.to_string(), hint);
    }

    /// Notes that this value names a file that is read.
    pub(super) fn note_file(&self, path: &Path) {
        self.source.note_file(path);
    }

    /// Notes something worth a warning about this value.
    pub(super) fn warn(&self, message: impl fmt::Display, hint: impl Into<String>) {
        let hint = Some(hint.into());
        self.source.warn(Some(&self.value.span()), &self.path, message.to_string(), hint);
    }

    /// Notes that the value has the wrong type.
    fn refuse_type<T>(&self, wanted: &str) -> Option<T> {
        let found = self.value.get_ref().type_str();
        self.refuse(format_args!("expected {wanted}, found {}", with_article(found)));
        None
    }

    /// The value as a string; any other type is a mistake.
    pub(super) fn string(&self) -> Option<&'a str> {
        self.value.get_ref().as_str().or_else(|| self.refuse_type("a string"))
    }

    /// The value as a string that can be read as something.
    pub(super) fn parse_with<T>(
        &self,
        read: impl FnOnce(&str) -> Result<T, super::values::Refusal>,
    ) -> Option<T> {
        match read(self.string()?) {
            Ok(value) => Some(value),
            Err(refusal) => {
                let (span, hint) = (self.value.span(), refusal.hint);
                self.source.refuse(Some(&span), &self.path, refusal.message, hint);
                None
            }
        }
    }

    /// The value as a boolean; any other type is a mistake.
    pub(super) fn boolean(&self) -> Option<bool> {
        self.value.get_ref().as_bool().or_else(|| self.refuse_type("true or false"))
    }

    /// The value as a whole number of this range; anything else is a mistake.
    pub(super) fn integer(&self, range: RangeInclusive<u32>) -> Option<u32> {
        let Some(integer) = self.value.get_ref().as_integer() else {
            return self.refuse_type("a whole number");
        };
        let number = i128::from_str_radix(integer.as_str(), integer.radix()).ok();
        let number = number.and_then(|number| u32::try_from(number).ok());
        let number = number.filter(|number| range.contains(number));
        if number.is_none() {
            let (least, most) = (range.start(), range.end());
            self.refuse(format_args!("{integer} is not in the range {least} to {most}"));
        }
        number
    }

    /// The value as one of these words.
    pub(super) fn word<T: Copy>(&self, words: &[(&str, T)]) -> Option<T> {
        let text = self.string()?;
        let found = words.iter().find(|(word, _)| *word == text);
        if found.is_none() {
            let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            let message = format!("\"{text}\" is not one of {}", quoted(&known));
            let hint = nearest(text, &known).map(|word| format!("did you mean \"{word}\"?"));
            self.source.refuse(Some(&self.value.span()), &self.path, message, hint);
        }
        found.map(|(_, value)| *value)
    }

    /// The values of an array; any other type is a mistake.
    pub(super) fn items(&self) -> Option<Vec<Item<'a>>> {
        let Some(array) = self.value.get_ref().as_array() else {
            return self.refuse_type("an array");
        };
        let item = |(index, value)| Item {
            source: self.source,
            value,
            path: format!("{}[{index}]", self.path),
        };
        Some(array.iter().enumerate().map(item).collect())
    }

    /// Whether the value is a table.
    pub(super) fn is_table(&self) -> bool {
        self.value.get_ref().is_table()
    }

    /// The value as a table with these keys; any other type, and any other key, is a mistake.
    pub(super) fn table(&self, known: &[&str]) -> Option<Table<'a>> {
        let Some(table) = self.value.get_ref().as_table() else {
            return self.refuse_type("a table");
        };
        let (span, path) = (self.value.span(), self.path.clone());
        Some(Table::new(self.source, table, span, path, known))
    }
}

/// A table of the document.
#[derive(Clone, Debug)]
pub(super) struct Table<'a> {
    /// The text it is part of.
    source: &'a Source<'a>,
    /// The parsed table.
    table: &'a DeTable<'a>,
    /// Where it is.
    span: Range<usize>,
    /// Its path; empty for the whole document.
    path: String,
}

impl<'a> Table<'a> {
    /// The whole document, with these keys.
    pub(super) fn document(
        source: &'a Source<'a>,
        document: &'a Spanned<DeTable<'a>>,
        known: &[&str],
    ) -> Self {
        Self::new(source, document.get_ref(), document.span(), String::new(), known)
    }

    /// A table, of which unknown keys are noted as mistakes.
    fn new(
        source: &'a Source<'a>,
        table: &'a DeTable<'a>,
        span: Range<usize>,
        path: String,
        known: &[&str],
    ) -> Self {
        let table = Self { source, table, span, path };
        for key in table.table.keys() {
            let name: &str = key.get_ref();
            if !known.contains(&name) {
                let hint = match nearest(name, known) {
                    Some(near) => format!("did you mean \"{near}\"?"),
                    None => format!("known here: {}", known.join(", ")),
                };
                source.refuse(Some(&key.span()), &table.path_of(name), "unknown key", Some(hint));
            }
        }
        table
    }

    /// The path of a key of this table.
    fn path_of(&self, key: &str) -> String {
        match self.path.as_str() {
            "" => key.to_owned(),
            path => format!("{path}.{key}"),
        }
    }

    /// The value of a key, if the table has it.
    pub(super) fn item(&self, key: &str) -> Option<Item<'a>> {
        let (_, value) = self.table.iter().find(|(name, _)| name.get_ref() == key)?;
        Some(Item { source: self.source, value, path: self.path_of(key) })
    }

    /// The value of a key that must be there.
    pub(super) fn required(&self, key: &str) -> Option<Item<'a>> {
        let item = self.item(key);
        if item.is_none() {
            self.source.refuse(Some(&self.span), &self.path_of(key), "this key is missing", None);
        }
        item
    }

    /// Sets a boolean from a key, if the table has it.
    pub(super) fn set_boolean(&self, key: &str, target: &mut bool) {
        if let Some(value) = self.item(key).and_then(|item| item.boolean()) {
            *target = value;
        }
    }

    /// Sets a number from a key, if the table has it.
    pub(super) fn set_integer(&self, key: &str, range: RangeInclusive<u32>, target: &mut u32) {
        if let Some(value) = self.item(key).and_then(|item| item.integer(range)) {
            *target = value;
        }
    }

    /// Sets one of several words from a key, if the table has it.
    pub(super) fn set_word<T: Copy>(&self, key: &str, words: &[(&str, T)], target: &mut T) {
        if let Some(value) = self.item(key).and_then(|item| item.word(words)) {
            *target = value;
        }
    }
}

// ---- Words for people

/// A type's name with its article.
fn with_article(noun: &str) -> String {
    let article = if noun.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
    format!("{article} {noun}")
}

/// Words in quotation marks, separated by commas.
fn quoted(words: &[&str]) -> String {
    words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(", ")
}

/// The word that is most like this one, if one is like it: a few letters differ, or it is the
/// beginning or the end of the word.
fn nearest<'w>(text: &str, words: &[&'w str]) -> Option<&'w str> {
    let text = text.to_ascii_lowercase().replace('-', "_");
    let part = |word: &str| text.len() >= 3 && (word.starts_with(&text) || word.ends_with(&text));
    let near = words.iter().map(|word| (distance(&text, word), *word));
    let near = near.filter(|(distance, word)| *distance <= 1 + word.len() / 4 || part(word));
    near.min_by_key(|(distance, _)| *distance).map(|(_, word)| word)
}

/// How many letters must be inserted, removed or replaced to make one word the other (Levenshtein).
fn distance(one: &str, other: &str) -> usize {
    // Row by row of the usual matrix: `row[i]` is the distance to the first `i` letters of `other`.
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (line, letter) in one.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = line + 1;
        for (column, other_letter) in other.iter().enumerate() {
            let replaced = diagonal + usize::from(letter != *other_letter);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_distance_counts_insertions_removals_and_replacements() {
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("abc", "abc"), 0);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("prefixs", "prefixes"), 1);
    }

    #[test]
    fn the_nearest_word_is_near() {
        let words = ["prefixes", "exclude_aaaa", "synth_all", "ptr"];
        assert_eq!(nearest("prefix", &words), Some("prefixes"));
        assert_eq!(nearest("synthall", &words), Some("synth_all"));
        assert_eq!(nearest("exclude-AAAA", &words), Some("exclude_aaaa"));
        assert_eq!(nearest("exclude", &words), Some("exclude_aaaa"));
        assert_eq!(nearest("colour", &words), None);
    }
}

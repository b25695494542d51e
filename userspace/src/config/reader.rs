//! Reads a TOML document key by key and remembers what is wrong with it.
//!
//! Every value knows its place and its path, so an error points at the very value, and reading goes
//! on behind it: one run reports all the mistakes of a file. A table is read with the list of the
//! keys it may have; any other key is a mistake, never ignored.
//!
//! A configuration may be several files. They are read as one document, in which each file has a
//! stretch of its own: by its offset a value knows which file it is from.

use std::cell::RefCell;
use std::fmt;
use std::mem;
use std::ops::{Range, RangeInclusive};
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{ConfigError, Place};
use super::include::join;
use super::notes::{Shape, note};

/// A file of a configuration.
#[derive(Debug)]
pub(super) struct SourceFile {
    /// What errors call it: its path, as it was named to us.
    name: String,
    /// What is in it.
    text: String,
    /// Where it begins in the document that all files are.
    start: usize,
}

impl SourceFile {
    /// A file that stands behind another one, or is the first.
    pub(super) fn new(name: &str, text: &str, before: Option<&Self>) -> Self {
        // An offset at the end of a file is still of this file.
        let start = before.map_or(0, |file| file.start + file.text.len() + 1);
        Self { name: name.to_owned(), text: text.to_owned(), start }
    }

    /// What errors call it.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// What is in it.
    pub(super) fn text(&self) -> &str {
        &self.text
    }
}

/// The files that are read, and what has been said about them.
#[derive(Debug)]
pub(super) struct Source<'a> {
    /// The files: never none. The first is the one that was named to us.
    files: &'a [SourceFile],
    /// What is wrong.
    errors: RefCell<Vec<ConfigError>>,
    /// What is worth a warning.
    warnings: RefCell<Vec<ConfigError>>,
    /// Files, and patterns of files, that values name.
    named_files: RefCell<Vec<PathBuf>>,
}

impl<'a> Source<'a> {
    /// Files about which nothing has been said.
    pub(super) const fn new(files: &'a [SourceFile]) -> Self {
        Self {
            files,
            errors: RefCell::new(Vec::new()),
            warnings: RefCell::new(Vec::new()),
            named_files: RefCell::new(Vec::new()),
        }
    }

    /// The parsed document, all files joined. Mistakes of syntax are reported, at most one a line:
    /// the parser trips over what follows the first.
    pub(super) fn parse(&self) -> Spanned<DeTable<'a>> {
        let mut parsed = self.files.iter().map(|file| self.parse_file(file)).collect::<Vec<_>>();
        let others = parsed.split_off(1);
        let mut document = parsed.pop().expect("there is a first file");
        if self.is_clean() {
            for other in others {
                join(self, "", document.get_mut(), other.into_inner());
            }
        }
        document
    }

    /// One file, with the places of its values in the document.
    fn parse_file(&self, file: &'a SourceFile) -> Spanned<DeTable<'a>> {
        let (parsed, errors) = DeTable::parse_recoverable(&file.text);
        let mut last_line = None;
        for error in errors {
            let span = moved(&error.span().unwrap_or(0..0), file.start);
            let place = self.place_of(span.start);
            if last_line.replace(place.1.line) != Some(place.1.line) {
                self.refuse(Some(&span), "", error.message(), None);
            }
        }
        let span = moved(&parsed.span(), file.start);
        let mut table = parsed.into_inner();
        move_table(&mut table, file.start);
        Spanned::new(span, table)
    }

    /// The file of an offset of the document, and the place in it.
    fn place_of(&self, offset: usize) -> (&'a SourceFile, Place) {
        let behind = self.files.partition_point(|file| file.start <= offset);
        let file = &self.files[behind.saturating_sub(1)];
        (file, Place::of(&file.text, offset - file.start))
    }

    /// The place of an offset of the document in words: file, line and column.
    pub(super) fn words_for(&self, offset: usize) -> String {
        let (file, place) = self.place_of(offset);
        format!("{}:{}:{}", file.name, place.line, place.column)
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

    /// A report about a place of the document.
    fn report(
        &self,
        span: Option<&Range<usize>>,
        key: &str,
        message: String,
        hint: Option<String>,
    ) -> ConfigError {
        let (file, place) = self.place_of(span.map_or(0, |span| span.start));
        ConfigError {
            file: file.name.clone(),
            place: span.map(|_| place),
            key: key.to_owned(),
            message,
            hint,
        }
    }

    /// The files, and patterns of files, that values name, as far as they have been read.
    pub(super) fn named_files(&self) -> Vec<PathBuf> {
        self.named_files.borrow().clone()
    }

    /// Notes a mistake outside this text.
    pub(super) fn refuse_other(&self, error: ConfigError) {
        self.errors.borrow_mut().push(error);
    }

    /// Notes a warning about something outside this text.
    pub(super) fn warn_other(&self, warning: ConfigError) {
        self.warnings.borrow_mut().push(warning);
    }

    /// Whether no mistake has been noted.
    pub(super) fn is_clean(&self) -> bool {
        self.errors.borrow().is_empty()
    }

    /// The mistakes, in the order of the files, and the warnings.
    pub(super) fn into_reports(self) -> (Vec<ConfigError>, Vec<ConfigError>) {
        let mut errors = self.errors.into_inner();
        let nth = |error: &ConfigError| self.files.iter().position(|file| file.name == error.file);
        // What is wrong elsewhere comes last.
        errors.sort_by_key(|error| nth(error).unwrap_or(usize::MAX));
        (errors, self.warnings.into_inner())
    }
}

/// A place in a file as one in the document.
const fn moved(span: &Range<usize>, start: usize) -> Range<usize> {
    span.start + start..span.end + start
}

/// Gives the keys and values of a table their places in the document.
fn move_table(table: &mut DeTable<'_>, start: usize) {
    // The first file has the places that it had.
    if start == 0 {
        return;
    }
    for (key, mut value) in mem::take(table) {
        move_value(&mut value, start);
        let span = moved(&key.span(), start);
        table.insert(Spanned::new(span, key.into_inner()), value);
    }
}

/// Gives a value its place in the document.
fn move_value(value: &mut Spanned<DeValue<'_>>, start: usize) {
    let span = moved(&value.span(), start);
    match value.get_mut() {
        DeValue::Table(table) => move_table(table, start),
        DeValue::Array(items) => items.iter_mut().for_each(|item| move_value(item, start)),
        DeValue::String(_)
        | DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_) => {}
    }
    let inner = mem::replace(value.get_mut(), DeValue::Boolean(false));
    *value = Spanned::new(span, inner);
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

    /// The path of a file that this value names: a relative one starts at the directory of the file
    /// that has the value.
    pub(super) fn beside(&self, path: &str) -> PathBuf {
        let (file, _) = self.source.place_of(self.value.span().start);
        let path = Path::new(&file.name).parent().unwrap_or_else(|| Path::new("")).join(path);
        self.source.named_files.borrow_mut().push(path.clone());
        path
    }

    /// The value as a string; any other type is a mistake.
    pub(super) fn string(&self) -> Option<&'a str> {
        note(&self.path, || Shape::String);
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
        note(&self.path, || Shape::Boolean);
        self.value.get_ref().as_bool().or_else(|| self.refuse_type("true or false"))
    }

    /// The value as a whole number of this range; anything else is a mistake.
    pub(super) fn integer(&self, range: RangeInclusive<u32>) -> Option<u32> {
        note(&self.path, || Shape::Integer(range.clone()));
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
        note(&self.path, || {
            Shape::Words(words.iter().map(|(word, _)| (*word).to_owned()).collect())
        });
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
        note(&self.path, || Shape::Array);
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

    /// The whole document, of which one key is wanted and the others do not matter.
    pub(super) fn unchecked(source: &'a Source<'a>, document: &'a Spanned<DeTable<'a>>) -> Self {
        Self { source, table: document.get_ref(), span: document.span(), path: String::new() }
    }

    /// A table, of which unknown keys are noted as mistakes.
    fn new(
        source: &'a Source<'a>,
        table: &'a DeTable<'a>,
        span: Range<usize>,
        path: String,
        known: &[&str],
    ) -> Self {
        note(&path, || Shape::Table(known.iter().map(|key| (*key).to_owned()).collect()));
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
        note(&self.path_of(key), || Shape::Required);
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

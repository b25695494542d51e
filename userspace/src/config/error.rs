//! What is wrong with a configuration, said so that it can be put right: the place, the key, the
//! mistake and, where there is one, the way out.

use std::fmt;

use serde_json::{Value, json};

/// A place in a text file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The line; the first is 1.
    pub line: usize,
    /// The column in characters; the first is 1.
    pub column: usize,
}

impl Place {
    /// The place of an octet of a text.
    #[must_use]
    pub fn of(text: &str, offset: usize) -> Self {
        let mut offset = offset.min(text.len());
        while !text.is_char_boundary(offset) {
            offset -= 1;
        }
        let before = &text[..offset];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Self {
            line: 1 + before.matches('\n').count(),
            column: 1 + before[line_start..].chars().count(),
        }
    }
}

/// One mistake, or one thing worth a warning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The file, as it was named to us.
    pub file: String,
    /// Where in the file; `None` where no line is to blame.
    pub place: Option<Place>,
    /// The key, as in `dns64.prefixes[1].suffix`; empty where no key is to blame.
    pub key: String,
    /// What is wrong.
    pub message: String,
    /// How to put it right.
    pub hint: Option<String>,
}

impl ConfigError {
    /// A mistake that no line is to blame for.
    #[must_use]
    pub fn of_file(file: &str, message: impl Into<String>, hint: Option<&str>) -> Self {
        Self {
            file: file.to_owned(),
            place: None,
            key: String::new(),
            message: message.into(),
            hint: hint.map(str::to_owned),
        }
    }

    /// The mistake for programs: always the same keys, null where there is nothing to say.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({
            "file": self.file,
            "line": self.place.map(|place| place.line),
            "column": self.place.map(|place| place.column),
            "key": self.key,
            "message": self.message,
            "hint": self.hint,
        })
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(place) = self.place {
            write!(f, ":{}:{}", place.line, place.column)?;
        }
        if !self.key.is_empty() {
            write!(f, ": {}", self.key)?;
        }
        write!(f, ": {}", self.message)?;
        if let Some(hint) = &self.hint {
            write!(f, "\n  hint: {hint}")?;
        }
        Ok(())
    }
}

/// Everything that is wrong with a configuration, file by file, in the order of each; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors {
    /// In the order of the files.
    errors: Vec<ConfigError>,
}

impl ConfigErrors {
    /// The errors in the order of each file, the files as they are first named.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    pub fn new(mut errors: Vec<ConfigError>) -> Self {
        assert!(!errors.is_empty(), "a refusal has a reason");
        let mut files: Vec<String> = Vec::new();
        for error in &errors {
            if !files.contains(&error.file) {
                files.push(error.file.clone());
            }
        }
        let nth = |error: &ConfigError| files.iter().position(|file| *file == error.file);
        errors.sort_by_key(|error| (nth(error), error.place));
        Self { errors }
    }

    /// The errors.
    #[must_use]
    pub fn errors(&self) -> &[ConfigError] {
        &self.errors
    }

    /// What `dns64d check --json` prints of a refused configuration.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let errors: Vec<Value> = self.errors.iter().map(ConfigError::to_json).collect();
        json!({ "ok": false, "errors": errors })
    }
}

impl From<ConfigError> for ConfigErrors {
    fn from(error: ConfigError) -> Self {
        Self::new(vec![error])
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.errors.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            error.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_counts_lines_and_characters_from_one() {
        let text = "a\n\u{e4}b\nc";
        assert_eq!(Place::of(text, 0), Place { line: 1, column: 1 });
        assert_eq!(Place::of(text, 1), Place { line: 1, column: 2 });
        // The letter before `b` has two octets and is one character.
        assert_eq!(Place::of(text, 4), Place { line: 2, column: 2 });
        assert_eq!(Place::of(text, 3), Place { line: 2, column: 1 });
        assert_eq!(Place::of(text, 99), Place { line: 3, column: 2 });
    }

    #[test]
    fn an_error_is_printed_with_place_key_and_hint() {
        let error = ConfigError {
            file: "dns64d.toml".to_owned(),
            place: Some(Place { line: 12, column: 3 }),
            key: "dns64.prefixes[0]".to_owned(),
            message: "no".to_owned(),
            hint: Some("yes".to_owned()),
        };
        assert_eq!(error.to_string(), "dns64d.toml:12:3: dns64.prefixes[0]: no\n  hint: yes");
        assert_eq!(
            ConfigErrors::from(error).to_json().to_string(),
            r#"{"errors":[{"column":3,"file":"dns64d.toml","hint":"yes","key":"dns64.prefixes[0]","line":12,"message":"no"}],"ok":false}"#
        );
    }
}

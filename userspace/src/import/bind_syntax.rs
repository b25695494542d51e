//! The grammar of named.conf: statements of words and blocks, three kinds of comments, includes.
#![forbid(unsafe_code)]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::files::{ImportError, NESTING_MAX, Place, Reading, directory_of};

/// A part of a statement.
#[derive(Clone, Debug)]
pub(super) enum Part {
    /// A word, quoted or not; `!` is a word of its own.
    Word(String, Place),
    /// What stands in braces.
    Block(Vec<Statement>),
}

/// Parts up to a semicolon.
#[derive(Clone, Debug)]
pub(super) struct Statement {
    pub(super) parts: Vec<Part>,
    pub(super) place: Place,
}

impl Statement {
    /// The words, without blocks.
    pub(super) fn words<'a>(&'a self) -> Vec<&'a str> {
        let word = |part: &'a Part| match part {
            Part::Word(word, _) => Some(word.as_str()),
            Part::Block(_) => None,
        };
        self.parts.iter().filter_map(word).collect()
    }

    /// A word by its number; 0 is the name.
    pub(super) fn word(&self, number: usize) -> &str {
        self.words().get(number).copied().unwrap_or_default()
    }

    /// The word behind another: `port 53`.
    pub(super) fn after(&self, word: &str) -> Option<&str> {
        let words = self.words();
        let at = words.iter().position(|each| each.eq_ignore_ascii_case(word))?;
        words.get(at + 1).copied()
    }

    /// The first block.
    pub(super) fn block(&self) -> Option<&[Statement]> {
        self.parts.iter().find_map(|part| match part {
            Part::Block(block) => Some(block.as_slice()),
            Part::Word(..) => None,
        })
    }
}

/// Reads a file and all that it includes.
///
/// # Errors
/// Syntax, and files that cannot be read.
pub(super) fn read(path: &Path, reading: &mut Reading<'_>) -> Result<Vec<Statement>, ImportError> {
    let mut directory = None;
    file(path, reading, None, &mut directory, 0)
}

fn file(
    path: &Path,
    reading: &mut Reading<'_>,
    from: Option<&Place>,
    directory: &mut Option<PathBuf>,
    depth: usize,
) -> Result<Vec<Statement>, ImportError> {
    let (name, text) = reading.open(path, from)?;
    let tokens = tokens(&name, &text)?;
    let mut parser = Parser { tokens: &tokens, at: 0, path, reading, directory };
    let statements = parser.statements(depth)?;
    if let Some((_, place)) = parser.peek() {
        return Err(ImportError::at(place, "this brace closes nothing"));
    }
    reading.close();
    Ok(statements)
}

#[derive(Debug, PartialEq)]
enum Token {
    Word(String),
    Open,
    Close,
    End,
}

/// The tokens of a text.
fn tokens(file: &Arc<str>, text: &str) -> Result<Vec<(Token, Place)>, ImportError> {
    let chars: Vec<char> = text.chars().collect();
    let mut tokens = Vec::new();
    let (mut at, mut line, mut line_at) = (0, 1, 0);
    while let Some(&c) = chars.get(at) {
        let place = Place { file: Arc::clone(file), line, column: at - line_at + 1 };
        let next = chars.get(at + 1).copied();
        match (c, next) {
            ('\n', _) => {
                line += 1;
                at += 1;
                line_at = at;
            }
            ('#', _) | ('/', Some('/')) => {
                while chars.get(at).is_some_and(|c| *c != '\n') {
                    at += 1;
                }
            }
            ('/', Some('*')) => {
                at += 2;
                loop {
                    match (chars.get(at), chars.get(at + 1)) {
                        (Some('*'), Some('/')) => break,
                        (Some('\n'), _) => {
                            line += 1;
                            line_at = at + 1;
                        }
                        (Some(_), _) => {}
                        (None, _) => {
                            return Err(ImportError::at(&place, "this comment is not closed"));
                        }
                    }
                    at += 1;
                }
                at += 2;
            }
            ('{', _) | ('}', _) | (';', _) => {
                let token = match c {
                    '{' => Token::Open,
                    '}' => Token::Close,
                    _ => Token::End,
                };
                tokens.push((token, place));
                at += 1;
            }
            ('!', _) => {
                tokens.push((Token::Word("!".to_owned()), place));
                at += 1;
            }
            ('"', _) => {
                let mut word = String::new();
                at += 1;
                loop {
                    match (chars.get(at), chars.get(at + 1)) {
                        (Some('"'), _) => break,
                        (Some('\\'), Some(escaped)) if *escaped != '\n' => {
                            word.push(*escaped);
                            at += 2;
                        }
                        (Some('\n') | None, _) => {
                            let message = "the quote is not closed in this line";
                            return Err(ImportError::at(&place, message));
                        }
                        (Some(c), _) => {
                            word.push(*c);
                            at += 1;
                        }
                    }
                }
                at += 1;
                tokens.push((Token::Word(word), place));
            }
            (c, _) if c.is_whitespace() || c == '\u{feff}' => at += 1,
            _ => {
                let mut word = String::new();
                while let Some(&c) = chars.get(at) {
                    let slash = c == '/' && matches!(chars.get(at + 1), Some('/' | '*'));
                    if c.is_whitespace() || matches!(c, '{' | '}' | ';' | '"' | '!') || slash {
                        break;
                    }
                    word.push(c);
                    at += 1;
                }
                tokens.push((Token::Word(word), place));
            }
        }
    }
    Ok(tokens)
}

struct Parser<'t, 'r, 'f> {
    tokens: &'t [(Token, Place)],
    at: usize,
    path: &'t Path,
    reading: &'r mut Reading<'f>,
    directory: &'r mut Option<PathBuf>,
}

impl Parser<'_, '_, '_> {
    fn peek(&self) -> Option<&(Token, Place)> {
        self.tokens.get(self.at)
    }

    /// Statements up to a closing brace or the end.
    fn statements(&mut self, depth: usize) -> Result<Vec<Statement>, ImportError> {
        let mut statements = Vec::new();
        while let Some((token, place)) = self.tokens.get(self.at) {
            match token {
                Token::Close => break,
                // An empty statement.
                Token::End => self.at += 1,
                Token::Word(_) | Token::Open => {
                    let statement = self.statement(place.clone(), depth)?;
                    if statement.word(0).eq_ignore_ascii_case("include") {
                        self.include(&statement, depth, &mut statements)?;
                        continue;
                    }
                    if statement.word(0).eq_ignore_ascii_case("directory") {
                        *self.directory = Some(statement.word(1).into());
                    }
                    statements.push(statement);
                }
            }
        }
        Ok(statements)
    }

    /// The statements of the files that an `include` names, in its place.
    fn include(
        &mut self,
        statement: &Statement,
        depth: usize,
        statements: &mut Vec<Statement>,
    ) -> Result<(), ImportError> {
        let name = statement.word(1);
        if name.is_empty() {
            return Err(ImportError::at(&statement.place, "include: names no file"));
        }
        let mut bases = vec![directory_of(self.path)];
        bases.extend(self.directory.clone());
        for path in self.reading.included(name, &bases, &statement.place)? {
            let from = Some(&statement.place);
            statements.extend(file(&path, self.reading, from, self.directory, depth)?);
        }
        Ok(())
    }

    /// One statement, its semicolon too.
    fn statement(&mut self, place: Place, depth: usize) -> Result<Statement, ImportError> {
        if depth >= NESTING_MAX {
            let message = format!("blocks lie in one another more than {NESTING_MAX} deep");
            return Err(ImportError::at(&place, message));
        }
        let mut parts = Vec::new();
        while let Some((token, here)) = self.tokens.get(self.at) {
            self.at += 1;
            match token {
                Token::Word(word) => parts.push(Part::Word(word.clone(), here.clone())),
                Token::End => return Ok(Statement { parts, place }),
                Token::Open => {
                    let block = self.statements(depth + 1)?;
                    if self.tokens.get(self.at).is_none() {
                        return Err(ImportError::at(here, "this brace is not closed"));
                    }
                    self.at += 1;
                    parts.push(Part::Block(block));
                }
                Token::Close => {
                    return Err(ImportError::at(here, "a semicolon is missing before this brace"));
                }
            }
        }
        Err(ImportError::at(&place, "this statement has no semicolon at its end"))
    }
}

//! As much of Lua as a declarative kresd.conf has: calls and assignments of constants, tables and
//! calls. Control structures and functions are recognised, to be skipped and reported.
#![forbid(unsafe_code)]
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "whatever is not one of the declarative forms is not read"
)]

use std::collections::HashMap;
use std::sync::Arc;

use super::files::{ImportError, NESTING_MAX, Place};

/// A value of an expression.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    /// `nil`, and whatever cannot be known.
    Unknown,
    /// `true` or `false`.
    Boolean(bool),
    /// A number.
    Number(f64),
    /// A string.
    Text(String),
    /// Items and keys, in their order.
    Table(Vec<(Option<String>, Value)>),
    /// `name.name(...)`.
    Call(Box<Call>),
    /// `name.name`, of which nothing else is known.
    Name(String),
}

/// A call: `policy.add(...)`; methods as `view:addr`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Call {
    pub(super) name: String,
    pub(super) arguments: Vec<Value>,
    pub(super) place: Place,
}

impl Value {
    /// The string, also of a number.
    pub(super) fn text(&self) -> Option<String> {
        match self {
            Self::Text(text) => Some(text.clone()),
            Self::Number(number) => Some(number.to_string()),
            Self::Unknown | Self::Boolean(_) | Self::Table(_) | Self::Call(_) | Self::Name(_) => {
                None
            }
        }
    }

    /// The items of a table without its keys; a single value is a list of itself.
    pub(super) fn items(&self) -> Vec<&Self> {
        match self {
            Self::Table(items) => {
                items.iter().filter(|(key, _)| key.is_none()).map(|(_, value)| value).collect()
            }
            Self::Unknown => Vec::new(),
            single => vec![single],
        }
    }

    /// The value of a key of a table.
    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Table(items) => {
                items.iter().find(|(name, _)| name.as_deref() == Some(key)).map(|(_, value)| value)
            }
            _ => None,
        }
    }

    /// The call that a value is.
    pub(super) fn call(&self) -> Option<&Call> {
        match self {
            Self::Call(call) => Some(call),
            _ => None,
        }
    }
}

/// What a statement is.
#[derive(Clone, Debug)]
pub(super) enum Statement {
    /// A call.
    Call(Call),
    /// `cache.size = 100 * MB`.
    Assign(String, Value, Place),
    /// Something that is not declarative.
    Other(String, Place),
}

/// Reads a text.
///
/// # Errors
/// Strings, comments and brackets that are not closed, and nesting without end.
pub(super) fn read(file: &Arc<str>, text: &str) -> Result<Vec<Statement>, ImportError> {
    let tokens = tokens(file, text)?;
    let end = Place::line(file, text.lines().count().max(1));
    let mut parser = Parser { tokens, at: 0, end, known: HashMap::new() };
    parser.statements()
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Name(String),
    Text(String),
    Number(f64),
    Symbol(char),
    /// `==`, `..` and the like: never in what is declarative.
    Operator,
}

/// The tokens of a text.
fn tokens(file: &Arc<str>, text: &str) -> Result<Vec<(Token, Place)>, ImportError> {
    let chars: Vec<char> = text.chars().collect();
    let mut tokens = Vec::new();
    let (mut at, mut line, mut line_at) = (0, 1, 0);
    while let Some(&c) = chars.get(at) {
        let place = Place { file: Arc::clone(file), line, column: at - line_at + 1 };
        let start = at;
        if c == '\n' {
            line += 1;
            line_at = at + 1;
            at += 1;
        } else if c.is_whitespace() || c == '\u{feff}' {
            at += 1;
        } else if c == '-' && chars.get(at + 1) == Some(&'-') {
            match long_bracket(&chars, at + 2) {
                Some(open) => {
                    at = long_end(&chars, open)
                        .ok_or_else(|| ImportError::at(&place, "this comment is not closed"))?
                        .1;
                }
                None => {
                    while chars.get(at).is_some_and(|c| *c != '\n') {
                        at += 1;
                    }
                }
            }
        } else if let Some(open) = long_bracket(&chars, at) {
            let (content, after) = long_end(&chars, open)
                .ok_or_else(|| ImportError::at(&place, "this string is not closed"))?;
            tokens.push((Token::Text(content), place));
            at = after;
        } else if c == '"' || c == '\'' {
            let (content, after) = quoted(&chars, at)
                .ok_or_else(|| ImportError::at(&place, "this string is not closed in its line"))?;
            tokens.push((Token::Text(content), place));
            at = after;
        } else if c.is_ascii_digit() {
            while chars.get(at).is_some_and(|c| c.is_ascii_alphanumeric() || *c == '.') {
                at += 1;
            }
            let word: String = chars.get(start..at).unwrap_or_default().iter().collect();
            let number = match word.strip_prefix("0x") {
                Some(hex) => u32::from_str_radix(hex, 16).map(f64::from).ok(),
                None => word.parse().ok(),
            };
            tokens.push((number.map_or(Token::Operator, Token::Number), place));
        } else if c.is_alphabetic() || c == '_' {
            while chars.get(at).is_some_and(|c| c.is_alphanumeric() || *c == '_') {
                at += 1;
            }
            let word = chars.get(start..at).unwrap_or_default().iter().collect();
            tokens.push((Token::Name(word), place));
        } else {
            let next = chars.get(at + 1).copied();
            let operator = matches!(
                (c, next),
                ('=' | '~' | '<' | '>', Some('=')) | ('.', Some('.')) | (':', Some(':'))
            );
            tokens.push((if operator { Token::Operator } else { Token::Symbol(c) }, place));
            at += if operator { 2 } else { 1 };
        }
        // Long strings and comments have lines of their own.
        for passed in chars.get(start..at).unwrap_or_default().iter().enumerate() {
            if *passed.1 == '\n' && c != '\n' {
                line += 1;
                line_at = start + passed.0 + 1;
            }
        }
    }
    Ok(tokens)
}

/// Where the content of `[[` or `[==[` begins, and its level.
fn long_bracket(chars: &[char], at: usize) -> Option<(usize, usize)> {
    if chars.get(at) != Some(&'[') {
        return None;
    }
    let level = chars.iter().skip(at + 1).take_while(|c| **c == '=').count();
    (chars.get(at + 1 + level) == Some(&'[')).then_some((at + level + 2, level))
}

/// The content of a long string, and what comes after it.
fn long_end(chars: &[char], (begin, level): (usize, usize)) -> Option<(String, usize)> {
    let mut at = begin;
    while at < chars.len() {
        let closes = chars.get(at) == Some(&']')
            && chars.iter().skip(at + 1).take_while(|c| **c == '=').count() == level
            && chars.get(at + 1 + level) == Some(&']');
        if closes {
            let content = chars.get(begin..at)?.iter().collect();
            return Some((content, at + level + 2));
        }
        at += 1;
    }
    None
}

/// The content of a string in quotes, and what comes after it.
fn quoted(chars: &[char], start: usize) -> Option<(String, usize)> {
    let quote = *chars.get(start)?;
    let (mut at, mut content) = (start + 1, String::new());
    loop {
        match *chars.get(at)? {
            '\n' => return None,
            '\\' => {
                let (escaped, after) = escape(chars, at + 1)?;
                content.push(escaped);
                at = after;
            }
            c if c == quote => return Some((content, at + 1)),
            c => {
                content.push(c);
                at += 1;
            }
        }
    }
}

/// What stands behind a backslash: a letter, or up to three digits, as in names on the wire.
fn escape(chars: &[char], at: usize) -> Option<(char, usize)> {
    let digits: String = chars.iter().skip(at).take(3).take_while(|c| c.is_ascii_digit()).collect();
    if !digits.is_empty() {
        let octet: u8 = digits.parse().ok()?;
        return Some((char::from(octet), at + digits.len()));
    }
    let escaped = match *chars.get(at)? {
        'n' => '\n',
        't' => '\t',
        'r' => '\r',
        other => other,
    };
    Some((escaped, at + 1))
}

struct Parser {
    tokens: Vec<(Token, Place)>,
    at: usize,
    end: Place,
    known: HashMap<String, Value>,
}

/// Words that begin what is skipped.
const CONTROL: [&str; 8] = ["if", "for", "while", "repeat", "function", "do", "return", "goto"];

impl Parser {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at).map(|(token, _)| token)
    }

    fn place(&self) -> Place {
        self.tokens.get(self.at).map_or_else(|| self.end.clone(), |(_, place)| place.clone())
    }

    fn is_symbol(&self, symbol: char) -> bool {
        self.peek() == Some(&Token::Symbol(symbol))
    }

    fn take_symbol(&mut self, symbol: char) -> bool {
        let is = self.is_symbol(symbol);
        self.at += usize::from(is);
        is
    }

    fn take_name(&mut self) -> Option<String> {
        match self.peek() {
            Some(Token::Name(name)) => {
                let name = name.clone();
                self.at += 1;
                Some(name)
            }
            _ => None,
        }
    }

    fn statements(&mut self) -> Result<Vec<Statement>, ImportError> {
        let mut statements = Vec::new();
        while let Some(token) = self.peek().cloned() {
            let place = self.place();
            if self.take_symbol(';') {
                continue;
            }
            let before = self.at;
            if let Some(statement) = self.statement(&token, &place)? {
                statements.push(statement);
                continue;
            }
            self.at = before;
            let word = self.skip();
            statements.push(Statement::Other(word, place));
        }
        Ok(statements)
    }

    /// A statement that is declarative; `None` for any other.
    fn statement(
        &mut self,
        token: &Token,
        place: &Place,
    ) -> Result<Option<Statement>, ImportError> {
        let Token::Name(first) = token else { return Ok(None) };
        let local = first == "local";
        if CONTROL.contains(&first.as_str()) {
            return Ok(None);
        }
        self.at += usize::from(local);
        if local && self.peek() == Some(&Token::Name("function".to_owned())) {
            return Ok(None);
        }
        let Some(name) = self.path() else { return Ok(None) };
        if self.take_symbol('=') {
            let Some(value) = self.expression(0)? else { return Ok(None) };
            self.known.insert(name.clone(), value.clone());
            return Ok(Some(Statement::Assign(name, value, place.clone())));
        }
        let Some(arguments) = self.arguments(0)? else { return Ok(None) };
        // `a(...).b(...)`, `a(...) + 1`: not declarative.
        if matches!(self.peek(), Some(Token::Symbol('.' | ':' | '[' | ',' | '+' | '('))) {
            return Ok(None);
        }
        Ok(Some(Statement::Call(Call { name, arguments, place: place.clone() })))
    }

    /// `name.name:name`.
    fn path(&mut self) -> Option<String> {
        let mut path = self.take_name()?;
        loop {
            let dot = match self.peek() {
                Some(Token::Symbol(dot @ ('.' | ':'))) => *dot,
                _ => return Some(path),
            };
            self.at += 1;
            path.push(dot);
            path.push_str(&self.take_name()?);
        }
    }

    /// What stands behind the name of a function.
    fn arguments(&mut self, depth: usize) -> Result<Option<Vec<Value>>, ImportError> {
        match self.peek() {
            Some(Token::Text(text)) => {
                let text = Value::Text(text.clone());
                self.at += 1;
                Ok(Some(vec![text]))
            }
            Some(Token::Symbol('{')) => Ok(self.expression(depth)?.map(|table| vec![table])),
            Some(Token::Symbol('(')) => {
                let place = self.place();
                self.at += 1;
                let mut arguments = Vec::new();
                while !self.take_symbol(')') {
                    if self.peek().is_none() {
                        return Err(ImportError::at(&place, "this bracket is not closed"));
                    }
                    let Some(argument) = self.expression(depth + 1)? else { return Ok(None) };
                    arguments.push(argument);
                    if !self.take_symbol(',') && !self.is_symbol(')') {
                        if self.peek().is_none() {
                            return Err(ImportError::at(&place, "this bracket is not closed"));
                        }
                        return Ok(None);
                    }
                }
                Ok(Some(arguments))
            }
            _ => Ok(None),
        }
    }

    /// An expression; `None` if it is not declarative.
    fn expression(&mut self, depth: usize) -> Result<Option<Value>, ImportError> {
        if depth >= NESTING_MAX {
            let message = format!("expressions lie in one another more than {NESTING_MAX} deep");
            return Err(ImportError::at(&self.place(), message));
        }
        let Some(mut left) = self.primary(depth)? else { return Ok(None) };
        loop {
            let operator = match self.peek() {
                Some(Token::Symbol(symbol @ ('*' | '/' | '+' | '-'))) => *symbol,
                Some(Token::Operator) => return Ok(None),
                _ => return Ok(Some(left)),
            };
            self.at += 1;
            let Some(right) = self.primary(depth)? else { return Ok(None) };
            left = match (operator, left, right) {
                ('*', Value::Number(a), Value::Number(b)) => Value::Number(a * b),
                ('/', Value::Number(a), Value::Number(b)) => Value::Number(a / b),
                ('+', Value::Number(a), Value::Number(b)) => Value::Number(a + b),
                ('-', Value::Number(a), Value::Number(b)) => Value::Number(a - b),
                (_, _, _) => Value::Unknown,
            };
        }
    }

    fn primary(&mut self, depth: usize) -> Result<Option<Value>, ImportError> {
        let place = self.place();
        match self.peek().cloned() {
            Some(Token::Text(text)) => {
                self.at += 1;
                Ok(Some(Value::Text(text)))
            }
            Some(Token::Number(number)) => {
                self.at += 1;
                Ok(Some(Value::Number(number)))
            }
            Some(Token::Symbol('-')) => {
                self.at += 1;
                let value = match depth + 1 < NESTING_MAX {
                    true => self.primary(depth + 1)?,
                    false => None,
                };
                Ok(value.map(|value| match value {
                    Value::Number(number) => Value::Number(-number),
                    _ => Value::Unknown,
                }))
            }
            Some(Token::Symbol('(')) => {
                self.at += 1;
                let value = self.expression(depth + 1)?;
                Ok(value.filter(|_| self.take_symbol(')')))
            }
            Some(Token::Symbol('{')) => self.table(depth, &place),
            Some(Token::Name(name)) => match name.as_str() {
                "true" | "false" => {
                    self.at += 1;
                    Ok(Some(Value::Boolean(name == "true")))
                }
                "nil" => {
                    self.at += 1;
                    Ok(Some(Value::Unknown))
                }
                "function" | "not" | "and" | "or" => Ok(None),
                _ => self.named(depth, place),
            },
            Some(Token::Symbol(_) | Token::Operator) | None => Ok(None),
        }
    }

    /// A name, a constant of kresd, a variable, or a call.
    fn named(&mut self, depth: usize, place: Place) -> Result<Option<Value>, ImportError> {
        let Some(name) = self.path() else { return Ok(None) };
        if matches!(self.peek(), Some(Token::Text(_) | Token::Symbol('(' | '{'))) {
            let arguments = self.arguments(depth)?;
            let call = |arguments| Value::Call(Box::new(Call { name, arguments, place }));
            return Ok(arguments.map(call));
        }
        Ok(Some(match name.as_str() {
            "kB" | "KB" => Value::Number(1024.0),
            "MB" => Value::Number(1_048_576.0),
            "GB" => Value::Number(1_073_741_824.0),
            "sec" | "second" => Value::Number(1_000.0),
            "minute" => Value::Number(60_000.0),
            "hour" => Value::Number(3_600_000.0),
            "day" => Value::Number(86_400_000.0),
            _ => self.known.get(&name).cloned().unwrap_or(Value::Name(name)),
        }))
    }

    /// `{ 'a', b = 'c', ['d'] = 'e' }`.
    fn table(&mut self, depth: usize, place: &Place) -> Result<Option<Value>, ImportError> {
        self.at += 1;
        let mut items = Vec::new();
        while !self.take_symbol('}') {
            if self.peek().is_none() {
                return Err(ImportError::at(place, "this brace is not closed"));
            }
            let before = self.at;
            let key = if self.take_symbol('[') {
                let Some(key) = self.expression(depth + 1)? else { return Ok(None) };
                if !self.take_symbol(']') || !self.take_symbol('=') {
                    return Ok(None);
                }
                key.text()
            } else {
                match self.take_name().filter(|_| self.take_symbol('=')) {
                    Some(name) => Some(name),
                    None => {
                        self.at = before;
                        None
                    }
                }
            };
            let Some(value) = self.expression(depth + 1)? else { return Ok(None) };
            items.push((key, value));
            let _separator = self.take_symbol(',') || self.take_symbol(';');
        }
        Ok(Some(Value::Table(items)))
    }

    /// Skips a statement that is not declarative: to the `end` of its blocks, or to the end of its
    /// line. Returns its first word.
    fn skip(&mut self) -> String {
        let first = match self.peek() {
            Some(Token::Name(name)) => name.clone(),
            _ => String::new(),
        };
        let line = self.place().line;
        let (mut blocks, mut brackets) = (0usize, 0usize);
        while let Some(token) = self.peek().cloned() {
            let place_line = self.place().line;
            if blocks == 0 && brackets == 0 && place_line > line {
                break;
            }
            match token {
                Token::Name(name) => match name.as_str() {
                    // `for` and `while` have a `do`.
                    "function" | "if" | "do" | "repeat" => blocks += 1,
                    "end" | "until" => blocks = blocks.saturating_sub(1),
                    _ => {}
                },
                Token::Symbol('(' | '{' | '[') => brackets += 1,
                Token::Symbol(')' | '}' | ']') => brackets = brackets.saturating_sub(1),
                Token::Text(_) | Token::Number(_) | Token::Symbol(_) | Token::Operator => {}
            }
            self.at += 1;
        }
        first
    }
}

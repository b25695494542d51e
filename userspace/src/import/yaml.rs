//! YAML as a tree with places, for the two peers that use it. Aliases and documents behind
//! the first
//! are refused: neither peer has them.
#![forbid(unsafe_code)]

use std::sync::Arc;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError};

use super::files::{ImportError, NESTING_MAX, Place};

/// A node and where it begins.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) data: Data,
    pub(super) place: Place,
}

/// What a node is.
#[derive(Clone, Debug)]
pub(super) enum Data {
    /// `~`, `null`, or nothing.
    Null,
    /// A word; what type it has its reader knows.
    Scalar(String),
    /// A list.
    List(Vec<Node>),
    /// Keys, with their places, and values.
    Map(Vec<(String, Place, Node)>),
}

impl Node {
    /// The word that a node is.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.data {
            Data::Scalar(text) => Some(text),
            Data::Null | Data::List(_) | Data::Map(_) => None,
        }
    }

    /// The keys of a map; none of anything else.
    pub(super) fn map(&self) -> &[(String, Place, Node)] {
        match &self.data {
            Data::Map(map) => map,
            Data::Null | Data::Scalar(_) | Data::List(_) => &[],
        }
    }

    /// The value of a key.
    pub(super) fn get(&self, key: &str) -> Option<&Node> {
        self.map().iter().find(|(name, ..)| name == key).map(|(_, _, value)| value)
    }

    /// The items of a list; a single word or map is a list of itself, null one of nothing.
    pub(super) fn items(&self) -> Vec<&Node> {
        match &self.data {
            Data::Null => Vec::new(),
            Data::Scalar(_) | Data::Map(_) => vec![self],
            Data::List(items) => items.iter().collect(),
        }
    }
}

/// Reads a document. An empty one is null.
///
/// # Errors
/// Syntax, with its place.
pub(super) fn read(file: &Arc<str>, text: &str) -> Result<Node, ImportError> {
    let mut reader = Reader { file, events: Parser::new_from_str(text), seen: 0 };
    let mut root = None;
    loop {
        let (event, place) = reader.next()?;
        match event {
            Event::StreamEnd => break,
            Event::Nothing | Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd => {}
            Event::Alias(_)
            | Event::Scalar(..)
            | Event::SequenceStart(..)
            | Event::SequenceEnd
            | Event::MappingStart(..)
            | Event::MappingEnd => {
                if root.is_some() {
                    return Err(ImportError::at(&place, "there is a second document"));
                }
                root = Some(reader.node(event, place, 0)?);
            }
        }
    }
    let empty = || Node { data: Data::Null, place: Place::line(file, 1) };
    Ok(root.unwrap_or_else(empty))
}

/// Most events of a document.
const EVENTS_MAX: usize = 1_000_000;

struct Reader<'t, P> {
    file: &'t Arc<str>,
    events: P,
    seen: usize,
}

impl<'t, P> Reader<'t, P>
where
    P: Iterator<Item = Result<(Event<'t>, saphyr_parser::Span), ScanError>>,
{
    fn place(&self, marker: &saphyr_parser::Marker) -> Place {
        let (line, column) = (marker.line().max(1), marker.col() + 1);
        Place { file: Arc::clone(self.file), line, column }
    }

    fn next(&mut self) -> Result<(Event<'t>, Place), ImportError> {
        self.seen += 1;
        match self.events.next() {
            Some(Ok((event, span))) => {
                let place = self.place(&span.start);
                if self.seen > EVENTS_MAX {
                    return Err(ImportError::at(&place, "there are too many nodes"));
                }
                Ok((event, place))
            }
            Some(Err(error)) => {
                let place = self.place(error.marker());
                Err(ImportError::at(&place, format!("no YAML: {}", error.info())))
            }
            None => Ok((Event::StreamEnd, Place::line(self.file, 1))),
        }
    }

    /// The node that begins with an event.
    fn node(&mut self, event: Event<'t>, place: Place, depth: usize) -> Result<Node, ImportError> {
        if depth >= NESTING_MAX {
            let message = format!("nodes lie in one another more than {NESTING_MAX} deep");
            return Err(ImportError::at(&place, message));
        }
        let data = match event {
            Event::Scalar(text, style, ..) => {
                let is_null = matches!(&*text, "" | "~" | "null" | "Null" | "NULL");
                if is_null && style == ScalarStyle::Plain {
                    Data::Null
                } else {
                    Data::Scalar(text.into_owned())
                }
            }
            Event::SequenceStart(..) => {
                let mut items = Vec::new();
                loop {
                    let (event, place) = self.next()?;
                    if matches!(event, Event::SequenceEnd | Event::StreamEnd) {
                        break Data::List(items);
                    }
                    items.push(self.node(event, place, depth + 1)?);
                }
            }
            Event::MappingStart(..) => {
                let mut map: Vec<(String, Place, Node)> = Vec::new();
                loop {
                    let (event, place) = self.next()?;
                    if matches!(event, Event::MappingEnd | Event::StreamEnd) {
                        break Data::Map(map);
                    }
                    let Event::Scalar(key, ..) = event else {
                        return Err(ImportError::at(&place, "a key is a word"));
                    };
                    if map.iter().any(|(name, ..)| *name == key) {
                        return Err(ImportError::at(&place, format!("{key} is there already")));
                    }
                    let (event, begin) = self.next()?;
                    let value = self.node(event, begin, depth + 1)?;
                    map.push((key.into_owned(), place, value));
                }
            }
            Event::Alias(_) => return Err(ImportError::at(&place, "aliases are not read")),
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd
            | Event::SequenceEnd
            | Event::MappingEnd => return Err(ImportError::at(&place, "a value is missing")),
        };
        Ok(Node { data, place })
    }
}

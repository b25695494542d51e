//! YAML as the values of JSON, every scalar as text; enough to check a manifest by.

use saphyr_parser::{Event, Parser, ScanError, Span};
use serde_json::{Map, Value};

/// The documents of a text.
///
/// # Panics
/// If it is no YAML, or has an alias, a key that is no word, or a key twice.
pub(crate) fn documents(text: &str) -> Vec<Value> {
    let mut events = Parser::new_from_str(text);
    let mut found = Vec::new();
    loop {
        match next(&mut events) {
            Event::StreamEnd => return found,
            Event::Nothing | Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd => {}
            event @ (Event::Alias(_)
            | Event::Scalar(..)
            | Event::SequenceStart(..)
            | Event::SequenceEnd
            | Event::MappingStart(..)
            | Event::MappingEnd) => found.push(value(event, &mut events)),
        }
    }
}

/// The next event.
fn next<'t>(events: &mut impl Iterator<Item = Result<(Event<'t>, Span), ScanError>>) -> Event<'t> {
    let (event, _) = events.next().expect("the document ends").expect("this is YAML");
    event
}

/// The value that begins with an event.
fn value<'t>(
    event: Event<'t>,
    events: &mut impl Iterator<Item = Result<(Event<'t>, Span), ScanError>>,
) -> Value {
    match event {
        Event::Scalar(text, ..) => Value::String(text.into_owned()),
        Event::SequenceStart(..) => {
            let mut items = Vec::new();
            loop {
                let event = next(events);
                if matches!(event, Event::SequenceEnd) {
                    return Value::Array(items);
                }
                items.push(value(event, events));
            }
        }
        Event::MappingStart(..) => {
            let mut map = Map::new();
            loop {
                let event = next(events);
                if matches!(event, Event::MappingEnd) {
                    return Value::Object(map);
                }
                let key = value(event, events);
                let key = key.as_str().expect("a key is a word").to_owned();
                let first = next(events);
                let there = map.insert(key.clone(), value(first, events));
                assert_eq!(there, None, "{key} is there twice");
            }
        }
        Event::Nothing
        | Event::StreamStart
        | Event::StreamEnd
        | Event::DocumentStart(_)
        | Event::DocumentEnd
        | Event::Alias(_)
        | Event::SequenceEnd
        | Event::MappingEnd => panic!("a value is missing, or is an alias"),
    }
}

#[test]
fn two_documents_are_two_values() {
    let read = documents("a: { b: [1, \"x\"] }\n---\nc: |\n  d\n  e\n");
    let expected = serde_json::json!([{ "a": { "b": ["1", "x"] } }, { "c": "d\ne\n" }]);
    assert_eq!(Value::Array(read), expected);
}

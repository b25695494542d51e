//! As much of Markdown as the tests need: fenced blocks, headings, links, tables.

/// A fenced block.
#[derive(Debug)]
pub(crate) struct Block {
    /// The word behind the opening fence; empty if there is none.
    pub(crate) language: String,
    /// What stands between the fences.
    pub(crate) text: String,
}

/// The fenced blocks of a document, and the lines outside of them.
pub(crate) fn split(document: &str) -> (Vec<Block>, Vec<&str>) {
    let mut blocks = Vec::new();
    let mut prose = Vec::new();
    let mut open: Option<Block> = None;
    for line in document.lines() {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(language)) => {
                open = Some(Block { language: language.to_owned(), text: String::new() });
            }
            (None, None) => prose.push(line),
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some(block), None) => {
                block.text.push_str(line);
                block.text.push('\n');
            }
        }
    }
    assert!(open.is_none(), "a fenced block is not closed");
    (blocks, prose)
}

/// The blocks of one language.
pub(crate) fn blocks(document: &str, language: &str) -> Vec<String> {
    let (blocks, _) = split(document);
    blocks.into_iter().filter(|block| block.language == language).map(|block| block.text).collect()
}

/// What links lead to, images and code spans left out.
pub(crate) fn link_targets(document: &str) -> Vec<String> {
    let (_, prose) = split(document);
    let prose = without_code_spans(&prose.join("\n"));
    let ends = prose.match_indices("](");
    ends.filter_map(|(at, _)| prose[at + 2..].split_once(')'))
        .map(|(target, _)| target.to_owned())
        .collect()
}

/// The anchors that headings have, as GitHub makes them.
pub(crate) fn anchors(document: &str) -> Vec<String> {
    let (_, prose) = split(document);
    let headings = prose.into_iter().filter(|line| line.starts_with('#'));
    headings
        .map(|line| {
            let words = line.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
            words
                .chars()
                .filter(|letter| letter.is_alphanumeric() || "-_".contains(*letter))
                .collect()
        })
        .collect()
}

/// The lines below a heading, up to the next heading of the same level.
pub(crate) fn section<'d>(document: &'d str, heading: &str) -> Vec<&'d str> {
    let level = heading.split(' ').next().unwrap_or_default();
    let below = document.lines().skip_while(|line| *line != heading).skip(1);
    let lines: Vec<&str> =
        below.take_while(|line| !line.starts_with(&format!("{level} "))).collect();
    assert!(!lines.is_empty(), "no section {heading}");
    lines
}

/// The words in code spans of a line.
pub(crate) fn code_spans(line: &str) -> Vec<&str> {
    line.split('`').skip(1).step_by(2).collect()
}

fn without_code_spans(text: &str) -> String {
    text.split('`').step_by(2).collect()
}

#[test]
fn blocks_and_prose_are_told_apart() {
    let (blocks, prose) = split("a\n```toml\nb = 1\n```\nc\n");
    assert_eq!(prose, ["a", "c"]);
    assert_eq!((blocks[0].language.as_str(), blocks[0].text.as_str()), ("toml", "b = 1\n"));
}

#[test]
fn links_in_code_are_no_links() {
    assert_eq!(link_targets("[a](b.md) `[c](d)` [e](#f)"), ["b.md", "#f"]);
}

#[test]
fn a_heading_has_the_anchor_that_github_gives_it() {
    assert_eq!(anchors("## What is `it`, then?"), ["what-is-it-then"]);
}

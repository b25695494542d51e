//! The summary: a Markdown table of categories and subjects, `passed/expressible` in each cell.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::Result;

/// Cell of a category that a subject cannot express at all.
const NOTHING: &str = "–";

/// Passed and expressible cases of one subject by category.
#[derive(Debug, Clone, Default)]
pub struct Score(BTreeMap<String, (usize, usize)>);

impl Score {
    /// Notes that a category exists, so that it has a row even if nothing of it can be expressed.
    pub fn category(&mut self, category: &str) {
        self.0.entry(category.to_owned()).or_default();
    }

    /// Notes how a case ended.
    pub fn case(&mut self, category: &str, passed: bool) {
        let (passes, expressible) = self.0.entry(category.to_owned()).or_default();
        *passes += usize::from(passed);
        *expressible += 1;
    }

    fn cells(&self) -> BTreeMap<String, String> {
        let mut total = (0, 0);
        let mut cells = BTreeMap::new();
        for (category, &(passes, expressible)) in &self.0 {
            total = (total.0 + passes, total.1 + expressible);
            cells.insert(category.clone(), cell(passes, expressible));
        }
        cells.insert(TOTAL.to_owned(), cell(total.0, total.1));
        cells
    }
}

/// Name of the last row.
const TOTAL: &str = "all";

fn cell(passes: usize, expressible: usize) -> String {
    if expressible == 0 { NOTHING.to_owned() } else { format!("{passes}/{expressible}") }
}

/// Columns by subject, each with cells by category.
type Columns = Vec<(String, BTreeMap<String, String>)>;

/// Writes the column of a subject into the table in `file`; columns of other subjects stay.
///
/// # Errors
///
/// The file cannot be read or written.
pub fn update(file: &Path, subject: &str, score: &Score) -> Result<()> {
    let mut columns = match fs::read_to_string(file) {
        Ok(text) => parse(&text),
        Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error.into()),
    };
    match columns.iter_mut().find(|(name, _)| name == subject) {
        Some((_, cells)) => *cells = score.cells(),
        None => columns.push((subject.to_owned(), score.cells())),
    }
    Ok(fs::write(file, render(&columns))?)
}

/// The cells between the bars of a line.
fn cells_of(line: &str) -> impl Iterator<Item = &str> {
    line.trim().trim_matches('|').split('|').map(str::trim)
}

fn parse(text: &str) -> Columns {
    let mut lines = text.lines().filter(|line| line.starts_with('|'));
    let mut columns: Columns = lines
        .next()
        .map(|header| cells_of(header).skip(1).map(|name| (name.to_owned(), BTreeMap::new())))
        .into_iter()
        .flatten()
        .collect();
    for line in lines.skip(1) {
        let mut cells = cells_of(line);
        let Some(category) = cells.next() else { continue };
        for ((_, column), cell) in columns.iter_mut().zip(cells) {
            column.insert(category.to_owned(), cell.to_owned());
        }
    }
    columns
}

fn render(columns: &Columns) -> String {
    let mut categories: Vec<&String> = columns.iter().flat_map(|(_, cells)| cells.keys()).collect();
    // The sum comes last.
    categories.sort_by_key(|category| (category.as_str() == TOTAL, category.as_str()));
    categories.dedup();
    let mut text = String::from("| category |");
    for (subject, _) in columns {
        text.push_str(&format!(" {subject} |"));
    }
    text.push_str("\n|---|");
    text.push_str(&"---|".repeat(columns.len()));
    for category in categories {
        text.push_str(&format!("\n| {category} |"));
        for (_, cells) in columns {
            text.push_str(&format!(" {} |", cells.get(category).map_or(NOTHING, String::as_str)));
        }
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_subject_becomes_a_second_column() {
        let mut score = Score::default();
        score.case("ttl", true);
        score.case("ttl", false);
        score.category("ptr");
        let mut columns = vec![("a".to_owned(), score.cells())];
        columns = parse(&render(&columns));
        columns.push(("b".to_owned(), Score::default().cells()));
        assert_eq!(
            render(&columns),
            "| category | a | b |\n|---|---|---|\n| ptr | – | – |\n| ttl | 1/2 | – |\n| all | 1/2 | – |\n"
        );
    }
}

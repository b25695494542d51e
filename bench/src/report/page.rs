//! What a report shows, before it is HTML: sections of facts, tables and charts. Each chart's table
//! is made of the same numbers.
#![forbid(unsafe_code)]

use serde::Serialize;

/// What is written for a number that is not there.
pub const NOTHING: &str = "–";

/// A whole report.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// In the order in which they are read.
    pub sections: Vec<Section>,
}

impl Page {
    /// Appends sections.
    pub fn add(&mut self, sections: impl IntoIterator<Item = Section>) {
        self.sections.extend(sections);
    }

    /// All charts.
    pub fn charts(&self) -> impl Iterator<Item = &Chart> {
        self.sections.iter().flat_map(|section| &section.blocks).filter_map(|block| match block {
            Block::Chart(chart) => Some(chart),
            Block::Highlights(_) | Block::Facts(_) | Block::Table(_) | Block::Text { .. } => None,
        })
    }
}

/// What belongs together under a heading.
#[derive(Clone, Debug, Default)]
pub struct Section {
    /// The heading.
    pub title: String,
    /// What a reader has to know.
    pub notes: Vec<String>,
    /// What a reader has to beware of.
    pub warnings: Vec<String>,
    /// What is shown.
    pub blocks: Vec<Block>,
}

impl Section {
    /// A section that is empty yet.
    #[must_use]
    pub fn new(title: impl Into<String>) -> Self {
        Self { title: title.into(), ..Self::default() }
    }

    /// Adds what a reader has to know.
    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }
}

/// A part of a section.
#[derive(Clone, Debug)]
pub enum Block {
    /// The few numbers that matter most: value and what it is.
    Highlights(Vec<(String, String)>),
    /// Names and values.
    Facts(Vec<(String, String)>),
    /// A table without a chart.
    Table(Table),
    /// A chart, with its table beside it.
    Chart(Chart),
    /// Text to be folded away, with its title.
    Text {
        /// What it is.
        title: String,
        /// The text.
        text: String,
    },
}

/// A table; its first column names the rows.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// What it shows.
    pub caption: String,
    /// The names of the columns, the first of the rows' names.
    pub head: Vec<String>,
    /// The rows.
    pub rows: Vec<Row>,
}

/// A row of a table.
#[derive(Clone, Debug)]
pub struct Row {
    /// Its name.
    pub name: Cell,
    /// The other columns.
    pub cells: Vec<Cell>,
}

/// A cell of a table.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cell {
    /// What is read.
    pub text: String,
    /// The number behind it.
    pub value: Option<f64>,
}

impl Cell {
    /// Of words.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self { text: text.into(), value: None }
    }

    /// Of a number.
    #[must_use]
    pub fn number(value: f64) -> Self {
        Self { text: number(value), value: Some(value) }
    }

    /// Of a number that may not be there.
    #[must_use]
    pub fn maybe(value: Option<f64>) -> Self {
        value.map_or_else(|| Self::text(NOTHING), Self::number)
    }
}

/// How values are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// Bars in groups, one group for each category.
    Bars,
    /// Lines through points.
    Lines,
    /// The outline of a histogram.
    Steps,
}

/// A chart.
#[derive(Clone, Debug, Serialize)]
pub struct Chart {
    /// The name of its element; no two charts have the same.
    pub id: String,
    /// What it shows.
    pub title: String,
    /// How.
    pub form: Form,
    /// The horizontal axis.
    pub x: Axis,
    /// The vertical axis.
    pub y: Axis,
    /// Places on the horizontal axis, rising; of categories their numbers from 0 on.
    pub xs: Vec<f64>,
    /// What is drawn over them.
    pub series: Vec<Series>,
    /// Whether the table stands below the chart and not beside it.
    #[serde(skip)]
    pub wide: bool,
}

/// An axis.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Axis {
    /// Its name, with the unit.
    pub label: String,
    /// Whether it is logarithmic.
    pub log: bool,
    /// Names of the places, if they are no numbers.
    pub categories: Option<Vec<String>>,
}

impl Axis {
    /// An axis of numbers.
    #[must_use]
    pub fn linear(label: impl Into<String>) -> Self {
        Self { label: label.into(), log: false, categories: None }
    }

    /// A logarithmic axis.
    #[must_use]
    pub fn log(label: impl Into<String>) -> Self {
        Self { log: true, ..Self::linear(label) }
    }

    /// An axis of words.
    #[must_use]
    pub fn categories(label: impl Into<String>, categories: Vec<String>) -> Self {
        Self { categories: Some(categories), ..Self::linear(label) }
    }
}

/// Values with a name.
#[derive(Clone, Debug, Serialize)]
pub struct Series {
    /// Who or what they are of.
    pub name: String,
    /// Which of the page's colours they have, so that one server has one colour in all charts.
    pub colour: usize,
    /// One for each place of the horizontal axis.
    pub values: Vec<Option<f64>>,
    /// What the table says of each value; nothing where the number says it all.
    #[serde(skip)]
    pub texts: Vec<String>,
}

impl Series {
    /// Values that say it all.
    #[must_use]
    pub fn new(name: impl Into<String>, colour: usize, values: Vec<Option<f64>>) -> Self {
        Self { name: name.into(), colour, values, texts: Vec::new() }
    }

    /// The cell of a value.
    fn cell(&self, place: usize) -> Cell {
        let cell = Cell::maybe(self.values.get(place).copied().flatten());
        match self.texts.get(place) {
            Some(text) => Cell { text: text.clone(), ..cell },
            None => cell,
        }
    }
}

/// Points of a line: where, and how high.
pub type Points = Vec<(f64, f64)>;

impl Chart {
    /// Bars in groups.
    #[must_use]
    pub fn bars(
        id: String,
        title: impl Into<String>,
        (x_label, categories): (&str, Vec<String>),
        y_label: &str,
        series: Vec<Series>,
    ) -> Self {
        let xs = (0..categories.len()).map(|place| place as f64).collect();
        let axes = (Axis::categories(x_label, categories), Axis::linear(y_label));
        Self::of(id, title.into(), Form::Bars, axes, xs, series)
    }

    /// Lines, each through points of its own.
    #[must_use]
    pub fn lines(
        id: String,
        title: impl Into<String>,
        axes: (Axis, Axis),
        lines: Vec<(String, usize, Points)>,
    ) -> Self {
        let mut xs: Vec<f64> =
            lines.iter().flat_map(|(_, _, points)| points.iter().map(|(x, _)| *x)).collect();
        xs.sort_by(f64::total_cmp);
        xs.dedup();
        let series = lines.into_iter().map(|(name, colour, points)| {
            let height = |x: &f64| points.iter().find(|(at, _)| at == x).map(|(_, y)| *y);
            Series::new(name, colour, xs.iter().map(height).collect())
        });
        let series = series.collect();
        Self::of(id, title.into(), Form::Lines, axes, xs, series)
    }

    /// A chart whose table stands beside it.
    fn of(
        id: String,
        title: String,
        form: Form,
        (x, y): (Axis, Axis),
        xs: Vec<f64>,
        series: Vec<Series>,
    ) -> Self {
        Self { id, title, form, x, y, xs, series, wide: false }
    }

    /// Its numbers as a table: of bars a row for each series, of lines a row for each point, of a
    /// histogram a row for each place.
    #[must_use]
    pub fn table(&self) -> Table {
        let names = || self.series.iter().map(|series| series.name.clone());
        let (head, rows) = match self.form {
            Form::Bars => {
                let mut head = vec![String::new()];
                head.extend(self.x.categories.iter().flatten().cloned());
                let rows = self.series.iter().map(|series| Row {
                    name: Cell::text(&series.name),
                    cells: (0..self.xs.len()).map(|place| series.cell(place)).collect(),
                });
                (head, rows.collect())
            }
            Form::Lines => {
                let head = vec![String::new(), self.x.label.clone(), self.y.label.clone()];
                let rows = self.series.iter().flat_map(|series| {
                    let points = self.xs.iter().enumerate();
                    let points = points.filter(|(place, _)| series.values[*place].is_some());
                    points.map(|(place, x)| Row {
                        name: Cell::text(&series.name),
                        cells: vec![Cell::number(*x), series.cell(place)],
                    })
                });
                (head, rows.collect())
            }
            Form::Steps => {
                let mut head = vec![self.x.label.clone()];
                head.extend(names());
                let rows = self.xs.iter().enumerate().map(|(place, x)| Row {
                    name: Cell::number(*x),
                    cells: self.series.iter().map(|series| series.cell(place)).collect(),
                });
                (head, rows.collect())
            }
        };
        Table { caption: format!("{} ({})", self.title, self.y.label), head, rows }
    }
}

/// A number as people read it: three digits that matter, and thousands apart by narrow spaces.
#[must_use]
pub fn number(value: f64) -> String {
    let size = value.abs();
    if size == 0.0 {
        "0".to_owned()
    } else if size >= 999.5 {
        grouped(value.round())
    } else if size >= 99.95 {
        format!("{value:.0}")
    } else if size >= 9.995 {
        format!("{value:.1}")
    } else if size >= 0.995 {
        format!("{value:.2}")
    } else {
        let decimals = (2.0 - size.log10().floor()).clamp(3.0, 9.0) as usize;
        format!("{value:.decimals$}").trim_end_matches('0').to_owned()
    }
}

/// A whole number with its thousands apart.
fn grouped(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut text = String::with_capacity(digits.len() * 2);
    if value < 0.0 {
        text.push('-');
    }
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// Octets as people read them.
#[must_use]
pub fn octets(bytes: f64) -> String {
    format!("{} MiB", number(bytes / f64::from(1 << 20)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits_that_matter() {
        for (value, text) in [
            (0.0, "0"),
            (0.000_123_4, "0.000123"),
            (0.5, "0.5"),
            (1.234, "1.23"),
            (12.34, "12.3"),
            (123.4, "123"),
            (999.9, "1\u{202f}000"),
            (1_234_567.0, "1\u{202f}234\u{202f}567"),
            (-4_321.0, "-4\u{202f}321"),
        ] {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn a_chart_and_its_table_have_the_same_numbers() {
        let lines = vec![
            ("a".to_owned(), 0, vec![(1.0, 10.0), (3.0, 30.0)]),
            ("b".to_owned(), 1, vec![(2.0, 20.0)]),
        ];
        let axes = (Axis::linear("rate"), Axis::log("ms"));
        let chart = Chart::lines("c".to_owned(), "t", axes, lines);
        assert_eq!(chart.xs, [1.0, 2.0, 3.0]);
        assert_eq!(chart.series[1].values, [None, Some(20.0), None]);
        let rows = |chart: &Chart| -> Vec<Vec<Option<f64>>> {
            let values = |row: &Row| row.cells.iter().map(|cell| cell.value).collect();
            chart.table().rows.iter().map(values).collect()
        };
        let points = [[1.0, 10.0], [3.0, 30.0], [2.0, 20.0]].map(|point| point.map(Some).to_vec());
        assert_eq!(rows(&chart), points);
        let steps = Chart { form: Form::Steps, ..chart };
        assert_eq!(steps.table().head, ["rate", "a", "b"]);
        assert_eq!(steps.table().rows[1].cells, [Cell::text(NOTHING), Cell::number(20.0)]);
        let words = ["x", "y", "z"].map(str::to_owned).to_vec();
        let bars = Chart::bars("c".to_owned(), "t", ("of", words), "ms", steps.series);
        assert_eq!(bars.table().head, ["", "x", "y", "z"]);
        assert_eq!(rows(&bars)[0], [Some(10.0), None, Some(30.0)]);
    }
}

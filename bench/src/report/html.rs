//! Writes a page as one HTML file. All text goes through maud, which escapes it; the data of charts
//! and the results themselves go into script elements as JSON, in which nothing can end an element.
#![forbid(unsafe_code)]

use maud::{DOCTYPE, Markup, PreEscaped, html};
use serde::Serialize;
use serde_json::json;

use super::input::Input;
use super::page::{Block, Cell, Chart, Page, Section, Table};

/// The chart library, as it is released.
const UPLOT_JS: &str = include_str!("assets/uPlot.iife.min.js");
/// Its styles.
const UPLOT_CSS: &str = include_str!("assets/uPlot.min.css");
/// Its license, which all copies have to carry.
const UPLOT_LICENSE: &str = include_str!("assets/uPlot.LICENSE");
/// How the page looks.
const PAGE_CSS: &str = include_str!("assets/page.css");
/// Draws the charts.
const PAGE_JS: &str = include_str!("assets/page.js");

/// The HTML of a page that shows these files.
#[must_use]
pub fn write(title: &str, page: &Page, inputs: &[Input]) -> String {
    let charts: Vec<&Chart> = page.charts().collect();
    let results: Vec<_> =
        inputs.iter().map(|input| json!({"file": input.name, "results": input.value})).collect();
    let license = format!("/*\n{UPLOT_LICENSE}\n*/\n");
    let document = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="generator" content=(concat!("dns64bench ", env!("CARGO_PKG_VERSION")));
                // Nothing is loaded from anywhere.
                meta http-equiv="Content-Security-Policy"
                    content="default-src 'none'; script-src 'unsafe-inline'; \
                             style-src 'unsafe-inline'; img-src data:";
                title { (title) }
                style { (PreEscaped(UPLOT_CSS)) }
                style { (PreEscaped(PAGE_CSS)) }
            }
            body {
                header {
                    h1 { (title) }
                    p.source {
                        "Made by dns64bench " (env!("CARGO_PKG_VERSION")) " of "
                        @for (number, input) in inputs.iter().enumerate() {
                            @if number > 0 { ", " }
                            code { (input.name) }
                        }
                        "."
                    }
                    nav aria-label="Sections" {
                        ol {
                            @for (number, section) in page.sections.iter().enumerate() {
                                li { a href=(format!("#section-{number}")) { (section.title) } }
                            }
                        }
                    }
                }
                main {
                    @for (number, section) in page.sections.iter().enumerate() {
                        (section_markup(section, number))
                    }
                }
                footer {
                    p {
                        "The results are in this file, as JSON, in the element "
                        code { "results" } ". Charts: uPlot, MIT license."
                    }
                }
                script #results type="application/json" { (PreEscaped(script_json(&results))) }
                script #charts type="application/json" { (PreEscaped(script_json(&charts))) }
                script { (PreEscaped(license)) (PreEscaped(UPLOT_JS)) }
                script { (PreEscaped(PAGE_JS)) }
            }
        }
    };
    document.into_string()
}

/// A section.
fn section_markup(section: &Section, number: usize) -> Markup {
    html! {
        section id=(format!("section-{number}")) {
            h2 { (section.title) }
            @for warning in &section.warnings {
                p.warning role="note" { strong { "Beware: " } (warning) }
            }
            @for note in &section.notes {
                p.note { (note) }
            }
            @for block in &section.blocks {
                (block_markup(block))
            }
        }
    }
}

/// A part of a section.
fn block_markup(block: &Block) -> Markup {
    html! {
        @match block {
            Block::Highlights(highlights) => {
                @if !highlights.is_empty() {
                    dl.highlights {
                        @for (value, what) in highlights {
                            div { dt { (what) } dd { (value) } }
                        }
                    }
                }
            }
            Block::Facts(facts) => {
                dl.facts {
                    @for (name, value) in facts {
                        dt { (name) }
                        dd { (value) }
                    }
                }
            }
            Block::Table(table) => { (table_markup(table, None)) }
            Block::Chart(chart) => {
                figure.chart.wide[chart.wide] {
                    figcaption { (chart.title) }
                    div.drawn id=(chart.id) role="img" aria-label=(
                        format!("{}: the table beside it has the same numbers", chart.title)
                    ) {}
                    (table_markup(&chart.table(), Some(&chart.id)))
                }
            }
            Block::Text { title, text } => {
                details {
                    summary { (title) }
                    pre { (text) }
                }
            }
        }
    }
}

/// A table, which may belong to a chart.
fn table_markup(table: &Table, chart_id: Option<&str>) -> Markup {
    html! {
        // Wide tables scroll by themselves, also by keyboard.
        div.table tabindex="0" role="region" aria-label=(table.caption) {
            table data-chart=[chart_id] {
                caption { (table.caption) }
                thead {
                    tr {
                        @for name in &table.head {
                            th scope="col" { (name) }
                        }
                    }
                }
                tbody {
                    @for row in &table.rows {
                        tr {
                            th scope="row" data-value=[row.name.value] { (row.name.text) }
                            @for Cell { text, value } in &row.cells {
                                td .number[value.is_some()] data-value=[value] { (text) }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// JSON for a script element: without `<`, so that no text in it can end the element or open a
/// comment.
fn script_json(value: &impl Serialize) -> String {
    // Numbers, text and lists of these: nothing that JSON could not say.
    let json = serde_json::to_string(value).unwrap_or_else(|_| "[]".to_owned());
    json.replace('<', "\\u003c").replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_in_a_script_element_cannot_end_it_and_is_the_same_json() {
        let nasty = "</script><script>alert(1)</script><!-- \u{2028}";
        let json = script_json(&nasty);
        assert!(!json.contains('<') && !json.contains('\u{2028}'), "{json}");
        assert_eq!(serde_json::from_str::<String>(&json).unwrap(), nasty);
    }

    #[test]
    fn text_is_escaped_wherever_it_stands() {
        let nasty = "</style></script>\"'<b>";
        let mut section = Section::new(nasty).note(nasty);
        section.warnings.push(nasty.to_owned());
        let facts = vec![(nasty.to_owned(), nasty.to_owned())];
        section.blocks.push(Block::Facts(facts.clone()));
        section.blocks.push(Block::Highlights(facts));
        section.blocks.push(Block::Text { title: nasty.to_owned(), text: nasty.to_owned() });
        let page = Page { sections: vec![section] };
        assert!(!write(nasty, &page, &[]).contains(nasty));
    }

    #[test]
    fn nothing_is_loaded_from_elsewhere_and_the_license_is_there() {
        let html = write("t", &Page::default(), &[]);
        for way_out in ["src=", "href=\"http", "@import", "url("] {
            assert!(!html.contains(way_out), "{way_out}");
        }
        assert!(html.contains("Permission is hereby granted"));
    }
}

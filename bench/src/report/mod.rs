//! Results as a page that people read: one HTML file with everything in it, that opens without a
//! network.
//!
//! [`input`] reads the files and says what is wrong with them, [`comparison`], [`load`] and
//! [`capacity`] choose what is shown of each, [`page`] is what is shown, and [`html`] writes it.
//! Charts are drawn by uPlot, whose license stands in the page.
#![forbid(unsafe_code)]

pub mod capacity;
pub mod comparison;
pub mod html;
pub mod input;
pub mod load;
pub mod page;

use input::{Document, Input};
use page::Page;

/// The page of some results, in the order of the files.
#[must_use]
pub fn page(inputs: &[Input]) -> Page {
    let mut page = Page::default();
    for (number, input) in (1..).zip(inputs) {
        match &input.document {
            Document::Comparison(results) => {
                page.add(comparison::sections(results, &format!("f{number}")));
            }
            Document::Capacity(outcome) => {
                page.add(capacity::sections(outcome, &format!("f{number}")));
            }
            Document::Load(_) => {}
        }
    }
    // Runs of the generator are shown side by side, wherever they stand among the files.
    let runs: Vec<(&str, &input::LoadRun)> = inputs
        .iter()
        .filter_map(|input| match &input.document {
            Document::Load(run) => Some((input.name.as_str(), run.as_ref())),
            Document::Comparison(_) | Document::Capacity(_) => None,
        })
        .collect();
    page.add(load::sections(&runs));
    page
}

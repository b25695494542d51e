//! `dns64bench report`: results as one HTML file.
#![forbid(unsafe_code)]

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use dns64_bench::report::input::Input;
use dns64_bench::report::{html, page};

use super::refuse;

/// Arguments of `report`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Results as JSON: of compare, capacity --json and load --json, in any number and order.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The HTML file; `-` is standard output.
    #[arg(short, value_name = "FILE", default_value = "report.html")]
    output: PathBuf,
    /// Title of the report.
    #[arg(long, default_value = "DNS64 measurements")]
    title: String,
}

/// Reads the files and writes the report.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let mut inputs = Vec::new();
    for path in &arguments.files {
        let name = path.display().to_string();
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) => return Ok(refuse(format_args!("{name}: cannot be read: {error}"))),
        };
        match Input::parse(&name, &text) {
            Ok(input) => inputs.push(input),
            Err(error) => return Ok(refuse(error)),
        }
    }
    let html = html::write(&arguments.title, &page(&inputs), &inputs);
    if arguments.output.as_os_str() == "-" {
        io::stdout().write_all(html.as_bytes())?;
        return Ok(ExitCode::SUCCESS);
    }
    match fs::write(&arguments.output, html) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) => {
            let path = arguments.output.display();
            Ok(refuse(format_args!("{path}: cannot be written: {error}")))
        }
    }
}

//! `dns64bench completions` and `dns64bench man`: what the program says of itself.
#![forbid(unsafe_code)]

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory};
use dns64::cli::{self, Shell};

use crate::Arguments;

/// Arguments of `completions`.
#[derive(Debug, Args)]
pub(crate) struct CompletionsArguments {
    /// The shell.
    shell: Shell,
}

/// Arguments of `man`.
#[derive(Debug, Args)]
pub(crate) struct ManArguments {
    /// Write every page below this directory, in man1.
    #[arg(long, value_name = "DIRECTORY")]
    output: Option<PathBuf>,
}

/// Prints a script for a shell.
pub(crate) fn completions(arguments: &CompletionsArguments) -> anyhow::Result<ExitCode> {
    print(&cli::completions(arguments.shell, Arguments::command()))
}

/// Prints the first page, or writes all.
pub(crate) fn man(arguments: &ManArguments) -> anyhow::Result<ExitCode> {
    let pages = cli::man::pages(Arguments::command(), &cli::man::DNS64BENCH);
    if let Some(directory) = &arguments.output {
        cli::man::write_pages(&pages, directory).map_err(anyhow::Error::msg)?;
        return Ok(ExitCode::SUCCESS);
    }
    print(pages.first().map_or("", |page| &page.text))
}

/// Prints a text to standard output.
fn print(text: &str) -> anyhow::Result<ExitCode> {
    io::stdout().write_all(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

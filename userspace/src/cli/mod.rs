//! What the programs say of themselves: completions for shells, and manual pages.
//!
//! Both are made from the definitions of the commands, so they know every option and no other.
//! `dns64bench` is a package of its own and makes its own, by the same functions.
#![forbid(unsafe_code)]

pub mod daemon;
pub mod man;
mod settings;

pub use clap_complete::Shell;

/// The completions of a program for a shell: a script that the shell reads.
#[must_use]
pub fn completions(shell: Shell, mut command: clap::Command) -> String {
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, name, &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, ValueEnum};

    use super::*;

    #[test]
    fn every_shell_has_completions_with_every_command() {
        for shell in Shell::value_variants() {
            let script = completions(*shell, daemon::Arguments::command());
            for word in ["dns64d", "check", "demo", "config", "datapath"] {
                assert!(script.contains(word), "{shell}: {word}");
            }
        }
    }
}

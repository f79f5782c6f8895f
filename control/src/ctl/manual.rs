//! The command line about itself: completions for shells, and the manual.
//!
//! Both are made of the same description that reads the words, so they cannot be out of date.

use std::io;
use std::path::Path;

use clap::CommandFactory;

use super::arguments::{Arguments, Shell};
use super::failure::Failure;
use super::{Console, Exit};
use crate::describe::{self, Form};

/// Writes what completes words in `shell`.
pub(super) fn completions(shell: Shell, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let form = match shell {
        Shell::Bash => Form::Bash,
        Shell::Zsh => Form::Zsh,
        Shell::Fish => Form::Fish,
    };
    describe::write(Arguments::command(), form, console.out)?;
    Ok(Exit::Well)
}

/// Writes all pages one behind the other, or each to a file of `directory`.
pub(super) fn pages(directory: Option<&Path>, console: &mut Console<'_>) -> Result<Exit, Failure> {
    let pages = manual()?;
    let Some(directory) = directory else {
        for (_, page) in pages {
            console.out.write_all(&page)?;
        }
        return Ok(Exit::Well);
    };
    let count = pages.len();
    for (name, page) in pages {
        let file = directory.join(name);
        let written = std::fs::write(&file, page);
        written.map_err(|error| Failure::Unwritable(file, error))?;
    }
    writeln!(
        console.out,
        "Wrote {count} pages to {}.",
        directory.display()
    )?;
    Ok(Exit::Well)
}

/// Every page with the name of its file: the program's, then those of its commands.
fn manual() -> io::Result<Vec<(String, Vec<u8>)>> {
    // `help` is a command too, and says what the manual says.
    let mut command = Arguments::command().disable_help_subcommand(true);
    command.build();
    let mut pages = Vec::new();
    let mut waiting = vec![command];
    while let Some(command) = waiting.pop() {
        let inner: Vec<_> = command.get_subcommands().cloned().collect();
        waiting.extend(inner.into_iter().rev());
        pages.push(describe::page(command)?);
    }
    Ok(pages)
}

#[cfg(test)]
mod tests {
    use clap::Command;

    use super::*;

    /// The program's name.
    const NAME: &str = "sluicectl";

    /// Every command below `command`, itself included, with its path.
    fn all(command: &Command, path: &str) -> Vec<(String, Command)> {
        let mut found = vec![(path.to_owned(), command.clone())];
        for inner in command.get_subcommands() {
            found.extend(all(inner, &format!("{path}-{}", inner.get_name())));
        }
        found
    }

    fn run(arguments: &[&str]) -> (Exit, String, String) {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let arguments = [&["sluicectl"], arguments].concat();
        let exit = super::super::run(arguments, &mut out, &mut err);
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (exit, text(out), text(err))
    }

    #[test]
    fn every_command_and_option_is_completed_in_every_shell() {
        let mut command = Arguments::command().disable_help_subcommand(true);
        command.build();

        for shell in ["bash", "zsh", "fish"] {
            let (exit, script, _) = run(&["completions", shell]);

            assert_eq!(exit, Exit::Well);
            for (path, command) in all(&command, NAME) {
                let name = path.rsplit('-').next().unwrap();
                assert!(script.contains(name), "{shell}: {path}");
                let shown = command.get_arguments().filter(|it| !it.is_hide_set());
                for option in shown.filter_map(|it| it.get_long()) {
                    let shown = match shell {
                        "fish" => format!("-l {option}"),
                        _ => format!("--{option}"),
                    };
                    assert!(script.contains(&shown), "{shell}: {path} --{option}");
                }
            }
        }
    }

    #[test]
    fn other_shells_are_refused_with_those_that_there_are() {
        let (exit, _, err) = run(&["completions", "tcsh"]);

        assert_eq!(exit, Exit::Failed);
        assert!(err.contains("[possible values: bash, zsh, fish]"), "{err}");
    }

    #[test]
    fn every_command_has_a_page_with_every_option() {
        let mut command = Arguments::command().disable_help_subcommand(true);
        command.build();
        let pages = manual().unwrap();

        let commands = all(&command, NAME);
        assert_eq!(pages.len(), commands.len());
        for (path, command) in commands {
            let (_, page) = (pages.iter())
                .find(|(name, _)| *name == format!("{path}.1"))
                .unwrap();
            // Roff has a backslash before every hyphen.
            let page = String::from_utf8(page.clone()).unwrap().replace('\\', "");
            assert!(page.contains(&format!(".TH {path} 1")), "{path}: {page}");
            let arguments = command.get_arguments();
            for argument in arguments.filter(|it| !it.is_hide_set()) {
                let shown = match argument.get_long() {
                    Some(long) => format!("--{long}"),
                    None => argument.get_value_names().unwrap()[0].to_string(),
                };
                assert!(page.contains(&shown), "{path}: {shown}: {page}");
            }
        }
    }

    #[test]
    fn pages_go_to_a_directory_or_out() {
        let directory = std::env::temp_dir().join(format!("sluice-man-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();

        let (exit, out, _) = run(&["man", "--output", directory.to_str().unwrap()]);
        let (_, all, _) = run(&["man"]);

        let files = std::fs::read_dir(&directory).unwrap().count();
        let page = directory.join("sluicectl-import-keepalived.1");
        let page = std::fs::read_to_string(page).unwrap();
        std::fs::remove_dir_all(&directory).unwrap();
        assert_eq!(exit, Exit::Well);
        assert_eq!(
            out,
            format!("Wrote {files} pages to {}.\n", directory.display())
        );
        assert!(all.contains(&page));
        assert!(all.starts_with(".ie"), "{}", &all[..80]);
    }

    #[test]
    fn a_directory_that_is_not_there_is_named() {
        let (exit, _, err) = run(&["man", "--output", "/nowhere"]);

        assert_eq!(exit, Exit::Failed);
        assert!(
            err.starts_with("/nowhere/sluicectl.1: cannot be written: No such file"),
            "{err}"
        );
    }
}

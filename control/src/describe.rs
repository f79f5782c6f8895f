//! What a command line says about itself: a page of the manual, and completions for shells.
//!
//! Both are made of the same description that reads the words, so they cannot be out of date.

use std::io::{self, Write};

use clap::{Command, ValueEnum};
use clap_complete::Shell;
use clap_mangen::Man;

/// What a command line can be written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// A page of the manual.
    Man,
    /// What completes words in bash.
    Bash,
    /// What completes words in zsh.
    Zsh,
    /// What completes words in fish.
    Fish,
}

/// Writes `command` in a form.
///
/// # Errors
///
/// What writing to `out` comes to.
pub fn write(mut command: Command, form: Form, out: &mut dyn Write) -> io::Result<()> {
    let shell = match form {
        Form::Man => {
            command.build();
            return out.write_all(&page(command)?.1);
        }
        Form::Bash => Shell::Bash,
        Form::Zsh => Shell::Zsh,
        Form::Fish => Shell::Fish,
    };
    let name = command.get_name().to_owned();
    // The generators panic when they cannot write; memory always can.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, name, &mut script);
    out.write_all(&script)
}

/// A page, with the name of its file.
pub(crate) fn page(command: Command) -> io::Result<(String, Vec<u8>)> {
    // A command below the program is `program-command` here.
    let name = command.get_display_name().unwrap_or(command.get_name());
    let program = name.split('-').next().unwrap_or_default();
    let source = format!("{program} {}", env!("CARGO_PKG_VERSION"));
    let page = Man::new(command).source(source);
    let mut text = Vec::new();
    page.render(&mut text)?;
    Ok((page.get_filename(), text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_without_commands_has_a_page_and_completions_too() {
        let program = Command::new("gate").arg(clap::arg!(--config <FILE> "Its file."));
        let text = |form| {
            let mut out = Vec::new();
            write(program.clone(), form, &mut out).unwrap();
            String::from_utf8(out).unwrap()
        };

        let page = text(Form::Man);
        assert!(page.contains(".TH gate 1"), "{page}");
        assert!(
            page.contains(&format!("\"gate {}\"", env!("CARGO_PKG_VERSION"))),
            "{page}"
        );
        assert!(page.contains("Its file."), "{page}");
        for form in [Form::Bash, Form::Zsh, Form::Fish] {
            let script = text(form);
            assert!(
                script.contains("gate") && script.contains("config"),
                "{script}"
            );
        }
    }
}

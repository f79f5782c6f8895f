//! Every command of `sluicectl` and `ipvsadm` that a page shows is one that they take.

use std::fs;
use std::path::{Path, PathBuf};

use clap::{CommandFactory, Parser as _};
use pulldown_cmark::{CodeBlockKind, Event, Parser, Tag, TagEnd};

use super::arguments::{Arguments, Command};
use crate::ipvs::{SystemNames, parse};

/// Whether a shell takes a word for itself, so that a command ends before it.
fn is_shells(word: &str) -> bool {
    word.starts_with(['|', '>', '<', '&', '#', ')']) || word.starts_with("2>")
}

/// What the pages show: lines of code blocks, and code within a sentence.
#[derive(Debug, Default)]
struct Shown {
    lines: Vec<String>,
    spans: Vec<String>,
}

impl Shown {
    fn read(path: &Path, shown: &mut Self) {
        let text = fs::read_to_string(path).unwrap();
        let mut block: Option<String> = None;
        for event in Parser::new(&text) {
            match (event, &mut block) {
                (Event::Start(Tag::CodeBlock(kind)), _) => {
                    let is_toml =
                        matches!(kind, CodeBlockKind::Fenced(mark) if mark.starts_with("toml"));
                    block = (!is_toml).then(String::new);
                }
                (Event::Text(text), Some(block)) => block.push_str(&text),
                (Event::End(TagEnd::CodeBlock), _) => {
                    let block = block.take().unwrap_or_default().replace("\\\n", " ");
                    // Where a prompt shows what was typed, the rest is what came of it.
                    let is_typed = |line: &&str| line.trim_start().starts_with("$ ");
                    let shows_answers = block.lines().any(|line| is_typed(&line));
                    let lines = block
                        .lines()
                        .filter(|line| !shows_answers || is_typed(line));
                    shown.lines.extend(lines.map(str::to_owned));
                }
                (Event::Code(code), None) => shown.spans.push(code.into_string()),
                _ => {}
            }
        }
    }

    fn all() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let mut shown = Self::default();
        let mut places: Vec<PathBuf> = vec![root.join("docs"), root.join("README.md")];
        while let Some(place) = places.pop() {
            if place.is_dir() {
                let entries = fs::read_dir(place).unwrap();
                places.extend(entries.map(|entry| entry.unwrap().path()));
            } else if place.extension().is_some_and(|it| it == "md") {
                Self::read(&place, &mut shown);
            }
        }
        shown
    }
}

/// The words of the command of this program in a line, its own name first.
fn command(line: &str, program: &str) -> Option<Vec<String>> {
    // A prompt: `$ `, `# `, `gateway-1# `, with what a command may stand behind.
    let is_prompt = |word: &str| word.ends_with(['$', '#']) && !word.contains(['=', '(']);
    let line = line.trim_start();
    let line = match line.split_once(char::is_whitespace) {
        Some((word, rest)) if is_prompt(word) => rest.trim_start(),
        _ => line,
    };
    let words = shlex::split(line)?;
    let starts =
        |word: &String| matches!(word.as_str(), "sudo" | "|" | "&&" | "||" | "watch" | "if");
    let at = words.iter().position(|word| word == program)?;
    if !(words[..at].last()).is_none_or(starts) {
        return None;
    }
    let mut kept = Vec::new();
    for word in words
        .into_iter()
        .skip(at)
        .take_while(|word| !is_shells(word))
    {
        let ends = word.ends_with(';');
        kept.push(word.trim_end_matches(';').to_owned());
        if ends {
            break;
        }
    }
    Some(kept)
}

/// Whether it is a command's form, with placeholders, and none to type.
fn is_form(line: &str) -> bool {
    line.contains("...") || line.contains("[-") || line.contains("[FILE") || line.contains(" FILE ")
}

/// What is wrong with a command of `sluicectl` as somebody would type it.
fn mistake(words: &[String]) -> Option<String> {
    match Arguments::try_parse_from(words) {
        Ok(arguments) => match arguments.command {
            Command::Ipvsadm { words } => mistake_for_ipvsadm(&words),
            _ => None,
        },
        Err(error) => error.use_stderr().then(|| error.to_string()),
    }
}

fn mistake_for_ipvsadm(words: &[String]) -> Option<String> {
    let failure = parse(words, &SystemNames::default()).err()?;
    Some(failure.text)
}

/// What a form of `sluicectl` names that there is not.
fn unknown_name(form: &str) -> Option<String> {
    let program = Arguments::command();
    let mut at = &program;
    for word in form.split([' ', '[', ']', '|', '=', ',']).skip(1) {
        if at.get_name() == "ipvsadm" || word.is_empty() || word == "..." {
            continue;
        }
        if let Some(option) = word.strip_prefix("--") {
            let options = at.get_arguments().chain(program.get_arguments());
            let mut names = options.filter_map(clap::Arg::get_long);
            if !names.any(|it| it == option) && !["help", "version"].contains(&option) {
                return Some(word.to_owned());
            }
        } else if at.has_subcommands() {
            match at.find_subcommand(word) {
                Some(below) => at = below,
                None => return Some(word.to_owned()),
            }
        }
    }
    None
}

#[test]
fn every_command_of_sluicectl_on_a_page_is_one() {
    let lines = Shown::all().lines.into_iter();
    let lines = lines.filter(|line| !is_form(line));
    let commands: Vec<_> = lines.filter_map(|it| command(&it, "sluicectl")).collect();

    let wrong = commands.iter().filter_map(|it| Some((it, mistake(it)?)));
    let wrong: Vec<_> = wrong.collect();

    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(commands.len() > 50, "{} commands", commands.len());
}

#[test]
fn every_command_of_ipvsadm_on_a_page_is_one() {
    let lines = Shown::all().lines.into_iter();
    let commands = lines.filter_map(|it| command(&it, "ipvsadm"));
    // Others are words in a drawing.
    let has_option = |words: &Vec<String>| words.get(1).is_none_or(|it| it.starts_with('-'));
    let commands: Vec<_> = commands.filter(has_option).collect();

    let wrong = commands.iter();
    let wrong = wrong.filter_map(|it| Some((it, mistake_for_ipvsadm(&it[1..])?)));
    let wrong: Vec<_> = wrong.collect();

    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(commands.len() > 10, "{} commands", commands.len());
}

/// In sentences, and where a command's form is told, only names are asked for.
#[test]
fn every_form_of_a_command_of_sluicectl_has_its_name_and_options() {
    let shown = Shown::all();
    let spans = shown
        .spans
        .iter()
        .chain(shown.lines.iter().filter(|it| is_form(it)));
    let forms = spans.flat_map(|span| span.split(';')).map(str::trim);
    let forms: Vec<_> = forms.filter(|it| it.starts_with("sluicectl ")).collect();

    let wrong = forms.iter().filter_map(|it| Some((it, unknown_name(it)?)));
    let wrong: Vec<_> = wrong.collect();

    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(forms.len() > 50, "{} forms", forms.len());
}

//! keepalived's configuration, as far as it concerns virtual services.
//!
//! ```text
//! files ─ lines (includes, conditions, parameters, sequences) ─ words ─ tree (blocks)
//!       ─ virtual servers, corrected as keepalived corrects them ─ services
//! ```
//!
//! The language is that of keepalived 2.2.7. VRRP and everything else that keepalived does by
//! itself stays with it.

mod checker;
mod convert;
mod elsewhere;
mod files;
mod group;
mod health;
mod inherited;
mod lines;
mod local;
mod parameters;
mod sequence;
mod server;
mod service;
mod tree;
mod value;
mod watch;
mod words;

use std::path::{Path, PathBuf};

use super::draft::Draft;
use super::place::Note;
use convert::Conversion;
use lines::{Limits, Lines};
use tree::{Builder, Statement};

/// Reads files, one behind the other, as one configuration.
///
/// # Errors
///
/// When they are not in keepalived's language, each mistake with its place.
pub(super) fn read(
    files: &[(PathBuf, String)],
    config_id: Option<&str>,
) -> Result<Draft, Vec<Note>> {
    read_within(files, config_id, Limits::default())
}

fn read_within(
    files: &[(PathBuf, String)],
    config_id: Option<&str>,
    limits: Limits,
) -> Result<Draft, Vec<Note>> {
    let id = config_id.map_or_else(host_name, str::to_owned);
    let mut lines = Lines::new(&id, limits);
    let mut builder = Builder::default();
    for (path, text) in files {
        lines.open(path, text);
        while let Some(meant) = lines.next().map_err(|note| vec![note])? {
            builder.line(&meant.place, meant.tokens);
        }
    }
    let tree = builder.finish()?;
    let mut conversion = Conversion::default();
    conversion.draft.notes.append(&mut lines.notes);
    if let Some(place) = lines.first_condition.filter(|_| config_id.is_none()) {
        let message = format!(
            "lines for some hosts are chosen as on this one, {id}: --config-id chooses another's"
        );
        conversion.draft.notes.push(Note::new(&place, message));
    }
    convert(&tree, &mut conversion).map_err(|note| vec![note])?;
    let mut draft = conversion.draft;
    draft.heading = heading(files, &tree);
    draft.heading.append(&mut conversion.strays);
    Ok(draft)
}

/// Groups and VIPs may stand behind what needs them, so they are read first.
fn convert<'a>(tree: &'a [Statement], into: &mut Conversion<'a>) -> Result<(), Note> {
    for statement in tree {
        match statement.keyword() {
            "virtual_server" => {}
            "virtual_server_group" => into.group(statement),
            "local_address_group" => into.local_group(statement),
            _ => elsewhere::read(statement, into),
        }
    }
    let servers = tree.iter();
    let mut servers = servers.filter(|statement| statement.keyword() == "virtual_server");
    servers.try_for_each(|statement| into.virtual_server(statement))
}

/// What the file says first.
fn heading(files: &[(PathBuf, String)], tree: &[Statement]) -> Vec<String> {
    let names: Vec<_> = files.iter().map(|(path, _)| shown(path)).collect();
    let mut lines = vec![
        format!(
            "Virtual services of {}, taken over by `sluicectl import keepalived`.",
            names.join(", ")
        ),
        "Numbers before a comment are lines there.".to_owned(),
    ];
    let has_vrrp = tree.iter().any(|it| it.keyword() == "vrrp_instance");
    if has_vrrp {
        lines.push("keepalived goes on with VRRP alone: start it with --vrrp.".to_owned());
    }
    lines
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// The first part of this host's name, which keepalived compares `@NAME` with.
fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    name.split('.').next().unwrap_or(name).to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// So little that nothing takes long.
    const FEW: Limits = Limits {
        steps: 5000,
        bytes: 100_000,
    };

    fn read_text(text: &str) -> Result<Draft, Vec<String>> {
        let files = [(PathBuf::from("k.conf"), text.to_owned())];
        let draft = read_within(&files, Some("here"), FEW);
        draft.map_err(|notes| notes.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn what_stands_for_itself_comes_to_an_end() {
        let endless = "there is no end to what this line and those before it stand for: look for \
                       parameters that name themselves, and for long sequences";
        for (text, line) in [
            ("$A= \\\nx \\\n$A\n$A\n", 3),
            ("$A= \\\n$A \\\n$A\n$A\n", 2),
            ("~SEQ(A, 1, 1000000000) x\n", 1),
            ("~SEQ(A,1,99) ~SEQ(B,1,99) ~SEQ(C,1,99) x\n", 1),
        ] {
            let errors = read_text(text).unwrap_err();
            assert_eq!(errors, [format!("k.conf:{line}: {endless}")], "{text}");
        }
    }

    #[test]
    fn a_line_is_only_for_the_hosts_that_it_names() {
        let text = "@here $A=1\n@there $A=2\n@^there $B=3\n$IF=@here\n\
                    virtual_server 10.0.0.${A} 80 {\n protocol TCP\n\
                    real_server 10.1.0.${A} 80\n$IF real_server 10.1.0.${B} 80\n\
                    @there real_server 10.1.0.4 80\n}\n";

        let draft = read_text(text).unwrap();

        let servers = draft.services.iter().flat_map(|it| &it.servers);
        let addrs: Vec<_> = servers
            .map(|server| server.server.endpoint.addr.to_string())
            .collect();
        assert_eq!(addrs, ["10.1.0.1", "10.1.0.3"]);
    }

    proptest! {
        #[test]
        fn no_text_is_too_much(
            lines in prop::collection::vec(
                "([$~@#!{}\\\\\"'()=,A-C \\t1-9.-]|\\$A|\\$\\{B\\}|\\$A=|~SEQ\\(|~LST\\(|\\PC){0,24}",
                0..12,
            )
        ) {
            let read = read_text(&lines.join("\n"));

            prop_assert!(read.map_or_else(|errors| !errors.is_empty(), |_| true));
        }
    }
}

//! `sluicectl import`, as an operator runs it: configurations in, TOML and warnings out, and what
//! comes out is taken by the configuration.
//!
//! Beside each `corpus/NAME.conf` or `NAME.rules` lies what is written (`NAME.toml`) and said
//! (`NAME.txt`). `SLUICE_BLESS=1 cargo test -p sluice-control --test import` writes them anew.

// Helpers of tests may panic as tests do.
#![allow(clippy::panic, clippy::unwrap_used)]

mod keepalived;
mod rules;
mod whole;

use std::path::Path;

use control::config::Config;
use control::ctl::{Exit, run};

/// The least that stands before services.
const BASE: &str = "[gateway]\n\n[[port]]\nname = \"wan\"\ndevice = \"net_null0\"\n";

/// What a command wrote, said and answered.
struct Ran {
    exit: Exit,
    out: String,
    err: String,
}

fn sluicectl(arguments: &[&str]) -> Ran {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let exit = run([&["sluicectl"], arguments].concat(), &mut out, &mut err);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran {
        exit,
        out: text(out),
        err: text(err),
    }
}

/// A file of the corpus, as it is named from where tests run.
fn corpus(name: &str) -> String {
    format!("tests/import/corpus/{name}")
}

/// Compares with a file, or writes it.
fn assert_is(found: &str, name: &str) {
    let file = corpus(name);
    if std::env::var_os("SLUICE_BLESS").is_some() {
        std::fs::write(&file, found).unwrap();
    }
    let expected = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(found == expected, "{name} is now:\n{found}");
}

/// The configuration that was written, behind the least there must be.
fn loaded(toml: &str) -> Config {
    let text = format!("{BASE}\n{toml}");
    match Config::from_toml(&text, Path::new("imported.toml")) {
        Ok((config, _)) => config,
        Err(errors) => panic!("{errors}\n{text}"),
    }
}

/// Imports a file of the corpus, and compares all there is to compare.
fn imports(name: &str, arguments: &[&str]) -> Config {
    let ran = sluicectl(arguments);

    assert_eq!(ran.exit, Exit::Well, "{}", ran.err);
    assert_is(&ran.out, &format!("{name}.toml"));
    assert_is(&ran.err, &format!("{name}.txt"));
    loaded(&ran.out)
}

fn takes_over(name: &str) -> Config {
    let file = corpus(&format!("{name}.conf"));
    imports(name, &["import", "keepalived", &file])
}

fn keys(config: &Config) -> Vec<String> {
    let services = config.services().iter();
    services.map(|service| service.key().to_string()).collect()
}

fn servers(config: &Config) -> Vec<String> {
    let servers = config.services().iter().flat_map(|it| &it.servers);
    let shown = servers.map(|server| {
        let (addr, port) = (server.endpoint.addr, server.endpoint.port);
        format!("{addr}:{port} {} {}", server.method, server.weight)
    });
    shown.collect()
}

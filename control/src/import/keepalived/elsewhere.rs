//! Everything that is no virtual server: the time-outs of `global_defs` are taken over, the rest
//! stays with keepalived, which goes on running for it.

use std::net::IpAddr;

use super::super::draft::Timeout;
use super::super::place::Note;
use super::convert::Conversion;
use super::tree::Statement;
use super::value::{LONGEST_SECONDS, parsed};

/// Blocks that keepalived runs by itself, beside those that begin with `vrrp_`, `static_`, `bfd_`.
const ITS_OWN: [&str; 10] = [
    "garp_group",
    "interface_up_down_delays",
    "linkbeat_interfaces",
    "linkbeat_use_polling",
    "notify_fifo",
    "notify_fifo_script",
    "track_bfd",
    "track_file",
    "track_group",
    "track_process",
];

/// Lines about keepalived's own processes.
const PROCESS: [&str; 8] = [
    "child_wait_time",
    "daemon",
    "include_check",
    "instance",
    "namespace_with_ipsets",
    "net_namespace",
    "net_namespace_ipvs",
    "use_pid_dir",
];

/// Takes over, or points to where it belongs, what is no virtual server.
pub(super) fn read<'a>(statement: &'a Statement, into: &mut Conversion<'a>) {
    let keyword = statement.keyword();
    let heading = statement.heading();
    let is_its_own = ["vrrp_", "static_", "bfd_"]
        .iter()
        .any(|prefix| keyword.starts_with(prefix));
    let message = match keyword {
        "global_defs" => return read_global(statement, into),
        "SSL" => {
            "SSL is left out: checks of type https have `verify` and `ca` of their own".to_owned()
        }
        _ if is_its_own || ITS_OWN.contains(&keyword) => {
            place_vips(statement, into);
            warn_of_vmac(statement, into);
            let interface = interface(statement);
            format!(
                "{heading} stays with keepalived, which runs unmodified on the twins{interface}"
            )
        }
        _ if PROCESS.contains(&keyword) => {
            format!("{heading} is about keepalived's own processes: left out")
        }
        _ if keyword.starts_with("include") => format!(
            "{heading} is left out: keepalived includes no file by a line with parameters or \
             conditions"
        ),
        _ => format!("`{keyword}` is no known keyword: left out"),
    };
    into.draft.notes.push(Note::new(&statement.place, message));
}

/// The interface of a VRRP instance, which must be there for keepalived.
fn interface(statement: &Statement) -> String {
    let mut lines = statement.statements().iter();
    let interface = lines.find(|line| line.keyword() == "interface");
    match interface.and_then(Statement::argument) {
        Some(name) => format!(": {name} must be the name of one"),
        None => String::new(),
    }
}

/// A MAC of its own for the VIP, which no port of the gateway takes frames for.
fn warn_of_vmac(statement: &Statement, into: &mut Conversion<'_>) {
    let mut lines = statement.statements().iter();
    if let Some(line) = lines.find(|line| line.keyword() == "use_vmac") {
        let message = format!(
            "{}: `use_vmac` does not work on a twin, as the gateway takes frames for its port's own \
             MAC alone: take it out for keepalived too, gratuitous ARP moves the VIP",
            statement.heading()
        );
        into.draft.notes.push(Note::new(&line.place, message));
    }
}

/// VIPs that keepalived places on the twins itself.
fn place_vips(statement: &Statement, into: &mut Conversion<'_>) {
    let lists = ["virtual_ipaddress", "virtual_ipaddress_excluded"];
    let inner = statement.statements().iter();
    let inner = inner.filter(|line| lists.contains(&line.keyword()));
    let mut lines: Vec<&Statement> = inner.flat_map(Statement::statements).collect();
    if statement.keyword() == "static_ipaddress" {
        lines.extend(statement.statements());
    }
    for line in lines {
        // Behind the addresses of a line stand their options.
        into.external
            .extend(line.words.iter().map_while(|word| address(word)));
    }
}

/// `IP` or `IP/LENGTH`.
fn address(word: &str) -> Option<IpAddr> {
    let addr = word.split('/').next()?;
    addr.parse().ok()
}

fn read_global<'a>(statement: &'a Statement, into: &mut Conversion<'a>) {
    let mut others = Vec::new();
    for line in statement.statements() {
        match line.keyword() {
            "lvs_timeouts" => read_timeouts(line, into),
            "lvs_sync_daemon" => {
                let message = "lvs_sync_daemon is left out: connections are not synchronised by \
                               this version";
                into.draft.notes.push(Note::new(&line.place, message));
            }
            "nftables_ipvs" | "nftables_ipvs_start_fwmark" => {
                let message = format!(
                    "{} is left out: a group becomes one service for each of its addresses",
                    line.keyword()
                );
                into.draft.notes.push(Note::new(&line.place, message));
            }
            // The gateway's services are those of its file, before and after.
            "lvs_flush" | "lvs_flush_on_stop" => {}
            keyword => {
                if keyword == "script_user" {
                    into.script_user = line.argument();
                }
                let at = line.place.seen_from(&statement.place);
                others.push(format!("{keyword} ({at})"));
            }
        }
    }
    if !others.is_empty() {
        let message = format!("global_defs stay with keepalived: {}", others.join(", "));
        into.draft.notes.push(Note::new(&statement.place, message));
    }
}

/// `lvs_timeouts [tcp S] [tcpfin S] [udp S]`; 0 leaves one as it is.
fn read_timeouts(line: &Statement, into: &mut Conversion<'_>) {
    for pair in line.arguments().chunks(2) {
        let (name, text) = match pair {
            [name, text] => (name.as_str(), text.as_str()),
            _ => (pair.first().map_or("", String::as_str), ""),
        };
        let key = match name {
            "tcp" => "tcp_established",
            "tcpfin" => "tcp_fin_wait",
            "udp" => "udp",
            _ => {
                let message = format!("lvs_timeouts knows tcp, tcpfin and udp, not {name}");
                into.draft.notes.push(Note::new(&line.place, message));
                continue;
            }
        };
        match parsed(text, 0..=LONGEST_SECONDS) {
            Some(0) => {}
            Some(seconds) => {
                into.draft.timeouts.retain(|timeout| timeout.key != key);
                into.draft.timeouts.push(Timeout {
                    place: line.place.clone(),
                    key,
                    seconds,
                });
            }
            None => {
                let message = format!(
                    "lvs_timeouts: {name} takes seconds, at most {LONGEST_SECONDS}, not \"{text}\""
                );
                into.draft.notes.push(Note::new(&line.place, message));
            }
        }
    }
}

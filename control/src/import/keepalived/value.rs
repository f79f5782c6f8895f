//! The values that keywords have: numbers, addresses, methods.

use std::net::IpAddr;
use std::ops::RangeInclusive;

use dataplane::address::Protocol;
use dataplane::service::Method;

use super::super::place::Note;
use super::tree::Statement;

/// The longest time-out of IPVS: 31 days.
pub(super) const LONGEST_SECONDS: u32 = 31 * 86_400;

/// The number behind a keyword; `None`, and a note, if it is none or beyond `range`.
pub(super) fn number(
    statement: &Statement,
    range: RangeInclusive<u32>,
    notes: &mut Vec<Note>,
) -> Option<u32> {
    let text = statement.argument().unwrap_or_default();
    let number = parsed(text, range.clone());
    if number.is_none() {
        let keyword = statement.keyword();
        let (least, most) = range.into_inner();
        let message =
            format!("`{keyword}` takes a number from {least} to {most}, not \"{text}\": left out");
        notes.push(Note::new(&statement.place, message));
    }
    number
}

/// A number within `range`.
pub(super) fn parsed(text: &str, range: RangeInclusive<u32>) -> Option<u32> {
    let number = text.parse().ok()?;
    range.contains(&number).then_some(number)
}

/// `IP [PORT]`: an address and a port, 0 if it is not said.
pub(super) fn address_and_port(words: &[String]) -> Result<(IpAddr, u16), String> {
    let [addr, rest @ ..] = words else {
        return Err("an address is missing".to_owned());
    };
    let addr: IpAddr = addr
        .parse()
        .map_err(|_| format!("\"{addr}\" is not an address"))?;
    let port = match rest.first() {
        None => 0,
        Some(port) => port
            .parse()
            .map_err(|_| format!("\"{port}\" is not a port"))?,
    };
    Ok((addr, port))
}

/// How packets reach a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Forwarding {
    pub(super) method: Method,
    /// A tunnel other than IP in IP, by its name.
    pub(super) tunnel: Option<String>,
}

/// keepalived's default.
pub(super) const NAT: Forwarding = Forwarding {
    method: Method::Nat,
    tunnel: None,
};

/// Whether a line says that servers are reached by DPVS's SNAT, for which there is no method.
pub(super) fn is_snat(line: &Statement) -> bool {
    let says = matches!(line.keyword(), "lvs_method" | "lb_kind");
    says && line
        .argument()
        .is_some_and(|it| it.eq_ignore_ascii_case("SNAT"))
}

/// `NAT`, `DR`, `TUN [type ipip|gue port N|gre] […]` or DPVS's `FNAT`; `None`, and a note, if it is
/// none of them.
pub(super) fn forwarding(statement: &Statement, notes: &mut Vec<Note>) -> Option<Forwarding> {
    let word = statement.argument().unwrap_or_default();
    let method = match word.to_ascii_uppercase().as_str() {
        "NAT" => Method::Nat,
        "DR" => Method::Dr,
        "TUN" => Method::Tun,
        "FNAT" => Method::Fullnat,
        _ => {
            let keyword = statement.keyword();
            let message =
                format!("`{keyword}` takes NAT, DR, TUN or FNAT, not \"{word}\": left out");
            notes.push(Note::new(&statement.place, message));
            return None;
        }
    };
    let mut words = statement.arguments().iter();
    let tunnel = words.find(|word| *word == "type").and(words.next());
    let tunnel = tunnel.filter(|kind| method == Method::Tun && *kind != "ipip");
    Some(Forwarding {
        method,
        tunnel: tunnel.cloned(),
    })
}

/// `TCP`, `UDP` or `SCTP`; `None`, and a note, if it is none of them.
pub(super) fn protocol(statement: &Statement, notes: &mut Vec<Note>) -> Option<Protocol> {
    let word = statement.argument().unwrap_or_default();
    let known = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp];
    let found = known
        .into_iter()
        .find(|it| it.name().eq_ignore_ascii_case(word));
    if found.is_none() {
        let message = format!("`protocol` takes TCP, UDP or SCTP, not \"{word}\": left out");
        notes.push(Note::new(&statement.place, message));
    }
    found
}

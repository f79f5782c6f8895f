//! `virtual_server_group`: addresses, ranges, prefixes and marks that share their real servers.

use std::net::{IpAddr, Ipv4Addr};

use super::super::fit::IPV6;
use super::super::place::{Note, Place};
use super::tree::Statement;
use super::value;

/// The most addresses of one range.
const LARGEST_RANGE: u32 = 65_536;

/// What a virtual server is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Element {
    /// Addresses, first and last, and a port (0: every port).
    Addresses(u32, u32, u16),
    /// Packets with a mark.
    Mark(u32),
}

impl Element {
    /// How many services it is.
    pub(super) const fn len(self) -> usize {
        match self {
            Self::Addresses(first, last, _) => (last - first) as usize + 1,
            Self::Mark(_) => 1,
        }
    }

    /// The addresses, each with the port; none for a mark.
    pub(super) fn endpoints(self) -> impl Iterator<Item = (IpAddr, u16)> {
        let (range, port) = match self {
            Self::Addresses(first, last, port) => (Some(first..=last), port),
            Self::Mark(_) => (None, 0),
        };
        let numbers = range.into_iter().flatten();
        numbers.map(move |number| (IpAddr::V4(Ipv4Addr::from_bits(number)), port))
    }
}

/// A group, as far as this version can serve it.
#[derive(Debug, Default)]
pub(super) struct Group {
    /// What it is for, each with its place.
    pub(super) elements: Vec<(Place, Element)>,
    /// What is left out of it.
    pub(super) notes: Vec<Note>,
}

impl Group {
    /// Reads a block.
    pub(super) fn read(statement: &Statement) -> Self {
        let mut group = Self::default();
        for line in statement.statements() {
            match element(&line.words) {
                Ok(element) => group.elements.push((line.place.clone(), element)),
                Err(why) => {
                    let message = format!("`{}` is left out: {why}", line.heading());
                    group.notes.push(Note::new(&line.place, message));
                }
            }
        }
        group
    }
}

/// What a line of a group is for.
fn element(words: &[String]) -> Result<Element, String> {
    match words {
        [keyword, rest @ ..] if keyword == "fwmark" => mark(rest),
        [addresses, rest @ ..] => {
            let port = match rest.first() {
                None => 0,
                Some(port) => port
                    .parse()
                    .map_err(|_| format!("\"{port}\" is not a port"))?,
            };
            let (first, last) = self::addresses(addresses)?;
            Ok(Element::Addresses(first, last, port))
        }
        [] => Err("it is empty".to_owned()),
    }
}

/// The first and the last of a range that is not too large.
pub(super) fn addresses(text: &str) -> Result<(u32, u32), String> {
    let (first, last) = range(text)?;
    if last - first >= LARGEST_RANGE {
        return Err(format!("it has more than {LARGEST_RANGE} addresses"));
    }
    Ok((first, last))
}

/// `N [inet|inet6]`.
pub(super) fn mark(words: &[String]) -> Result<Element, String> {
    let text = words.first().map_or("", String::as_str);
    let mark = value::parsed(text, 1..=u32::MAX);
    let mark = mark.ok_or_else(|| format!("\"{text}\" is not a mark from 1 to {}", u32::MAX))?;
    match words.get(1).map(String::as_str) {
        None | Some("inet") => Ok(Element::Mark(mark)),
        Some("inet6") => Err(IPV6.to_owned()),
        Some(other) => Err(format!("\"{other}\" is not a family: inet or inet6")),
    }
}

/// `A.B.C.D`, `A.B.C.D-E`, `A.B.C.D-E.F.G.H` or `A.B.C.D/nn`, the last with all its addresses.
fn range(text: &str) -> Result<(u32, u32), String> {
    if let Some((addr, len)) = text.split_once('/') {
        let first = ipv4(addr)?;
        let len = value::parsed(len, 1..=32);
        let len = len.ok_or_else(|| format!("\"{text}\" has no prefix length from 1 to 32"))?;
        let host_bits = u32::MAX.checked_shr(len).unwrap_or(0);
        if first & host_bits != 0 {
            return Err(format!("\"{text}\" has bits behind its prefix"));
        }
        return Ok((first, first | host_bits));
    }
    let Some((first, last)) = text.split_once('-') else {
        let addr = ipv4(text)?;
        return Ok((addr, addr));
    };
    let first = ipv4(first)?;
    let last = if last.contains('.') {
        ipv4(last)?
    } else {
        let octet = value::parsed(last, 0..=255);
        let octet = octet.ok_or_else(|| format!("\"{last}\" is no last byte of an address"))?;
        (first & !0xff) | octet
    };
    if last < first {
        return Err(format!("\"{text}\" ends before it begins"));
    }
    Ok((first, last))
}

fn ipv4(text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(IpAddr::V4(addr)) => Ok(addr.to_bits()),
        Ok(IpAddr::V6(_)) => Err(IPV6.to_owned()),
        Err(_) => Err(format!("\"{text}\" is not an address")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Element, String> {
        let words: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
        element(&words)
    }

    fn endpoints(line: &str) -> Vec<String> {
        let endpoints = read(line).unwrap().endpoints();
        endpoints
            .map(|(addr, port)| format!("{addr}:{port}"))
            .collect()
    }

    #[test]
    fn ranges_and_prefixes_have_all_their_addresses() {
        assert_eq!(endpoints("10.0.0.1 80"), ["10.0.0.1:80"]);
        assert_eq!(endpoints("10.0.0.1"), ["10.0.0.1:0"]);
        assert_eq!(endpoints("10.0.0.9-10 80"), ["10.0.0.9:80", "10.0.0.10:80"]);
        assert_eq!(
            endpoints("10.0.0.255-10.0.1.0 80"),
            ["10.0.0.255:80", "10.0.1.0:80"]
        );
        assert_eq!(
            endpoints("10.0.0.8/30 80"),
            ["10.0.0.8:80", "10.0.0.9:80", "10.0.0.10:80", "10.0.0.11:80"]
        );
        assert_eq!(endpoints("255.255.255.255/32 1"), ["255.255.255.255:1"]);
    }

    #[test]
    fn marks_are_of_ipv4() {
        assert_eq!(read("fwmark 4294967295"), Ok(Element::Mark(u32::MAX)));
        assert_eq!(read("fwmark 7 inet"), Ok(Element::Mark(7)));
        assert_eq!(read("fwmark 7 inet6"), Err(IPV6.to_owned()));
        assert!(endpoints("fwmark 7").is_empty());
    }

    #[test]
    fn what_is_no_element_says_why() {
        for (line, why) in [
            ("fwmark 0", "\"0\" is not a mark from 1 to 4294967295"),
            ("fwmark", "\"\" is not a mark from 1 to 4294967295"),
            ("fwmark 1 six", "\"six\" is not a family: inet or inet6"),
            ("www 80", "\"www\" is not an address"),
            ("10.0.0.1 http", "\"http\" is not a port"),
            ("10.0.0.1-x", "\"x\" is no last byte of an address"),
            ("10.0.0.9-8", "\"10.0.0.9-8\" ends before it begins"),
            ("10.0.0.1/24", "\"10.0.0.1/24\" has bits behind its prefix"),
            (
                "10.0.0.0/33",
                "\"10.0.0.0/33\" has no prefix length from 1 to 32",
            ),
            ("10.0.0.0/8 80", "it has more than 65536 addresses"),
            ("2001:db8::1-5 80", IPV6),
        ] {
            assert_eq!(read(line), Err(why.to_owned()), "{line}");
        }
    }
}

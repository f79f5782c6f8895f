//! Reads the values of options: numbers, addresses, ports, marks, flags.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;

use dataplane::address::Protocol;

use super::command::SchedulerFlags;
use super::failure::Failure;
use super::names::Names;

/// The longest time-out `ipvsadm` takes: 31 days.
pub(super) const MAX_TIMEOUT_SECONDS: u32 = 31 * 86_400;

/// An address, and a port if one was written.
pub(super) type AddressAndPort = (IpAddr, Option<u16>);

/// A decimal number within `range`, as `strtol` reads it.
pub(super) fn number(text: &str, range: RangeInclusive<u32>) -> Option<u32> {
    let number: i64 = text.trim_start().parse().ok()?;
    let number = u32::try_from(number).ok()?;
    range.contains(&number).then_some(number)
}

/// A time-out in seconds, at least `least`.
pub(super) fn timeout(text: &str, least: u32) -> Result<u32, Failure> {
    number(text, least..=MAX_TIMEOUT_SECONDS)
        .ok_or_else(|| Failure::usage(format!("invalid timeout value `{text}' specified")))
}

/// A firewall mark.
pub(super) fn mark(text: &str) -> Result<u32, Failure> {
    number(text, 1..=u32::MAX)
        .ok_or_else(|| Failure::usage(format!("invalid fwmark value `{text}' specified")))
}

/// `v4[:port]`, `[v6]:port` or `v6`.
pub(super) fn address_and_port(
    text: &str,
    protocol: Option<Protocol>,
    names: &dyn Names,
) -> Option<AddressAndPort> {
    // One number is an address to inet_aton, but here it was forgotten which.
    if text.bytes().all(|it| it.is_ascii_digit()) {
        return None;
    }
    if let Some(bracketed) = text.strip_prefix('[') {
        let (addr, rest) = bracketed.split_once(']')?;
        let port = rest.strip_prefix(':')?;
        return match addr.parse::<Ipv6Addr>() {
            Ok(addr) => Some((addr.into(), Some(self::port(port, protocol, names)?))),
            // Where an IPv6 address is expected, ipvsadm takes one of IPv4 without its port.
            Err(_) => Some((ipv4(addr, names)?.into(), None)),
        };
    }
    if let Ok(addr) = text.parse::<Ipv6Addr>() {
        return Some((addr.into(), None));
    }
    let (addr, port) = match text.split_once(':') {
        Some((addr, port)) => (addr, Some(self::port(port, protocol, names)?)),
        None => (text, None),
    };
    Some((ipv4(addr, names)?.into(), port))
}

/// An address alone, of either family.
pub(super) fn address(text: &str, names: &dyn Names) -> Option<IpAddr> {
    match address_and_port(text, None, names)? {
        (addr, None) => Some(addr),
        _ => None,
    }
}

/// A number, or the name of a service of `protocol`, if that is known.
fn port(text: &str, protocol: Option<Protocol>, names: &dyn Names) -> Option<u16> {
    let number = number(text, 0..=u32::from(u16::MAX));
    let number = number.and_then(|number| u16::try_from(number).ok());
    number.or_else(|| names.port(text, protocol?))
}

/// An address by numbers or by name.
pub(super) fn ipv4(text: &str, names: &dyn Names) -> Option<Ipv4Addr> {
    inet_aton(text).or_else(|| names.address(text))
}

/// One to four numbers, decimal, octal (`0…`) or hexadecimal (`0x…`), of which the last fills what
/// is left; what follows white space does not matter (inet_aton(3)).
fn inet_aton(text: &str) -> Option<Ipv4Addr> {
    let text = text.split(|it: char| it.is_ascii_whitespace()).next()?;
    let numbers: Vec<u32> = text.split('.').map(c_number).collect::<Option<_>>()?;
    let (last, bytes) = numbers.split_last()?;
    let left = 4_usize.checked_sub(bytes.len())?;
    if left == 0 || (left < 4 && *last >> (8 * left) != 0) {
        return None;
    }
    let mut addr = 0;
    for (index, byte) in bytes.iter().enumerate() {
        addr |= u32::from(u8::try_from(*byte).ok()?) << (24 - 8 * index);
    }
    Some(Ipv4Addr::from_bits(addr | last))
}

fn c_number(text: &str) -> Option<u32> {
    if !text.starts_with(|it: char| it.is_ascii_digit()) {
        return None;
    }
    let hexadecimal = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    if let Some(digits) = hexadecimal {
        let is_sound = digits.bytes().all(|it| it.is_ascii_hexdigit());
        return is_sound.then(|| u32::from_str_radix(digits, 16).ok())?;
    }
    let radix = if text.starts_with('0') { 8 } else { 10 };
    u32::from_str_radix(text, radix).ok()
}

/// `-b`: names of flags with commas between them, for a service with this scheduler.
pub(super) fn flags(text: &str, scheduler: &str) -> Result<SchedulerFlags, Failure> {
    let mut flags = SchedulerFlags::default();
    for name in text.split(',').filter(|name| !name.is_empty()) {
        let (flag, only) = match name {
            "flag-1" => (SchedulerFlags::FIRST, None),
            "flag-2" => (SchedulerFlags::SECOND, None),
            "flag-3" => (SchedulerFlags::THIRD, None),
            "sh-fallback" => (SchedulerFlags::FIRST, Some("sh")),
            "sh-port" => (SchedulerFlags::SECOND, Some("sh")),
            "mh-fallback" => (SchedulerFlags::FIRST, Some("mh")),
            "mh-port" => (SchedulerFlags::SECOND, Some("mh")),
            _ => return Err(Failure::usage(format!("invalid scheduler flag `{name}'"))),
        };
        if only.is_some_and(|only| only != scheduler) {
            let text = format!("incompatible scheduler flag `{name}'");
            return Err(Failure::usage(text));
        }
        flags = flags.with(flag);
    }
    Ok(flags)
}

#[cfg(test)]
mod tests {
    use super::super::names::testing::FewNames;
    use super::*;

    fn read(text: &str) -> Option<String> {
        let (addr, port) = address_and_port(text, Some(Protocol::Tcp), &FewNames)?;
        Some(match port {
            Some(port) => format!("{addr} {port}"),
            None => addr.to_string(),
        })
    }

    #[test]
    fn addresses_are_what_inet_aton_takes() {
        for (text, expected) in [
            ("10.1.0.100", "10.1.0.100"),
            ("10.1", "10.0.0.1"),
            ("10.1.2", "10.1.0.2"),
            ("010.0x10.1.1", "8.16.1.1"),
            ("0x0a010064", "10.1.0.100"),
            ("0.0.0.0", "0.0.0.0"),
            ("255.255.0", "255.255.0.0"),
            ("www", "10.1.0.100"),
        ] {
            assert_eq!(read(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn ports_are_numbers_or_names() {
        for (text, expected) in [
            ("10.1.0.100:0", "10.1.0.100 0"),
            ("10.1.0.100:65535", "10.1.0.100 65535"),
            ("10.1.0.100:http", "10.1.0.100 80"),
            ("www:http", "10.1.0.100 80"),
            ("[2001:db8::1]:80", "2001:db8::1 80"),
            ("2001:db8::1", "2001:db8::1"),
            ("[10.1.0.100]:80", "10.1.0.100"),
            ("10.1.0.100 :80", "10.1.0.100 80"),
        ] {
            assert_eq!(read(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_address_and_port_is_refused() {
        for text in [
            "1234",
            "",
            "10.1.0.300",
            "10.1.2.3.4",
            "10.256.1",
            "10..1",
            "0x",
            "09.1.1.1",
            "nobody",
            "10.1.0.100:",
            "10.1.0.100:99999",
            "10.1.0.100:domain",
            "[2001:db8::1]",
            "[2001:db8::1:80",
        ] {
            assert_eq!(read(text), None, "{text:?}");
        }
    }

    #[test]
    fn numbers_are_decimal_and_bounded() {
        assert_eq!(number("65536", 0..=u32::MAX >> 1), Some(65_536));
        assert_eq!(number("+5", 0..=9), Some(5));
        for text in ["-1", "10", "", "x", "5 ", "0x5", "99999999999999999999"] {
            assert_eq!(number(text, 0..=9), None, "{text:?}");
        }
    }

    #[test]
    fn flags_belong_to_schedulers() {
        let both = SchedulerFlags::FIRST.with(SchedulerFlags::SECOND);
        assert_eq!(flags("sh-fallback,sh-port", "sh"), Ok(both));
        assert_eq!(flags("flag-1,,flag-2", "mh"), Ok(both));
        assert_eq!(
            flags("sh-port", "mh").unwrap_err().text,
            "incompatible scheduler flag `sh-port'"
        );
        assert_eq!(
            flags("flag-1,bogus", "sh").unwrap_err().text,
            "invalid scheduler flag `bogus'"
        );
    }
}

//! `tc` as far as it gives firewall marks: filters of kind u32 on what arrives.
//!
//! ```text
//! tc qdisc add dev eth0 clsact
//! tc filter add dev eth0 ingress protocol ip [prio N] u32 match ip dst 10.9.0.0/16 \
//!    match ip dport 80 0xffff action skbedit mark 7
//! ```
//!
//! The first filter that matches gives the mark. Lower priorities come first, and filters of one
//! priority in the order they were made; the kernel gives a filter without one a priority just
//! below all it has given before.

use std::net::Ipv4Addr;
use std::ops::RangeInclusive;

use dataplane::address::V4;
use dataplane::id::{EthdevId, InterfaceId};
use dataplane::marks::MarkRule;

/// The priority that the kernel gives first to filters that name none.
const FIRST_GIVEN: u32 = 49_152;

/// Priorities from here on are those that the kernel has given.
const GIVEN: u32 = 32_768;

/// The filters of all interfaces.
#[derive(Debug, Default)]
pub(super) struct TrafficControl {
    filters: Vec<Filter>,
}

#[derive(Debug)]
struct Filter {
    priority: u32,
    rule: MarkRule,
}

/// Why a call of `tc` is not understood.
type Objection = String;

impl TrafficControl {
    /// Does what `tc` would with these arguments; `number` knows the interfaces by name.
    pub(super) fn call(
        &mut self,
        arguments: &[String],
        number: impl Fn(&str) -> Option<InterfaceId>,
    ) -> Result<(), Objection> {
        let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let objection = || format!("`tc {}`", words.join(" "));
        let ["qdisc" | "filter", verb, "dev", name, rest @ ..] = words.as_slice() else {
            return Err(objection());
        };
        let ethdev = number(name)
            .map(|id| EthdevId(id.0))
            .ok_or_else(objection)?;
        let done = match (words[0], *verb) {
            ("qdisc", "add" | "replace") => is_ingress(rest).then_some(()),
            ("qdisc", "del" | "delete") => is_ingress(rest).then(|| self.forget(ethdev, None)),
            ("filter", "add") => filter(rest, ethdev).map(|filter| self.add(filter)),
            ("filter", "del" | "delete") => {
                removed(rest).map(|priority| self.forget(ethdev, priority))
            }
            _ => None,
        };
        done.ok_or_else(objection)
    }

    /// The filters in the order in which they are asked.
    pub(super) fn rules(&self) -> Vec<MarkRule> {
        let mut filters: Vec<&Filter> = self.filters.iter().collect();
        filters.sort_by_key(|filter| filter.priority);
        filters.iter().map(|filter| filter.rule.clone()).collect()
    }

    fn add(&mut self, mut filter: Filter) {
        if filter.priority == 0 {
            let same_device =
                (self.filters.iter()).filter(|it| it.rule.ethdev == filter.rule.ethdev);
            let given = same_device.map(|it| it.priority).filter(|it| *it >= GIVEN);
            filter.priority = given.min().map_or(FIRST_GIVEN, |lowest| lowest - 1);
        }
        self.filters.push(filter);
    }

    /// Removes the filters of an ethdev; those of one priority, or all.
    fn forget(&mut self, ethdev: EthdevId, priority: Option<u32>) {
        self.filters.retain(|filter| {
            let other_priority = priority.is_some_and(|priority| filter.priority != priority);
            filter.rule.ethdev != Some(ethdev) || other_priority
        });
    }
}

/// Whether a queueing discipline is one for what arrives.
fn is_ingress(words: &[&str]) -> bool {
    matches!(
        words,
        ["clsact"] | ["ingress"] | ["handle", "ffff:", "ingress" | "clsact"]
    ) || matches!(words, ["ingress", "handle", "ffff:"])
}

/// The priority of the filters that should go; within, `None` for all of them.
fn removed(words: &[&str]) -> Option<Option<u32>> {
    let mut rest = hook(words)?;
    let mut priority = None;
    while let [word, value, more @ ..] = rest {
        match *word {
            "prio" | "pref" | "priority" => priority = Some(value.parse().ok()?),
            "protocol" if is_ip(value) => {}
            _ => return None,
        }
        rest = more;
    }
    rest.is_empty().then_some(priority)
}

/// Passes over the words for what arrives.
fn hook<'a, 'b>(words: &'a [&'b str]) -> Option<&'a [&'b str]> {
    match words {
        ["ingress", rest @ ..] | ["parent", "ffff:" | "ffff:fff2" | "ffff:fff1", rest @ ..] => {
            Some(rest)
        }
        _ => None,
    }
}

fn is_ip(protocol: &str) -> bool {
    matches!(protocol, "ip" | "all" | "0x0800" | "0x800")
}

/// A filter as its words make it; `None` when they are not understood.
fn filter(words: &[&str], ethdev: EthdevId) -> Option<Filter> {
    let mut rest = hook(words)?;
    let mut priority = 0;
    loop {
        rest = match rest {
            ["protocol", protocol, more @ ..] if is_ip(protocol) => more,
            ["prio" | "pref" | "priority", value, more @ ..] => {
                priority = value.parse().ok()?;
                more
            }
            ["u32", more @ ..] => {
                let rule = matches(more, ethdev)?;
                return Some(Filter { priority, rule });
            }
            _ => return None,
        };
    }
}

/// What follows `u32`: what has to match, and the mark.
fn matches(mut rest: &[&str], ethdev: EthdevId) -> Option<MarkRule> {
    let mut rule = MarkRule {
        ethdev: Some(ethdev),
        ..MarkRule::any(0)
    };
    loop {
        rest = match rest {
            ["match", "u32", "0" | "0x0", "0" | "0x0", "at", _, more @ ..]
            | ["match", "u32", "0" | "0x0", "0" | "0x0", more @ ..]
            | ["flowid" | "classid", _, more @ ..] => more,
            ["match", "ip", field @ ("src" | "dst"), value, more @ ..] => {
                let prefix = Some(prefix(value)?);
                match *field {
                    "src" => rule.source = prefix,
                    _ => rule.destination = prefix,
                }
                more
            }
            ["match", "ip", "protocol", value, "0xff" | "255", more @ ..] => {
                rule.protocol = Some(u8::try_from(number(value)?).ok()?);
                more
            }
            [
                "match",
                "ip",
                field @ ("sport" | "dport"),
                value,
                mask,
                more @ ..,
            ] => {
                let ports = ports(number(value)?, number(mask)?)?;
                match *field {
                    "sport" => rule.source_ports = ports,
                    _ => rule.destination_ports = ports,
                }
                more
            }
            ["action", "skbedit", "mark", value, after @ ..] => {
                rule.mark = number(value)?;
                let ends = matches!(after, [] | ["pipe" | "ok" | "pass"]);
                return ends.then_some(rule);
            }
            _ => return None,
        };
    }
}

fn number(text: &str) -> Option<u32> {
    match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

fn prefix(text: &str) -> Option<(V4, u8)> {
    let (addr, len) = text.split_once('/').unwrap_or((text, "32"));
    let addr: Ipv4Addr = addr.parse().ok()?;
    let len = len.parse().ok().filter(|len| *len <= 32)?;
    Some((V4::from(addr), len))
}

/// The ports that are `value` where `mask` has ones, if those stand together at its front.
fn ports(value: u32, mask: u32) -> Option<RangeInclusive<u16>> {
    let (value, mask) = (u16::try_from(value).ok()?, u16::try_from(mask).ok()?);
    let is_prefix = mask.leading_ones() + mask.trailing_zeros() >= u16::BITS;
    is_prefix.then_some(value & mask..=value | !mask)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(control: &mut TrafficControl, line: &str) -> Result<(), Objection> {
        let arguments: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        control.call(&arguments, |name| match name {
            "eth0" => Some(InterfaceId(0)),
            "eth1" => Some(InterfaceId(1)),
            _ => None,
        })
    }

    #[test]
    fn a_filter_becomes_a_rule_for_its_interface() {
        let mut control = TrafficControl::default();
        call(&mut control, "qdisc add dev eth1 clsact").unwrap();

        call(
            &mut control,
            "filter add dev eth1 ingress protocol ip prio 5 u32 match ip src 192.168.0.0/16 \
             match ip dst 10.9.0.1 match ip protocol 6 0xff match ip dport 80 0xffff \
             match ip sport 1024 0xfc00 action skbedit mark 0x7 pipe",
        )
        .unwrap();

        let expected = MarkRule {
            ethdev: Some(EthdevId(1)),
            protocol: Some(6),
            source: Some((V4(0xc0a8_0000), 16)),
            destination: Some((V4(0x0a09_0001), 32)),
            source_ports: 1_024..=2_047,
            destination_ports: 80..=80,
            mark: 7,
        };
        assert_eq!(control.rules(), [expected]);
    }

    #[test]
    fn filters_are_asked_by_priority_and_unnamed_ones_from_the_last_back() {
        let mut control = TrafficControl::default();
        for (words, mark) in [
            ("", 1),
            ("prio 9", 2),
            ("", 3),
            ("pref 4", 4),
            ("prio 9", 5),
        ] {
            let line = format!(
                "filter add dev eth0 ingress protocol ip {words} u32 match u32 0 0 \
                 action skbedit mark {mark}"
            );
            call(&mut control, &line).unwrap();
        }

        let marks: Vec<u32> = control.rules().iter().map(|rule| rule.mark).collect();
        assert_eq!(marks, [4, 2, 5, 3, 1]);

        call(&mut control, "filter del dev eth0 ingress prio 9").unwrap();
        assert_eq!(control.rules().len(), 3);
        call(&mut control, "qdisc del dev eth1 clsact").unwrap();
        assert_eq!(control.rules().len(), 3);
        call(&mut control, "qdisc del dev eth0 clsact").unwrap();
        assert_eq!(control.rules(), []);
    }

    #[test]
    fn what_is_not_understood_is_objected_to_and_changes_nothing() {
        let mut control = TrafficControl::default();

        for line in [
            "filter add dev eth9 ingress protocol ip u32 match u32 0 0 action skbedit mark 1",
            "filter add dev eth0 egress protocol ip u32 match u32 0 0 action skbedit mark 1",
            "filter add dev eth0 ingress protocol ip u32 match ip dport 80 0x00ff action skbedit mark 1",
            "filter add dev eth0 ingress protocol ip u32 match u32 0 0 action drop",
            "filter add dev eth0 ingress bpf object-file mark.o action skbedit mark 1",
            "qdisc add dev eth0 root netem delay 10ms",
            "-s qdisc",
        ] {
            let objection = call(&mut control, line).unwrap_err();
            assert!(objection.starts_with("`tc "), "{objection}");
        }
        assert_eq!(control.rules(), []);
    }
}

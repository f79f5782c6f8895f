//! Writes a scenario as its file has it.

use std::fmt::{self, Write};
use std::time::Duration;

use crate::describe::describe;
use crate::scenario::{IpvsLine, NetLine, PlayLine, Scenario};

/// The text of a scenario; over each frame stands a comment that tells what it is.
#[must_use]
pub fn to_text(scenario: &Scenario) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write_all(&mut text, scenario);
    text
}

fn write_all(text: &mut String, scenario: &Scenario) -> fmt::Result {
    writeln!(text, "[net]")?;
    for line in &scenario.net {
        net_line(text, line)?;
    }
    writeln!(text, "[ipvs]")?;
    for line in &scenario.ipvs {
        match line {
            IpvsLine::Rule(line) | IpvsLine::Shell(line) => writeln!(text, "{line}")?,
            IpvsLine::Each => writeln!(text, "each")?,
        }
    }
    writeln!(text, "[play]")?;
    for line in &scenario.play {
        play_line(text, line)?;
    }
    Ok(())
}

fn net_line(text: &mut String, line: &NetLine) -> fmt::Result {
    match line {
        NetLine::Interface {
            name,
            addresses,
            mac,
            mtu,
        } => {
            write!(text, "if {name}")?;
            for address in addresses {
                write!(text, " addr {address}")?;
            }
            if let Some(mac) = mac {
                write!(text, " mac {mac}")?;
            }
            if let Some(mtu) = mtu {
                write!(text, " mtu {mtu}")?;
            }
            writeln!(text)
        }
        NetLine::Address { interface, prefix } => writeln!(text, "addr {interface} {prefix}"),
        NetLine::Neighbour {
            address,
            mac,
            interface,
        } => writeln!(text, "neigh {address} {mac} {interface}"),
        NetLine::Route(route) => writeln!(text, "route {route}"),
        NetLine::Rule(rule) => writeln!(text, "rule {rule}"),
        NetLine::Sysctl { key, value } => writeln!(text, "sysctl {key}={value}"),
        NetLine::Command(command) => writeln!(text, "cmd {command}"),
    }
}

fn play_line(text: &mut String, line: &PlayLine) -> fmt::Result {
    match line {
        PlayLine::Packet { interface, frame } => {
            writeln!(text, "# {}", describe(frame))?;
            write!(text, "pkt {interface} ")?;
            for byte in frame {
                write!(text, "{byte:02x}")?;
            }
            writeln!(text)
        }
        PlayLine::Capture {
            interface,
            file,
            keeps_time,
        } => {
            let time = if *keeps_time { " keep-ts" } else { "" };
            writeln!(text, "pcap {interface} {}{time}", file.display())
        }
        PlayLine::Wait(time) => writeln!(text, "wait {}", seconds(*time)),
        PlayLine::At(time) => writeln!(text, "at {}", seconds(*time)),
        PlayLine::Shell(command) => writeln!(text, "sh {command}"),
        PlayLine::Ipvsadm(arguments) => writeln!(text, "ipvsadm {arguments}"),
        PlayLine::Dump(label) => writeln!(text, "dump {label}"),
    }
}

/// Seconds with as many decimals as it takes.
pub(crate) fn seconds(time: Duration) -> String {
    let text = format!("{}.{:09}", time.as_secs(), time.subsec_nanos());
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_have_no_more_digits_than_they_need() {
        let cases = [(0, "0"), (900_000, "900"), (12_500, "12.5"), (10, "0.01")];
        for (millis, text) in cases {
            assert_eq!(seconds(Duration::from_millis(millis)), text);
        }
    }
}

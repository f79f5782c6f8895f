//! A scenario in the guest's terms: lines for `ip`, and then one step after the other.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::scenario::{IpvsLine, NetLine, PlayLine, Scenario};

/// The MTU of an interface that does not say one, in bytes.
const MTU: u16 = 1500;

/// What the guest does for one scenario.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Script {
    /// The director's interfaces, in order.
    pub(super) cables: Vec<Cable>,
    /// Whether the director speaks IPv6 at all; when not, it keeps silent about itself too.
    pub(super) ipv6: bool,
    /// Lines for `ip -batch` in the director, when the cables are plugged in.
    pub(super) ip: Vec<String>,
    /// What comes before the play's clock starts.
    pub(super) before: Vec<Step>,
    /// The play.
    pub(super) play: Vec<Step>,
}

/// An interface of the director; its other end is the player's.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Cable {
    /// The director's end.
    pub(super) name: String,
    /// The MAC address of the director's end.
    pub(super) mac: String,
    /// The MTU of the director's end in bytes.
    pub(super) mtu: u16,
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Step {
    /// Sets a kernel variable; the key has dots.
    Set { key: String, value: String },
    /// Rules for one `ipvsadm -R`.
    Restore(Vec<String>),
    /// A shell command; what it says is written down.
    Shell(String),
    /// A frame reaches the director.
    Packet { interface: String, frame: Vec<u8> },
    /// So much time passes.
    Wait(Duration),
    /// Time passes until so long after the play's beginning.
    At(Duration),
}

impl Script {
    /// What the guest does for `scenario`.
    ///
    /// # Errors
    ///
    /// The capture that whoever read the scenario should have taken apart.
    pub(super) fn of(scenario: &Scenario) -> Result<Self, PathBuf> {
        let mut script = Self::default();
        for line in &scenario.net {
            script.net(line);
        }
        if script.cables.is_empty() {
            script.interface("eth0", &[], None, None);
        }
        script.before.extend(rules(&scenario.ipvs));
        for line in &scenario.play {
            script.play(line)?;
        }
        Ok(script)
    }

    /// How much time passes at least while it is played.
    pub(super) fn waits(&self) -> Duration {
        let mut passed = Duration::ZERO;
        for step in &self.play {
            match step {
                Step::Wait(time) => passed += *time,
                Step::At(time) => passed = passed.max(*time),
                _ => {}
            }
        }
        passed
    }

    fn net(&mut self, line: &NetLine) {
        match line {
            NetLine::Interface {
                name,
                addresses,
                mac,
                mtu,
            } => self.interface(name, addresses, mac.as_deref(), *mtu),
            NetLine::Address { interface, prefix } => self.address(interface, prefix),
            NetLine::Neighbour {
                address,
                mac,
                interface,
            } => self.ip.push(format!(
                "neigh replace {address} lladdr {mac} dev {interface} nud permanent"
            )),
            NetLine::Route(route) => {
                self.ipv6 |= route.contains(':');
                self.ip.push(format!("route replace {route}"));
            }
            NetLine::Rule(rule) => self.ip.push(format!("rule {rule}")),
            NetLine::Sysctl { key, value } => self.before.push(Step::Set {
                key: key.clone(),
                value: value.clone(),
            }),
            NetLine::Command(command) => self.before.push(Step::Shell(command.clone())),
        }
    }

    fn interface(&mut self, name: &str, addresses: &[String], mac: Option<&str>, mtu: Option<u16>) {
        let numbered = format!("02:00:00:00:00:{:02x}", self.cables.len() + 1);
        self.cables.push(Cable {
            name: name.to_owned(),
            mac: mac.map_or(numbered, str::to_owned),
            mtu: mtu.unwrap_or(MTU),
        });
        self.ip.push(format!("link set {name} up"));
        for address in addresses {
            self.address(name, address);
        }
    }

    fn address(&mut self, interface: &str, prefix: &str) {
        // A new IPv6 address is not used before its time to be contested is over.
        let six = prefix.contains(':');
        let at_once = if six { " nodad" } else { "" };
        self.ipv6 |= six;
        self.ip
            .push(format!("addr add {prefix} dev {interface}{at_once}"));
    }

    fn play(&mut self, line: &PlayLine) -> Result<(), PathBuf> {
        let step = match line {
            PlayLine::Packet { interface, frame } => Step::Packet {
                interface: interface.clone(),
                frame: frame.clone(),
            },
            PlayLine::Capture { file, .. } => return Err(file.clone()),
            PlayLine::Wait(time) => Step::Wait(*time),
            PlayLine::At(time) => Step::At(*time),
            PlayLine::Shell(command) => Step::Shell(command.clone()),
            PlayLine::Ipvsadm(arguments) => Step::Shell(format!("ipvsadm {arguments}")),
            PlayLine::Dump(_) => {
                self.play.push(Step::Shell("ipvsadm -Ln".to_owned()));
                Step::Shell("ipvsadm -Lnc".to_owned())
            }
        };
        self.play.push(step);
        Ok(())
    }
}

/// The steps of `[ipvs]`: consecutive rules together, unless `each` has its own command.
fn rules(lines: &[IpvsLine]) -> Vec<Step> {
    let each = lines.contains(&IpvsLine::Each);
    let mut steps = Vec::new();
    for line in lines {
        match line {
            IpvsLine::Each => {}
            IpvsLine::Shell(command) => steps.push(Step::Shell(command.clone())),
            IpvsLine::Rule(rule) if each => steps.push(Step::Shell(format!("ipvsadm {rule}"))),
            IpvsLine::Rule(rule) => match steps.last_mut() {
                Some(Step::Restore(rules)) => rules.push(rule.clone()),
                _ => steps.push(Step::Restore(vec![rule.clone()])),
            },
        }
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(net: Vec<NetLine>, ipvs: Vec<IpvsLine>, play: Vec<PlayLine>) -> Script {
        let scenario = Scenario {
            net,
            ipvs,
            play,
            ..Scenario::default()
        };
        Script::of(&scenario).unwrap()
    }

    fn interface(name: &str, address: &str, mac: Option<&str>) -> NetLine {
        NetLine::Interface {
            name: name.to_owned(),
            addresses: vec![address.to_owned()],
            mac: mac.map(str::to_owned),
            mtu: None,
        }
    }

    fn rule(text: &str) -> IpvsLine {
        IpvsLine::Rule(text.to_owned())
    }

    #[test]
    fn interfaces_are_numbered_unless_they_say_their_mac() {
        let given = vec![
            interface("eth0", "10.1.0.1/24", Some("02:00:00:00:00:aa")),
            interface("eth1", "10.2.0.1/24", None),
        ];

        let script = script(given, vec![], vec![]);

        let macs: Vec<_> = script.cables.iter().map(|cable| &cable.mac[..]).collect();
        assert_eq!(macs, ["02:00:00:00:00:aa", "02:00:00:00:00:02"]);
        assert_eq!(script.ip[0], "link set eth0 up");
        assert_eq!(script.ip[3], "addr add 10.2.0.1/24 dev eth1");
    }

    #[test]
    fn a_network_without_interfaces_has_one_and_no_ipv6() {
        let script = script(vec![], vec![], vec![]);

        assert_eq!(script.cables.len(), 1);
        assert!(!script.ipv6);
    }

    #[test]
    fn an_ipv6_address_wakes_ipv6_and_is_used_at_once() {
        let script = script(
            vec![interface("eth0", "2001:db8::1/64", None)],
            vec![],
            vec![],
        );

        assert!(script.ipv6);
        assert_eq!(script.ip[1], "addr add 2001:db8::1/64 dev eth0 nodad");
    }

    #[test]
    fn consecutive_rules_go_together_and_each_parts_them() {
        let mut given = vec![
            rule("-A -t 10.1.0.100:80"),
            rule("-C"),
            IpvsLine::Shell("true".to_owned()),
            rule("-Z"),
        ];

        let together = script(vec![], given.clone(), vec![]).before;
        given.push(IpvsLine::Each);
        let parted = script(vec![], given, vec![]).before;

        let restore = ["-A -t 10.1.0.100:80", "-C"].map(str::to_owned).to_vec();
        assert_eq!(together[0], Step::Restore(restore));
        assert_eq!(together[2], Step::Restore(vec!["-Z".to_owned()]));
        assert_eq!(parted[3], Step::Shell("ipvsadm -Z".to_owned()));
        assert_eq!((together.len(), parted.len()), (3, 4));
    }

    #[test]
    fn waits_add_up_and_a_time_already_passed_is_not_waited_for() {
        let seconds = Duration::from_secs;

        let script = script(
            vec![],
            vec![],
            vec![
                PlayLine::Wait(seconds(3)),
                PlayLine::At(seconds(10)),
                PlayLine::Wait(seconds(5)),
                PlayLine::At(seconds(12)),
            ],
        );

        assert_eq!(script.waits(), seconds(15));
    }

    #[test]
    fn a_capture_that_nobody_took_apart_is_refused() {
        let capture = PlayLine::Capture {
            interface: "eth0".to_owned(),
            file: PathBuf::from("in.pcap"),
            keeps_time: false,
        };
        let scenario = Scenario {
            play: vec![capture],
            ..Scenario::default()
        };

        assert_eq!(Script::of(&scenario), Err(PathBuf::from("in.pcap")));
    }
}

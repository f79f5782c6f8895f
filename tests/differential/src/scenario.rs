//! A scenario: a network, rules, and what happens then.

use std::path::PathBuf;
use std::time::Duration;

/// A scenario file, read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scenario {
    /// The file's name without its ending, or the seed it was made from.
    pub name: String,
    /// Where it lies; what it names is looked for there.
    pub folder: PathBuf,
    /// `[net]`, in order.
    pub net: Vec<NetLine>,
    /// `[ipvs]`, in order.
    pub ipvs: Vec<IpvsLine>,
    /// `[play]`, in order.
    pub play: Vec<PlayLine>,
}

/// A line of `[net]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NetLine {
    /// `if NAME [addr PREFIX]... [mac MAC] [mtu BYTES]`: an interface of the director. Without
    /// `mac` the first has 02:00:00:00:00:01, the second 02:00:00:00:00:02 and so on.
    Interface {
        /// Its name.
        name: String,
        /// Addresses with prefix lengths, as `ip addr add` takes them.
        addresses: Vec<String>,
        /// Its MAC address, as written.
        mac: Option<String>,
        /// Its MTU in bytes; 1500 when it is not said.
        mtu: Option<u16>,
    },
    /// `addr NAME PREFIX`: one more address.
    Address {
        /// The interface; `lo` too.
        interface: String,
        /// The address with its prefix length.
        prefix: String,
    },
    /// `neigh ADDRESS MAC INTERFACE`: a permanent neighbour.
    Neighbour {
        /// Its address.
        address: String,
        /// Its MAC address.
        mac: String,
        /// Where it is.
        interface: String,
    },
    /// `route ...`: what follows `ip route replace`.
    Route(String),
    /// `rule ...`: what follows `ip rule`.
    Rule(String),
    /// `sysctl KEY=VALUE`.
    Sysctl {
        /// With dots.
        key: String,
        /// As written.
        value: String,
    },
    /// `cmd ...`: a shell command.
    Command(String),
}

/// A line of `[ipvs]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IpvsLine {
    /// A line that begins with `-`: arguments of `ipvsadm`. Unless the section says `each`,
    /// consecutive ones go through one `ipvsadm -R`.
    Rule(String),
    /// `each`, anywhere: one `ipvsadm` for each rule of the section, with its exit code and text.
    Each,
    /// Anything else: a shell command.
    Shell(String),
}

/// A line of `[play]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlayLine {
    /// `pkt INTERFACE HEX`: a frame that reaches the director.
    Packet {
        /// The director's interface.
        interface: String,
        /// The frame from its Ethernet header on, without FCS.
        frame: Vec<u8>,
    },
    /// `pcap INTERFACE FILE [keep-ts]`: the frames of a capture.
    Capture {
        /// The director's interface.
        interface: String,
        /// The file, relative to the scenario's folder.
        file: PathBuf,
        /// Whether they come when the capture says; otherwise one after the other at once.
        keeps_time: bool,
    },
    /// `wait SECONDS`.
    Wait(Duration),
    /// `at SECONDS`: waits until so long after the play's beginning.
    At(Duration),
    /// `sh COMMAND`.
    Shell(String),
    /// `ipvsadm ARGUMENTS`.
    Ipvsadm(String),
    /// `dump LABEL`: `ipvsadm -Ln` and `-Lnc` here.
    Dump(String),
}

impl Scenario {
    /// How long the play takes at least.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        (self.play.iter()).fold(Duration::ZERO, |now, line| match line {
            PlayLine::Wait(time) => now + *time,
            PlayLine::At(time) => now.max(*time),
            _ => now,
        })
    }

    /// Every shell command and every line of `ipvsadm` arguments, in order.
    pub fn commands(&self) -> impl Iterator<Item = &str> {
        let net = self.net.iter().filter_map(|line| match line {
            NetLine::Command(command) => Some(command.as_str()),
            _ => None,
        });
        let ipvs = self.ipvs.iter().filter_map(|line| match line {
            IpvsLine::Rule(line) | IpvsLine::Shell(line) => Some(line.as_str()),
            IpvsLine::Each => None,
        });
        let play = self.play.iter().filter_map(|line| match line {
            PlayLine::Shell(command) | PlayLine::Ipvsadm(command) => Some(command.as_str()),
            _ => None,
        });
        net.chain(ipvs).chain(play)
    }
}

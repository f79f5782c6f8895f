//! Reads scenario files.
//!
//! ```text
//! [net]    if, addr, neigh, route, rule, sysctl, cmd     the director's network
//! [ipvs]   -A ..., each, or a shell command              its rules
//! [play]   pkt, pcap, wait, at, sh, ipvsadm, dump        what happens
//! ```
//!
//! Lines before the first section belong to `[play]`; empty lines and those that begin with `#`
//! are nothing. A scenario without an `if` line has one interface, `eth0`. Captures are taken
//! apart here: who plays a scenario meets single frames only.

pub mod pcap;
mod text;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use thiserror::Error;

use crate::scenario::{IpvsLine, NetLine, PlayLine, Scenario};

pub use text::to_text;

/// Why a file is no scenario.
#[derive(Debug, Error)]
pub enum ReadError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A line says nothing that is understood.
    #[error("{name}:{line}: {mistake}")]
    Line {
        /// The scenario's name.
        name: String,
        /// Counted from 1.
        line: usize,
        /// What is wrong with it.
        mistake: Mistake,
    },
}

/// What is wrong with a line.
#[derive(Debug, Error)]
pub enum Mistake {
    /// A section of another name.
    #[error("'[{0}]' is no section: there are [net], [ipvs] and [play]")]
    Section(String),
    /// A line that begins with a word the section does not know.
    #[error("'{word}' begins no line of [{section}]")]
    Word {
        /// The section.
        section: &'static str,
        /// The first word of the line.
        word: String,
    },
    /// A line that says too little or too much.
    #[error("this should read '{0}'")]
    Form(&'static str),
    /// A number that is none.
    #[error("'{0}' is no time in seconds")]
    Seconds(String),
    /// An MTU that is none.
    #[error("'{0}' is no MTU")]
    Mtu(String),
    /// Bytes that are none.
    #[error("'{0}' is no frame in hexadecimal")]
    Hex(String),
    /// A capture that cannot be played.
    #[error("{0}")]
    Capture(#[from] pcap::CaptureError),
}

/// Reads a scenario file; captures that it names are read too.
///
/// # Errors
///
/// When the file or a capture cannot be read, or a line is not understood.
pub fn load(path: &Path) -> Result<Scenario, ReadError> {
    let text = fs::read_to_string(path).map_err(|source| ReadError::File {
        path: path.to_owned(),
        source,
    })?;
    let name = path.file_stem().unwrap_or(path.as_os_str());
    let folder = path.parent().unwrap_or(Path::new("."));
    parse(&name.to_string_lossy(), folder, &text)
}

/// Reads a scenario's text; files that it names are looked for in `folder`.
///
/// # Errors
///
/// When a line is not understood, or a capture cannot be read.
pub fn parse(name: &str, folder: &Path, text: &str) -> Result<Scenario, ReadError> {
    let mut scenario = Scenario {
        name: name.to_owned(),
        folder: folder.to_owned(),
        ..Scenario::default()
    };
    let mut section = Section::Play;
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        read_line(&mut scenario, &mut section, line).map_err(|mistake| ReadError::Line {
            name: name.to_owned(),
            line: index + 1,
            mistake,
        })?;
    }
    let is_interface = |line: &NetLine| matches!(line, NetLine::Interface { .. });
    if !scenario.net.iter().any(is_interface) {
        scenario.net.insert(0, interface("eth0"));
    }
    Ok(scenario)
}

/// Where in the file a line stands.
#[derive(Clone, Copy)]
enum Section {
    Net,
    Ipvs,
    Play,
}

fn read_line(scenario: &mut Scenario, section: &mut Section, line: &str) -> Result<(), Mistake> {
    if let Some(name) = line
        .strip_prefix('[')
        .and_then(|line| line.strip_suffix(']'))
    {
        *section = match name {
            "net" => Section::Net,
            "ipvs" => Section::Ipvs,
            "play" => Section::Play,
            _ => return Err(Mistake::Section(name.to_owned())),
        };
        return Ok(());
    }
    match section {
        Section::Net => scenario.net.push(net_line(line)?),
        Section::Ipvs => scenario.ipvs.push(ipvs_line(line)),
        Section::Play => play_line(scenario, line)?,
    }
    Ok(())
}

/// The first word of a line, and the others.
fn first_word(line: &str) -> (&str, &str) {
    match line.split_once(char::is_whitespace) {
        Some((word, rest)) => (word, rest.trim_start()),
        None => (line, ""),
    }
}

fn net_line(line: &str) -> Result<NetLine, Mistake> {
    let (word, rest) = first_word(line);
    let words: Vec<&str> = rest.split_whitespace().collect();
    match (word, words.as_slice()) {
        ("if", [name, options @ ..]) => interface_line(name, options),
        ("if", []) => Err(Mistake::Form(
            "if NAME [addr PREFIX]... [mac MAC] [mtu BYTES]",
        )),
        ("addr", [interface, prefix]) => Ok(NetLine::Address {
            interface: (*interface).to_owned(),
            prefix: (*prefix).to_owned(),
        }),
        ("addr", _) => Err(Mistake::Form("addr INTERFACE PREFIX")),
        ("neigh", [address, mac, interface]) => Ok(NetLine::Neighbour {
            address: (*address).to_owned(),
            mac: (*mac).to_owned(),
            interface: (*interface).to_owned(),
        }),
        ("neigh", _) => Err(Mistake::Form("neigh ADDRESS MAC INTERFACE")),
        ("route", [_, ..]) => Ok(NetLine::Route(rest.to_owned())),
        ("rule", [_, ..]) => Ok(NetLine::Rule(rest.to_owned())),
        ("sysctl", _) => match rest.split_once('=') {
            Some((key, value)) => Ok(NetLine::Sysctl {
                key: key.trim().to_owned(),
                value: value.trim().to_owned(),
            }),
            None => Err(Mistake::Form("sysctl KEY=VALUE")),
        },
        ("cmd", [_, ..]) => Ok(NetLine::Command(rest.to_owned())),
        _ => Err(Mistake::Word {
            section: "net",
            word: word.to_owned(),
        }),
    }
}

/// An interface of which nothing else is said.
fn interface(name: &str) -> NetLine {
    NetLine::Interface {
        name: name.to_owned(),
        addresses: Vec::new(),
        mac: None,
        mtu: None,
    }
}

fn interface_line(name: &str, options: &[&str]) -> Result<NetLine, Mistake> {
    let mut line = interface(name);
    let NetLine::Interface {
        addresses,
        mac,
        mtu,
        ..
    } = &mut line
    else {
        return Ok(line);
    };
    for option in options.chunks(2) {
        match *option {
            ["addr", prefix] => addresses.push(prefix.to_owned()),
            ["mac", written] => *mac = Some(written.to_owned()),
            ["mtu", bytes] => {
                let number = bytes.parse().map_err(|_| Mistake::Mtu(bytes.to_owned()))?;
                *mtu = Some(number);
            }
            _ => {
                return Err(Mistake::Form(
                    "if NAME [addr PREFIX]... [mac MAC] [mtu BYTES]",
                ));
            }
        }
    }
    Ok(line)
}

fn ipvs_line(line: &str) -> IpvsLine {
    if line == "each" {
        IpvsLine::Each
    } else if line.starts_with('-') {
        IpvsLine::Rule(line.to_owned())
    } else {
        IpvsLine::Shell(line.to_owned())
    }
}

fn play_line(scenario: &mut Scenario, line: &str) -> Result<(), Mistake> {
    let (word, rest) = first_word(line);
    let words: Vec<&str> = rest.split_whitespace().collect();
    let read = match (word, words.as_slice()) {
        ("pkt", [interface, hex]) => PlayLine::Packet {
            interface: (*interface).to_owned(),
            frame: bytes(hex)?,
        },
        ("pkt", _) => return Err(Mistake::Form("pkt INTERFACE HEX")),
        ("pcap", [interface, file]) => return capture(scenario, interface, file, false),
        ("pcap", [interface, file, "keep-ts"]) => return capture(scenario, interface, file, true),
        ("pcap", _) => return Err(Mistake::Form("pcap INTERFACE FILE [keep-ts]")),
        ("wait", [time]) => PlayLine::Wait(seconds(time)?),
        ("wait", _) => return Err(Mistake::Form("wait SECONDS")),
        ("at", [time]) => PlayLine::At(seconds(time)?),
        ("at", _) => return Err(Mistake::Form("at SECONDS")),
        ("sh", [_, ..]) => PlayLine::Shell(rest.to_owned()),
        ("ipvsadm", _) => PlayLine::Ipvsadm(rest.to_owned()),
        ("dump", []) => PlayLine::Dump("mid".to_owned()),
        ("dump", _) => PlayLine::Dump(rest.to_owned()),
        _ => {
            return Err(Mistake::Word {
                section: "play",
                word: word.to_owned(),
            });
        }
    };
    scenario.play.push(read);
    Ok(())
}

/// Puts the frames of a capture in the play; with their times, the first comes at the play's
/// beginning, wherever the line stands.
fn capture(
    scenario: &mut Scenario,
    interface: &str,
    file: &str,
    keeps_time: bool,
) -> Result<(), Mistake> {
    let frames = pcap::load(&scenario.folder.join(file))?;
    let start = frames.first().map_or(Duration::ZERO, |frame| frame.time);
    for frame in frames {
        if keeps_time {
            let time = frame.time.saturating_sub(start);
            scenario.play.push(PlayLine::At(time));
        }
        scenario.play.push(PlayLine::Packet {
            interface: interface.to_owned(),
            frame: frame.bytes,
        });
    }
    Ok(())
}

fn seconds(text: &str) -> Result<Duration, Mistake> {
    let number: Option<f64> = text.parse().ok();
    number
        .and_then(|number| Duration::try_from_secs_f64(number).ok())
        .ok_or_else(|| Mistake::Seconds(text.to_owned()))
}

fn bytes(hex: &str) -> Result<Vec<u8>, Mistake> {
    let digits: Option<Vec<u8>> = (hex.chars())
        .map(|digit| {
            digit
                .to_digit(16)
                .and_then(|digit| u8::try_from(digit).ok())
        })
        .collect();
    match digits {
        Some(digits) if digits.len().is_multiple_of(2) => {
            let pairs = digits.chunks_exact(2);
            Ok(pairs.map(|pair| pair[0] << 4 | pair[1]).collect())
        }
        _ => Err(Mistake::Hex(hex.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY_LINE: &str = "\
# a comment
[net]
if eth0 addr 10.1.0.1/24 addr 10.1.0.100/32 mac 02:00:00:00:00:09 mtu 1400
addr lo 10.9.0.1/32
neigh 10.2.0.11 02:00:00:00:20:0b eth1
route default via 10.1.0.254 dev eth0
rule add fwmark 1 lookup 100
sysctl net.ipv4.vs.sloppy_tcp = 1
cmd tc qdisc add dev eth0 clsact

[ipvs]
-A -t 10.1.0.100:80 -s rr
each
sysctl net.ipv4.vs
[play]
pkt eth0 0aFF
wait 0.25
at 12.5
sh ip  link set eth0 mtu 1000
ipvsadm -Ln
dump half way
dump
";

    fn read(text: &str) -> Result<Scenario, String> {
        parse("name", Path::new("."), text).map_err(|error| error.to_string())
    }

    #[test]
    fn every_kind_of_line_is_read() {
        let scenario = read(EVERY_LINE).unwrap();

        assert_eq!(scenario.net.len(), 7);
        assert_eq!(
            scenario.net[0],
            NetLine::Interface {
                name: "eth0".to_owned(),
                addresses: vec!["10.1.0.1/24".to_owned(), "10.1.0.100/32".to_owned()],
                mac: Some("02:00:00:00:00:09".to_owned()),
                mtu: Some(1_400),
            }
        );
        assert_eq!(
            scenario.net[5],
            NetLine::Sysctl {
                key: "net.ipv4.vs.sloppy_tcp".to_owned(),
                value: "1".to_owned()
            }
        );
        assert_eq!(
            scenario.ipvs,
            [
                IpvsLine::Rule("-A -t 10.1.0.100:80 -s rr".to_owned()),
                IpvsLine::Each,
                IpvsLine::Shell("sysctl net.ipv4.vs".to_owned())
            ]
        );
        assert_eq!(
            scenario.play,
            [
                PlayLine::Packet {
                    interface: "eth0".to_owned(),
                    frame: vec![0x0a, 0xff]
                },
                PlayLine::Wait(Duration::from_millis(250)),
                PlayLine::At(Duration::from_millis(12_500)),
                PlayLine::Shell("ip  link set eth0 mtu 1000".to_owned()),
                PlayLine::Ipvsadm("-Ln".to_owned()),
                PlayLine::Dump("half way".to_owned()),
                PlayLine::Dump("mid".to_owned()),
            ]
        );
    }

    #[test]
    fn what_is_printed_reads_back_the_same() {
        let scenario = read(EVERY_LINE).unwrap();

        let again = read(&to_text(&scenario)).unwrap();

        assert_eq!(again, scenario);
    }

    #[test]
    fn lines_before_the_first_section_are_played() {
        let scenario = read("wait 1").unwrap();

        assert_eq!(scenario.play, [PlayLine::Wait(Duration::from_secs(1))]);
        assert_eq!(scenario.net, [interface("eth0")]);
    }

    #[test]
    fn a_mistake_is_told_with_its_line() {
        let cases = [
            (
                "[nets]",
                "name:1: '[nets]' is no section: there are [net], [ipvs] and [play]",
            ),
            ("\n\nstay 3", "name:3: 'stay' begins no line of [play]"),
            ("wait long", "name:1: 'long' is no time in seconds"),
            ("wait -1", "name:1: '-1' is no time in seconds"),
            ("pkt eth0 0", "name:1: '0' is no frame in hexadecimal"),
            ("pkt eth0 0g", "name:1: '0g' is no frame in hexadecimal"),
            (
                "[net]\nif eth0 mtu",
                "name:2: this should read 'if NAME [addr PREFIX]... [mac MAC] [mtu BYTES]'",
            ),
            ("[net]\nif eth0 mtu 70000", "name:2: '70000' is no MTU"),
            (
                "[net]\nneigh 10.2.0.11",
                "name:2: this should read 'neigh ADDRESS MAC INTERFACE'",
            ),
        ];
        for (text, error) in cases {
            assert_eq!(read(text).unwrap_err(), error);
        }
    }
}

//! `[[service.check]]` and `[[service.server.check]]`: one check.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use super::super::document::Node;
use super::super::network::{not_a_host, parse_address};
use super::super::section::Section;
use super::kind::{KINDS, Kind};
use super::{
    Check, CheckKind, Digest, Dns, Grpc, Http, LoadSource, Path, Script, Timing, Tls, Udp, bytes,
    span, status,
};
use crate::health::probe::Probe;

/// How often a server may be checked. More often than this a check is an attack.
const INTERVAL: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(86_400);

/// How long an attempt may take.
const TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(3600);

/// What may be waited for before an attempt.
const WAIT: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(86_400);

/// Attempts, and checks in a row.
const MOST_TIMES: u16 = 100;

/// By how much of the interval a check may be earlier or later, in percent.
const MOST_JITTER: u8 = 50;

/// The longest name of DNS as text (RFC 1035 §2.3.4).
const LONGEST_NAME: usize = 253;

/// The words of `via`.
pub(super) const PATHS: [(&str, Path); 2] = [("route", Path::Route), ("vip", Path::Vip)];

/// The types of DNS records that can be asked for.
const RECORDS: [&str; 9] = ["A", "AAAA", "CNAME", "MX", "NS", "PTR", "SOA", "SRV", "TXT"];

impl Check {
    pub(in super::super) fn read(mut section: Section<'_>) -> Option<Self> {
        let names = KINDS.map(|(name, _)| name).join(", ");
        let advice = format!("give one of {names}");
        // What the other keys are for, nobody knows without it.
        let kind = section.required("type", &advice, |node| node.word(&KINDS))?;
        let mut check = Self {
            kind: CheckKind::Tcp,
            port: None,
            address: section.optional("address", read_address),
            path: Path::Route,
            timing: read_timing(&mut section),
            load: None,
        };
        kind.refuse_others(&mut section);
        if kind != Kind::Icmp {
            check.port = section.optional("port", |node| node.number(1, u16::MAX));
        }
        if !matches!(kind, Kind::Icmp | Kind::Script) {
            check.path = section.or("via", Path::Route, |node| node.word(&PATHS));
        }
        let read = match kind {
            Kind::Tcp => Some(CheckKind::Tcp),
            Kind::Http | Kind::Https => {
                check.load = read_load(&mut section);
                let tls = (kind == Kind::Https).then(|| read_tls(&mut section));
                Some(CheckKind::Http(Box::new(read_http(&mut section, tls))))
            }
            Kind::Udp => Some(CheckKind::Udp(read_udp(&mut section))),
            Kind::Dns => Some(CheckKind::Dns(read_dns(&mut section))),
            Kind::Smtp => Some(CheckKind::Smtp {
                helo: section.or("helo", HELO.to_owned(), read_name),
            }),
            Kind::Grpc => Some(CheckKind::Grpc(read_grpc(&mut section))),
            Kind::Script => read_script(&mut section).map(CheckKind::Script),
            Kind::Icmp => Some(CheckKind::Icmp),
        };
        let check = read.map(|kind| Self { kind, ..check });
        if let Some(Err(message)) = check.as_ref().map(Self::prepare) {
            section.refuse(section.table().line_of("type"), &message);
        }
        section.finish();
        check
    }

    /// Makes it ready as for a run, but for what only the machine knows: certificates and users.
    fn prepare(&self) -> Result<(), String> {
        let mut anywhere = self.clone();
        let tls = match &mut anywhere.kind {
            CheckKind::Http(http) => http.tls.as_mut(),
            CheckKind::Grpc(grpc) => grpc.tls.as_mut(),
            CheckKind::Script(script) => {
                script.user = None;
                None
            }
            _ => None,
        };
        if let Some(tls) = tls {
            tls.verify = false;
            tls.ca = None;
        }
        Probe::new(&anywhere).map(drop)
    }
}

impl Timing {
    /// The timeout of whoever says none: 2 s, and no more than the interval.
    pub(super) fn usual_timeout(interval: Duration) -> Duration {
        Self::default().timeout.min(interval)
    }
}

fn read_timing(section: &mut Section<'_>) -> Timing {
    let usual = Timing::default();
    let interval = section.or("interval", usual.interval, |node| {
        span::read(node, INTERVAL)
    });
    let timeout = Timing::usual_timeout(interval);
    let times = |node: &Node| node.number(1, MOST_TIMES);
    Timing {
        interval,
        jitter: section.or("jitter", usual.jitter, |node| node.number(0, MOST_JITTER)),
        timeout: section.or("timeout", timeout, |node| span::read(node, TIMEOUT)),
        retry: section.or("retry", usual.retry, |node| node.number(0, MOST_TIMES)),
        retry_delay: section.or("retry_delay", usual.retry_delay, |node| {
            span::read(node, WAIT)
        }),
        rise: section.or("rise", usual.rise, times),
        fall: section.or("fall", usual.fall, times),
        delay: section.or("delay", usual.delay, |node| span::read(node, WAIT)),
    }
}

fn read_address(node: &Node) -> Result<std::net::IpAddr, String> {
    let address = parse_address(node.text()?)?;
    match not_a_host(address).filter(|_| !address.is_loopback()) {
        Some(what) => Err(format!(
            "{address} is {what}: give an address of the server"
        )),
        None => Ok(address),
    }
}

fn read_load(section: &mut Section<'_>) -> Option<LoadSource> {
    let header = section.optional("load_header", |node| {
        read_token(node, "a header's name, like \"X-Load\"")
    });
    let json = section.optional("load_json", |node| {
        let text = node.text()?;
        if text.starts_with('/') {
            Ok(text.to_owned())
        } else {
            Err(format!(
                "\"{text}\" is not a JSON pointer: write it like \"/load/percent\""
            ))
        }
    });
    if header.is_some() && json.is_some() {
        let line = section.table().line_of("load_json");
        section.refuse(
            line,
            "`load_json` and `load_header` both say the load: take one of them away",
        );
    }
    header
        .map(LoadSource::Header)
        .or(json.map(LoadSource::Json))
}

fn read_tls(section: &mut Section<'_>) -> Tls {
    Tls {
        sni: section.optional("sni", read_name),
        verify: section.or("verify", false, Node::boolean),
        ca: section.optional("ca", |node| absolute(node.text()?).map(PathBuf::from)),
    }
}

/// The method of a request when none is said.
pub(super) const METHOD: &str = "GET";

/// The path of a request when none is said.
pub(super) const ROOT: &str = "/";

fn read_http(section: &mut Section<'_>, tls: Option<Tls>) -> Http {
    Http {
        method: section.or("method", METHOD.to_owned(), |node| {
            read_token(node, "a method of HTTP, like \"GET\"")
        }),
        path: section.or("path", ROOT.to_owned(), |node| {
            let text = node.text()?;
            let is_path = text.starts_with('/') && text.chars().all(|c| c.is_ascii_graphic());
            is_path.then(|| text.to_owned()).ok_or_else(|| {
                format!("\"{text}\" is not a path: write it like \"/health?full=1\"")
            })
        }),
        host: section.optional("host", read_name),
        status: section.or("status", vec![status::SUCCESS], status::read),
        body_regex: section.optional("body_regex", read_regex),
        body_digest: section.optional("body_digest", |node| Digest::parse(node.text()?)),
        tls,
    }
}

fn read_regex(node: &Node) -> Result<String, String> {
    let text = node.text()?;
    match regex::bytes::Regex::new(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => {
            // The last line says what is wrong, those before it draw where.
            let error = error.to_string();
            let why = error.lines().last().unwrap_or_default();
            let why = why.strip_prefix("error: ").unwrap_or(why);
            Err(format!(
                "\"{text}\" is not a regular expression: {why}; backslashes count in 'single \
                 quotes'"
            ))
        }
    }
}

fn read_udp(section: &mut Section<'_>) -> Udp {
    Udp {
        send: read_bytes(section, ["send", "send_hex"]).unwrap_or_default(),
        expect: read_bytes(section, ["expect", "expect_hex"]),
    }
}

fn read_bytes(section: &mut Section<'_>, [key, hex_key]: [&'static str; 2]) -> Option<Vec<u8>> {
    let short = |bytes: Vec<u8>| match bytes.len() {
        0..=bytes::MOST_BYTES => Ok(bytes),
        len => Err(format!(
            "has {len} bytes: give at most {}",
            bytes::MOST_BYTES
        )),
    };
    let text = section.optional(key, |node| short(node.text()?.as_bytes().to_vec()));
    let hex = section.optional(hex_key, |node| short(bytes::from_hex(node.text()?)?));
    if text.is_some() && hex.is_some() {
        let line = section.table().line_of(hex_key);
        let message = format!("`{hex_key}` and `{key}` say the same: take one of them away");
        section.refuse(line, &message);
    }
    text.or(hex)
}

/// The name that DNS is asked for when none is said: that of the root.
pub(super) const QUERY: &str = ".";

/// The record that is asked for when none is said.
pub(super) const RECORD: &str = "SOA";

fn read_dns(section: &mut Section<'_>) -> Dns {
    Dns {
        query: section.or("query", QUERY.to_owned(), read_name),
        record: section.or("record", RECORD.to_owned(), |node| {
            let words = RECORDS.map(|record| (record, record));
            node.word(&words).map(str::to_owned)
        }),
        answer: section.optional("answer", |node| Ok(node.text()?.to_owned())),
    }
}

/// The name in HELO when none is said.
pub(super) const HELO: &str = "localhost";

fn read_grpc(section: &mut Section<'_>) -> Grpc {
    let has_tls = section.or("tls", false, Node::boolean);
    let tls = read_tls(section);
    if !has_tls {
        for key in ["sni", "verify", "ca"] {
            if section.has(key) {
                let line = section.table().line_of(key);
                let message = format!("`{key}` needs `tls = true`: give both or none");
                section.refuse(line, &message);
            }
        }
    }
    Grpc {
        service: section.or("service", String::new(), |node| Ok(node.text()?.to_owned())),
        tls: has_tls.then_some(tls),
    }
}

fn read_script(section: &mut Section<'_>) -> Option<Script> {
    let weight_by_status = section.or("weight_by_status", false, Node::boolean);
    let user = section.optional("user", |node| Ok(node.text()?.to_owned()));
    const MISSING: &str = "give the program and its arguments, like [\"/usr/local/bin/check\"]";
    let _present = section.required("command", MISSING, |_| Ok(()));
    let command = section.list("command", |node| {
        let text = node.text()?;
        if text.contains('\0') {
            return Err("has a zero byte, which no program can be given".to_owned());
        }
        Ok(text.to_owned())
    })?;
    let line = section.table().line_of("command");
    match command.first().map(|program| absolute(program)) {
        None => {
            section.refuse(line, &format!("`command` is empty: {MISSING}"));
            return None;
        }
        Some(Err(message)) => section.refuse(line, &format!("`command` {message}")),
        Some(Ok(_)) => {}
    }
    Some(Script {
        command,
        weight_by_status,
        user,
    })
}

fn absolute(path: &str) -> Result<&str, String> {
    if path.starts_with('/') {
        Ok(path)
    } else {
        Err(format!(
            "\"{path}\" is relative, and nobody knows to what: begin it with \"/\""
        ))
    }
}

/// A name of a host, or something that stands in its place.
fn read_name(node: &Node) -> Result<String, String> {
    let text = node.text()?;
    let is_name = (1..=LONGEST_NAME).contains(&text.len());
    if is_name && text.chars().all(|c| c.is_ascii_graphic()) {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "\"{text}\" is not a name: write it like \"www.example.com\""
        ))
    }
}

/// A token of HTTP (RFC 9110 §5.6.2).
fn read_token(node: &Node, what: &str) -> Result<String, String> {
    let text = node.text()?;
    let is_sign = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    if !text.is_empty() && text.chars().all(is_sign) {
        Ok(text.to_owned())
    } else {
        Err(format!("\"{text}\" is not {what}"))
    }
}

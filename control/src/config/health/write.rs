//! Health as it is written back: the keys that [`super::read`] and [`super::check`] read, without
//! those that say what their absence says.

use std::ops::RangeInclusive;
use std::time::Duration;

use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

use super::super::written::optional;
use super::check::{HELO, METHOD, PATHS, QUERY, RECORD, ROOT};
use super::read::STARTS;
use super::span::Span;
use super::{
    Agent, Check, CheckKind, Damping, Digest, Health, Http, LoadSource, Path, Script, ServerHealth,
    Start, Timing, Tls, Udp, bytes, status,
};

/// How many keys of a service are about health.
pub(in super::super) const SERVICE_KEYS: usize = 10;

/// How many keys of a server are.
pub(in super::super) const SERVER_KEYS: usize = 3;

impl Health {
    /// Writes its keys among those of the service.
    pub(in super::super) fn write<K: SerializeStruct>(&self, keys: &mut K) -> Result<(), K::Error> {
        let usual = Self::default();
        optional(keys, "quorum", unless(self.quorum, usual.quorum))?;
        optional(
            keys,
            "hysteresis",
            unless(self.hysteresis, usual.hysteresis),
        )?;
        optional(keys, "sorry_server", self.sorry_server.as_ref())?;
        let inhibit = unless(self.inhibit_on_failure, usual.inhibit_on_failure);
        optional(keys, "inhibit_on_failure", inhibit)?;
        let start = unless(self.start, usual.start).map(start_word);
        optional(keys, "start", start)?;
        let slow_start = unless(self.slow_start, usual.slow_start).map(Span);
        optional(keys, "slow_start", slow_start)?;
        let damping = unless(self.damping, usual.damping).map(WrittenDamping);
        optional(keys, "damping", damping)?;
        let bounds = Some(&self.weight_bounds).filter(|it| **it != usual.weight_bounds);
        optional(keys, "weight_bounds", bounds.map(pair))?;
        optional(keys, "agent", self.agent)?;
        let checks = Some(&self.checks).filter(|checks| !checks.is_empty());
        optional(keys, "check", checks.map(AsRef::as_ref))
    }
}

impl ServerHealth {
    /// Writes its keys among those of the server.
    pub(in super::super) fn write<K: SerializeStruct>(&self, keys: &mut K) -> Result<(), K::Error> {
        optional(keys, "enabled", unless(!self.disabled, true))?;
        optional(keys, "agent", self.agent)?;
        optional(keys, "check", self.checks.as_deref())
    }
}

impl Serialize for Check {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut keys = serializer.serialize_struct("Check", 25)?;
        keys.serialize_field("type", self.kind.name())?;
        optional(&mut keys, "port", self.port)?;
        optional(&mut keys, "address", self.address)?;
        let path = unless(self.path, Path::Route).map(path_word);
        optional(&mut keys, "via", path)?;
        self.timing.write(&mut keys)?;
        self.kind.write(&mut keys)?;
        match &self.load {
            Some(LoadSource::Header(name)) => keys.serialize_field("load_header", name)?,
            Some(LoadSource::Json(pointer)) => keys.serialize_field("load_json", pointer)?,
            None => {}
        }
        keys.end()
    }
}

impl Timing {
    fn write<K: SerializeStruct>(&self, keys: &mut K) -> Result<(), K::Error> {
        let usual = Self::default();
        let mut time =
            |key, time: Duration, usual| optional(keys, key, unless(time, usual).map(Span));
        time("interval", self.interval, usual.interval)?;
        let timeout = Self::usual_timeout(self.interval);
        time("timeout", self.timeout, timeout)?;
        time("retry_delay", self.retry_delay, usual.retry_delay)?;
        time("delay", self.delay, usual.delay)?;
        optional(keys, "jitter", unless(self.jitter, usual.jitter))?;
        optional(keys, "retry", unless(self.retry, usual.retry))?;
        optional(keys, "rise", unless(self.rise, usual.rise))?;
        optional(keys, "fall", unless(self.fall, usual.fall))
    }
}

impl CheckKind {
    fn write<K: SerializeStruct>(&self, keys: &mut K) -> Result<(), K::Error> {
        match self {
            Self::Tcp | Self::Icmp => Ok(()),
            Self::Http(http) => http.write(keys),
            Self::Udp(udp) => udp.write(keys),
            Self::Dns(dns) => {
                optional(keys, "query", unless(dns.query.as_str(), QUERY))?;
                optional(keys, "record", unless(dns.record.as_str(), RECORD))?;
                optional(keys, "answer", dns.answer.as_deref())
            }
            Self::Smtp { helo } => optional(keys, "helo", unless(helo.as_str(), HELO)),
            Self::Grpc(grpc) => {
                optional(keys, "service", unless(grpc.service.as_str(), ""))?;
                optional(keys, "tls", grpc.tls.as_ref().map(|_| true))?;
                grpc.tls.as_ref().map_or(Ok(()), |tls| tls.write(keys))
            }
            Self::Script(script) => script.write(keys),
        }
    }
}

impl Http {
    fn write<K: SerializeStruct>(&self, keys: &mut K) -> Result<(), K::Error> {
        optional(keys, "method", unless(self.method.as_str(), METHOD))?;
        optional(keys, "path", unless(self.path.as_str(), ROOT))?;
        optional(keys, "host", self.host.as_deref())?;
        let status = Some(self.status.as_slice()).filter(|it| *it != [status::SUCCESS]);
        optional(keys, "status", status.map(status::Written))?;
        optional(keys, "body_regex", self.body_regex.as_deref())?;
        let digest = self.body_digest.as_ref().map(Digest::to_string);
        optional(keys, "body_digest", digest)?;
        self.tls.as_ref().map_or(Ok(()), |tls| tls.write(keys))
    }
}

impl Tls {
    fn write<K: SerializeStruct>(&self, keys: &mut K) -> Result<(), K::Error> {
        optional(keys, "sni", self.sni.as_deref())?;
        optional(keys, "verify", unless(self.verify, false))?;
        optional(keys, "ca", self.ca.as_deref())
    }
}

impl Udp {
    fn write<K: SerializeStruct>(&self, keys: &mut K) -> Result<(), K::Error> {
        let send = Some(self.send.as_slice()).filter(|send| !send.is_empty());
        write_bytes(keys, ["send", "send_hex"], send)?;
        write_bytes(keys, ["expect", "expect_hex"], self.expect.as_deref())
    }
}

fn write_bytes<K: SerializeStruct>(
    keys: &mut K,
    [key, hex_key]: [&'static str; 2],
    bytes: Option<&[u8]>,
) -> Result<(), K::Error> {
    let text = bytes.and_then(bytes::as_text);
    let hex = bytes.filter(|_| text.is_none()).map(bytes::to_hex);
    optional(keys, key, text)?;
    optional(keys, hex_key, hex)
}

impl Script {
    fn write<K: SerializeStruct>(&self, keys: &mut K) -> Result<(), K::Error> {
        keys.serialize_field("command", &self.command)?;
        let by_status = unless(self.weight_by_status, false);
        optional(keys, "weight_by_status", by_status)?;
        optional(keys, "user", self.user.as_deref())
    }
}

impl Serialize for Agent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut keys = serializer.serialize_struct("Agent", 3)?;
        keys.serialize_field("port", &self.port)?;
        let interval = unless(self.interval, Self::INTERVAL).map(Span);
        optional(&mut keys, "interval", interval)?;
        let timeout = unless(self.timeout, Self::usual_timeout(self.interval));
        optional(&mut keys, "timeout", timeout.map(Span))?;
        keys.end()
    }
}

/// `false`, or a table of what is not as usual.
struct WrittenDamping(Option<Damping>);

impl Serialize for WrittenDamping {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Some(damping) = self.0 else {
            return serializer.serialize_bool(false);
        };
        let usual = Damping::default();
        let mut keys = serializer.serialize_struct("Damping", 4)?;
        let half_life = unless(damping.half_life, usual.half_life).map(Span);
        optional(&mut keys, "half_life", half_life)?;
        optional(
            &mut keys,
            "suppress",
            unless(damping.suppress, usual.suppress),
        )?;
        optional(&mut keys, "reuse", unless(damping.reuse, usual.reuse))?;
        let longest = unless(damping.longest, usual.longest).map(Span);
        optional(&mut keys, "longest", longest)?;
        keys.end()
    }
}

/// The value, if it is not the one that is meant without a word.
fn unless<T: PartialEq>(value: T, usual: T) -> Option<T> {
    (value != usual).then_some(value)
}

fn pair(bounds: &RangeInclusive<u16>) -> [u16; 2] {
    [*bounds.start(), *bounds.end()]
}

fn start_word(start: Start) -> &'static str {
    let found = STARTS.iter().find(|(_, meaning)| *meaning == start);
    found.map_or("up", |(word, _)| *word)
}

fn path_word(path: Path) -> &'static str {
    let found = PATHS.iter().find(|(_, meaning)| *meaning == path);
    found.map_or("route", |(word, _)| *word)
}

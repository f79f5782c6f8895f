//! How services are written back: the keys and words that [`super::service`] reads.
//!
//! A key that says what its absence says is left out, so that a file written by the gateway
//! looks like one written by an operator.

use std::net::{IpAddr, Ipv4Addr};

use dataplane::address::Endpoint;
use dataplane::service::{MssClamp, Persistence, SchedulerKind, ServiceKey, Unserved};
use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

use super::service::{Placement, Server, Service, UNSERVED};

impl Serialize for Service {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut keys = serializer.serialize_struct("Service", 14)?;
        optional(&mut keys, "name", self.name.as_deref())?;
        match self.key() {
            ServiceKey::Address {
                protocol,
                virtual_endpoint: Endpoint { addr, port },
            } => {
                keys.serialize_field("protocol", protocol.name())?;
                keys.serialize_field("vip", &WrittenVip(addr, &self.placement))?;
                keys.serialize_field("port", &port)?;
            }
            ServiceKey::Mark(mark) => keys.serialize_field("mark", &mark)?,
        }
        keys.serialize_field("scheduler", self.scheduler.name())?;
        optional(&mut keys, "scheduler_flags", flags(self.scheduler))?;
        optional(&mut keys, "local_pool", self.local_pool.as_deref())?;
        optional(&mut keys, "unserved", self.unserved.map(unserved_word))?;
        keys.serialize_field("mss_clamp", &WrittenClamp(self.mss_clamp))?;
        let seconds = self.persistence.map(|it| it.timeout_seconds);
        optional(&mut keys, "persistent", seconds)?;
        let netmask = self.persistence.map(|it| it.netmask);
        let netmask = netmask.filter(|mask| *mask != Persistence::NETMASK);
        let netmask = netmask.map(Ipv4Addr::from_bits);
        optional(&mut keys, "persistent_netmask", netmask)?;
        let one_packet = Some(true).filter(|_| self.one_packet);
        optional(&mut keys, "one_packet", one_packet)?;
        let servers = Some(&self.servers).filter(|servers| !servers.is_empty());
        optional(&mut keys, "server", servers)?;
        keys.end()
    }
}

impl Serialize for Server {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let unless_zero = |threshold: u32| Some(threshold).filter(|&sessions| sessions != 0);
        let mut keys = serializer.serialize_struct("Server", 6)?;
        keys.serialize_field("address", &self.endpoint.addr)?;
        keys.serialize_field("port", &self.endpoint.port)?;
        keys.serialize_field("weight", &self.weight.0)?;
        keys.serialize_field("method", self.method.name())?;
        optional(
            &mut keys,
            "upper_threshold",
            unless_zero(self.upper_threshold),
        )?;
        optional(
            &mut keys,
            "lower_threshold",
            unless_zero(self.lower_threshold),
        )?;
        keys.end()
    }
}

/// The VIP as text, or as a table when its placement has to be said.
struct WrittenVip<'a>(IpAddr, &'a Placement);

impl Serialize for WrittenVip<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (key, value) = match self.1 {
            Placement::Auto => return self.0.serialize(serializer),
            Placement::Interface(name) => ("interface", name.as_str()),
            Placement::External => ("place", "external"),
        };
        let mut keys = serializer.serialize_struct("Vip", 2)?;
        keys.serialize_field("address", &self.0)?;
        keys.serialize_field(key, value)?;
        keys.end()
    }
}

/// `"auto"`, `"off"` or bytes.
struct WrittenClamp(MssClamp);

impl Serialize for WrittenClamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            MssClamp::Auto => serializer.serialize_str("auto"),
            MssClamp::To(bytes) => serializer.serialize_u16(bytes),
            MssClamp::Off => serializer.serialize_str("off"),
        }
    }
}

fn flags(scheduler: SchedulerKind) -> Option<Vec<&'static str>> {
    let set = match scheduler {
        SchedulerKind::Sh { fallback, port } => [(fallback, "sh-fallback"), (port, "sh-port")],
        SchedulerKind::Mh { fallback, port } => [(fallback, "mh-fallback"), (port, "mh-port")],
        _ => return None,
    };
    let names: Vec<_> = set
        .iter()
        .filter(|(is_set, _)| *is_set)
        .map(|(_, name)| *name)
        .collect();
    Some(names).filter(|names| !names.is_empty())
}

/// The word of [`UNSERVED`] for a value.
pub(super) fn unserved_word(unserved: Unserved) -> &'static str {
    UNSERVED
        .iter()
        .find(|(_, meaning)| *meaning == unserved)
        .map_or("linux", |(word, _)| *word)
}

fn optional<K: SerializeStruct, T: Serialize>(
    keys: &mut K,
    key: &'static str,
    value: Option<T>,
) -> Result<(), K::Error> {
    match value {
        Some(value) => keys.serialize_field(key, &value),
        None => keys.skip_field(key),
    }
}

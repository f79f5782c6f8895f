//! How services are written back: the keys and words that [`super::service`] reads.
//!
//! A key that says what its absence says is left out, so that a file written by the gateway
//! looks like one written by an operator.

use std::net::{IpAddr, Ipv4Addr};

use dataplane::address::Endpoint;
use dataplane::service::{MssClamp, SchedulerKind, ServiceKey, Unserved};
use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

use super::health::{SERVER_KEYS, SERVICE_KEYS};
use super::service::{SCHEDULER_FLAGS, Server, Service, UNSERVED, every_client};
use super::vip::Placement;
use crate::ipvs::SchedulerFlags;

impl Serialize for Service {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut keys = serializer.serialize_struct("Service", 15 + SERVICE_KEYS)?;
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
            ServiceKey::Mark6(mark) => {
                keys.serialize_field("mark", &mark)?;
                keys.serialize_field("family", "ipv6")?;
            }
        }
        keys.serialize_field("scheduler", self.scheduler.name())?;
        let flags = Some(self.scheduler_flags()).filter(|flags| !flags.is_empty());
        optional(&mut keys, "scheduler_flags", flags)?;
        optional(&mut keys, "local_pool", self.local_pool.as_deref())?;
        optional(&mut keys, "unserved", self.unserved.map(unserved_word))?;
        keys.serialize_field("mss_clamp", &WrittenClamp(self.mss_clamp))?;
        let seconds = self.persistence.map(|it| it.timeout_seconds);
        optional(&mut keys, "persistent", seconds)?;
        let netmask = self.persistence.map(|it| it.netmask);
        let is_v6 = self.key.is_ipv6();
        let netmask = netmask.filter(|mask| *mask != every_client(is_v6));
        let netmask = netmask.map(|mask| WrittenNetmask { mask, is_v6 });
        optional(&mut keys, "persistent_netmask", netmask)?;
        let one_packet = Some(true).filter(|_| self.one_packet);
        optional(&mut keys, "one_packet", one_packet)?;
        if let Some(health) = &self.health {
            health.write(&mut keys)?;
        }
        let servers = Some(&self.servers).filter(|servers| !servers.is_empty());
        optional(&mut keys, "server", servers)?;
        keys.end()
    }
}

impl Serialize for Server {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let unless_zero = |threshold: u32| Some(threshold).filter(|&sessions| sessions != 0);
        let mut keys = serializer.serialize_struct("Server", 6 + SERVER_KEYS)?;
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
        if let Some(health) = &self.health {
            health.write(&mut keys)?;
        }
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

/// A mask of IPv4, or the length of a prefix of IPv6.
struct WrittenNetmask {
    mask: u32,
    is_v6: bool,
}

impl Serialize for WrittenNetmask {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.is_v6 {
            self.mask.serialize(serializer)
        } else {
            Ipv4Addr::from_bits(self.mask).serialize(serializer)
        }
    }
}

impl Service {
    /// The words of `scheduler_flags`: the scheduler's own where it has some, else those for any.
    #[must_use]
    pub fn scheduler_flags(&self) -> Vec<&'static str> {
        let mut left = self.idle_flags;
        if let SchedulerKind::Sh { fallback, port } | SchedulerKind::Mh { fallback, port } =
            self.scheduler
        {
            let asked = [
                (fallback, SchedulerFlags::FIRST),
                (port, SchedulerFlags::SECOND),
            ];
            let asked = asked.into_iter().filter(|(is_set, _)| *is_set);
            left = asked.fold(left, |flags, (_, flag)| flags.with(flag));
        }
        let mut words = Vec::new();
        for (word, (of, flag)) in SCHEDULER_FLAGS {
            if left.contains(flag) && of.is_none_or(|of| of == self.scheduler.name()) {
                words.push(word);
                left = left.without(flag);
            }
        }
        words
    }
}

/// The word of [`UNSERVED`] for a value.
pub(super) fn unserved_word(unserved: Unserved) -> &'static str {
    UNSERVED
        .iter()
        .find(|(_, meaning)| *meaning == unserved)
        .map_or("linux", |(word, _)| *word)
}

/// Writes a key that may be absent.
pub(super) fn optional<K: SerializeStruct, T: Serialize>(
    keys: &mut K,
    key: &'static str,
    value: Option<T>,
) -> Result<(), K::Error> {
    match value {
        Some(value) => keys.serialize_field(key, &value),
        None => keys.skip_field(key),
    }
}

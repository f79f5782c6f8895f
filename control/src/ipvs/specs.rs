//! From the table to what the packet path is told.

use std::net::IpAddr;

use dataplane::editor::{LocalSpec, ServerSpec, ServiceSpec};
use dataplane::id::Weight;
use dataplane::service::{
    LOCALITY_EXPIRATION_SECONDS, MssClamp, Persistence, SchedulerKind, ServiceKey, Unserved,
};

use super::command::{Family, SchedulerFlags, ServerLine, ServiceName};
use super::table::{Entry, Table};
use crate::config::PortRange;

/// How long schedulers remember a VIP that nobody asks for: variables of `net.ipv4.vs`, which all
/// services share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Locality {
    /// `lblc_expiration`, in seconds.
    pub lblc_seconds: u32,
    /// `lblcr_expiration`, in seconds.
    pub lblcr_seconds: u32,
}

impl Default for Locality {
    fn default() -> Self {
        Self {
            lblc_seconds: LOCALITY_EXPIRATION_SECONDS,
            lblcr_seconds: LOCALITY_EXPIRATION_SECONDS,
        }
    }
}

impl Locality {
    const fn applied(self, kind: SchedulerKind) -> SchedulerKind {
        match kind {
            SchedulerKind::Lblc { .. } => SchedulerKind::Lblc {
                expiration_seconds: self.lblc_seconds,
            },
            SchedulerKind::Lblcr { .. } => SchedulerKind::Lblcr {
                expiration_seconds: self.lblcr_seconds,
            },
            other => other,
        }
    }
}

/// The scheduler that a name and flags mean; `None` when there is none of this name.
pub(crate) fn scheduler(name: &str, flags: SchedulerFlags) -> Option<SchedulerKind> {
    let fallback = flags.contains(SchedulerFlags::FIRST);
    let port = flags.contains(SchedulerFlags::SECOND);
    let expiration_seconds = LOCALITY_EXPIRATION_SECONDS;
    let kinds = [
        SchedulerKind::Rr,
        SchedulerKind::Wrr,
        SchedulerKind::Lc,
        SchedulerKind::Wlc,
        SchedulerKind::Sed,
        SchedulerKind::Nq,
        SchedulerKind::Fo,
        SchedulerKind::Ovf,
        SchedulerKind::Twos,
        SchedulerKind::Dh,
        SchedulerKind::Sh { fallback, port },
        SchedulerKind::Mh { fallback, port },
        SchedulerKind::Lblc { expiration_seconds },
        SchedulerKind::Lblcr { expiration_seconds },
        SchedulerKind::None,
    ];
    kinds.into_iter().find(|kind| kind.name() == name)
}

impl Table {
    /// The services as the packet path is told them, in the order in which they were added: those
    /// of IPv4.
    #[must_use]
    pub fn specs(&self, locality: Locality) -> Vec<ServiceSpec> {
        let known = self.services();
        let known = known.filter(|entry| entry.service.name.family() == Family::V4);
        known.map(|entry| spec(entry, locality)).collect()
    }
}

impl ServiceName {
    /// What `ipvsadm` calls the service of this key.
    #[must_use]
    pub const fn of(key: ServiceKey) -> Self {
        match key {
            ServiceKey::Address {
                protocol,
                virtual_endpoint,
            } => Self::Address {
                protocol,
                endpoint: virtual_endpoint,
            },
            ServiceKey::Mark(mark) => Self::Mark {
                mark,
                family: Family::V4,
            },
            ServiceKey::Mark6(mark) => Self::Mark {
                mark,
                family: Family::V6,
            },
        }
    }

    /// The service's key in the configuration and the packet path.
    #[must_use]
    pub const fn key(&self) -> ServiceKey {
        match *self {
            Self::Address { protocol, endpoint } => ServiceKey::address(protocol, endpoint),
            Self::Mark {
                mark,
                family: Family::V4,
            } => ServiceKey::Mark(mark),
            Self::Mark {
                mark,
                family: Family::V6,
            } => ServiceKey::Mark6(mark),
        }
    }
}

fn spec(entry: &Entry, locality: Locality) -> ServiceSpec {
    ServiceSpec {
        key: entry.service.name.key(),
        scheduler: locality.applied(entry.scheduler),
        servers: (entry.servers_and_edits())
            .filter(|(line, _)| line.endpoint.addr.is_ipv4())
            .map(server)
            .collect(),
        checked: Vec::new(),
        local_addresses: entry.local_addresses.iter().map(local).collect(),
        unserved: Unserved::default(),
        mss_clamp: MssClamp::default(),
        persistence: entry.service.persistence.map(|persistent| Persistence {
            timeout_seconds: persistent.timeout_seconds,
            netmask: persistent.netmask,
        }),
        one_packet: entry.service.one_packet,
    }
}

/// A local address with all ports that one may lend.
fn local(addr: &IpAddr) -> LocalSpec {
    LocalSpec {
        addr: *addr,
        ports: PortRange::UNPRIVILEGED.ports(),
        host: true,
    }
}

const fn server((line, edits): (&ServerLine, u32)) -> ServerSpec {
    ServerSpec {
        endpoint: line.endpoint,
        weight: Weight(line.weight),
        method: line.method,
        upper_threshold: line.upper_threshold,
        lower_threshold: line.lower_threshold,
        edits,
    }
}

/// The flags that a scheduler's options are.
pub(super) const fn flags(kind: SchedulerKind) -> SchedulerFlags {
    let (SchedulerKind::Sh { fallback, port } | SchedulerKind::Mh { fallback, port }) = kind else {
        return SchedulerFlags::NONE;
    };
    let flags = SchedulerFlags::NONE;
    let flags = if fallback {
        flags.with(SchedulerFlags::FIRST)
    } else {
        flags
    };
    if port {
        flags.with(SchedulerFlags::SECOND)
    } else {
        flags
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scheduler_of_the_kernel_is_known_by_its_name() {
        for name in [
            "rr", "wrr", "lc", "wlc", "sed", "nq", "fo", "ovf", "twos", "dh", "sh", "mh", "lblc",
            "lblcr", "none",
        ] {
            let kind = scheduler(name, SchedulerFlags::default());
            assert_eq!(kind.map(SchedulerKind::name), Some(name));
        }
        assert_eq!(scheduler("WLC", SchedulerFlags::default()), None);
        assert_eq!(scheduler("", SchedulerFlags::default()), None);
    }

    #[test]
    fn the_first_two_flags_are_options_of_sh_and_mh() {
        assert_eq!(
            scheduler("sh", SchedulerFlags::FIRST),
            Some(SchedulerKind::Sh {
                fallback: true,
                port: false
            })
        );
        assert_eq!(
            scheduler("mh", SchedulerFlags::SECOND),
            Some(SchedulerKind::Mh {
                fallback: false,
                port: true
            })
        );
        assert_eq!(
            scheduler("rr", SchedulerFlags::FIRST),
            Some(SchedulerKind::Rr)
        );
    }
}

//! From the table to what the packet path is told.

use dataplane::editor::{ServerSpec, ServiceSpec};
use dataplane::id::Weight;
use dataplane::service::{
    LOCALITY_EXPIRATION_SECONDS, MssClamp, Persistence, SchedulerKind, ServiceKey, Unserved,
};

use super::command::{Family, SchedulerFlags, ServerLine, ServiceName};
use super::table::{Entry, Table};

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
pub(super) fn scheduler(name: &str, flags: SchedulerFlags) -> Option<SchedulerKind> {
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
    /// The services as the packet path is told them, in the order in which they were added.
    #[must_use]
    pub fn specs(&self, locality: Locality) -> Vec<ServiceSpec> {
        let known = self.services();
        known.filter_map(|entry| spec(entry, locality)).collect()
    }
}

impl ServiceName {
    /// The service's key in the packet path, if it can have such a service.
    #[must_use]
    pub const fn key(&self) -> Option<ServiceKey> {
        match *self {
            Self::Address { protocol, endpoint } => Some(ServiceKey::address(protocol, endpoint)),
            Self::Mark {
                mark,
                family: Family::V4,
            } => Some(ServiceKey::Mark(mark)),
            Self::Mark { .. } => None,
        }
    }
}

fn spec(entry: &Entry, locality: Locality) -> Option<ServiceSpec> {
    Some(ServiceSpec {
        key: entry.service.name.key()?,
        scheduler: locality.applied(entry.scheduler),
        servers: entry.servers_and_edits().map(server).collect(),
        local_addresses: Vec::new(),
        unserved: Unserved::default(),
        mss_clamp: MssClamp::default(),
        persistence: entry.service.persistence.map(|persistent| Persistence {
            timeout_seconds: persistent.timeout_seconds,
            netmask: persistent.netmask,
        }),
        one_packet: entry.service.one_packet,
    })
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

//! Which VIPs routers shall send here, and maintenance, during which they shall send nothing.
//!
//! Maintenance is forgotten with the process: whoever restarts the gateway wants it back.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::net::IpAddr;

use dataplane::id::InterfaceId;
use dataplane::service::ServiceKey;

use super::Gateway;
use super::events::EventKind;
use crate::config::{Announce, Config, Placement, Service};
use crate::health::standing::health_of;
use crate::view::{AnnouncedView, MaintenanceView};

/// What is announced, and whether anything may be.
#[derive(Debug, Default)]
pub(super) struct Announcing {
    maintenance: bool,
    announced: BTreeSet<IpAddr>,
    /// The watched services of which all servers were known once.
    known: HashSet<ServiceKey>,
}

impl Gateway {
    /// The VIPs that are to be announced, each with the interface the configuration names for
    /// it; none without a table to announce them in.
    #[must_use]
    pub fn wished_announcements(&self) -> Vec<(IpAddr, Option<InterfaceId>)> {
        let config = self.config();
        let wants_traffic = !self.in_maintenance() && !self.is_leaving() && !self.is_ill();
        if config.gateway().announce_table.is_none() || !wants_traffic {
            return Vec::new();
        }
        let unknown = self.unknown_services(&config);
        let wished = self.vips_in_quorum(&config, &unknown);
        let vips = config.vips().into_iter();
        let vips = vips.filter(|vip| wished.contains(&vip.address));
        vips.map(|vip| {
            let interface = match vip.placement {
                Placement::Interface(name) => config.interface(name).map(|it| it.id),
                Placement::Auto | Placement::External => None,
            };
            (vip.address, interface)
        })
        .collect()
    }

    /// The watched services of which some server has not been asked since the start. They are not
    /// announced: servers may be down, and with `mh` a gateway that knows only some of them would
    /// send flows of others wrong. What comes later is as configured (`start`).
    fn unknown_services(&self, config: &Config) -> HashSet<ServiceKey> {
        let mut announcing = self.announcing.lock();
        let watched = config.services().iter();
        let watched = watched.filter(|it| health_of(it).is_some());
        let mut unknown: HashSet<_> = watched
            .map(Service::key)
            .filter(|key| !announcing.known.contains(key))
            .collect();
        if !unknown.is_empty() {
            self.board.with(|watched, _| {
                let known = unknown.iter().filter(|key| watched.is_known(**key));
                announcing.known.extend(known);
            });
            unknown.retain(|key| !announcing.known.contains(key));
        }
        unknown
    }

    /// The VIPs of which as many services have quorum as `announce` asks for, those that are
    /// unknown left out.
    fn vips_in_quorum(&self, config: &Config, unknown: &HashSet<ServiceKey>) -> BTreeSet<IpAddr> {
        let mut services: BTreeMap<IpAddr, Vec<bool>> = BTreeMap::new();
        let state = self.state.lock();
        for service in config.services() {
            if let Some(vip) = service.vip() {
                let key = service.key();
                let has_quorum = state.has_quorum(key) && !unknown.contains(&key);
                services.entry(vip).or_default().push(has_quorum);
            }
        }
        drop(state);
        let is_enough = |have: &[bool]| match config.gateway().announce {
            Announce::Any => have.contains(&true),
            Announce::All => !have.contains(&false),
        };
        let enough = services.into_iter().filter(|(_, have)| is_enough(have));
        enough.map(|(vip, _)| vip).collect()
    }

    /// Takes note of what is announced now.
    pub fn announced(&self, vips: BTreeSet<IpAddr>) {
        let before = std::mem::replace(&mut self.announcing.lock().announced, vips.clone());
        if before == vips {
            return;
        }
        if !before.is_subset(&vips) {
            self.vip_left();
        }
        let withdrawn = before.difference(&vips);
        let withdrawn = withdrawn.map(|vip| EventKind::VipWithdrawn { vip: *vip });
        let new = vips.difference(&before);
        let new = new.map(|vip| EventKind::VipAnnounced { vip: *vip });
        let revision = self.state.lock().revision;
        self.watchers.tell(revision, withdrawn.chain(new));
    }

    /// How many VIPs are announced now.
    pub(super) fn announced_vips(&self) -> usize {
        self.announcing.lock().announced.len()
    }

    /// Whether this gateway wants no traffic: no VIP is announced, and it is not ready.
    #[must_use]
    pub fn in_maintenance(&self) -> bool {
        self.announcing.lock().maintenance
    }

    /// Begins or ends maintenance. What still comes is served, sessions and new ones; but where
    /// keepalived takes the VIP to another gateway at once, sessions of NAT and FULLNAT end by that.
    pub fn set_maintenance(&self, on: bool) {
        let was_on = std::mem::replace(&mut self.announcing.lock().maintenance, on);
        if was_on == on {
            return;
        }
        let revision = self.state.lock().revision;
        self.watchers
            .tell(revision, [EventKind::MaintenanceChanged { on }]);
        self.changed.notify_one();
    }

    /// What is announced, and what is left to do before this gateway may stop.
    #[must_use]
    pub fn maintenance(&self) -> MaintenanceView {
        let config = self.config();
        let counters = self.plane.counters.iter();
        MaintenanceView {
            on: self.in_maintenance(),
            announce_table: config.gateway().announce_table,
            vips: self.announcements(&config),
            sessions: counters.map(|it| it.sessions.get()).sum(),
            served_packets: self.served_packets(),
        }
    }

    /// Each VIP, if there is a table to announce it in.
    fn announcements(&self, config: &Config) -> Vec<AnnouncedView> {
        if config.gateway().announce_table.is_none() {
            return Vec::new();
        }
        let has_quorum = self.vips_in_quorum(config, &HashSet::new());
        let announced = self.announcing.lock().announced.clone();
        let vips = config.vips().into_iter().map(|vip| AnnouncedView {
            vip: vip.address,
            announced: announced.contains(&vip.address),
            quorum: has_quorum.contains(&vip.address),
        });
        vips.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::gateway;
    use super::*;
    use crate::health::standing::Standing;

    const SERVICES: &str = "[gateway]\nannounce_table = 201\n\
        [[service]]\nprotocol = \"tcp\"\nvip = { address = \"198.51.100.10\", interface = \"wan\" }\nport = 80\n\
        [[service]]\nprotocol = \"tcp\"\nvip = \"198.51.100.10\"\nport = 443\n\
        [[service]]\nprotocol = \"udp\"\nvip = { address = \"198.51.100.11\", place = \"external\" }\nport = 53\n\
        [[service]]\nmark = 3\n";

    fn vip(last: u8) -> IpAddr {
        [198, 51, 100, last].into()
    }

    #[test]
    fn every_vip_is_wished_once_wherever_it_is_placed_and_marks_have_none() {
        let wished = gateway(SERVICES).wished_announcements();

        assert_eq!(wished, [(vip(10), Some(InterfaceId(0))), (vip(11), None)]);
    }

    #[test]
    fn a_gateway_that_leaves_hands_over_what_it_has_announced() {
        let gateway = gateway(SERVICES);
        gateway.announced([vip(10), vip(11)].into());

        gateway.leave();

        assert_eq!(gateway.wished_announcements(), []);
        assert_eq!(gateway.vips_to_hand_over(), 2);
        assert_eq!(gateway.vip_left_at(), None);
        gateway.announced(BTreeSet::new());
        assert_eq!(gateway.vips_to_hand_over(), 0);
        assert!(gateway.vip_left_at().is_some());
    }

    #[test]
    fn nothing_is_wished_without_a_table() {
        let gateway = gateway(&SERVICES.replace("announce_table = 201", ""));

        assert_eq!(gateway.wished_announcements(), []);
        assert_eq!(gateway.maintenance().vips, []);
    }

    #[test]
    fn maintenance_wishes_nothing_and_its_end_everything_again() {
        let gateway = gateway(SERVICES);
        let mut events = gateway.watch();
        gateway.announced([vip(10), vip(11)].into());

        gateway.set_maintenance(true);
        gateway.set_maintenance(true);
        assert_eq!(gateway.wished_announcements(), []);
        gateway.announced(BTreeSet::new());
        let view = gateway.maintenance();
        gateway.set_maintenance(false);

        assert!(view.on && view.vips.iter().all(|it| it.quorum && !it.announced));
        assert_eq!(gateway.wished_announcements().len(), 2);
        let kinds: Vec<_> = std::iter::from_fn(|| events.try_recv().ok())
            .map(|event| event.kind)
            .collect();
        assert_eq!(
            kinds,
            [
                EventKind::VipAnnounced { vip: vip(10) },
                EventKind::VipAnnounced { vip: vip(11) },
                EventKind::MaintenanceChanged { on: true },
                EventKind::VipWithdrawn { vip: vip(10) },
                EventKind::VipWithdrawn { vip: vip(11) },
                EventKind::MaintenanceChanged { on: false },
            ]
        );
    }

    /// Two services of one VIP, both watched.
    fn watched(announce: &str) -> std::sync::Arc<Gateway> {
        let service = |port| {
            format!(
                "[[service]]\nprotocol = \"tcp\"\nvip = \"198.51.100.10\"\nport = {port}\n\
                 [[service.check]]\ntype = \"tcp\"\n[[service.server]]\naddress = \"10.2.0.11\"\n"
            )
        };
        let head = format!("[gateway]\nannounce_table = 201\nannounce = \"{announce}\"\n");
        let gateway = gateway(&(head + &service(80) + &service(443)));
        let config = gateway.config();
        gateway
            .board()
            .with(|watched, now| watched.configure(&config, now));
        assert_eq!(gateway.wished_announcements(), [], "nobody was asked yet");
        let keys = config.services().iter().map(Service::key);
        gateway.announcing.lock().known.extend(keys);
        gateway
    }

    /// Tells the gateway whether these services of it have quorum, the first one first, and says
    /// whether the VIP is to be announced.
    fn is_wished(gateway: &Gateway, quorums: [bool; 2]) -> bool {
        let config = gateway.config();
        let keys = config.services().iter().map(crate::config::Service::key);
        let standings = keys.zip(quorums).map(|(key, quorum)| {
            let standing = Standing {
                quorum,
                ..Standing::default()
            };
            (key, standing)
        });
        gateway.stand(standings.collect());
        !gateway.wished_announcements().is_empty()
    }

    #[test]
    fn a_vip_needs_the_quorum_of_any_or_of_all_of_its_services() {
        let (any, all) = (watched("any"), watched("all"));

        for (quorums, by_any, by_all) in [
            ([true, true], true, true),
            ([false, true], true, false),
            ([false, false], false, false),
            ([true, false], true, false),
        ] {
            assert_eq!(is_wished(&any, quorums), by_any, "{quorums:?}");
            assert_eq!(is_wished(&all, quorums), by_all, "{quorums:?}");
        }
    }
}

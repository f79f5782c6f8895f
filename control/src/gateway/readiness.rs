//! Whether traffic should be sent here: what keepalived, orchestrators and load balancers in front
//! ask before they do.

use std::net::IpAddr;
use std::time::Instant;

use super::Gateway;
use crate::config::{Placement, Vip};
use crate::view::{HealthView, ReadinessView};

/// How far the daemon is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Phase {
    /// Linux has not been asked yet for all that the first configuration needs.
    #[default]
    Starting,
    /// It serves.
    Serving,
    /// It was told to stop, and goes on until others have taken over.
    Leaving,
}

impl Gateway {
    /// The daemon has started: Linux was asked for all that the first configuration needs.
    pub fn settled(&self) {
        let mut phase = self.phase.lock();
        if *phase == Phase::Starting {
            *phase = Phase::Serving;
        }
    }

    /// The daemon was told to stop: from now on traffic should go elsewhere, and what still comes
    /// is served.
    pub fn leave(&self) {
        *self.phase.lock() = Phase::Leaving;
        self.changed.notify_one();
    }

    /// Whether traffic should be sent here, and if not, every reason.
    #[must_use]
    pub fn readiness(&self) -> ReadinessView {
        self.readiness_with(self.health())
    }

    /// As [`Self::readiness`], with this health.
    #[must_use]
    pub fn readiness_with(&self, health: HealthView) -> ReadinessView {
        let phase = match *self.phase.lock() {
            Phase::Starting => Some("the gateway is starting"),
            Phase::Serving => None,
            Phase::Leaving => Some("the gateway is stopping"),
        };
        let maintenance = self.in_maintenance();
        let maintenance = maintenance.then_some("the gateway is in maintenance");
        let reasons = phase.into_iter().chain(maintenance);
        let mut reasons: Vec<String> = reasons.map(str::to_owned).collect();
        reasons.extend(health.problems);
        ReadinessView {
            ready: reasons.is_empty(),
            reasons,
        }
    }

    /// Whether the daemon was told to stop.
    pub(super) fn is_leaving(&self) -> bool {
        *self.phase.lock() == Phase::Leaving
    }

    /// How many VIPs still bring traffic here that another gateway can take over: those that
    /// routers are told of, or else those that keepalived has put on a twin.
    #[must_use]
    pub fn vips_to_hand_over(&self) -> usize {
        match self.config().gateway().announce_table {
            Some(_) => self.announced_vips(),
            None => self.external_vips_here().len(),
        }
    }

    /// Whether another gateway could ever take VIPs over from this one.
    #[must_use]
    pub fn may_hand_over(&self) -> bool {
        let config = self.config();
        let is_external = |it: &Vip<'_>| matches!(it.placement, Placement::External);
        config.gateway().announce_table.is_some() || config.vips().iter().any(is_external)
    }

    /// When a VIP, or another address, has last left: some clients may not know yet.
    #[must_use]
    pub fn vip_left_at(&self) -> Option<Instant> {
        *self.left.lock()
    }

    /// Some VIP has left, as far as it can be told.
    pub(super) fn vip_left(&self) {
        *self.left.lock() = Some(Instant::now());
    }

    /// The VIPs that somebody else places (`place = "external"`) and that are on a twin now: those
    /// that traffic comes here for.
    pub(super) fn external_vips_here(&self) -> Vec<IpAddr> {
        let (config, here) = {
            let state = self.state.lock();
            (state.config.clone(), state.mirrored.addresses().clone())
        };
        let is_here = |vip: IpAddr| here.values().flatten().any(|it| it.addr == vip);
        let vips = config.vips().into_iter();
        let external = vips.filter(|vip| matches!(vip.placement, Placement::External));
        external
            .map(|vip| vip.address)
            .filter(|vip| is_here(*vip))
            .collect()
    }

    /// How many packets of clients or servers were served, over all workers since the start: those
    /// that belonged to a session, those that began one, and those that services have without.
    #[must_use]
    pub fn served_packets(&self) -> u64 {
        let counters = self.plane.counters.iter();
        let served = counters
            .map(|it| it.session_hits.get() + it.sessions_created.get() + it.one_packets.get());
        served.sum()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use dataplane::id::InterfaceId;
    use dataplane::snapshot::Snapshot;

    use super::super::testing::gateway;
    use super::*;
    use crate::linux::mirror::{InterfaceAddress, MirrorEvent};

    #[test]
    fn a_gateway_is_ready_between_its_start_and_its_stop_if_it_is_healthy() {
        let gateway = gateway("");
        let unhealthy = "worker 0 has not started";
        assert_eq!(
            gateway.readiness().reasons,
            ["the gateway is starting", unhealthy]
        );

        gateway.settled();
        assert_eq!(gateway.readiness().reasons, [unhealthy]);
        let mut adopted = Arc::new(Snapshot::default());
        gateway.plane().mailboxes[0].adopt(&mut adopted);
        assert!(gateway.readiness().ready);

        gateway.set_maintenance(true);
        let maintained = gateway.readiness();
        assert_eq!(maintained.reasons, ["the gateway is in maintenance"]);
        gateway.set_maintenance(false);

        gateway.leave();
        gateway.settled();
        let last = gateway.readiness();
        assert!(!last.ready);
        assert_eq!(last.reasons, ["the gateway is stopping"]);
    }

    #[test]
    fn only_external_vips_that_linux_has_are_here() {
        let gateway = gateway(
            "[[service]]\nprotocol = \"udp\"\nport = 53\n\
             vip = { address = \"10.1.0.100\", place = \"external\" }\n\
             [[service]]\nprotocol = \"udp\"\nport = 53\n\
             vip = { address = \"10.1.0.101\", place = \"external\" }\n\
             [[service]]\nprotocol = \"udp\"\nport = 53\nvip = \"10.1.0.102\"\n",
        );
        let address = |last| InterfaceAddress {
            interface: InterfaceId(0),
            addr: [10, 1, 0, last].into(),
            prefix_len: 32,
        };
        assert_eq!(gateway.external_vips_here(), [] as [IpAddr; 0]);

        let added = [1, 100, 102].map(|last| MirrorEvent::AddressAdded(address(last)));
        gateway.mirrored(&added);
        assert_eq!(
            gateway.external_vips_here(),
            [IpAddr::from([10, 1, 0, 100])]
        );
        assert_eq!(gateway.vip_left_at(), None);

        gateway.mirrored(&[MirrorEvent::AddressRemoved(address(100))]);
        assert_eq!(gateway.external_vips_here(), [] as [IpAddr; 0]);
        assert!(gateway.vip_left_at().is_some());
    }

    #[test]
    fn only_external_or_announced_vips_can_be_handed_over() {
        let text = "[[service]]\nprotocol = \"udp\"\nport = 53\nvip = \"10.1.0.100\"\n";
        let external = text.replace(
            "\"10.1.0.100\"",
            "{ address = \"10.1.0.100\", place = \"external\" }",
        );
        let announced = format!("[gateway]\nannounce_table = 201\n{text}");

        assert!(!gateway(text).may_hand_over());
        assert!(gateway(&external).may_hand_over());
        assert!(gateway(&announced).may_hand_over());
    }

    #[test]
    fn packets_are_served_with_a_session_or_without() {
        let gateway = gateway("");
        let counters = &gateway.plane().counters[0];

        counters.session_hits.add(100);
        counters.sessions_created.add(10);
        counters.one_packets.add(1);

        assert_eq!(gateway.served_packets(), 111);
    }
}

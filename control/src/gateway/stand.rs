//! What runs of what is configured: servers that are well, with their effective weights.

use std::sync::Arc;

use dataplane::hasher::FastMap;
use dataplane::knobs::Knobs;
use dataplane::service::ServiceKey;

use super::{Gateway, State, compile};
use crate::config::Service;
use crate::health::standing::{Standing, health_of};

impl Gateway {
    /// Lets the servers of these services stand so in the packet path. Only these services are
    /// compiled again; the configuration stays as it is. Services that there are no more, or that
    /// nobody watches any more, are passed over.
    pub fn stand(&self, standings: Vec<(ServiceKey, Standing)>) {
        let mut state = self.state.lock();
        let told: FastMap<_, _> = standings.into_iter().collect();
        let [changed, quorum_changed] = state.take_standings(told);
        if changed {
            self.publish(&mut state);
        }
        drop(state);
        if quorum_changed {
            self.changed.notify_one();
        }
    }

    /// Whether a service has its quorum; one that nobody watches always has.
    #[must_use]
    pub fn quorum(&self, service: ServiceKey) -> bool {
        self.state.lock().has_quorum(service)
    }

    /// Waits until the services or servers of the configuration may be others. It is for one who
    /// waits.
    pub async fn reconfigured(&self) {
        self.reconfigured.notified().await;
    }
}

impl State {
    /// As [`Gateway::quorum`].
    pub(super) fn has_quorum(&self, service: ServiceKey) -> bool {
        let standing = self.standings.get(&service);
        standing.is_none_or(|standing| standing.quorum)
    }

    /// All that services are compiled from, with these variables.
    pub(super) fn sources<'a>(&'a self, knobs: &'a Knobs) -> compile::Sources<'a> {
        compile::Sources {
            config: &self.config,
            knobs,
            table: &self.table,
            standings: &self.standings,
        }
    }

    /// Lets every service of the configuration stand that is watched, and no other.
    pub(super) fn settle_standings(&mut self) {
        let before = std::mem::take(&mut self.standings);
        self.standings = compile::standings(&self.config, before);
    }

    /// As [`Self::settle_standings`] for one service, which may be gone.
    pub(super) fn settle_standing(&mut self, key: ServiceKey, service: Option<&Service>) {
        let watched = service.and_then(|service| Some((service, health_of(service)?)));
        if let Some((service, health)) = watched {
            let standings = self.standings.entry(key);
            standings.or_insert_with(|| Standing::unchecked(service, &health));
        } else {
            self.standings.remove(&key);
        }
    }

    /// Returns whether anything, and whether any quorum, is not as it was.
    fn take_standings(&mut self, mut told: FastMap<ServiceKey, Standing>) -> [bool; 2] {
        // Those of whom nothing is known are not watched any more.
        told.retain(|key, new| self.standings.get(key).is_some_and(|known| known != new));
        if told.is_empty() {
            return [false, false];
        }
        let config = Arc::clone(&self.config);
        let services = config.services().iter();
        let named: Vec<_> = services.filter(|it| told.contains_key(&it.key())).collect();
        let unserved = self.unserved_of(named.iter().filter_map(|it| it.vip()).collect());
        let knobs = Arc::clone(&self.editor.state().knobs);
        let mut quorum_changed = false;
        for service in &named {
            let key = service.key();
            if let Some(standing) = told.remove(&key) {
                let quorum = standing.quorum;
                let before = self.standings.insert(key, standing);
                quorum_changed |= before.is_none_or(|it| it.quorum != quorum);
            }
            let unserved = service.vip().and_then(|vip| unserved.get(&vip).copied());
            let sources = self.sources(&knobs);
            let spec = sources.service(service, unserved.unwrap_or_default());
            self.editor.put_service(&spec);
        }
        [!named.is_empty(), quorum_changed]
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use dataplane::address::{Endpoint, V4};
    use dataplane::id::{Weight, WorkerId};
    use dataplane::session::Direction;

    use super::super::testing::gateway;
    use super::*;
    use crate::config::{Check, Edit, Health, Server, ServerHealth, Start};
    use crate::health::standing::{Fitness, Share};
    use crate::ipvs::Call;

    const WEB: &str = "[[service]]\nprotocol = \"tcp\"\nvip = \"10.1.0.100\"\nport = 80\n\
        [[service.server]]\naddress = \"10.2.0.11\"\nmethod = \"nat\"\nweight = 5\n\
        [[service.server]]\naddress = \"10.2.0.12\"\nmethod = \"nat\"\n\
        [[service]]\nprotocol = \"udp\"\nvip = \"10.1.0.100\"\nport = 53\n\
        [[service.server]]\naddress = \"10.2.0.11\"\nmethod = \"nat\"\n";

    fn end(last: u8) -> Endpoint<IpAddr> {
        Endpoint::new(IpAddr::from([10, 2, 0, last]), 80)
    }

    fn fit(weight: u32) -> Fitness {
        Fitness::fit(Weight(weight))
    }

    /// A gateway whose web service is watched like this.
    fn watched(health: Health) -> (Arc<Gateway>, Service) {
        let gateway = gateway(WEB);
        let mut web = gateway.config().services()[0].clone();
        web.health = Some(Arc::new(health));
        put(&gateway, web.clone());
        (gateway, web)
    }

    fn put(gateway: &Gateway, service: Service) {
        gateway.edit(vec![Edit::Put(service)], &|_| Ok(())).unwrap();
    }

    fn with_sorry() -> Health {
        let sorry = Server {
            endpoint: end(99),
            weight: Weight(1),
            method: dataplane::service::Method::Nat,
            upper_threshold: 0,
            lower_threshold: 0,
            health: None,
        };
        Health {
            sorry_server: Some(sorry),
            ..Health::default()
        }
    }

    /// Tells the gateway what is known of the servers 11, 12 and so on.
    fn tell(gateway: &Gateway, web: &Service, known: &[Fitness]) {
        let health = health_of(web).unwrap();
        let known = web.servers.iter().zip(known).map(|(server, it)| {
            let configured = server.weight;
            let of_it = |share| {
                Fitness::Fit(Share {
                    configured,
                    ..share
                })
            };
            let fitness = match *it {
                Fitness::Fit(share) => of_it(share),
                other => other,
            };
            (server.endpoint, fitness)
        });
        let standing = Standing::new(known, None, &health);
        gateway.stand(vec![(web.key(), standing)]);
    }

    /// The web service's servers that new sessions can meet, with their weights.
    fn running(gateway: &Gateway) -> Vec<(u8, u32)> {
        let snapshot = gateway.published();
        let servers = snapshot.services.iter().flatten();
        let servers = servers.filter(|it| it.key.port() == 80);
        let mut found: Vec<_> = servers
            .flat_map(|service| &service.servers)
            .map(|server| match server.endpoint.addr {
                IpAddr::V4(addr) => (addr.octets()[3], server.weight.0),
                IpAddr::V6(_) => (0, server.weight.0),
            })
            .collect();
        found.sort_unstable();
        found
    }

    #[test]
    fn an_agents_limit_is_the_servers_upper_threshold_and_the_configuration_stays() {
        let (gateway, web) = watched(Health::default());
        let saved = gateway.ipvsadm(&Call::new(["-Sn"])).stdout;
        let mut standing = gateway.state.lock().standings[&web.key()].clone();
        standing.limits.insert(end(11), 100);

        gateway.stand(vec![(web.key(), standing.clone())]);

        let thresholds = || -> Vec<_> {
            let snapshot = gateway.published();
            let services = snapshot.services.iter().flatten();
            let web = services.filter(|it| it.key == web.key());
            web.flat_map(|it| &it.servers)
                .map(|it| (it.endpoint, it.upper_threshold))
                .collect()
        };
        assert_eq!(thresholds(), [(end(12), 0), (end(11), 100)]);
        assert_eq!(gateway.ipvsadm(&Call::new(["-Sn"])).stdout, saved);
        standing.limits.clear();
        gateway.stand(vec![(web.key(), standing)]);
        assert_eq!(thresholds(), [(end(12), 0), (end(11), 0)]);
    }

    #[test]
    fn who_is_down_leaves_the_packet_path_and_the_configuration_stays() {
        let (gateway, web) = watched(Health::default());
        let (config, revision) = (gateway.config(), gateway.revision());
        let others = gateway
            .published()
            .services
            .iter()
            .flatten()
            .nth(1)
            .cloned();

        tell(&gateway, &web, &[fit(5), Fitness::Unfit]);

        assert_eq!(running(&gateway), [(11, 5)]);
        assert_eq!((gateway.config(), gateway.revision()), (config, revision));
        let now = gateway
            .published()
            .services
            .iter()
            .flatten()
            .nth(1)
            .cloned();
        assert!(Arc::ptr_eq(&others.unwrap(), &now.unwrap()));
        tell(&gateway, &web, &[fit(2), fit(1)]);
        assert_eq!(running(&gateway), [(11, 2), (12, 1)]);
    }

    #[test]
    fn counters_of_a_server_that_was_down_for_a_while_never_fall() {
        let (gateway, web) = watched(Health::default());
        let counted = |services: Vec<crate::view::ServiceView>| {
            let servers = &services[0].servers;
            let server = servers.iter().find(|it| it.address.ip() == end(12).addr);
            let server = server.unwrap();
            (server.traffic.in_packets, server.available)
        };
        let served = gateway.published();
        let server = (served.servers.iter().flatten()).find(|it| it.endpoint == end(12));
        let traffic = server.unwrap().shared.traffic.of(WorkerId(0));
        traffic.count(Direction::ToServer, 100);
        assert_eq!(counted(gateway.counted_services()), (1, true));

        tell(&gateway, &web, &[fit(5), Fitness::Unfit]);
        assert_eq!(counted(gateway.counted_services()), (1, false));
        assert_eq!(counted(gateway.services()), (0, false));

        tell(&gateway, &web, &[fit(5), fit(1)]);
        traffic.count(Direction::ToServer, 100);
        assert_eq!(counted(gateway.counted_services()), (2, true));
    }

    #[test]
    fn nothing_is_published_when_all_stand_as_before() {
        let (gateway, web) = watched(Health::default());
        tell(&gateway, &web, &[fit(5), Fitness::Unfit]);
        let before = gateway.published().generation;

        tell(&gateway, &web, &[fit(5), Fitness::Unfit]);
        let strange = dataplane::service::ServiceKey::Mark(9);
        gateway.stand(vec![(strange, Standing::default())]);

        assert_eq!(gateway.published().generation, before);
    }

    #[test]
    fn a_quorum_that_is_lost_brings_the_sorry_server_and_rings() {
        let (gateway, web) = watched(with_sorry());
        assert!(gateway.quorum(web.key()));

        tell(&gateway, &web, &[Fitness::Unfit, Fitness::Unfit]);

        assert_eq!(running(&gateway), [(99, 1)]);
        assert!(!gateway.quorum(web.key()));
        assert!(gateway.quorum(gateway.config().services()[1].key()));
        let rung = futures_util::FutureExt::now_or_never(gateway.changed());
        assert!(rung.is_some());
    }

    #[test]
    fn changes_of_the_configuration_keep_how_servers_stand() {
        let (gateway, mut web) = watched(Health::default());
        tell(&gateway, &web, &[fit(2), Fitness::Unfit]);

        web.name = Some("web".to_owned());
        put(&gateway, web.clone());
        assert_eq!(running(&gateway), [(11, 2)]);

        let call = Call::new("-a -t 10.1.0.100:80 -r 10.2.0.13 -m -w 7".split(' '));
        assert_eq!(gateway.ipvsadm(&call).stderr, "");
        assert_eq!(running(&gateway), [(11, 2), (13, 7)]);

        let call = Call::new("-e -t 10.1.0.100:80 -r 10.2.0.11 -m -w 10".split(' '));
        assert_eq!(gateway.ipvsadm(&call).stderr, "");
        assert_eq!(running(&gateway), [(11, 4), (13, 7)]);
        let call = Call::new("-e -t 10.1.0.100:80 -r 10.2.0.11 -m -w 5".split(' '));
        assert_eq!(gateway.ipvsadm(&call).stderr, "");
        assert_eq!(running(&gateway), [(11, 2), (13, 7)]);

        gateway.set_sysctl("lblc_expiration", "7").unwrap();
        let config = (*gateway.config()).clone();
        gateway.apply(config).unwrap();
        assert_eq!(running(&gateway), [(11, 2), (13, 7)]);
    }

    #[test]
    fn a_service_that_is_not_watched_any_more_has_all_its_servers() {
        let (gateway, mut web) = watched(Health::default());
        tell(&gateway, &web, &[Fitness::Unfit, Fitness::Unfit]);
        assert_eq!(running(&gateway), []);

        web.health = None;
        put(&gateway, web.clone());

        assert_eq!(running(&gateway), [(11, 5), (12, 1)]);
        let standing = Standing::default();
        gateway.stand(vec![(web.key(), standing)]);
        assert_eq!(running(&gateway), [(11, 5), (12, 1)]);
    }

    #[test]
    fn drained_and_disabled_servers_are_so_at_once() {
        let (gateway, mut web) = watched(Health::default());
        tell(&gateway, &web, &[fit(5), fit(1)]);

        web.servers[0].weight = Weight(0);
        web.servers[1].health = Some(Arc::new(ServerHealth {
            disabled: true,
            ..ServerHealth::default()
        }));
        put(&gateway, web);

        assert_eq!(running(&gateway), [(11, 0)]);
    }

    #[test]
    fn servers_may_have_to_wait_for_their_first_check() {
        let (gateway, web) = watched(Health {
            checks: [Check {
                address: Some(IpAddr::from([10, 3, 0, 9])),
                ..crate::health::testing::TCP
            }]
            .into(),
            start: Start::Down,
            ..Health::default()
        });

        assert_eq!(running(&gateway), []);
        assert!(!gateway.quorum(web.key()));
        let heard = |addr: [u8; 4]| gateway.published().may_answer_checks(V4::from(addr));
        let all = [[10, 2, 0, 12], [10, 3, 0, 9], [10, 2, 0, 13]];
        assert_eq!(all.map(heard), [true, true, false]);
    }

    #[test]
    fn ipvsadm_lists_what_runs_and_saves_what_is_configured() {
        let (gateway, web) = watched(with_sorry());
        let run = |words: &str| gateway.ipvsadm(&Call::new(words.split(' '))).stdout;
        let saved = run("-Sn");

        tell(&gateway, &web, &[fit(2), Fitness::Unfit]);

        let listed = run("-Ln -t 10.1.0.100:80");
        let line = "  -> 10.2.0.11:80                 Masq    2      0          0";
        assert!(listed.contains(line), "{listed}");
        assert!(!listed.contains("10.2.0.12"), "{listed}");
        assert_eq!(run("-Sn"), saved);

        tell(&gateway, &web, &[Fitness::Unfit, Fitness::Unfit]);
        let listed = run("-Ln");
        assert!(listed.contains("  -> 10.2.0.99:80"), "{listed}");
        assert!(listed.contains("  -> 10.2.0.11:53"), "{listed}");
        assert_eq!(run("-Sn"), saved);
    }
}

//! Which servers of a service are in the packet path, and with what weight.
//!
//! As keepalived has it: a server that is down leaves (or keeps the weight 0), and when too few
//! are left the service has lost its quorum. Then a sorry server, if there is one, takes the place
//! of all others until the quorum is gained again.

use std::net::IpAddr;

use dataplane::address::Endpoint;
use dataplane::hasher::FastMap;
use dataplane::id::Weight;

use crate::config::{Check, CheckPath, Health, Server, Service, Start};

/// What runs of a service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Its servers; one that is not here is as new servers are.
    pub servers: FastMap<Endpoint<IpAddr>, Stand>,
    /// How many sessions servers want at most, of those whose agents say so.
    pub limits: FastMap<Endpoint<IpAddr>, u32>,
    /// Whether the sorry server is there.
    pub sorry: bool,
    /// Whether there is a quorum.
    pub quorum: bool,
}

/// How a server stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stand {
    /// Its effective weight; `None` is that it is not in the packet path.
    pub weight: Option<Weight>,
    /// The configured weight that it was made of; `None` if it does not depend on that.
    of: Option<Weight>,
}

impl Stand {
    const OUT: Self = Self {
        weight: None,
        of: None,
    };
    const EMPTY: Self = Self {
        weight: Some(Weight(0)),
        of: None,
    };

    const fn with(share: Share) -> Self {
        Self {
            weight: Some(share.weight),
            of: Some(share.configured),
        }
    }

    /// With another weight configured, until health says what becomes of it.
    fn renewed(self, configured: Weight) -> Self {
        let (Some(weight), Some(of)) = (self.weight, self.of) else {
            return self;
        };
        let part = |of| u64::from(configured.0) * u64::from(weight.0) / of;
        let weight = match u64::from(of.0) {
            0 => configured.0,
            of => u32::try_from(part(of)).unwrap_or(configured.0).max(1),
        };
        Self {
            weight: Some(Weight(weight)),
            ..self
        }
    }
}

/// What a server may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Its effective weight.
    pub weight: Weight,
    /// What counts for the quorum: the weight before slow start and load. A server that has just
    /// come up, or is busy, is there all the same.
    pub counts: Weight,
    /// Its weight by the configuration; 0 if that is why it takes nothing.
    pub configured: Weight,
}

/// What is known of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fitness {
    /// It may serve, with this share.
    Fit(Share),
    /// It is well, but its agent lets it take nothing new.
    Drained,
    /// It may not.
    Unfit,
    /// The operator has taken it out.
    Disabled,
}

impl Fitness {
    /// It may serve, with all of its weight.
    #[must_use]
    pub const fn fit(weight: Weight) -> Self {
        Self::Fit(Share {
            weight,
            counts: weight,
            configured: weight,
        })
    }

    /// What counts for the quorum.
    #[must_use]
    pub fn counts(self) -> u64 {
        match self {
            Self::Fit(share) => share.counts.0.into(),
            Self::Drained | Self::Unfit | Self::Disabled => 0,
        }
    }
}

/// The checks of a server: its own, or those of its service.
#[must_use]
pub fn checks_of<'a>(server: &'a Server, health: &'a Health) -> &'a [Check] {
    let own = server.health.as_ref().and_then(|it| it.checks.as_deref());
    own.unwrap_or(&health.checks)
}

/// Whether a check of a server goes to the VIP on it.
#[must_use]
pub fn is_checked_by_vip(server: &Server, health: &Health) -> bool {
    let mut checks = checks_of(server, health).iter();
    checks.any(|check| check.path == CheckPath::Vip)
}

/// Whether the operator has taken a server out.
#[must_use]
pub fn is_disabled(server: &Server) -> bool {
    server.health.as_ref().is_some_and(|it| it.disabled)
}

/// What is known of a server before its first check.
#[must_use]
pub fn unchecked(server: &Server, health: &Health) -> Fitness {
    if is_disabled(server) {
        Fitness::Disabled
    } else if health.start == Start::Down && !checks_of(server, health).is_empty() {
        Fitness::Unfit
    } else {
        Fitness::fit(server.weight)
    }
}

/// Whether a service has its quorum when the counting weights of its servers sum up to `sum`; `had` is
/// whether it had one before, if it was asked.
#[must_use]
pub fn has_quorum(had: Option<bool>, sum: u64, health: &Health) -> bool {
    sum >= needed(had.unwrap_or(false), health)
}

/// The sum of weights that it takes to keep the quorum, or to gain it: never nothing at all.
#[must_use]
pub fn needed(to_keep: bool, health: &Health) -> u64 {
    let (quorum, hysteresis) = (u64::from(health.quorum), u64::from(health.hysteresis));
    let needed = if to_keep {
        quorum.saturating_sub(hysteresis)
    } else {
        quorum + hysteresis
    };
    needed.max(1)
}

impl Standing {
    /// How the servers of a service stand of which this is known.
    #[must_use]
    pub fn new(
        fitness: impl IntoIterator<Item = (Endpoint<IpAddr>, Fitness)> + Clone,
        had_quorum: Option<bool>,
        health: &Health,
    ) -> Self {
        let weights = fitness.clone().into_iter().map(|(_, it)| it.counts());
        let quorum = has_quorum(had_quorum, weights.sum(), health);
        let sorry = !quorum && health.sorry_server.is_some();
        let stand = |fitness| stand(fitness, sorry, health.inhibit_on_failure);
        let servers = fitness.into_iter();
        Self {
            servers: servers.map(|(end, it)| (end, stand(it))).collect(),
            limits: FastMap::default(),
            sorry,
            quorum,
        }
    }

    /// How the servers of a service stand before their first checks.
    #[must_use]
    pub fn unchecked(service: &Service, health: &Health) -> Self {
        let servers = service.servers.iter();
        let fitness = servers.map(|server| (server.endpoint, unchecked(server, health)));
        Self::new(fitness, None, health)
    }

    /// How a server stands.
    #[must_use]
    pub fn of(&self, server: &Server, health: &Health) -> Stand {
        let known = self.servers.get(&server.endpoint).copied();
        let stand = known.unwrap_or_else(|| {
            let fitness = unchecked(server, health);
            stand(fitness, self.sorry, health.inhibit_on_failure)
        });
        match stand.weight {
            // What the operator has said since counts at once.
            _ if is_disabled(server) => Stand::OUT,
            Some(_) if server.weight.0 == 0 => Stand::EMPTY,
            _ if stand.of == Some(server.weight) => stand,
            _ => stand.renewed(server.weight),
        }
    }
}

/// How a server stands of which this is known, perhaps behind a sorry server.
const fn stand(fitness: Fitness, sorry: bool, inhibits: bool) -> Stand {
    match fitness {
        Fitness::Disabled => Stand::OUT,
        // Whoever drains a server wants its sessions to go on, also behind a sorry server.
        Fitness::Drained => Stand::EMPTY,
        Fitness::Fit(share) if !sorry || share.weight.0 == 0 => Stand::with(share),
        Fitness::Fit(_) | Fitness::Unfit if inhibits => Stand::EMPTY,
        Fitness::Fit(_) | Fitness::Unfit => Stand::OUT,
    }
}

/// What a service says of watching its servers; `None` when nobody watches any of them.
#[must_use]
pub fn health_of(service: &Service) -> Option<std::sync::Arc<Health>> {
    let is_own = || service.servers.iter().any(|server| server.health.is_some());
    let own = || is_own().then(std::sync::Arc::default);
    service.health.clone().or_else(own)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use dataplane::service::Method;
    use proptest::prelude::*;

    use super::*;
    use crate::config::ServerHealth;

    fn end(last: u8) -> Endpoint<IpAddr> {
        Endpoint::new(IpAddr::from([10, 2, 0, last]), 80)
    }

    fn server(last: u8, weight: u32) -> Server {
        Server {
            endpoint: end(last),
            weight: Weight(weight),
            method: Method::Nat,
            upper_threshold: 0,
            lower_threshold: 0,
            health: None,
        }
    }

    fn sorry() -> Health {
        Health {
            quorum: 3,
            hysteresis: 1,
            sorry_server: Some(server(99, 1)),
            ..Health::default()
        }
    }

    fn weights(standing: &Standing) -> Vec<Option<u32>> {
        let weight = |last| standing.servers[&end(last)].weight.map(|it| it.0);
        let mut lasts: Vec<u8> = (0..=255)
            .filter(|last| standing.servers.contains_key(&end(*last)))
            .collect();
        lasts.sort_unstable();
        lasts.into_iter().map(weight).collect()
    }

    #[test]
    fn who_is_down_leaves_and_who_is_inhibited_keeps_no_weight() {
        let known = [
            (end(1), Fitness::fit(Weight(5))),
            (end(2), Fitness::Unfit),
            (end(3), Fitness::Disabled),
        ];
        let inhibits = Health {
            inhibit_on_failure: true,
            ..Health::default()
        };

        let leaves = Standing::new(known, None, &Health::default());
        let stays = Standing::new(known, None, &inhibits);

        assert_eq!(weights(&leaves), [Some(5), None, None]);
        assert_eq!(weights(&stays), [Some(5), Some(0), None]);
        assert!(leaves.quorum && !leaves.sorry);
    }

    #[test]
    fn without_quorum_the_sorry_server_takes_the_place_of_all() {
        let health = sorry();
        let of =
            |weight, had| Standing::new([(end(1), Fitness::fit(Weight(weight)))], had, &health);

        let few = of(1, Some(true));

        assert!(few.sorry && !few.quorum);
        assert_eq!(weights(&few), [None]);
        // Between 2 and 4 it depends on what was.
        assert!(of(2, Some(true)).quorum);
        assert!(!of(3, Some(false)).quorum);
        assert!(!of(3, None).quorum);
        assert!(of(4, Some(false)).quorum);
    }

    #[test]
    fn without_quorum_and_sorry_server_who_is_left_stays() {
        let health = Health {
            sorry_server: None,
            ..sorry()
        };

        let standing = Standing::new([(end(1), Fitness::fit(Weight(1)))], Some(true), &health);

        assert!(!standing.quorum);
        assert_eq!(weights(&standing), [Some(1)]);
    }

    #[test]
    fn no_weight_at_all_is_no_quorum() {
        let health = Health {
            quorum: 2,
            hysteresis: 2,
            ..Health::default()
        };

        assert!(!has_quorum(Some(true), 0, &health));
        assert!(has_quorum(Some(true), 1, &health));
    }

    #[test]
    fn what_the_operator_says_counts_before_health_has_heard_of_it() {
        let health = Health::default();
        let standing = Standing::new([(end(1), Fitness::fit(Weight(5)))], None, &health);
        let disabled = Server {
            health: Some(Arc::new(ServerHealth {
                disabled: true,
                ..ServerHealth::default()
            })),
            ..server(1, 5)
        };

        let weight = |server: Server| standing.of(&server, &health).weight;

        assert_eq!(weight(server(1, 7)), Some(Weight(7)));
        assert_eq!(weight(server(1, 0)), Some(Weight(0)));
        assert_eq!(weight(disabled), None);
        assert_eq!(weight(server(2, 7)), Some(Weight(7)));
    }

    #[test]
    fn a_weight_that_is_configured_anew_keeps_its_reasons() {
        let health = Health {
            inhibit_on_failure: true,
            ..Health::default()
        };
        let starts_slowly = Share {
            weight: Weight(4),
            counts: Weight(10),
            configured: Weight(10),
        };
        let known = [
            (end(1), Fitness::Fit(starts_slowly)),
            (end(2), Fitness::fit(Weight(0))),
            (end(3), Fitness::Drained),
            (end(4), Fitness::Unfit),
        ];

        let standing = Standing::new(known, None, &health);

        let weight = |last, weight| standing.of(&server(last, weight), &health).weight;
        assert_eq!(weight(1, 20), Some(Weight(8)));
        assert_eq!(weight(1, 1), Some(Weight(1)));
        assert_eq!(weight(2, 7), Some(Weight(7)));
        assert_eq!([3, 4].map(|last| weight(last, 7)), [Some(Weight(0)); 2]);
    }

    #[test]
    fn what_counts_for_the_quorum_is_the_weight_before_slow_start_and_load() {
        let share = Share {
            weight: Weight(1),
            counts: Weight(10),
            configured: Weight(8),
        };
        let health = Health {
            quorum: 10,
            ..Health::default()
        };

        let standing = Standing::new([(end(1), Fitness::Fit(share))], Some(false), &health);

        assert!(standing.quorum);
        assert_eq!(weights(&standing), [Some(1)]);
    }

    #[test]
    fn who_is_drained_stays_also_when_that_costs_the_quorum() {
        let known = [
            (end(1), Fitness::fit(Weight(0))),
            (end(2), Fitness::Drained),
            (end(3), Fitness::fit(Weight(1))),
        ];

        let standing = Standing::new(known, Some(true), &sorry());

        assert!(standing.sorry);
        assert_eq!(weights(&standing), [Some(0), Some(0), None]);
    }

    fn fitness() -> impl Strategy<Value = Fitness> {
        prop_oneof![
            3 => (0..5_u32).prop_map(|weight| Fitness::fit(Weight(weight))),
            1 => Just(Fitness::Drained),
            2 => Just(Fitness::Unfit),
            1 => Just(Fitness::Disabled),
        ]
    }

    proptest! {
        #[test]
        fn whoever_runs_is_fit_or_the_sorry_server_is_there(
            known in prop::collection::vec(fitness(), 0..8),
            had in prop::option::of(any::<bool>()),
            quorum in 1..12_u32,
            hysteresis in 0..4_u32,
            has_sorry in any::<bool>(),
            inhibit_on_failure in any::<bool>(),
        ) {
            let health = Health {
                quorum,
                hysteresis,
                inhibit_on_failure,
                sorry_server: has_sorry.then(|| server(99, 1)),
                ..Health::default()
            };
            let named = (0..).zip(&known).map(|(last, it)| (end(last), *it));

            let standing = Standing::new(named.clone(), had, &health);

            prop_assert_eq!(standing.sorry, has_sorry && !standing.quorum);
            for (end, fitness) in named {
                let weight = standing.servers[&end].weight;
                match fitness {
                    Fitness::Disabled => prop_assert_eq!(weight, None),
                    Fitness::Drained => prop_assert_eq!(weight, Some(Weight(0))),
                    Fitness::Fit(Share { weight: own, .. }) if !standing.sorry || own.0 == 0 => {
                        prop_assert_eq!(weight, Some(own));
                    }
                    _ => prop_assert_eq!(weight, inhibit_on_failure.then_some(Weight(0))),
                }
            }
            // What was decided is decided the same when it is asked again.
            let named = (0..).zip(&known).map(|(last, it)| (end(last), *it));
            let again = Standing::new(named, Some(standing.quorum), &health);
            prop_assert_eq!(again.quorum, standing.quorum);
        }
    }
}

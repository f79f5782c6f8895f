//! Changes of single services and pools while the gateway runs.
//!
//! The services that an edit does not touch are neither checked nor compiled again, and the packet
//! path is told of the touched ones alone; the list of services is looked through to find them.

use std::net::IpAddr;
use std::sync::Arc;

use dataplane::hasher::{FastMap, FastSet};
use dataplane::service::{ServiceKey, Unserved};

use super::diary::Change;
use super::events::{self, EventKind};
use super::{Gateway, State, compile};
use crate::config::{Config, Done, Fate, Plan, Service};
use crate::health::standing::{health_of, is_checked_by_vip};
use crate::ipvs::ServiceName;
use crate::view::AppliedView;

pub use crate::config::{Edit, EditError};

/// What became of a plan.
pub(super) struct Told {
    /// What there is now.
    pub(super) applied: AppliedView,
    /// Whether VIPs, the ways to servers, quorums or local addresses came or went.
    pub(super) moves: bool,
}

/// What a caller asks of the configuration as it is before its edits, under the same lock.
pub type Guard<'a> = &'a dyn Fn(&Config) -> Result<(), EditError>;

impl Gateway {
    /// Carries out all of the edits or none, if `guard` accepts the present configuration. They
    /// are checked as a file would be that says the same.
    ///
    /// # Errors
    ///
    /// What `guard` returns, or why the edits cannot be.
    pub fn edit(&self, edits: Vec<Edit>, guard: Guard<'_>) -> Result<AppliedView, EditError> {
        // Files and users may be far away, and the lock is everybody's.
        let lacks = Edit::lacks(&edits);
        let mut state = self.state.lock();
        guard(&state.config)?;
        let mut plan = state.config.plan(edits)?;
        plan.warnings.extend(lacks);
        let Told { applied, moves } = self.carry_out(&mut state, plan, None);
        drop(state);
        if moves {
            self.changed.notify_one();
        }
        Ok(applied)
    }

    /// Carries out a plan for the configuration that runs. `ahead` are the services of which the
    /// table says already what they will be, if that is where the plan comes from.
    pub(super) fn carry_out(
        &self,
        state: &mut State,
        plan: Plan,
        ahead: Option<&[ServiceName]>,
    ) -> Told {
        let warnings = plan.warnings.clone();
        let before = state.unserved_of(plan.vips());
        let done = Arc::make_mut(&mut state.config).carry_out(plan);
        let names = match ahead {
            Some(names) => names.to_vec(),
            None => state.refresh_table(&done),
        };
        if done.services.iter().any(|fate| state.comes_or_goes(fate)) {
            self.count(state, &names);
        }
        let moves = state.tell_editor(&done, &before);
        state.revise();
        let generation = self.publish(state);
        self.watchers.tell(state.revision, state.events(&done));
        self.reconfigured.notify_one();
        let applied = AppliedView {
            warnings,
            ..state.applied(generation)
        };
        Told { applied, moves }
    }

    /// Counts the changes of the configuration: files applied, edits, time-outs, variables.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.state.lock().revision
    }
}

impl State {
    /// What became of the packet path's questions about these VIPs.
    pub(super) fn unserved_of(&self, vips: FastSet<IpAddr>) -> FastMap<IpAddr, Unserved> {
        let mut known: FastMap<_, _> = vips.iter().map(|vip| (*vip, Unserved::default())).collect();
        if !known.is_empty() {
            for service in self.config.services() {
                if let Some(vip) = service.vip()
                    && let Some(unserved) = service.unserved
                    && let Some(known) = known.get_mut(&vip)
                {
                    *known = unserved;
                }
            }
        }
        known
    }

    /// Lets the table say what the configuration says of what was touched. Returns the names.
    fn refresh_table(&mut self, done: &Done) -> Vec<ServiceName> {
        let Self { table, config, .. } = self;
        let table = Arc::make_mut(table);
        for fate in &done.services {
            table.refresh(config, fate.key, fate.left);
        }
        let pools: Vec<&str> = done.pools.iter().map(|it| it.key.as_str()).collect();
        if !pools.is_empty() {
            for service in config.services() {
                let pool = service.local_pool.as_deref();
                if pool.is_some_and(|pool| pools.contains(&pool)) {
                    table.refresh(config, service.key(), false);
                }
            }
        }
        let services = done.services.iter();
        services.map(|fate| ServiceName::of(fate.key)).collect()
    }

    fn comes_or_goes(&self, fate: &Fate<ServiceKey, Service>) -> bool {
        fate.left || fate.before.is_none() || self.config.service(fate.key).is_none()
    }

    /// Tells the editor of all services that are not as they were. Returns whether VIPs, the
    /// ways to servers, quorums or local addresses came or went.
    fn tell_editor(&mut self, done: &Done, before: &FastMap<IpAddr, Unserved>) -> bool {
        let unserved = self.unserved_of(before.keys().copied().collect());
        let config = Arc::clone(&self.config);
        for fate in &done.services {
            if fate.left {
                self.editor.remove_service(fate.key);
            }
        }
        let touched: FastSet<ServiceKey> = done.services.iter().map(|it| it.key).collect();
        let mut moves = !done.pools.is_empty();
        let said = |vip: IpAddr| unserved.get(&vip) != before.get(&vip);
        let is_said = unserved.keys().any(|vip| said(*vip));
        let pools: Vec<&str> = done.pools.iter().map(|it| it.key.as_str()).collect();
        let knobs = Arc::clone(&self.editor.state().knobs);
        for fate in &done.services {
            let had_quorum = self.has_quorum(fate.key);
            self.settle_standing(fate.key, config.service(fate.key));
            moves |= self.has_quorum(fate.key) != had_quorum;
        }
        let sources = compile::Sources {
            config: &config,
            knobs: &knobs,
            table: &self.table,
            standings: &self.standings,
        };
        let compile = |service: &Service| {
            let vip = service.vip();
            let unserved = vip.and_then(|vip| unserved.get(&vip).copied());
            sources.service(service, unserved.unwrap_or_default())
        };
        for fate in &done.services {
            let after = config.service(fate.key);
            moves |= fate.left || fate.before.as_ref().map(ends) != after.map(ends);
            if let Some(after) = after {
                self.editor.put_service(&compile(after));
            } else {
                self.ledger.forget(fate.key);
            }
        }
        if is_said || !pools.is_empty() {
            let others = config.services().iter().filter(|service| {
                let pool = service.local_pool.as_deref();
                !touched.contains(&service.key())
                    && (service.vip().is_some_and(said)
                        || pool.is_some_and(|pool| pools.contains(&pool)))
            });
            for service in others {
                self.editor.put_service(&compile(service));
            }
        }
        moves
    }

    fn events(&self, done: &Done) -> Vec<Change> {
        let pools = done.pools.iter().map(|fate| {
            let what = format!("local pool \"{}\"", fate.key);
            EventKind::ConfigurationChanged { what }.into()
        });
        let services = done.services.iter();
        let services =
            services.flat_map(|fate| events::of_service(fate, self.config.service(fate.key)));
        pools.chain(services).collect()
    }
}

/// What of a service Linux has to do with: where the VIP stands, whom the gateway speaks to, and
/// which way checks go.
fn ends(service: &Service) -> impl PartialEq + '_ {
    let health = health_of(service);
    let by_vip = |server| {
        health
            .as_ref()
            .is_some_and(|it| is_checked_by_vip(server, it))
    };
    let servers = service.servers.iter().chain(service.sorry_server());
    let servers = servers.map(|server| (server.endpoint, server.method, by_vip(server)));
    (&service.placement, servers.collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use dataplane::id::Weight;
    use dataplane::service::Method;

    use super::super::testing::gateway;
    use super::*;
    use crate::config::{Check, CheckKind, Health, Script};
    use crate::gateway::{EventKind, ServerName};

    const WEB: &str = "[[service]]\nprotocol = \"tcp\"\nvip = \"10.1.0.100\"\nport = 80\n\
        [[service.server]]\naddress = \"10.2.0.11\"\nmethod = \"nat\"\n\
        [[service]]\nprotocol = \"udp\"\nvip = \"10.1.0.100\"\nport = 53\n";

    fn anything(_: &Config) -> Result<(), EditError> {
        Ok(())
    }

    #[test]
    fn a_weight_changes_in_its_place_and_is_told() {
        let gateway = gateway(WEB);
        let mut watching = gateway.watch();
        let mut web = gateway.config().services()[0].clone();
        web.servers[0].weight = Weight(7);
        let name = ServerName {
            service: web.key(),
            server: web.servers[0].endpoint,
        };

        let applied = gateway.edit(vec![Edit::Put(web.clone())], &anything);

        assert_eq!(applied.unwrap().revision, 1);
        assert_eq!(gateway.config().services()[0], web);
        assert_eq!(gateway.config().services().len(), 2);
        let snapshot = gateway.published();
        let weights = snapshot.servers.iter().flatten().map(|it| it.weight.0);
        assert_eq!(weights.collect::<Vec<_>>(), [7]);
        let event = watching.try_recv().unwrap();
        assert_eq!(
            (event.revision, event.kind),
            (1, EventKind::ServerChanged(name))
        );
        assert!(watching.try_recv().is_err());
    }

    #[test]
    fn nothing_changes_when_one_of_several_edits_cannot_be() {
        let gateway = gateway(WEB);
        let before = gateway.config();
        let web = before.services()[0].key();
        let absent = ServiceKey::Mark(9);

        let refused = gateway.edit(vec![Edit::Remove(web), Edit::Remove(absent)], &anything);

        assert_eq!(refused, Err(EditError::NoService(absent)));
        assert_eq!(gateway.config(), before);
        assert_eq!(gateway.revision(), 0);
    }

    #[test]
    fn what_the_machine_lacks_is_said_and_not_looked_for_under_the_lock() {
        let gateway = gateway(WEB);
        let mut web = gateway.config().services()[0].clone();
        let script = Script {
            command: vec!["/nowhere/check".to_owned()],
            weight_by_status: false,
            user: None,
        };
        web.health = Some(Arc::new(Health {
            checks: [Check {
                kind: CheckKind::Script(script),
                ..crate::health::testing::TCP
            }]
            .into(),
            ..Health::default()
        }));
        let edit = || vec![Edit::Put(web.clone())];

        let planned = gateway.config().plan(edit()).unwrap();
        let applied = gateway.edit(edit(), &anything).unwrap();

        assert!(planned.warnings.is_empty(), "{:?}", planned.warnings);
        assert_eq!(applied.warnings.len(), 1, "{:?}", applied.warnings);
        assert!(applied.warnings[0].contains("/nowhere/check"));
    }

    #[test]
    fn those_who_wait_hear_of_quorums_and_ways_that_change() {
        let gateway = gateway(WEB);
        let mut web = gateway.config().services()[0].clone();
        let rings = |web: &Service| {
            gateway
                .edit(vec![Edit::Put(web.clone())], &anything)
                .unwrap();
            futures_util::FutureExt::now_or_never(gateway.changed()).is_some()
        };
        web.name = Some("web".to_owned());
        assert!(!rings(&web));

        web.health = Some(Arc::new(Health {
            checks: [crate::health::testing::TCP].into(),
            start: crate::config::Start::Down,
            ..Health::default()
        }));
        assert!(rings(&web), "without quorum now");
        web.health = None;
        assert!(rings(&web), "with quorum again");
        web.servers[0].method = Method::Tun;
        web.servers[0].endpoint.port = 80;
        assert!(rings(&web), "the way to a server");
    }

    #[test]
    fn a_guard_that_refuses_keeps_everything_as_it_is() {
        let gateway = gateway(WEB);
        let web = gateway.config().services()[0].key();
        let stale = || EditError::Stale("somebody else was quicker".to_owned());

        let refused = gateway.edit(vec![Edit::Remove(web)], &|config| {
            assert_eq!(config.services().len(), 2);
            Err(stale())
        });

        assert_eq!(refused, Err(stale()));
        assert_eq!(gateway.config().services().len(), 2);
    }

    #[test]
    fn what_a_service_says_of_its_vip_reaches_the_others_of_it() {
        let gateway = gateway(WEB);
        let mut web = gateway.config().services()[0].clone();
        web.unserved = Some(Unserved::Drop);

        gateway.edit(vec![Edit::Put(web)], &anything).unwrap();

        let dns = gateway.config().services()[1].key();
        let state = gateway.state.lock();
        let specs = state.sources(&state.config.ipvs().knobs).services();
        let dns = specs.iter().find(|spec| spec.key == dns).unwrap();
        assert_eq!(dns.unserved, Unserved::Drop);
        drop(state);
        let vip = gateway.published();
        let role = vip.role(std::net::Ipv4Addr::new(10, 1, 0, 100).into());
        assert!(matches!(
            role,
            Some(dataplane::snapshot::Role::Vip(Unserved::Drop))
        ));
    }
}

//! `ipvsadm` at the running gateway.
//!
//! The table that `ipvsadm` speaks of stands beside the configuration and says the same. What a
//! command changes goes back into the configuration a service at a time, and so to the packet
//! path. Who only asks sees the table of then: names take as long as they take to be found.

use std::net::IpAddr;
use std::sync::Arc;

use dataplane::session::{SessionRecord, Timeouts};
use parking_lot::{Mutex, MutexGuard};

use super::edit::Told;
use super::events::EventKind;
use super::{Gateway, State, compile};
use crate::config::Config;
use crate::ipvs::listing::ConnectionRow;
use crate::ipvs::{
    self, AddressKind, Call, Configured, Counters, Host, Meters, Reply, SECONDS_PER_LOOK,
    ServerLine, ServiceCounts, ServiceName, SystemNames, Table, server_line,
};

/// What was counted, in `ipvsadm`'s sense.
#[derive(Debug, Default)]
pub(super) struct Counted {
    meters: Meters,
    /// Which look was the last, counted from the start.
    looks: u64,
}

impl Gateway {
    /// Does what `ipvsadm` would.
    ///
    /// Waits for workers when it lists sessions, and for names: nothing for a thread that others
    /// wait for.
    pub fn ipvsadm(&self, call: &Call) -> Reply {
        let names = SystemNames::default();
        let table = if call.only_asks() {
            TableOf::Asking(Arc::clone(&self.state.lock().table))
        } else {
            // Nobody else shall wait for a name server.
            call.look_up(&names);
            TableOf::Changing(self.state.lock())
        };
        let mut desk = Desk {
            gateway: self,
            table,
            moves: false,
        };
        let reply = ipvs::run_with(&call.args, &call.stdin, &mut desk, &names);
        let moves = desk.moves;
        drop(desk);
        if moves {
            self.changed.notify_one();
        }
        reply
    }

    /// Counts from here on what services count from their beginning: those of `names` that are new,
    /// and not any more those that are gone. To be called before the packet path is told.
    pub(super) fn count(&self, state: &State, names: &[ServiceName]) {
        let counters = Counters {
            snapshot: &state.published,
            ledger: &state.ledger,
        };
        let mut counted = self.counted.lock();
        counted.meters.changed(&state.table, names, counters);
    }

    /// Looks at what was counted, when it is time to.
    pub(super) fn look(&self) {
        let looks = self.started.elapsed().as_secs() / u64::from(SECONDS_PER_LOOK);
        if self.counted.lock().looks == looks {
            return;
        }
        let state = self.state.lock();
        if !state.editor.state().knobs.run_estimation {
            return;
        }
        let (snapshot, ledger) = (Arc::clone(&state.published), state.ledger.clone());
        drop(state);
        let mut counted = self.counted.lock();
        counted.looks = looks;
        counted.meters.look(Counters {
            snapshot: &snapshot,
            ledger: &ledger,
        });
    }
}

/// Every service of a configuration, by the name that `ipvsadm` knows it by.
pub(super) fn names(config: &Config) -> Vec<ServiceName> {
    let services = config.services().iter();
    services.map(|it| ServiceName::of(it.key())).collect()
}

/// The table, and the gateway with it while it may change.
enum TableOf<'a> {
    Asking(Arc<Table>),
    Changing(MutexGuard<'a, State>),
}

/// The gateway while `ipvsadm` runs.
struct Desk<'a> {
    gateway: &'a Gateway,
    table: TableOf<'a>,
    /// Whether Linux has to be asked for other addresses or neighbours.
    moves: bool,
}

impl Desk<'_> {
    fn with<T>(&self, ask: impl FnOnce(&State) -> T) -> T {
        match &self.table {
            TableOf::Asking(_) => ask(&self.gateway.state.lock()),
            TableOf::Changing(state) => ask(state),
        }
    }
}

impl Host for Desk<'_> {
    fn table(&self) -> &Table {
        match &self.table {
            TableOf::Asking(table) => table,
            TableOf::Changing(state) => &state.table,
        }
    }

    fn table_mut(&mut self) -> &mut Table {
        let table = match &mut self.table {
            TableOf::Asking(table) => table,
            TableOf::Changing(state) => &mut state.table,
        };
        Arc::make_mut(table)
    }

    fn publish(&mut self, changed: &[ServiceName]) -> Result<(), String> {
        let TableOf::Changing(state) = &mut self.table else {
            return Ok(());
        };
        let config = Arc::clone(&state.config);
        let configured = Configured::new(&config, changed);
        let changes = |name| configured.changes(name, &state.table);
        let edits = changed.iter().flat_map(changes).collect();
        drop(configured);
        let planned = config.plan(edits);
        drop(config);
        match planned {
            Ok(plan) => {
                let Told { moves, .. } = self.gateway.carry_out(state, plan, Some(changed));
                self.moves |= moves;
                Ok(())
            }
            Err(error) => {
                state.table = Arc::new(state.table.renewed(&state.config));
                Err(error.to_string().replace('\n', "; "))
            }
        }
    }

    fn running(&self, service: &ServiceName) -> Option<Vec<ServerLine>> {
        self.with(|state| {
            state.standings.get(&service.key())?;
            let configured = state.config.service(service.key())?;
            let servers = compile::running(configured, &state.standings).into_iter();
            Some(servers.map(|it| server_line(&it)).collect())
        })
    }

    fn counts(&self, service: &ServiceName) -> ServiceCounts {
        let snapshot = self.with(|state| Arc::clone(&state.published));
        let counted = self.gateway.counted.lock();
        counted.meters.counts(service, &snapshot)
    }

    fn ports_in_use(&self, local: IpAddr) -> usize {
        let pool = |state: &State| state.published.local_pool(local).map(|pool| pool.in_use());
        self.with(pool).unwrap_or(0)
    }

    fn zero(&mut self, service: Option<&ServiceName>) {
        let mut counted = self.gateway.counted.lock();
        counted.meters.zero(self.table(), service);
    }

    fn sessions(&mut self) -> Vec<SessionRecord> {
        let gateway = self.gateway;
        let mut sessions = match &mut self.table {
            TableOf::Asking(_) => gateway.all_sessions(),
            TableOf::Changing(state) => MutexGuard::unlocked(state, || gateway.all_sessions()),
        };
        // What is overdue is over, and was only not swept away yet.
        sessions.retain(|session| session.expires_in_ticks > 0);
        sessions
    }

    fn templates(&mut self) -> Vec<ConnectionRow> {
        let snapshot = self.with(|state| Arc::clone(&state.published));
        let templates = &snapshot.templates;
        let records = templates.records(templates.seen());
        records.iter().map(ConnectionRow::from).collect()
    }

    fn timeouts(&self) -> Timeouts {
        self.with(|state| state.config.timeouts().clone())
    }

    fn set_timeouts(&mut self, timeouts: Timeouts) {
        if let TableOf::Changing(state) = &mut self.table {
            self.gateway.set_timeouts(state, timeouts);
        }
    }

    fn address_kind(&self, addr: IpAddr) -> AddressKind {
        self.with(|state| {
            let own = state.mirrored.addresses().values().flatten();
            AddressKind::among(addr, own.map(|own| (own.addr, own.prefix_len)))
        })
    }
}

impl Gateway {
    fn set_timeouts(&self, state: &mut State, timeouts: Timeouts) {
        if *state.config.timeouts() == timeouts {
            return;
        }
        state.editor.set_timeouts(timeouts.clone());
        Arc::make_mut(&mut state.config).set_timeouts(timeouts);
        state.revise();
        self.publish(state);
        let what = "timeouts".to_owned();
        let changed = [EventKind::ConfigurationChanged { what }];
        self.watchers.tell(state.revision, changed);
    }
}

/// What is counted, behind a lock of its own: looking at 100,000 servers takes its time.
pub(super) type CountedLock = Mutex<Counted>;

#[cfg(test)]
mod tests {
    use std::path::Path;

    use dataplane::id::Weight;
    use dataplane::service::ServiceKey;
    use dataplane::session::State as SessionState;
    use dataplane::time::TICKS_PER_SECOND;
    use proptest::prelude::*;

    use super::super::Edit;
    use super::super::testing::gateway;
    use super::*;
    use crate::config::Placement;

    const WEB: &str = "[[local_pool]]\nname = \"lips\"\naddresses = [\"10.2.0.200\"]\n\
        [[service]]\nname = \"web\"\nprotocol = \"tcp\"\nvip = \"10.1.0.100\"\nport = 80\n\
        unserved = \"drop\"\nmss_clamp = 1400\nlocal_pool = \"lips\"\n\
        [[service.server]]\naddress = \"10.2.0.11\"\nmethod = \"fullnat\"\n\
        [[service]]\nname = \"dns\"\nprotocol = \"udp\"\nvip = \"10.1.0.100\"\nport = 53\n\
        [[service.server]]\naddress = \"10.2.0.11\"\nmethod = \"nat\"\n";

    fn run(gateway: &Gateway, line: &str) -> Reply {
        gateway.ipvsadm(&Call::new(line.split_whitespace()))
    }

    fn done(gateway: &Gateway, line: &str) -> String {
        let reply = run(gateway, line);
        assert_eq!((reply.stderr.as_str(), reply.status), ("", 0), "{line}");
        reply.stdout
    }

    #[test]
    fn an_edit_keeps_what_ipvsadm_cannot_say() {
        let gateway = gateway(WEB);

        done(&gateway, "-E -t 10.1.0.100:80 -s rr");
        done(&gateway, "-e -t 10.1.0.100:80 -r 10.2.0.11 -m -w 7");

        let config = gateway.config();
        let web = &config.services()[0];
        assert_eq!(web.name.as_deref(), Some("web"));
        assert_eq!(web.local_pool.as_deref(), Some("lips"));
        assert_eq!(web.unserved, Some(dataplane::service::Unserved::Drop));
        assert_eq!(web.mss_clamp, dataplane::service::MssClamp::To(1_400));
        assert_eq!(web.placement, Placement::Auto);
        assert_eq!(web.scheduler.name(), "rr");
        assert_eq!(web.servers[0].weight, Weight(7));
        assert_eq!(gateway.revision(), 2);
    }

    #[test]
    fn what_ipvsadm_adds_is_in_the_configuration_and_the_packet_path() {
        let gateway = gateway(WEB);

        done(&gateway, "-A -t 10.1.0.101:443 -s mh -b mh-port,flag-3");
        done(&gateway, "-a -t 10.1.0.101:443 -r 10.2.0.12 -i -w 3");

        let config = gateway.config();
        let new = &config.services()[2];
        assert_eq!(new.placement, Placement::External);
        assert_eq!(new.scheduler_flags(), ["mh-port", "flag-3"]);
        let snapshot = gateway.published();
        let servers = snapshot.servers.iter().flatten();
        assert!(servers.map(|it| it.weight.0).any(|weight| weight == 3));
        assert_eq!(snapshot.service_index.len(), 3);
    }

    /// What is kept of the gateway is what runs: to apply it changes nothing.
    fn assert_kept(gateway: &Gateway) {
        let (config, listed) = (gateway.config(), done(gateway, "-Sn"));
        let kept = config.to_toml().unwrap();
        let read = Config::from_toml(&kept, Path::new("kept.toml")).unwrap().0;
        assert_eq!(read, *config, "{kept}");

        gateway.apply(read).unwrap();

        assert_eq!(done(gateway, "-Sn"), listed);
    }

    #[test]
    fn a_mark_of_ipv6_is_another_service_than_that_of_ipv4_and_both_are_kept() {
        let gateway = gateway("");

        done(&gateway, "-A -f 3 -6 -s rr -p 60 -M 64");
        done(&gateway, "-A -f 3 -s lc");
        done(&gateway, "-P -f 3 -6 -z 2001:db8::7");
        done(&gateway, "-a -f 3 -6 -r 2001:db8::8 -b -w 2");

        let keys = |gateway: &Gateway| -> Vec<_> {
            let config = gateway.config();
            config.services().iter().map(|it| it.key()).collect()
        };
        let both = [ServiceKey::Mark6(3), ServiceKey::Mark(3)];
        assert_eq!(keys(&gateway), both);
        let saved = done(&gateway, "-Sn");
        for line in [
            "-A -f 3 -6 -s rr -p 60 -M 64\n",
            "-P -f 3 -6 -z 2001:db8::7\n",
            "-a -f 3 -6 -r [2001:db8::8]:0 -b -w 2\n",
            "-A -f 3 -s lc\n",
        ] {
            assert!(saved.contains(line), "{saved}");
        }
        assert_kept(&gateway);
        // No packet is looked up by the one of IPv6.
        assert_eq!(gateway.published().marked_services.len(), 1);

        done(&gateway, "-D -f 3 -6");
        assert_eq!(keys(&gateway), [ServiceKey::Mark(3)]);
    }

    #[test]
    fn flags_of_any_scheduler_are_kept_and_listed_as_ipvsadm_lists_them() {
        let gateway = gateway("");

        for (port, scheduler, flags, listed) in [
            (1, "rr", "flag-1", "-b flag-1"),
            (2, "wlc", "flag-2,flag-3", "-b flag-2,flag-3"),
            (
                3,
                "lblcr",
                "flag-1,flag-2,flag-3",
                "-b flag-1,flag-2,flag-3",
            ),
            (4, "none", "flag-3", "-b flag-3"),
            (5, "sh", "sh-port", "-b sh-port"),
            (6, "mh", "mh-fallback,mh-port", "-b mh-fallback,mh-port"),
        ] {
            let service = format!("-A -t 10.1.0.100:{port} -s {scheduler}");
            done(&gateway, &format!("{service} -b {flags}"));

            let saved = done(&gateway, "-Sn");
            let found = saved.lines().find(|line| line.starts_with(&service));
            assert_eq!(
                found.map(str::trim_end),
                Some(&*format!("{service} {listed}"))
            );
        }

        assert_kept(&gateway);
        let config = gateway.config();
        let flags: Vec<_> = config
            .services()
            .iter()
            .map(|it| it.scheduler_flags())
            .collect();
        assert_eq!(flags[2], ["flag-1", "flag-2", "flag-3"]);

        // The third of sh is kept though no list has it.
        done(&gateway, "-E -t 10.1.0.100:5 -s sh -b sh-port,flag-3");
        assert_kept(&gateway);
        let config = gateway.config();
        assert_eq!(
            config.services()[4].scheduler_flags(),
            ["sh-port", "flag-3"]
        );
    }

    #[test]
    fn what_the_gateway_refuses_leaves_the_table_as_it_was() {
        let gateway = gateway(WEB);
        let before = done(&gateway, "-Sn");

        let reply = run(&gateway, "-a -u 10.1.0.100:53 -r 10.2.0.200 -m");

        assert_ne!(reply.status, 0);
        assert!(
            reply.stderr.contains("has a local address of a pool"),
            "{}",
            reply.stderr
        );
        assert_eq!(done(&gateway, "-Sn"), before);
        assert_eq!(gateway.revision(), 0);
    }

    #[test]
    fn who_asks_sees_the_table_of_then_whatever_changes_meanwhile() {
        let gateway = gateway(WEB);
        let asking = Arc::clone(&gateway.state.lock().table);

        done(&gateway, "-D -u 10.1.0.100:53");

        assert_eq!(asking.services().count(), 2);
        assert_eq!(gateway.state.lock().table.services().count(), 1);
    }

    #[test]
    fn the_table_changes_in_its_place_when_nobody_asks_any_more() {
        let gateway = gateway(WEB);
        let before = Arc::as_ptr(&gateway.state.lock().table);

        done(&gateway, "-Ln");
        done(&gateway, "-e -u 10.1.0.100:53 -r 10.2.0.11 -m -w 7");

        assert_eq!(Arc::as_ptr(&gateway.state.lock().table), before);
    }

    #[test]
    fn time_outs_are_those_that_run() {
        let gateway = gateway(WEB);

        done(&gateway, "--set 100 0 30");

        let ticks = |state| gateway.running().timeouts().ticks(state) / TICKS_PER_SECOND;
        assert_eq!(ticks(SessionState::Established), 100);
        assert_eq!(ticks(SessionState::Udp), 30);
        let shown = done(&gateway, "-L --timeout");
        assert_eq!(shown, "Timeout (tcp tcpfin udp): 100 120 30\n");
    }

    #[test]
    fn an_edit_over_the_api_is_what_ipvsadm_shows() {
        let gateway = gateway(WEB);
        let mut dns = gateway.config().services()[1].clone();
        dns.servers[0].weight = Weight(9);

        gateway.edit(vec![Edit::Put(dns)], &|_| Ok(())).unwrap();

        let saved = done(&gateway, "-Sn");
        assert!(
            saved.contains("-a -u 10.1.0.100:53 -r 10.2.0.11:53 -m -w 9"),
            "{saved}"
        );
    }

    fn word(words: &'static [&'static str]) -> impl Strategy<Value = &'static str> {
        proptest::sample::select(words)
    }

    /// A line of few services, servers and options, which mostly can be.
    fn line() -> impl Strategy<Value = String> {
        let service = || {
            word(&[
                "-t 10.1.0.100:80",
                "-u 10.1.0.100:53",
                "-t 10.1.0.101:0",
                "-f 3",
                "-t [2001:db8::1]:80",
                "-u 10.1.0.102:80",
            ])
        };
        let server = || {
            word(&[
                "10.2.0.11",
                "10.2.0.12:8080",
                "127.0.0.1",
                "10.1.0.100",
                "[2001:db8:2::11]:80",
                "10.2.0.11:0",
            ])
        };
        let of_service = (
            word(&["-A", "-E"]),
            service(),
            word(&[
                "",
                "-s rr",
                "-s sh -b sh-port,flag-3",
                "-s nq -b flag-1",
                "-s lblcr",
            ]),
            word(&["", "-p 60", "-p 60 -M 255.255.0.0", "-p 60 -M 64", "-o"]),
        );
        let of_server = (
            word(&["-a", "-e", "-a"]),
            service(),
            server(),
            word(&["-g", "-i", "-m", "-b", "-m -x 9 -y 4", "-m -w 0"]),
        );
        prop_oneof![
            3 => of_service.prop_map(|(verb, name, scheduler, rest)| {
                format!("{verb} {name} {scheduler} {rest}")
            }),
            6 => of_server.prop_map(|(verb, name, server, rest)| {
                format!("{verb} {name} -r {server} {rest}")
            }),
            1 => service().prop_map(|name| format!("-D {name}")),
            1 => (service(), server()).prop_map(|(name, it)| format!("-d {name} -r {it}")),
            2 => (word(&["-P", "-P", "-Q"]), service(), word(&["10.2.0.200", "10.2.0.201"]))
                .prop_map(|(verb, name, local)| format!("{verb} {name} -z {local}")),
            1 => Just("--set 5 6 7".to_owned()),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(150))]

        #[test]
        fn whatever_ipvsadm_does_the_running_configuration_applies_again_to_no_difference(
            lines in proptest::collection::vec(line(), 1..40),
        ) {
            let gateway = gateway(WEB);
            for line in &lines {
                run(&gateway, line);
            }
            let (running, saved) = (gateway.running(), done(&gateway, "-Sn"));

            let toml = running.to_toml().unwrap();
            let read = Config::from_toml(&toml, Path::new("running.toml"));
            let (again, _) = read.unwrap_or_else(|errors| panic!("{errors}\n{toml}"));
            prop_assert_eq!(&again, &*running, "{}", toml);

            gateway.apply(again).unwrap();
            prop_assert_eq!(done(&gateway, "-Sn"), saved);
            prop_assert_eq!(gateway.running(), running);
        }
    }
}

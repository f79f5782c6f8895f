//! What a service says about health against its servers.

use std::fs::File;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use dataplane::service::{Method, ServiceKey};
use nix::unistd::User;

use super::super::document::{Table, Value};
use super::super::health::{Check, Span, Tls};
use super::super::section::{Problems, Written};
use super::super::service::{Server, Service};
use super::super::{CheckKind, CheckPath, Health, RawConfig};
use super::{servers, tables};
use crate::health::standing;

/// The least weight of which a tenth, with which a slow start begins, is a weight.
const FINE_WEIGHT: u32 = 10;

pub(super) fn check(service: &Written<'_, Service>, raw: &RawConfig<'_>, problems: &Problems) {
    if let Some(health) = service.value.health.as_deref() {
        check_quorum(service, health, problems);
        check_sorry(service, health, raw, problems);
        check_idle(service, health, problems);
    }
    if let Some(health) = standing::health_of(&service.value) {
        check_coarse(service, &health, problems);
    }
    for watched in watched(service) {
        let lines = Lines {
            key: service.value.key(),
            at: watched.at,
            problems,
        };
        check_timing(&watched, &lines);
        check_trust(watched.check, &lines);
        // Of edits somebody asks who holds no lock.
        if raw.edited.is_none() {
            check_machine(watched.check, &lines);
        }
        let has_range = raw.check_interface.range.is_some();
        check_ways(&service.value, &watched, has_range, &lines);
    }
}

/// What the checks of an edited service need of the machine, which may take its time to answer.
pub(super) fn machine(service: &Service, problems: &Problems) {
    let nowhere = Table::default();
    let written = Written {
        value: service.clone(),
        at: &nowhere,
        parts: vec![&nowhere; service.servers.len()],
    };
    for watched in watched(&written) {
        let lines = Lines {
            key: service.key(),
            at: None,
            problems,
        };
        check_machine(watched.check, &lines);
    }
}

/// A check, and the servers that it is for.
struct Watched<'a> {
    check: &'a Check,
    /// What the file says of it; nothing where there is no file.
    at: Option<&'a Table>,
    servers: Vec<&'a Server>,
}

/// Every check of the service and of its servers.
fn watched<'a>(service: &'a Written<'_, Service>) -> Vec<Watched<'a>> {
    let own = |server: &'a Server| server.health.as_ref()?.checks.as_deref();
    let parts = service.parts.iter().copied();
    let (mut found, mut common) = (Vec::new(), Vec::new());
    for (server, at) in service.value.servers.iter().zip(parts) {
        match own(server) {
            Some(checks) => found.extend(written(checks, at, &[server])),
            None => common.push(server),
        }
    }
    let health = service.value.health.as_deref();
    let checks = health.map_or(&[][..], |health| &health.checks);
    let mut all: Vec<_> = written(checks, service.at, &common).collect();
    all.extend(found);
    all
}

fn written<'a>(
    checks: &'a [Check],
    at: &'a Table,
    servers: &[&'a Server],
) -> impl Iterator<Item = Watched<'a>> {
    let tables = tables(at, "check");
    let numbered = checks.iter().enumerate();
    numbered.map(move |(number, check)| Watched {
        check,
        // Of checks that could not be read, others have the numbers.
        at: tables
            .get(number)
            .copied()
            .filter(|_| tables.len() == checks.len()),
        servers: servers.to_vec(),
    })
}

/// Says something about one check.
struct Lines<'a> {
    key: ServiceKey,
    at: Option<&'a Table>,
    problems: &'a Problems,
}

impl Lines<'_> {
    fn line_of(&self, key: &str) -> usize {
        self.at.map_or(0, |at| at.line_of(key))
    }

    fn warn(&self, check: &Check, key: &str, message: &str) {
        let message = format!("{} check of {}: {message}", check.kind.name(), self.key);
        self.problems.warn(self.line_of(key), message);
    }

    fn refuse(&self, check: &Check, key: &str, message: &str) {
        let message = format!("{} check of {}: {message}", check.kind.name(), self.key);
        self.problems.refuse(self.line_of(key), message);
    }
}

fn check_timing(watched: &Watched<'_>, lines: &Lines<'_>) {
    let timing = watched.check.timing;
    if timing.timeout > timing.interval {
        let message = format!(
            "`timeout` {} is longer than `interval` {}: the next check begins when this one has \
             ended",
            Span(timing.timeout),
            Span(timing.interval)
        );
        lines.warn(watched.check, "timeout", &message);
    }
}

/// Who names authorities wants certificates to be looked at, which `verify` alone does.
fn check_trust(check: &Check, lines: &Lines<'_>) {
    let has_idle_ca = |tls: &Tls| tls.ca.is_some() && !tls.verify;
    if tls_of(check).is_some_and(has_idle_ca) {
        let message = "`ca` is not used without `verify = true`: every certificate is taken";
        lines.warn(check, "ca", message);
    }
}

fn tls_of(check: &Check) -> Option<&Tls> {
    match &check.kind {
        CheckKind::Http(http) => http.tls.as_ref(),
        CheckKind::Grpc(grpc) => grpc.tls.as_ref(),
        _ => None,
    }
}

/// What a check needs of the machine: it may come later, or the file is for another one.
fn check_machine(check: &Check, lines: &Lines<'_>) {
    if let CheckKind::Script(script) = &check.kind {
        let program = script.command.first().map(Path::new);
        if let Some(Err(why)) = program.map(executable) {
            lines.warn(
                check,
                "command",
                &format!("{why}: it asks nobody until it can be run"),
            );
        }
        let user = script.user.as_deref();
        let user = user.filter(|it| matches!(User::from_name(it), Ok(None)));
        if let Some(user) = user {
            let message = format!("there is no user \"{user}\": it asks nobody until there is");
            lines.warn(check, "user", &message);
        }
    }
    let ca = tls_of(check).and_then(|tls| tls.ca.as_deref());
    if let Some((ca, Err(error))) = ca.map(|ca| (ca, File::open(ca))) {
        let message = format!(
            "{} cannot be read: {error}: it asks nobody until it can",
            ca.display()
        );
        lines.warn(check, "ca", &message);
    }
}

/// Whether a program can be run, or why not.
fn executable(program: &Path) -> Result<(), String> {
    let shown = program.display();
    match program.metadata() {
        Err(error) => Err(format!("{shown} cannot be run: {error}")),
        Ok(found) if !found.is_file() => Err(format!("{shown} is no program")),
        Ok(found) if found.permissions().mode() & 0o111 == 0 => {
            Err(format!("{shown} is not executable"))
        }
        Ok(_) => Ok(()),
    }
}

/// Whether a check can go where it shall; of many servers that it cannot reach one is named.
fn check_ways(service: &Service, watched: &Watched<'_>, has_range: bool, lines: &Lines<'_>) {
    const NO_RANGE: &str = "no check addresses stand for its servers: add a [health] with \
                            `check_addresses`, like \"198.18.0.0/20\"";
    let check = watched.check;
    if check.path == CheckPath::Vip {
        let of_server = |server: &&Server| way_to_vip(server);
        let problem = vip_problem(service, check);
        let problem = problem.or_else(|| watched.servers.iter().find_map(of_server));
        let problem = problem.or_else(|| (!has_range).then(|| NO_RANGE.to_owned()));
        if let Some(message) = problem {
            lines.refuse(check, "via", &message);
            return;
        }
    }
    let has_none = |server: &&&Server| server.endpoint.port == 0;
    let portless = watched.servers.iter().find(has_none);
    if let Some(server) = portless.filter(|_| check.kind.has_port() && check.port.is_none()) {
        let message = format!(
            "it needs a `port`, for server {} has that of each packet",
            server.endpoint.addr
        );
        lines.refuse(check, "type", &message);
    }
}

/// Why no check can go to the VIP on any server.
fn vip_problem(service: &Service, check: &Check) -> Option<String> {
    let Some(vip) = service.vip() else {
        return Some("a mark has no VIP that it could go to: take `via` away".to_owned());
    };
    if vip.is_ipv6() {
        return Some("it goes to VIPs of IPv4 alone: take `via` away".to_owned());
    }
    if check.address.is_some() {
        let message = "`via = \"vip\"` says the address already: take `address` away";
        return Some(message.to_owned());
    }
    let port = service.key().port();
    match check.port {
        Some(other) if other != port && port != 0 => Some(format!(
            "port {other} is another than the service's, {port}, and it goes the clients' way: \
             take `port` or `via` away"
        )),
        _ => None,
    }
}

/// Why it cannot go to the VIP on this server.
fn way_to_vip(server: &Server) -> Option<String> {
    match server.method {
        Method::Dr | Method::Tun => None,
        Method::Nat | Method::Fullnat => Some(format!(
            "server {} is reached by {}, so it does not have the VIP: take `via` away, or give \
             the server checks of its own",
            servers::shown(server),
            server.method
        )),
    }
}

fn check_quorum(service: &Written<'_, Service>, health: &Health, problems: &Problems) {
    let Written { value, at, .. } = service;
    let (key, quorum, hysteresis) = (value.key(), health.quorum, health.hysteresis);
    if hysteresis >= quorum {
        let message = format!(
            "`hysteresis` {hysteresis} of {key} is not below its `quorum` {quorum}, so that the \
             quorum would never be lost: give it at most {}",
            quorum - 1
        );
        return problems.refuse(at.line_of("hysteresis"), message);
    }
    let weights = value.servers.iter().map(|it| u64::from(it.weight.0));
    let (sum, wanted) = (
        weights.sum::<u64>(),
        u64::from(quorum) + u64::from(hysteresis),
    );
    if wanted > sum && quorum > 1 && !value.servers.is_empty() {
        let message = format!(
            "{key} needs the weight {wanted} to have its quorum, but all its servers together \
             have {sum}: it is always without",
        );
        problems.warn(at.line_of("quorum"), message);
    }
}

fn check_sorry(
    service: &Written<'_, Service>,
    health: &Health,
    raw: &RawConfig<'_>,
    problems: &Problems,
) {
    let Some(sorry) = &health.sorry_server else {
        return;
    };
    let nowhere = Table::default();
    let at = inner(service.at, "sorry_server").unwrap_or(&nowhere);
    let servers = &service.value.servers;
    if servers.iter().any(|it| it.endpoint == sorry.endpoint) {
        let message = format!(
            "sorry server {} of {} is one of its servers: take it out there, or give another",
            servers::shown(sorry),
            service.value.key()
        );
        problems.refuse(at.line_of("address"), message);
    }
    servers::check_one(service, sorry, at, raw, problems);
    if raw.gateway.announce_table.is_some() && service.value.vip().is_some() {
        let message = format!(
            "`sorry_server` of {} is for when quorum is lost, but then routers are no longer told \
             of its VIP (`announce_table`): clients see it only while another service of the \
             VIP has quorum",
            service.value.key()
        );
        problems.warn(service.at.line_of("sorry_server"), message);
    }
}

/// The table that is the value of a key.
fn inner<'a>(table: &'a Table, key: &str) -> Option<&'a Table> {
    match &table.entries.get(key)?.node.value {
        Value::Table(table) => Some(table),
        _ => None,
    }
}

/// Warns of keys that are about servers that fail, where nobody would notice that one does.
fn check_idle(service: &Written<'_, Service>, health: &Health, problems: &Problems) {
    let Written { value, at, .. } = service;
    let checks = || watched(service).into_iter().map(|watched| watched.check);
    let agents = value.servers.iter().filter_map(|it| it.health.as_ref());
    let has_agent = health.agent.is_some() || agents.clone().any(|it| it.agent.is_some());
    let is_watched = has_agent || !health.checks.is_empty() || checks().next().is_some();
    let mut idle = Vec::new();
    let usual = Health::default();
    if !is_watched {
        let said = [
            ("inhibit_on_failure", health.inhibit_on_failure),
            ("start", health.start != usual.start),
            ("slow_start", health.slow_start != usual.slow_start),
            ("damping", health.damping != usual.damping),
        ];
        idle.extend(
            said.iter()
                .filter(|(_, is_said)| *is_said)
                .map(|(key, _)| *key),
        );
    }
    if let Some(first) = idle.first() {
        let message = format!(
            "`{}` of {} is about servers that fail, but nothing checks them: add a \
             [[service.check]]",
            idle.join("`, `"),
            value.key()
        );
        problems.warn(at.line_of(first), message);
    }
    let has_load = |check: &Check| match &check.kind {
        CheckKind::Script(script) => script.weight_by_status,
        _ => check.load.is_some(),
    };
    if health.weight_bounds != usual.weight_bounds && !has_agent && !checks().any(has_load) {
        let message = format!(
            "`weight_bounds` of {} is about servers that say their load, but none is asked: add \
             an `agent`, or a check with `load_header` or `load_json`",
            value.key()
        );
        problems.warn(at.line_of("weight_bounds"), message);
    }
}

/// Warns of weights that are too small to be parted: in whole numbers there is no tenth of 1.
fn check_coarse(service: &Written<'_, Service>, health: &Health, problems: &Problems) {
    let Written { value, at, .. } = service;
    let has_agent = |server: &Server| server.health.as_ref().is_some_and(|it| it.agent.is_some());
    let says_load = |server: &Server| {
        let mut checks = standing::checks_of(server, health).iter();
        checks.any(|check| check.load.is_some())
    };
    let is_asked = |server: &Server| !standing::checks_of(server, health).is_empty();
    let mut parted = value.servers.iter().filter_map(|server| {
        let key = match () {
            () if health.slow_start > Duration::ZERO && is_asked(server) => "slow_start",
            () if health.agent.is_some() || has_agent(server) => "agent",
            () if says_load(server) => "a check with a load",
            () => return None,
        };
        let is_coarse = (1..FINE_WEIGHT).contains(&server.weight.0);
        is_coarse.then_some((server, key))
    });
    if let Some((server, key)) = parted.next() {
        let named = if key.contains(' ') {
            key.to_owned()
        } else {
            format!("`{key}`")
        };
        let message = format!(
            "{named} of {} hardly moves the weight {} of server {}, which stays a whole number above \
             0: give its servers weights of {FINE_WEIGHT} or more, like 100",
            value.key(),
            server.weight.0,
            servers::shown(server)
        );
        problems.warn(at.line_of(key), message);
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::{config, refusals, warnings};

    /// A service on lines 1 to 4, what it says of itself behind it, and then its server.
    fn service(lines: &str, server: &str) -> String {
        format!(
            "[[service]]\nprotocol = \"tcp\"\nvip = \"10.1.0.1\"\nport = 80\n{lines}\n\
             [[service.server]]\naddress = \"10.2.0.11\"\n{server}\n"
        )
    }

    const CHECK: &str = "[[service.check]]\ntype = \"tcp\"\n";

    #[test]
    fn a_quorum_that_is_never_lost_or_never_there_is_said() {
        assert_eq!(
            refusals(&service("quorum = 2\nhysteresis = 2", "weight = 9")),
            [
                "6: `hysteresis` 2 of tcp 10.1.0.1:80 is not below its `quorum` 2, so that the \
                 quorum would never be lost: give it at most 1"
            ]
        );
        assert_eq!(
            warnings(&service("quorum = 3\nhysteresis = 1", "weight = 3")),
            [
                "5: tcp 10.1.0.1:80 needs the weight 4 to have its quorum, but all its servers \
                 together have 3: it is always without"
            ]
        );
        assert!(warnings(&service("quorum = 3\nhysteresis = 1", "weight = 4")).is_empty());
    }

    #[test]
    fn a_sorry_server_is_one_that_the_service_could_have_and_has_not() {
        let sorry = |keys: &str| {
            let lines = format!("sorry_server = {{ address = \"10.2.0.99\", {keys} }}");
            service(&lines, "method = \"nat\"")
        };

        assert_eq!(
            refusals(&sorry("").replace("10.2.0.99\", ", "10.2.0.11\"")),
            [
                "5: sorry server 10.2.0.11:80 of tcp 10.1.0.1:80 is one of its servers: take it \
                 out there, or give another"
            ]
        );
        assert_eq!(
            refusals(&sorry("port = 8080")),
            [
                "5: server 10.2.0.99:8080 has another port than its service (80), but dr delivers \
                 packets unchanged: take `port` away, or use method \"nat\" or \"fullnat\""
            ]
        );
        let pool = "[[local_pool]]\nname = \"p\"\naddresses = [\"10.2.0.99\"]\n";
        assert_eq!(
            refusals(&(sorry("method = \"nat\"") + pool)),
            [
                "5: server 10.2.0.99 has a local address of a pool (line 11): \
                 give the server's own address, or take it out of the pool"
            ]
        );
        config(&sorry("port = 8080, method = \"nat\""));
    }

    #[test]
    fn a_sorry_server_of_an_announced_vip_is_a_warning() {
        let sorry = service("sorry_server = { address = \"10.2.0.99\" }", "");
        let announced = format!("[gateway]\nannounce_table = 201\n{sorry}");

        assert!(warnings(&sorry).is_empty());
        let told = warnings(&announced);
        assert!(
            told[0].contains("then routers are no longer told of its VIP"),
            "{told:?}"
        );
        assert_eq!(told.len(), 1);
    }

    #[test]
    fn keys_that_nothing_comes_of_are_warnings() {
        let lines = "start = \"down\"\nslow_start = 5\nweight_bounds = [10, 100]";

        assert_eq!(
            warnings(&service(lines, "")),
            [
                "5: `start`, `slow_start` of tcp 10.1.0.1:80 is about servers that fail, but \
                 nothing checks them: add a [[service.check]]",
                "7: `weight_bounds` of tcp 10.1.0.1:80 is about servers that say their load, but \
                 none is asked: add an `agent`, or a check with `load_header` or `load_json`",
            ]
        );
        for watched in [
            format!("{lines}\nagent = {{ port = 1 }}"),
            format!("{lines}\n[[service.check]]\ntype = \"http\"\nload_header = \"X-Load\""),
        ] {
            assert!(warnings(&service(&watched, "weight = 10")).is_empty());
        }
        let own = "[[service.server.check]]\ntype = \"tcp\"\n";
        assert!(warnings(&service("start = \"down\"", own)).is_empty());
    }

    #[test]
    fn a_timeout_beyond_the_interval_is_a_warning() {
        let check = format!("{CHECK}interval = 1\ntimeout = \"1500ms\"");

        assert_eq!(
            warnings(&service(&check, "")),
            [
                "8: tcp check of tcp 10.1.0.1:80: `timeout` 1500 ms is longer than `interval` 1 \
                 s: the next check begins when this one has ended"
            ]
        );
    }

    #[test]
    fn weights_that_cannot_be_parted_are_warned_of() {
        let warning = |line: u32, named: &str, weight: u32| {
            format!(
                "{line}: {named} of tcp 10.1.0.1:80 hardly moves the weight {weight} of server \
                 10.2.0.11:80, which stays a whole number above 0: give its servers weights of 10 or \
                 more, like 100"
            )
        };
        for (lines, server, warned) in [
            ("slow_start = 60\n", "", warning(5, "`slow_start`", 1)),
            (
                "agent = { port = 1 }\n",
                "weight = 9",
                warning(5, "`agent`", 9),
            ),
            ("", "agent = { port = 1 }", warning(1, "`agent`", 1)),
        ] {
            assert_eq!(
                warnings(&service(&format!("{lines}{CHECK}"), server)),
                [warned]
            );
        }
        let load = "[[service.check]]\ntype = \"http\"\nload_header = \"X-Load\"\n";
        let warned = warning(1, "a check with a load", 1);
        assert_eq!(warnings(&service(load, "")), [warned]);
        for weight in [0, 10] {
            let text = service(
                &format!("slow_start = 60\n{CHECK}"),
                &format!("weight = {weight}"),
            );
            assert!(warnings(&text).is_empty());
        }
    }

    #[test]
    fn authorities_that_nobody_asks_are_a_warning() {
        let check = |lines: &str| service(&format!("[[service.check]]\n{lines}"), "");
        let tls = ["type = \"https\"", "type = \"grpc\"\ntls = true"];

        for (kind, line) in tls.into_iter().zip([7, 8]) {
            let found = warnings(&check(&format!("{kind}\nca = \"/etc/passwd\"")));
            let name = if line == 7 { "https" } else { "grpc" };
            assert_eq!(
                found,
                [format!(
                    "{line}: {name} check of tcp 10.1.0.1:80: `ca` is not used without `verify = \
                     true`: every certificate is taken"
                )]
            );
            let verified = check(&format!("{kind}\nverify = true\nca = \"/etc/passwd\""));
            assert!(warnings(&verified).is_empty());
        }
    }

    #[test]
    fn what_this_machine_lacks_is_a_warning() {
        let check = |lines: &str| service(&format!("[[service.check]]\n{lines}"), "");
        for (lines, warning) in [
            (
                "type = \"script\"\ncommand = [\"/nowhere/check\"]",
                "7: script check of tcp 10.1.0.1:80: /nowhere/check cannot be run: No such file or \
                 directory (os error 2): it asks nobody until it can be run",
            ),
            (
                "type = \"script\"\ncommand = [\"/etc/passwd\"]",
                "7: script check of tcp 10.1.0.1:80: /etc/passwd is not executable: it asks nobody \
                 until it can be run",
            ),
            (
                "type = \"script\"\ncommand = [\"/bin/true\"]\nuser = \"nobody at all\"",
                "8: script check of tcp 10.1.0.1:80: there is no user \"nobody at all\": it asks \
                 nobody until there is",
            ),
            (
                "type = \"https\"\nverify = true\nca = \"/nowhere/ca.pem\"",
                "8: https check of tcp 10.1.0.1:80: /nowhere/ca.pem cannot be read: No such file or \
                 directory (os error 2): it asks nobody until it can",
            ),
        ] {
            assert_eq!(warnings(&check(lines)), [warning]);
        }
        assert!(warnings(&check("type = \"script\"\ncommand = [\"/bin/true\"]")).is_empty());
    }

    #[test]
    fn a_check_by_way_of_the_vip_goes_as_the_clients_packets() {
        const RANGE: &str = "[health]\ncheck_addresses = \"198.18.0.0/20\"\n";
        let via = format!("{CHECK}via = \"vip\"\n");
        config(&(service(&via, "method = \"tun\"") + RANGE));
        config(&(service(&format!("{via}port = 80"), "") + RANGE));
        assert_eq!(
            refusals(&service(&via, "")),
            [
                "7: tcp check of tcp 10.1.0.1:80: no check addresses stand for its servers: add a \
                 [health] with `check_addresses`, like \"198.18.0.0/20\""
            ]
        );
        for (text, refusal) in [
            (
                service(&via, "method = \"nat\""),
                "7: tcp check of tcp 10.1.0.1:80: server 10.2.0.11:80 is reached by nat, so it \
                 does not have the VIP: take `via` away, or give the server checks of its own",
            ),
            (
                service(&format!("{via}port = 81"), ""),
                "7: tcp check of tcp 10.1.0.1:80: port 81 is another than the service's, 80, and \
                 it goes the clients' way: take `port` or `via` away",
            ),
            (
                service(&format!("{via}address = \"10.2.0.12\""), ""),
                "7: tcp check of tcp 10.1.0.1:80: `via = \"vip\"` says the address already: take \
                 `address` away",
            ),
            (
                format!(
                    "[[service]]\nmark = 3\n\n\n{via}port = 80\n[[service.server]]\naddress = \
                     \"10.2.0.11\"\n"
                ),
                "7: tcp check of mark 3: a mark has no VIP that it could go to: take `via` away",
            ),
        ] {
            assert_eq!(refusals(&text), [refusal]);
        }
    }

    #[test]
    fn a_server_of_every_port_has_none_to_be_checked_at() {
        let text = |check: &str| {
            format!("[[service]]\nmark = 3\n[[service.server]]\naddress = \"10.2.0.11\"\n{check}")
        };
        let own = CHECK.replace("service.check", "service.server.check");

        assert_eq!(
            refusals(&text(&own)),
            [
                "6: tcp check of mark 3: it needs a `port`, for server 10.2.0.11 has that of each \
                 packet"
            ]
        );
        config(&text(&format!("{own}port = 80")));
        config(&text(&own.replace("tcp", "icmp")));
    }
}

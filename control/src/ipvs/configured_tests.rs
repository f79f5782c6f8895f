//! Lines of `ipvsadm` beside a configuration, and what that becomes.

use std::path::Path;

use dataplane::service::{MssClamp, SchedulerKind};

use super::super::address_kind::AddressKind;
use super::super::command::Command;
use super::super::grammar::parse;
use super::super::names::testing::FewNames;
use super::*;

const FILE: &str = r#"
[[port]]
name = "wan"
device = "net_null0"
addresses = ["10.1.0.1/24"]

[[local_pool]]
name = "lips"
addresses = ["10.2.0.200-10.2.0.201"]
ports = "30000-39999"

[[service]]
name = "web"
protocol = "tcp"
vip = "10.1.0.100"
port = 80
scheduler = "sh"
scheduler_flags = ["sh-port"]
unserved = "drop"
mss_clamp = 1400
local_pool = "lips"
persistent = 60
quorum = 2
[[service.check]]
type = "tcp"
[[service.server]]
address = "10.2.0.11"
method = "fullnat"
weight = 3
enabled = false

[[service]]
protocol = "tcp"
vip = "10.1.0.100"
port = 443
local_pool = "lips"
"#;

fn config() -> Config {
    Config::from_toml(FILE, Path::new("t.toml")).unwrap().0
}

/// What the configuration becomes by lines about one service.
fn changes(lines: &[&str]) -> Vec<Edit> {
    let config = config();
    let mut table = Table::of(&config);
    let mut service = None;
    for line in lines {
        let words: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
        let Ok(Command::Change(change)) = parse(&words, &FewNames) else {
            panic!("{line}");
        };
        service = change.service();
        table.apply(&change, AddressKind::Unicast).unwrap();
    }
    let service = service.unwrap();
    Configured::new(&config, &[service]).changes(&service, &table)
}

/// The service that the lines leave, which is all that changes.
fn put(lines: &[&str]) -> Service {
    match changes(lines).as_slice() {
        [Edit::Put(service)] => service.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_table_says_of_a_configuration_what_ipvsadm_can() {
    let table = Table::of(&config());

    let web = table.services().next().unwrap();
    assert_eq!(web.service.scheduler, "sh");
    assert_eq!(web.service.flags.names("sh"), "sh-port");
    assert_eq!(web.service.persistence.unwrap().timeout_seconds, 60);
    let lips: Vec<_> = web.local_addresses.iter().map(IpAddr::to_string).collect();
    assert_eq!(lips, ["10.2.0.200", "10.2.0.201"]);
    let server = web.servers().next().unwrap();
    assert_eq!((server.weight, server.endpoint.port), (3, 80));
}

#[test]
fn nothing_that_is_said_changes_nothing() {
    let config = config();
    let table = Table::of(&config);
    for service in config.services() {
        let name = ServiceName::of(service.key);

        let changes = Configured::new(&config, &[name]).changes(&name, &table);

        let same = Edit::Put(service.clone());
        assert_eq!(changes, [same]);
    }
}

#[test]
fn an_edit_keeps_what_ipvsadm_cannot_say() {
    let web = put(&["-E -t 10.1.0.100:80 -s rr"]);

    assert_eq!(web.scheduler, SchedulerKind::Rr);
    assert_eq!(web.persistence, None);
    assert_eq!(web.name.as_deref(), Some("web"));
    assert_eq!(web.local_pool.as_deref(), Some("lips"));
    assert_eq!(web.mss_clamp, MssClamp::To(1400));
    assert_eq!(web.unserved, Some(dataplane::service::Unserved::Drop));
    assert_eq!(web.servers.len(), 1);
}

#[test]
fn what_is_watched_stays_watched_and_what_is_new_is_as_the_service_says() {
    let web = put(&[
        "-E -t 10.1.0.100:80 -s rr",
        "-e -t 10.1.0.100:80 -r 10.2.0.11 -b -w 7",
        "-a -t 10.1.0.100:80 -r 10.2.0.12 -m",
    ]);

    assert_eq!(web.health, config().services()[0].health);
    let health = web.health.as_deref().unwrap();
    assert_eq!((health.quorum, health.checks.len()), (2, 1));
    let [one, other] = web.servers.as_slice() else {
        panic!("{:?}", web.servers);
    };
    assert_eq!((one.weight.0, other.weight.0), (7, 1));
    assert!(one.health.as_deref().unwrap().disabled);
    assert_eq!(other.health, None);
}

#[test]
fn a_weight_is_a_weight() {
    let before = config().services()[0].clone();

    let web = put(&[
        "-d -t 10.1.0.100:80 -r 10.2.0.11",
        "-a -t 10.1.0.100:80 -r 10.2.0.12 -m -w 7",
    ]);

    assert_eq!(web.servers[0].weight, Weight(7));
    assert_eq!(
        Service {
            servers: before.servers.clone(),
            ..web
        },
        before
    );
}

#[test]
fn a_vip_that_is_new_is_placed_by_others_and_one_that_is_known_as_it_is() {
    let placement = |line| put(&[line]).placement;

    assert_eq!(placement("-A -t 10.1.0.101:80"), Placement::External);
    assert_eq!(placement("-A -u 10.1.0.100:53"), Placement::Auto);
    assert_eq!(placement("-A -f 7"), Placement::Auto);
    assert_eq!(put(&["-A -u 10.1.0.100:53"]).mss_clamp, MssClamp::To(1400));
}

#[test]
fn a_service_that_is_deleted_is_gone() {
    let web = config().services()[0].key;

    let gone = changes(&["-D -t 10.1.0.100:80"]);

    // The pool is not of ipvsadm's making, and others name it.
    assert_eq!(gone, [Edit::Remove(web)]);
    let never_there = changes(&["-A -f 7", "-D -f 7"]);
    assert_eq!(never_there, []);
}

#[test]
fn a_local_address_of_ones_own_is_another_pool() {
    let web = "-t 10.1.0.100:80";

    let edits = changes(&[&format!("-P {web} -z 10.2.0.202")]);

    let [Edit::PutPool(pool), Edit::Put(service)] = edits.as_slice() else {
        panic!("{edits:?}");
    };
    // The other service keeps "lips", and both have the same ports of 10.2.0.200.
    assert_eq!(pool.name, "ipvsadm tcp 10.1.0.100:80");
    assert_eq!(service.local_pool.as_ref(), Some(&pool.name));
    let lips: Vec<_> = pool.lips().map(|lip| lip.to_string()).collect();
    assert_eq!(lips, ["10.2.0.200", "10.2.0.201", "10.2.0.202"]);
    assert_eq!(pool.ports.to_string(), "30000-39999");
}

#[test]
fn a_service_gets_a_pool_with_its_first_local_address_and_loses_it_with_the_last() {
    let mark = ServiceKey::Mark(7);
    let edits = changes(&["-A -f 7", "-P -f 7 -z 10.2.0.9"]);
    let [Edit::PutPool(pool), Edit::Put(_)] = edits.as_slice() else {
        panic!("{edits:?}");
    };
    assert_eq!(
        (pool.name.as_str(), pool.ports),
        ("ipvsadm mark 7", PortRange::UNPRIVILEGED)
    );

    // When the service has that pool and gives its address back, or goes,
    let text = format!(
        "{FILE}[[local_pool]]\nname = \"ipvsadm mark 7\"\naddresses = [\"10.2.0.9\"]\n\
         [[service]]\nmark = 7\nlocal_pool = \"ipvsadm mark 7\"\n"
    );
    let config = Config::from_toml(&text, Path::new("t.toml")).unwrap().0;
    let name = ServiceName::of(mark);
    let gone = |line: &str| {
        let mut table = Table::of(&config);
        let words: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
        let Ok(Command::Change(change)) = parse(&words, &FewNames) else {
            panic!("{line}");
        };
        table.apply(&change, AddressKind::Unicast).unwrap();
        let mut edits = Configured::new(&config, &[name]).changes(&name, &table);
        edits.pop()
    };
    // then the pool goes too.
    let pool = Some(Edit::RemovePool("ipvsadm mark 7".to_owned()));
    assert_eq!(gone("-Q -f 7 -z 10.2.0.9"), pool);
    assert_eq!(gone("-D -f 7"), pool);
}

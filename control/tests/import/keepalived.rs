//! The configurations of keepalived in `corpus/`, in the style of those that its package has.

use control::config::{CheckKind, Start};

use super::*;

#[test]
fn nat_with_a_sorry_server_and_checkers() {
    let config = takes_over("nat");

    assert_eq!(keys(&config), ["tcp 10.10.10.2:1358"]);
    assert_eq!(
        servers(&config),
        ["192.168.200.2:1358 nat 1", "192.168.200.3:1358 nat 2"]
    );
    let toml = config.to_toml().unwrap();
    for line in [
        "persistent = 50",
        "upper_threshold = 1000",
        "lower_threshold = 800",
        "tcp_established = 1800",
        "tcp_fin_wait = 60",
        "udp = 300",
    ] {
        assert!(toml.contains(line), "{line}: {toml}");
    }
}

#[test]
fn dr_with_vrrp_leaves_the_vips_to_keepalived() {
    let config = takes_over("dr-vrrp");

    let external: Vec<_> = (config.vips().iter())
        .map(|vip| (vip.address.to_string(), format!("{:?}", vip.placement)))
        .collect();
    let expected = [
        ("10.1.0.100", "External"),
        ("10.1.0.102", "External"),
        ("10.1.0.200", "Auto"),
    ];
    assert_eq!(
        external,
        expected.map(|(vip, place)| (vip.to_owned(), place.to_owned()))
    );
    assert_eq!(
        servers(&config),
        [
            "10.2.0.11:80 dr 3",
            "10.2.0.12:80 dr 1",
            "10.2.0.11:443 dr 1",
            "10.2.0.11:443 dr 1",
        ]
    );
    assert_eq!(config.services()[2].name.as_deref(), Some("intranet"));
}

#[test]
fn udp_by_tunnels_without_ipv6_and_gue() {
    let config = takes_over("udp-tun");

    assert_eq!(keys(&config), ["udp 10.1.0.53:53", "sctp 10.1.0.54:0"]);
    assert_eq!(
        servers(&config),
        ["172.16.1.53:53 tun 10", "172.16.1.54:0 tun 1"]
    );
    assert!(config.services()[0].one_packet);
    let seconds = |it: &control::config::Service| it.persistence.map(|it| it.timeout_seconds);
    assert_eq!(seconds(&config.services()[0]), None);
    assert_eq!(seconds(&config.services()[1]), Some(360));
}

#[test]
fn marks() {
    let config = takes_over("fwmark");

    assert_eq!(keys(&config), ["mark 1", "mark 2"]);
    assert_eq!(
        servers(&config),
        [
            "192.168.201.100:0 nat 1",
            "192.168.201.101:0 nat 1",
            "192.168.201.100:0 dr 1",
        ]
    );
    let persistence = config.services()[0].persistence.unwrap();
    assert_eq!(persistence.timeout_seconds, 900);
    assert_eq!(persistence.netmask, 0xffff_ff00);
}

#[test]
fn scripts_run_as_keepalived_would_run_them_and_nobody_is_damped() {
    let config = takes_over("script_user");

    let web = &config.services()[0];
    let health = web.health.as_ref().unwrap();
    let users = web.servers.iter().filter_map(|server| {
        match &server.health.as_ref()?.checks.as_ref()?[0].kind {
            CheckKind::Script(script) => script.user.clone(),
            _ => None,
        }
    });
    assert_eq!(users.collect::<Vec<_>>(), ["nobody", "backup"]);
    assert_eq!(health.damping, None);
}

#[test]
fn a_group_is_a_service_for_each_of_its_addresses_and_marks() {
    let config = takes_over("group");

    assert_eq!(
        keys(&config),
        [
            "tcp 10.0.0.1:8080",
            "tcp 192.168.200.1:1358",
            "tcp 192.168.200.3:80",
            "tcp 192.168.200.4:80",
            "tcp 192.168.200.5:80",
            "tcp 192.168.200.254:80",
            "tcp 192.168.200.255:80",
            "tcp 192.168.201.0:80",
            "tcp 192.168.201.1:80",
            "tcp 10.0.1.8:443",
            "tcp 10.0.1.9:443",
            "mark 1",
            "mark 2",
        ]
    );
    // The other server has the address of a VIP.
    let expected = "192.168.200.11:8080 nat 7";
    assert!(servers(&config).iter().all(|server| server == expected));
    assert_eq!(servers(&config).len(), 13);
}

#[test]
fn files_conditions_parameters_and_sequences() {
    let file = corpus("main.conf");
    let config = imports(
        "main",
        &["import", "keepalived", "--config-id", "main", &file],
    );

    assert_eq!(
        keys(&config),
        [
            "udp 10.7.0.53:53",
            "tcp 10.7.0.25:25",
            "tcp 10.7.0.100:80",
            "tcp 10.7.0.100:81",
        ]
    );
    assert_eq!(
        servers(&config),
        [
            "10.7.0.31:53 nat 0",
            "10.7.0.32:53 nat 1",
            "10.7.0.21:25 nat 1",
            "10.7.0.11:80 nat 5",
            "10.7.0.12:80 nat 5",
            "10.7.0.11:81 nat 5",
            "10.7.0.12:81 nat 5",
        ]
    );
    let toml = sluicectl(&["import", "keepalived", "--config-id", "main", &file]).out;
    assert!(toml.contains("virtualhost main.example.net"));
    assert!(!toml.contains("virtualhost backup.example.net"));
    let other = sluicectl(&["import", "keepalived", "--config-id", "backup", &file]).out;
    assert!(other.contains("virtualhost backup.example.net"));
    assert!(other.contains("udp = 30"));
}

#[test]
fn lines_for_some_hosts_are_chosen_by_this_ones_name_if_none_is_given() {
    let ran = sluicectl(&["import", "keepalived", &corpus("main.conf")]);

    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let name = name.trim().split('.').next().unwrap();
    let expected = format!(
        "{}:14: lines for some hosts are chosen as on this one, {name}: --config-id chooses \
         another's\n",
        corpus("main.conf")
    );
    assert!(ran.err.contains(&expected), "{}", ran.err);
}

/// The checks of a service and of its servers, each as JSON without its times.
fn checks(config: &Config, service: usize) -> Vec<Vec<String>> {
    let written = serde_json::to_value(&config.services()[service]).unwrap();
    let of = |written: &serde_json::Value| {
        let checks = written["check"].as_array().cloned().unwrap_or_default();
        let words = checks.into_iter().map(|mut check| {
            let keys = check.as_object_mut().unwrap();
            keys.retain(|key, _| !["timeout", "retry", "retry_delay"].contains(&key.as_str()));
            check.to_string()
        });
        words.collect::<Vec<_>>()
    };
    let servers = written["server"].as_array().unwrap();
    std::iter::once(&written).chain(servers).map(of).collect()
}

#[test]
fn checkers_become_checks() {
    let config = takes_over("checkers");

    assert_eq!(
        checks(&config, 0),
        [
            vec![],
            vec![
                r#"{"host":"www.example.net","interval":"1500ms","path":"/one","port":8080,"status":[200,"300-399"],"type":"http"}"#,
                r#"{"body_regex":"(?is)all is well","host":"two.example.net","interval":"1500ms","path":"/two","port":8080,"type":"http"}"#,
                r#"{"address":"10.3.0.11","interval":"1500ms","type":"tcp"}"#,
            ],
            vec![
                r#"{"host":"www.example.net","interval":"1500ms","path":"/status","type":"https"}"#
            ],
            vec![],
        ]
    );
    assert_eq!(
        checks(&config, 1),
        [
            vec![],
            vec![
                r#"{"interval":7,"query":"example.net","record":"A","type":"dns"}"#,
                r#"{"expect":"","interval":60,"send_hex":"00ff","type":"udp"}"#,
                r#"{"interval":60,"type":"icmp"}"#,
            ],
            vec![
                r#"{"command":["/usr/bin/dig","@10.2.0.54","example.net. A"],"interval":60,"type":"script","user":"nobody"}"#,
                r#"{"interval":60,"port":2525,"type":"smtp"}"#,
                r#"{"expect_hex":"0a","interval":60,"type":"udp"}"#,
            ],
        ]
    );
    // None of the first server's, whose port is that of each packet; of the second the time is
    // no time and the script relative; of the third the record is one that is not asked for.
    assert_eq!(checks(&config, 2), [vec![""; 0], vec![], vec![], vec![]]);
}

#[test]
fn what_keepalived_ignores_or_means_the_other_way_round_is_no_check() {
    let config = takes_over("odd-checkers");

    assert_eq!(
        checks(&config, 0),
        [
            vec![],
            vec![r#"{"interval":10,"path":"/state","type":"http"}"#],
            vec![r#"{"command":["/bin/true"],"interval":30,"type":"script","user":"nobody"}"#],
        ]
    );
}

#[test]
fn times_of_checkers_are_inherited_and_else_keepalived_s() {
    let config = takes_over("checkers");
    let times = |service: usize, server: usize, check: usize| {
        let server = &config.services()[service].servers[server];
        let checks = server.health.as_ref().unwrap().checks.as_ref().unwrap();
        let timing = checks[check].timing;
        let [timeout, delay] = [timing.timeout, timing.retry_delay].map(|it| it.as_millis());
        (timeout, timing.retry, delay)
    };

    // The virtual server's timeout and retries, the real server's delay.
    assert_eq!(times(0, 0, 0), (1000, 2, 250));
    assert_eq!(times(0, 0, 2), (1000, 0, 250));
    // The defaults of each checker.
    assert_eq!(times(0, 1, 0), (1000, 2, 3000));
    assert_eq!(times(1, 0, 0), (5000, 3, 7000));
    assert_eq!(times(1, 0, 1), (5000, 1, 1000));
    assert_eq!(times(1, 1, 0), (4000, 0, 1000));
}

#[test]
fn a_quorum_and_what_follows_from_it_are_taken_over() {
    let config = takes_over("checkers");
    let health = |service: usize| config.services()[service].health.clone().unwrap();

    // Corrected as keepalived corrects it: three servers weigh six.
    let first = health(0);
    assert_eq!((first.quorum, first.hysteresis), (6, 5));
    assert_eq!((first.inhibit_on_failure, first.start), (false, Start::Up));
    let second = health(1);
    assert_eq!(
        (second.inhibit_on_failure, second.start),
        (true, Start::Down)
    );
    // The one is the gateway itself, the other one of the servers.
    assert!(config.services()[0].sorry_server().is_none());
    let sorry = takes_over("nat");
    let sorry = sorry.services()[0].sorry_server().unwrap().clone();
    assert_eq!(
        (sorry.endpoint.addr.to_string(), sorry.endpoint.port),
        ("192.168.200.200".to_owned(), 1358)
    );
}

#[test]
fn what_keepalived_only_reports_is_said_and_mended() {
    let config = takes_over("mistakes");

    assert_eq!(keys(&config), ["udp 10.1.0.9:80", "tcp 10.1.0.10:80"]);
    assert_eq!(
        servers(&config),
        ["10.2.0.11:80 nat 1", "10.2.0.11:80 dr 1"]
    );
}

#[test]
fn fullnat_of_dpvs_has_its_group_of_local_addresses_as_a_pool() {
    let config = takes_over("dpvs");

    assert_eq!(
        servers(&config),
        [
            "10.2.0.11:8080 fullnat 100",
            "10.2.0.11:8080 fullnat 100",
            "10.2.0.12:53 fullnat 1",
            "10.2.0.13:80 fullnat 1",
            "10.2.0.14:80 fullnat 1",
        ]
    );
    let pools: Vec<_> = (config.services().iter())
        .map(|service| service.local_pool.as_deref())
        .collect();
    let lips = Some("lips");
    assert_eq!(pools, [lips, lips, lips, None, lips]);
    let [pool] = config.local_pools() else {
        panic!("{:?}", config.local_pools());
    };
    let addresses: Vec<_> = pool.lips().map(|addr| addr.to_string()).collect();
    // 10.2.0.11 is a server's own.
    assert_eq!(addresses, ["10.2.0.200", "10.2.0.201", "10.2.0.202"]);
}

#[test]
fn conhash_of_dpvs_is_mh_and_its_snat_is_no_service() {
    let config = takes_over("dpvs");

    let last = config.services().last().unwrap();
    assert_eq!(last.key().to_string(), "tcp 10.1.0.104:80");
    assert_eq!(last.scheduler.name(), "mh");
    let text = std::fs::read_to_string(corpus("dpvs.toml")).unwrap();
    let kept = |line: &str| {
        text.lines()
            .any(|it| it.starts_with('#') && it.contains(line))
    };
    assert!(kept("virtual_server 10.1.0.105 0"), "{text}");
    assert!(kept("203.0.113.2"), "{text}");
}

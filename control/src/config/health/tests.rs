//! Reading, refusing and writing back what services say about health.

use std::path::{Path as FilePath, PathBuf};

use super::super::testing::{config, refusals};
use super::super::{Config, Service};
use super::*;

/// The service that these lines make, after its four.
fn service(lines: &str) -> Service {
    config(&text(lines)).services()[0].clone()
}

fn text(lines: &str) -> String {
    format!(
        "[[service]]\nprotocol = \"tcp\"\nvip = \"10.1.0.100\"\nport = 80\n{lines}\n\
         [health]\ncheck_addresses = \"198.18.0.0/20\"\n"
    )
}

/// The check of these lines, behind its header.
fn check(lines: &str) -> Check {
    let service = service(&format!("[[service.check]]\n{lines}"));
    service.health.unwrap().checks[0].clone()
}

/// What is wrong with a check; its first line is the sixth.
fn wrong(lines: &str) -> Vec<String> {
    refusals(&text(&format!("[[service.check]]\n{lines}")))
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn a_service_that_says_nothing_is_not_watched() {
    let service = service(
        "quorum = 1\nstart = \"up\"\ndamping = true\n[[service.server]]\naddress = \"10.2.0.11\"\nenabled = true",
    );

    assert_eq!(service.health, None);
    assert_eq!(service.servers[0].health, None);
}

#[test]
fn every_key_of_a_service_is_read() {
    let service = service(
        "quorum = 4\nhysteresis = 1\ninhibit_on_failure = true\nstart = \"down\"\n\
         slow_start = \"90s\"\nweight_bounds = [10, 120]\nagent = { port = 9909, interval = 1 }\n\
         sorry_server = { address = \"10.2.0.99\", port = 8080, method = \"nat\" }\n\
         damping = { half_life = \"2m\", suppress = 6, reuse = 3, longest = \"10m\" }\n\
         [[service.check]]\ntype = \"tcp\"\n\
         [[service.server]]\naddress = \"10.2.0.11\"\nweight = 5",
    );

    let sorry = service.sorry_server().unwrap();
    let end = (sorry.endpoint.addr.to_string(), sorry.endpoint.port);
    assert_eq!(end, ("10.2.0.99".to_owned(), 8080));
    assert_eq!(
        service.health.as_deref(),
        Some(&Health {
            checks: [Check {
                kind: CheckKind::Tcp,
                port: None,
                address: None,
                path: Path::Route,
                timing: Timing::default(),
                load: None,
            }]
            .into(),
            agent: Some(Agent {
                port: 9909,
                interval: seconds(1),
                timeout: seconds(1),
            }),
            quorum: 4,
            hysteresis: 1,
            sorry_server: Some(sorry.clone()),
            inhibit_on_failure: true,
            start: Start::Down,
            slow_start: seconds(90),
            damping: Some(Damping {
                half_life: seconds(120),
                suppress: 6,
                reuse: 3,
                longest: seconds(600),
            }),
            weight_bounds: 10..=120,
        })
    );
}

#[test]
fn a_server_has_checks_of_its_own_or_none_at_all() {
    let service = service(
        "damping = false\n\
         [[service.check]]\ntype = \"tcp\"\n\
         [[service.server]]\naddress = \"10.2.0.11\"\nagent = { port = 1 }\n\
         [[service.server.check]]\ntype = \"icmp\"\naddress = \"10.3.0.11\"\n\
         [[service.server]]\naddress = \"10.2.0.12\"\ncheck = []\nenabled = false\n\
         [[service.server]]\naddress = \"10.2.0.13\"",
    );

    assert_eq!(service.health.unwrap().damping, None);
    let health = service.servers.iter().map(|it| it.health.as_deref());
    let health: Vec<_> = health.collect();
    let own = health[0].unwrap();
    let checks = own.checks.as_ref().unwrap();
    assert_eq!(checks[0].kind, CheckKind::Icmp);
    assert_eq!(checks[0].address, Some("10.3.0.11".parse().unwrap()));
    assert_eq!((own.agent.unwrap().port, own.disabled), (1, false));
    let none = health[1].unwrap();
    assert_eq!(none.checks.as_deref(), Some(&[][..]));
    assert!(none.disabled);
    assert_eq!(health[2], None);
}

#[test]
fn every_time_of_a_check_is_read() {
    let check = check(
        "type = \"tcp\"\nport = 8080\ninterval = \"1500ms\"\njitter = 0\ntimeout = \"700ms\"\n\
         retry = 0\nretry_delay = 3\nrise = 2\nfall = 3\ndelay = \"10s\"",
    );

    assert_eq!(check.port, Some(8080));
    assert_eq!(
        check.timing,
        Timing {
            interval: Duration::from_millis(1500),
            jitter: 0,
            timeout: Duration::from_millis(700),
            retry: 0,
            retry_delay: seconds(3),
            rise: 2,
            fall: 3,
            delay: seconds(10),
        }
    );
}

#[test]
fn a_timeout_is_no_longer_than_the_interval_unless_it_says_so() {
    let timeout = |lines: &str| check(&format!("type = \"tcp\"\n{lines}")).timing.timeout;

    assert_eq!(timeout(""), seconds(2));
    assert_eq!(timeout("interval = 1"), seconds(1));
    assert_eq!(timeout("interval = 1\ntimeout = 3"), seconds(3));
}

#[test]
fn http_is_asked_and_answered_as_said() {
    let plain = check("type = \"http\"").kind;
    assert_eq!(
        plain,
        CheckKind::Http(Box::new(Http {
            method: "GET".to_owned(),
            path: "/".to_owned(),
            host: None,
            status: vec![200..=299],
            body_regex: None,
            body_digest: None,
            tls: None,
        }))
    );

    let check = check(
        "type = \"https\"\nvia = \"vip\"\nmethod = \"HEAD\"\npath = \"/health?full=1\"\n\
         host = \"www.example.com\"\nstatus = [\"200-299\", 301]\nbody_regex = '^ok\\b'\n\
         body_digest = \"md5:d41d8cd98f00b204e9800998ecf8427e\"\nsni = \"a.example.com\"\n\
         verify = true\nca = \"/etc/sluice/ca.pem\"\nload_header = \"X-Load\"",
    );
    assert_eq!(check.path, Path::Vip);
    assert_eq!(check.load, Some(LoadSource::Header("X-Load".to_owned())));
    let CheckKind::Http(http) = check.kind else {
        panic!("https is HTTP");
    };
    assert_eq!(
        *http,
        Http {
            method: "HEAD".to_owned(),
            path: "/health?full=1".to_owned(),
            host: Some("www.example.com".to_owned()),
            status: vec![200..=299, 301..=301],
            body_regex: Some("^ok\\b".to_owned()),
            body_digest: Some(Digest::parse("md5:d41d8cd98f00b204e9800998ecf8427e").unwrap()),
            tls: Some(Tls {
                sni: Some("a.example.com".to_owned()),
                verify: true,
                ca: Some(PathBuf::from("/etc/sluice/ca.pem")),
            }),
        }
    );
}

#[test]
fn every_other_kind_is_read() {
    let kind = |lines: &str| check(lines).kind;

    assert_eq!(
        kind("type = \"udp\"\nport = 1\nsend_hex = \"00 ff\"\nexpect = \"pong\""),
        CheckKind::Udp(Udp {
            send: vec![0, 255],
            expect: Some(b"pong".to_vec()),
        })
    );
    assert_eq!(kind("type = \"udp\""), CheckKind::Udp(Udp::default()));
    assert_eq!(
        kind("type = \"dns\"\nquery = \"a.example\"\nrecord = \"A\"\nanswer = \"192.0.2.1\""),
        CheckKind::Dns(Dns {
            query: "a.example".to_owned(),
            record: "A".to_owned(),
            answer: Some("192.0.2.1".to_owned()),
        })
    );
    let CheckKind::Dns(dns) = kind("type = \"dns\"") else {
        panic!("dns is DNS");
    };
    assert_eq!((dns.query.as_str(), dns.record.as_str()), (".", "SOA"));
    let smtp = |helo: &str| CheckKind::Smtp {
        helo: helo.to_owned(),
    };
    assert_eq!(kind("type = \"smtp\""), smtp("localhost"));
    assert_eq!(kind("type = \"smtp\"\nhelo = \"lb\""), smtp("lb"));
    assert_eq!(kind("type = \"grpc\""), CheckKind::Grpc(Grpc::default()));
    assert_eq!(
        kind("type = \"grpc\"\nservice = \"shop\"\ntls = true"),
        CheckKind::Grpc(Grpc {
            service: "shop".to_owned(),
            tls: Some(Tls::default()),
        })
    );
    assert_eq!(
        kind(
            "type = \"script\"\ncommand = [\"/bin/check\", \"-x\"]\nweight_by_status = true\n\
             user = \"nobody\""
        ),
        CheckKind::Script(Script {
            command: vec!["/bin/check".to_owned(), "-x".to_owned()],
            weight_by_status: true,
            user: Some("nobody".to_owned()),
        })
    );
    let load = check("type = \"http\"\nload_json = \"/load\"").load;
    assert_eq!(load, Some(LoadSource::Json("/load".to_owned())));
}

#[test]
fn keys_of_another_kind_say_whose_they_are() {
    assert_eq!(
        wrong("type = \"tcp\"\nstatus = 200\nsni = \"a\"\nquery = \"b\"\nstaus = 1"),
        [
            "7: `status` is for http, https, not for tcp: take it away, or change `type`",
            "8: `sni` is for https, grpc, not for tcp: take it away, or change `type`",
            "9: `query` is for dns, not for tcp: take it away, or change `type`",
            "10: `staus` is not a key here: did you mean `status`?",
        ]
    );
    assert_eq!(
        wrong("type = \"icmp\"\nport = 1\nvia = \"vip\""),
        [
            "7: `port` is for tcp, http, https, udp, dns, smtp, grpc, script, not for icmp: take \
             it away, or change `type`",
            "8: `via` is for tcp, http, https, udp, dns, smtp, grpc, not for icmp: take it away, \
             or change `type`",
        ]
    );
}

#[test]
fn without_a_type_nothing_else_is_judged() {
    let names = "tcp, http, https, udp, dns, smtp, grpc, script, icmp";

    assert_eq!(
        wrong("status = 200"),
        [format!("5: `type` is missing: give one of {names}")]
    );
    assert_eq!(
        wrong("type = \"htp\"\nstatus = 200"),
        ["6: `type` \"htp\" is not known: did you mean `http`?"]
    );
}

#[test]
fn values_that_do_not_exist_are_refused() {
    for (lines, refusal) in [
        (
            "type = \"tcp\"\ninterval = \"50ms\"",
            "7: `interval` is shorter than 100 ms: give 100 ms to 1 d",
        ),
        (
            "type = \"tcp\"\njitter = 51",
            "7: `jitter` 51 is above 50: give 0 to 50",
        ),
        (
            "type = \"tcp\"\nport = 0",
            "7: `port` 0 is below 1: give 1 to 65535",
        ),
        (
            "type = \"tcp\"\naddress = \"0.0.0.0\"",
            "7: `address` 0.0.0.0 is the unspecified address: give an address of the server",
        ),
        (
            "type = \"http\"\npath = \"health\"",
            "7: `path` \"health\" is not a path: write it like \"/health?full=1\"",
        ),
        (
            "type = \"http\"\nmethod = \"GET /\"",
            "7: `method` \"GET /\" is not a method of HTTP, like \"GET\"",
        ),
        (
            "type = \"http\"\nbody_regex = \"(\"",
            "7: `body_regex` \"(\" is not a regular expression: unclosed group; backslashes count \
             in 'single quotes'",
        ),
        (
            "type = \"http\"\nload_json = \"load\"",
            "7: `load_json` \"load\" is not a JSON pointer: write it like \"/load/percent\"",
        ),
        (
            "type = \"http\"\nload_json = \"/load\"\nload_header = \"X-Load\"",
            "7: `load_json` and `load_header` both say the load: take one of them away",
        ),
    ] {
        assert_eq!(wrong(lines), [refusal], "{lines}");
    }
}

#[test]
fn what_no_check_could_begin_with_is_refused() {
    for (lines, begin) in [
        (
            "type = \"dns\"\nrecord = \"A\"\nanswer = \"here\"",
            "6: \"here\" is not what a record of the type A can say",
        ),
        (
            "type = \"dns\"\nquery = \"a..b\"",
            "6: \"a..b\" is not a name of DNS",
        ),
    ] {
        let found = wrong(lines);
        assert!(found.len() == 1 && found[0].starts_with(begin), "{found:?}");
    }
}

#[test]
fn values_of_other_kinds_that_do_not_exist_are_refused() {
    for (lines, refusal) in [
        (
            "type = \"https\"\nca = \"ca.pem\"",
            "7: `ca` \"ca.pem\" is relative, and nobody knows to what: begin it with \"/\"",
        ),
        (
            "type = \"udp\"\nsend = \"a\"\nsend_hex = \"61\"",
            "8: `send_hex` and `send` say the same: take one of them away",
        ),
        (
            "type = \"dns\"\nrecord = \"a\"",
            "7: `record` \"a\" is not known: what can stand here is A, AAAA, CNAME, MX, NS, PTR, \
             SOA, SRV, TXT",
        ),
        (
            "type = \"grpc\"\nca = \"/ca.pem\"",
            "7: `ca` needs `tls = true`: give both or none",
        ),
        (
            "type = \"script\"",
            "5: `command` is missing: give the program and its arguments, like \
             [\"/usr/local/bin/check\"]",
        ),
        (
            "type = \"script\"\ncommand = []",
            "7: `command` is empty: give the program and its arguments, like \
             [\"/usr/local/bin/check\"]",
        ),
        (
            "type = \"script\"\ncommand = [\"check\"]",
            "7: `command` \"check\" is relative, and nobody knows to what: begin it with \"/\"",
        ),
    ] {
        assert_eq!(wrong(lines), [refusal], "{lines}");
    }
}

#[test]
fn mistakes_of_a_service_about_health_are_refused() {
    for (lines, refusal) in [
        (
            "quorum = 0",
            "5: `quorum` 0 is below 1: give 1 to 2147483647",
        ),
        (
            "start = \"on\"",
            "5: `start` \"on\" is not known: what can stand here is up, down",
        ),
        (
            "sorry_server = { port = 80 }",
            "5: `address` is missing: give the real server's address, like \"10.2.0.11\"",
        ),
        (
            "sorry_server = { address = \"10.2.0.99\", check = [] }",
            "5: `check` is not a key here: what can stand here is address, port, weight, method",
        ),
        (
            "damping = 3",
            "5: `damping` must be false, or a table like { half_life = \"1m\" }, not a number",
        ),
        (
            "damping = { reuse = 4 }",
            "5: `reuse` 4 is not below `suppress` 4, at which a server is kept out: give it less",
        ),
        (
            "weight_bounds = 10",
            "5: `weight_bounds` must be the least and the most percent, like [10, 100], not a \
             number",
        ),
        (
            "weight_bounds = [10]",
            "5: `weight_bounds` must be the least and the most percent, like [10, 100], not a \
             list of 1",
        ),
        (
            "weight_bounds = [100, 10]",
            "5: `weight_bounds` 100 is above 10: exchange them",
        ),
        (
            "agent = {}",
            "5: `port` is missing: give the TCP port on which the server says its load",
        ),
        (
            "[service.check]\ntype = \"tcp\"",
            "5: `check` is a list of tables: write its header `[[service.check]]`",
        ),
        (
            "[[service.server]]\naddress = \"10.2.0.11\"\n[service.server.check]\ntype = \"tcp\"",
            "7: `check` is a list of tables: write its header `[[service.server.check]]`",
        ),
    ] {
        assert_eq!(refusals(&text(lines)), [refusal], "{lines}");
    }
}

#[test]
fn what_is_as_usual_is_not_written() {
    let service = service(
        "slow_start = \"90s\"\ndamping = { suppress = 5 }\nagent = { port = 7, interval = 1 }\n\
         [[service.check]]\ntype = \"http\"\nmethod = \"GET\"\nstatus = \"200-299\"\n\
         interval = \"1s\"\ntimeout = 1\nfall = 1\n\
         [[service.server]]\naddress = \"10.2.0.11\"\ncheck = []",
    );

    let json = serde_json::to_value(&service).unwrap();

    assert_eq!(
        json["check"],
        serde_json::json!([{"type": "http", "interval": 1}])
    );
    assert_eq!(json["damping"], serde_json::json!({"suppress": 5}));
    assert_eq!(json["agent"], serde_json::json!({"port": 7, "interval": 1}));
    assert_eq!(json["slow_start"], 90);
    assert_eq!(json.get("quorum"), None);
    assert_eq!(json["server"][0]["check"], serde_json::json!([]));
}

#[test]
fn a_file_with_checks_reads_as_it_is_written() {
    let lines = "damping = false\n[[service.check]]\ntype = \"udp\"\nsend_hex = \"00ff\"\n\
                 [[service.check]]\ntype = \"https\"\nstatus = [\"200-204\", 301]\n\
                 interval = \"1500ms\"\n\
                 [[service.server]]\naddress = \"10.2.0.11\"\n\
                 [[service.server.check]]\ntype = \"icmp\"\n";
    let before = config(&text(lines));

    let toml = before.to_toml().unwrap();

    let (after, _) = Config::from_toml(&toml, FilePath::new("again.toml")).unwrap();
    assert_eq!(after, before, "{toml}");
    assert!(toml.contains("[[service.server.check]]\n"), "{toml}");
    assert!(toml.contains("status = [\"200-204\", 301]\n"), "{toml}");
}

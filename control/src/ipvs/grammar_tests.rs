//! Lines and what they mean, or what is said to them.

use dataplane::address::{Endpoint, Protocol};
use dataplane::service::Method;

use super::super::command::{
    Change, Columns, Family, Persistent, SchedulerFlags, ServerLine, ServiceLine, ServiceName,
    Subject, Tunnel, TunnelChecksum,
};
use super::super::names::testing::FewNames;
use super::*;

fn read(line: &str) -> Result<Command, Failure> {
    let words: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
    parse(&words, &FewNames)
}

fn address(protocol: Protocol, port: u16) -> ServiceName {
    ServiceName::Address {
        protocol,
        endpoint: Endpoint::new([10, 1, 0, 100].into(), port),
    }
}

const WEB: &str = "-t 10.1.0.100:80";

/// The service that a line adds.
fn added(line: &str) -> ServiceLine {
    match read(line) {
        Ok(Command::Change(Change::AddService(service))) => service,
        other => panic!("{line}: {other:?}"),
    }
}

/// The server that a line adds to whichever service.
fn server(line: &str) -> ServerLine {
    match read(line) {
        Ok(Command::Change(Change::AddServer(_, server))) => server,
        other => panic!("{line}: {other:?}"),
    }
}

/// The text said to a line that is wrong.
fn mistake(line: &str) -> String {
    match read(line) {
        Err(failure) => failure.text,
        Ok(command) => panic!("{line}: {command:?}"),
    }
}

#[test]
fn a_service_is_as_it_is_said() {
    let line = "-A -u 10.1.0.100:53 -s sh -p 600 -M 255.255.255.0 -o -b sh-port,flag-3";

    assert_eq!(
        added(line),
        ServiceLine {
            name: address(Protocol::Udp, 53),
            scheduler: "sh".to_owned(),
            flags: SchedulerFlags::SECOND.with(SchedulerFlags::THIRD),
            persistence: Some(Persistent {
                timeout_seconds: 600,
                netmask: 0xffff_ff00,
            }),
            engine: None,
            one_packet: true,
        }
    );
}

#[test]
fn what_is_not_said_of_a_service_is_what_ipvsadm_takes_it_for() {
    assert_eq!(
        added("-A --sctp-service 10.1.0.100:38412"),
        ServiceLine {
            name: address(Protocol::Sctp, 38412),
            scheduler: "wlc".to_owned(),
            flags: SchedulerFlags::default(),
            persistence: None,
            engine: None,
            one_packet: false,
        }
    );
    let persistent = |line| added(line).persistence.unwrap();
    assert_eq!(persistent("-A -t 10.1.0.100 -p").timeout_seconds, 360);
    assert_eq!(persistent("-A -f 1 -p -s rr").netmask, u32::MAX);
    assert_eq!(persistent("-A -f 1 -6 -p").netmask, 128);
}

#[test]
fn a_mask_alone_means_nothing() {
    let line = format!("-A {WEB} -M 255.255.0.0");
    assert_eq!(added(&line).persistence, None);
}

#[test]
fn a_mask_that_stands_before_an_ipv6_service_is_forgotten() {
    let mask = |line| added(line).persistence.unwrap().netmask;
    assert_eq!(mask("-A -t [2001:db8::1]:80 -p 5 -M 64"), 64);
    assert_eq!(mask("-A -M 64 -t [2001:db8::1]:80 -p 5"), 128);
    assert_eq!(mask("-A -f 5 -M 255.0.0.0 -6 -p"), 128);
    assert_eq!(mask("-A -M 255.0.0.0 -t 10.1.0.100:80 -p"), 0xff00_0000);
}

#[test]
fn names_of_schedulers_are_cut() {
    let line = format!("-A {WEB} -s abcdefghijklmnopqrst");
    assert_eq!(added(&line).scheduler, "abcdefghijklmno");
}

#[test]
fn a_server_is_as_it_is_said() {
    let line = format!("-a {WEB} -r 10.2.0.11:8080 -m -w 2147483647 -x 1000 -y 500");

    assert_eq!(
        server(&line),
        ServerLine {
            endpoint: Endpoint::new([10, 2, 0, 11].into(), 8080),
            method: Method::Nat,
            tunnel: Tunnel::Ipip,
            weight: 2_147_483_647,
            upper_threshold: 1000,
            lower_threshold: 500,
        }
    );
}

#[test]
fn the_port_of_a_server_follows_from_the_service_and_the_method() {
    for (line, expected) in [
        ("-a -t 10.1.0.100:80 -r 10.2.0.11 -m", 80),
        ("-a -r 10.2.0.11 -t 10.1.0.100:80 -m", 0),
        ("-a -r 10.2.0.11 -t 10.1.0.100:80", 80),
        ("-a -t 10.1.0.100:80 -r 10.2.0.11:8080 -g", 80),
        ("-a -t 10.1.0.100:80 -r 10.2.0.11:8080 -i", 80),
        ("-a -t 10.1.0.100:80 -r 10.2.0.11:8080 -m", 8080),
        ("-a -f 1 -r 10.2.0.11", 0),
        ("-a -f 1 -r 10.2.0.11:8080 -g", 8080),
        ("-a -t 10.1.0.100:80 -r 10.2.0.11:http-alt -m", 8080),
    ] {
        assert_eq!(server(line).endpoint.port, expected, "{line}");
    }
    let deleted = read("-d -t 10.1.0.100:80 -r 10.2.0.11:8080");
    assert_eq!(
        deleted,
        Ok(Command::Change(Change::DeleteServer(
            address(Protocol::Tcp, 80),
            Endpoint::new([10, 2, 0, 11].into(), 8080)
        )))
    );
}

#[test]
fn tunnels_have_types() {
    for (line, expected) in [
        ("-i", Tunnel::Ipip),
        ("-i --tun-type ipip", Tunnel::Ipip),
        (
            "-i --tun-type gue --tun-port 6080 --tun-remcsum",
            Tunnel::Gue {
                port: 6080,
                checksum: TunnelChecksum::Remote,
            },
        ),
        (
            "-i --tun-type gre --tun-csum",
            Tunnel::Gre {
                checksum: TunnelChecksum::Full,
            },
        ),
        (
            "-i --tun-type gre",
            Tunnel::Gre {
                checksum: TunnelChecksum::None,
            },
        ),
    ] {
        let line = format!("-a {WEB} -r 10.2.0.11 {line}");
        assert_eq!(server(&line).tunnel, expected, "{line}");
    }
}

#[test]
fn options_stand_in_any_order_after_the_command() {
    let web = address(Protocol::Tcp, 80);
    for line in [
        "-D -t 10.1.0.100:80",
        "-Dt10.1.0.100:80",
        "--delete-service --tcp-service 10.1.0.100:http",
    ] {
        let expected = Command::Change(Change::DeleteService(web));
        assert_eq!(read(line), Ok(expected), "{line}");
    }
    assert_eq!(
        added("-A -s rr -b flag-1 -t 10.1.0.100:80"),
        added("-A -b flag-1 -t 10.1.0.100:80 -s rr")
    );
}

#[test]
fn a_listing_is_of_one_thing() {
    let listed = |line| match read(line) {
        Ok(Command::List(options)) => options,
        other => panic!("{line}: {other:?}"),
    };
    for (line, subject) in [
        ("-L", Subject::Services),
        ("-Lnc", Subject::Connections),
        ("-Ln --timeout", Subject::Timeouts),
        ("-Ln --daemon", Subject::Daemons),
        (
            "-Lt 10.1.0.100:80",
            Subject::Service(address(Protocol::Tcp, 80)),
        ),
    ] {
        assert_eq!(listed(line).subject, subject, "{line}");
    }
    assert!(listed("-Lnc --persistent-conn").engines);
    assert!(listed("-l -X --nosort").exact);
    assert!(listed("-l --exact --nosort --sort").unsorted);
    assert!(listed("-l -n").numeric && !listed("-l").numeric);
}

#[test]
fn of_several_sets_of_columns_the_first_counts() {
    for (line, expected) in [
        ("-L", Columns::Forwarding),
        ("-L --rate --stats", Columns::Stats),
        ("-L --thresholds --rate", Columns::Rate),
        ("-L --persistent-conn --thresholds", Columns::Thresholds),
        ("-L --tun-info --persistent-conn", Columns::Persistent),
        ("-L --tun-info", Columns::Tunnels),
    ] {
        let Ok(Command::List(options)) = read(line) else {
            panic!("{line}");
        };
        assert_eq!(options.columns, expected, "{line}");
    }
}

#[test]
fn commands_without_services_are_understood() {
    let mark = ServiceName::Mark {
        mark: 7,
        family: Family::V6,
    };
    for (line, expected) in [
        ("", Command::List(ListOptions::default())),
        ("-C", Command::Change(Change::Flush)),
        ("-R", Command::Restore),
        ("-S", Command::Save { numeric: false }),
        ("-Sn", Command::Save { numeric: true }),
        ("-Z", Command::Zero(None)),
        ("-Z -f 7 -6", Command::Zero(Some(mark))),
        (
            "--set 900 0 2678400",
            Command::SetTimeouts {
                tcp: 900,
                tcp_fin: 0,
                udp: 2_678_400,
            },
        ),
        ("--start-daemon master --syncid 5", Command::StartDaemon),
        ("--stop-daemon backup", Command::StopDaemon),
        ("-h", Command::Help),
        ("--version", Command::Version),
    ] {
        assert_eq!(read(line), Ok(expected), "{line}");
    }
}

#[test]
fn options_that_a_command_does_not_take_are_named() {
    for (line, option, command) in [
        ("-L -s rr", "scheduler", "list"),
        ("-C -t 10.1.0.100:80", "service-address", "flush"),
        ("--set 1 2 3 -n", "numeric", "set"),
        ("-Z -n", "numeric", "zero"),
        ("-S --exact", "exact", "save"),
        ("--start-daemon backup -w 1", "weight", "start-daemon"),
        (
            "-d -t 10.1.0.100:80 -r 10.2.0.11 -m",
            "forwarding-method",
            "delete-server",
        ),
    ] {
        let expected = format!("Illegal '{option}' option with the '{command}' command");
        assert_eq!(mistake(line), expected, "{line}");
    }
    assert_eq!(
        mistake("-a -r 10.2.0.11"),
        "You need to supply the 'service-address' option for the 'add-server' command"
    );
    assert_eq!(
        mistake("-L -c --timeout"),
        "The option 'timeout' conflicts with the 'connection' option in the 'list' command"
    );
}

#[test]
fn values_that_cannot_be_are_named() {
    for (line, expected) in [
        ("--set 1 2 x", "invalid timeout value `x' specified"),
        (
            "-A -t 10.1.0.100:80 --persistent=",
            "invalid timeout value `' specified",
        ),
        (
            "-a -t 10.1.0.100:80 -r 10.2.0.11 -y x",
            "illegal l_threshold specified",
        ),
        (
            "-a -r 10.2.0.11:http -t 10.1.0.100:80",
            "illegal real server address[:port] specified",
        ),
        (
            "--start-daemon backup --sync-maxlen 65508",
            "illegal sync-maxlen specified",
        ),
        (
            "--start-daemon backup --mcast-port 0",
            "illegal mcast-port specified",
        ),
        (
            "--start-daemon backup --mcast-group x",
            "invalid IPv4 mcast-group `x'",
        ),
    ] {
        assert_eq!(mistake(line), expected, "{line}");
    }
}

#[test]
fn mistakes_in_words_come_before_mistakes_in_what_they_mean() {
    // A word that is no option, and an option that the command does not take.
    assert_eq!(mistake("-A -n extra"), "unexpected argument extra");
    // An unknown option after one that the command does not take.
    let failure = read("-A -n --bogus").unwrap_err();
    assert_eq!(failure.text, "--bogus: unknown option");
    assert!(!failure.is_final, "-R goes on after it");
}

#[test]
fn local_addresses_are_of_a_service() {
    let web = address(Protocol::Tcp, 80);
    let local = [10, 2, 0, 1].into();
    for (line, expected) in [
        (
            "-P -t 10.1.0.100:80 -z 10.2.0.1",
            Command::Change(Change::AddLocal(web, local)),
        ),
        (
            "--del-laddr --local-address=10.2.0.1 -t 10.1.0.100:80",
            Command::Change(Change::DeleteLocal(web, local)),
        ),
        ("-G", Command::ListLocal(None)),
        (
            "--get-laddr -n -t 10.1.0.100:80",
            Command::ListLocal(Some(web)),
        ),
    ] {
        assert_eq!(read(line), Ok(expected), "{line}");
    }
    for (line, expected) in [
        (
            "-P -t 10.1.0.100:80",
            "You need to supply the 'local-address' option for the 'add-laddr' command",
        ),
        (
            "-Q -z 10.2.0.1",
            "You need to supply the 'service-address' option for the 'del-laddr' command",
        ),
        (
            "-P -t 10.1.0.100:80 -z 1234",
            "illegal local address specified",
        ),
        (
            "-P -t 10.1.0.100:80 -z 10.2.0.1:80",
            "illegal local address specified",
        ),
        (
            "-A -t 10.1.0.100:80 -z 10.2.0.1",
            "Illegal 'local-address' option with the 'add-service' command",
        ),
        (
            "-A -t 10.1.0.100:80 --fullnat",
            "Illegal 'forwarding-method' option with the 'add-service' command",
        ),
        (
            "-a -t 10.1.0.100:80 -r 10.2.0.11 -b -m",
            "multiple 'forwarding-method' options specified",
        ),
    ] {
        assert_eq!(mistake(line), expected, "{line}");
    }
    let fullnat = server("-a -t 10.1.0.100:80 -r 10.2.0.11:8080 -b");
    assert_eq!(
        (fullnat.method, fullnat.endpoint.port),
        (Method::Fullnat, 8080)
    );
}

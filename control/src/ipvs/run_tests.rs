//! Invocations against what the kernel and Debian's `ipvsadm` 1.31 said to the same.

use dataplane::address::Endpoint;
use dataplane::counters::TrafficTotals;

use super::super::command::Family;
use super::super::host::{ServerCounts, Traffic};
use super::super::meter::Rates;
use super::super::names::testing::FewNames;
use super::super::testing::Plain;
use super::*;

fn words(line: &str) -> Vec<String> {
    line.split_whitespace().map(str::to_owned).collect()
}

fn ipvsadm(host: &mut Plain, line: &str) -> Reply {
    run_with(&words(line), "", host, &FewNames)
}

fn restore(host: &mut Plain, lines: &str) -> Reply {
    run_with(&words("-R"), lines, host, &FewNames)
}

/// Lines of a transcript, each with its exit code and what it printed.
fn transcript(text: &'static str) -> Vec<(&'static str, i32, String)> {
    let mut steps: Vec<(&str, i32, String)> = Vec::new();
    for line in text.lines() {
        if let Some(command) = line.strip_prefix("$ ipvsadm ") {
            let (command, status) = command.split_once("  rc=").unwrap();
            steps.push((command, status.parse().unwrap(), String::new()));
        } else {
            let (_, _, printed) = steps.last_mut().unwrap();
            printed.push_str(line.strip_prefix("    ").unwrap_or(line));
            printed.push('\n');
        }
    }
    steps
}

/// What is said here to lines that the kernel does not mind: what is not supported.
fn not_supported(line: &str) -> Option<&'static str> {
    Some(match line {
        "-A -t 10.1.0.100:87 --pe sip -p 3" => "Persistence engine sip is not in this version",
        "--start-daemon master --mcast-interface nosuch"
        | "--start-daemon master --mcast-interface eth0" => {
            "Connection synchronisation is not in this version"
        }
        _ => return None,
    })
}

/// Plays a transcript to a host that has nothing.
fn play(text: &'static str) {
    let mut host = Plain::default();
    for (line, status, printed) in transcript(text) {
        let reply = ipvsadm(&mut host, line);

        let said = format!("{}{}", reply.stdout, reply.stderr);
        let expected = match not_supported(line) {
            Some(text) => (255, text),
            None => (status, printed.trim_end()),
        };
        assert_eq!((reply.status, said.trim_end()), expected, "{line}");
    }
}

#[test]
fn every_line_gets_the_text_and_exit_code_it_got_beside_the_kernel() {
    play(include_str!("samples/transcript.txt"));
}

#[test]
fn corners_of_the_grammar_are_where_ipvsadm_has_them() {
    play(include_str!("samples/corners.txt"));
}

#[test]
fn errors_and_listings_go_different_ways() {
    let mut host = Plain::default();
    ipvsadm(&mut host, "-A -t 10.1.0.100:80");

    assert_eq!(
        ipvsadm(&mut host, "-A -t 10.1.0.100:80"),
        Reply {
            stderr: "Service already exists\n".to_owned(),
            status: 255,
            ..Reply::default()
        }
    );
    assert_eq!(
        ipvsadm(&mut host, "-Sn"),
        Reply {
            stdout: "-A -t 10.1.0.100:80 -s wlc\n".to_owned(),
            ..Reply::default()
        }
    );
}

#[test]
fn without_words_all_services_are_listed_by_name() {
    let mut host = Plain::default();
    ipvsadm(&mut host, "-A -t 10.1.0.100:80");

    let expected = "\
IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn
TCP  10.1.0.100:http wlc
";
    assert_eq!(ipvsadm(&mut host, "").stdout, expected);
    assert_eq!(ipvsadm(&mut host, "-l").stdout, expected);
}

#[test]
fn what_the_host_counts_is_listed() {
    let mut host = Plain {
        counts: ServerCounts {
            active: 3,
            inactive: 4,
            templates: 5,
            traffic: Traffic {
                totals: TrafficTotals {
                    in_packets: 77,
                    ..TrafficTotals::default()
                },
                rates: Rates {
                    out_bytes: 88,
                    ..Rates::default()
                },
            },
        },
        ..Plain::default()
    };
    restore(&mut host, "-A -f 5 -s rr\n-a -f 5 -r 10.2.0.11:0 -w 9\n");

    for (line, expected) in [
        (
            "-Ln",
            "  -> 10.2.0.11:0                  Route   9      3          4         ",
        ),
        (
            "-Ln --persistent-conn",
            "  -> 10.2.0.11:0                  9         5           3          4         ",
        ),
        (
            "-Ln --stats",
            "  -> 10.2.0.11:0                         0       77        0        0        0",
        ),
        (
            "-Ln --rate",
            "  -> 10.2.0.11:0                         0        0        0        0       88",
        ),
    ] {
        let text = ipvsadm(&mut host, line).stdout;
        assert_eq!(text.lines().last(), Some(expected), "{line}");
    }
}

#[test]
fn templates_are_listed_among_the_connections() {
    let at = |addr: [u8; 4], port| Endpoint::new(addr.into(), port);
    let mut host = Plain {
        templates: vec![ConnectionRow {
            protocol: None,
            expires_seconds: 359,
            state: "NONE",
            client: at([192, 168, 0, 0], 0),
            vip: at([0, 0, 0, 5], 0),
            server: at([10, 2, 0, 11], 0),
        }],
        ..Plain::default()
    };

    let expected = "\
IPVS connection entries
pro expire state       source             virtual            destination
IP  05:59  NONE        192.168.0.0:0      0.0.0.5:0          10.2.0.11:0
";
    assert_eq!(ipvsadm(&mut host, "-Lnc").stdout, expected);
}

#[test]
fn time_outs_are_set_except_for_zeros() {
    let mut host = Plain::default();

    assert_eq!(ipvsadm(&mut host, "--set 100 0 50").status, 0);

    assert_eq!(
        ipvsadm(&mut host, "-L --timeout").stdout,
        "Timeout (tcp tcpfin udp): 100 120 50\n"
    );
    assert_eq!(ipvsadm(&mut host, "-L --daemon"), Reply::default());
}

#[test]
fn zeroing_is_of_one_service_or_of_all() {
    let mut host = Plain::default();
    ipvsadm(&mut host, "-A -f 5");

    ipvsadm(&mut host, "-Z -f 5");
    ipvsadm(&mut host, "-Z -f 6");
    ipvsadm(&mut host, "-Z");

    let five = ServiceName::Mark {
        mark: 5,
        family: Family::V4,
    };
    assert_eq!(host.zeroed, [Some(five), None]);
}

#[test]
fn restoring_goes_on_after_refusals_and_ends_at_mistakes() {
    let mut host = Plain::default();

    // Given lines of which the second is refused and the fourth is wrong in itself,
    let reply = restore(
        &mut host,
        "-A -t 10.1.0.100:80\n\
         ipvsadm -A -t 10.1.0.100:80\r\n\
         \n\
         -A  -t\t10.1.0.100:81 -s rr\n\
         # no comment\n\
         -A -t 10.1.0.100:82\n",
    );

    // then the third is still done, and the fifth is not.
    assert_eq!(
        reply.stderr,
        "Service already exists\n\
         Try `ipvsadm -h' or 'ipvsadm --help' for more information.\n"
    );
    assert_eq!(reply.status, 255);
    assert_eq!(host.table.services().count(), 2);
}

#[test]
fn the_last_line_of_a_restoration_gives_its_exit_code() {
    let mut host = Plain::default();
    let twice = "-A -t 10.1.0.100:80\n-A -t 10.1.0.100:80\n";
    assert_eq!(restore(&mut host, twice).status, 255);
    assert_eq!(restore(&mut host, &format!("{twice}-A -f 1\n")).status, 0);
    assert_eq!(restore(&mut host, "").status, 0);
    assert_eq!(restore(&mut host, "-A -f 2 -w\n-C\n").status, 0);
}

#[test]
fn a_restoration_within_one_is_refused() {
    let mut host = Plain::default();
    let reply = restore(&mut host, "-R\n-A -f 1\n");
    assert_eq!(reply.status, 255);
    assert_eq!(host.table.services().count(), 0);
}

#[test]
fn additions_are_published_together_and_other_changes_alone() {
    let mut host = Plain::default();

    restore(
        &mut host,
        "-A -f 1\n-a -f 1 -r 10.2.0.11\n-a -f 1 -r 10.2.0.12\n\
         -e -f 1 -r 10.2.0.12 -w 0\n-d -f 1 -r 10.2.0.11\n-a -f 1 -r 10.2.0.11\n",
    );

    assert_eq!(host.published, [(1, 2), (1, 2), (1, 1), (1, 2)]);
}

#[test]
fn what_is_refused_is_not_published() {
    let mut host = Plain::default();
    ipvsadm(&mut host, "-D -f 1");
    ipvsadm(&mut host, "-a -f 1 -r 10.2.0.11");
    ipvsadm(&mut host, "-Ln");
    assert!(host.published.is_empty());
}

#[test]
fn unsorted_services_stand_before_marks_and_the_newest_first() {
    let mut host = Plain::default();
    restore(
        &mut host,
        "-A -t 10.1.0.1:80\n-A -f 1\n-A -t 10.1.0.2:80\n-A -f 2\n",
    );

    let text = ipvsadm(&mut host, "-Ln --nosort").stdout;

    let services: Vec<_> = text.lines().skip(3).collect();
    assert_eq!(
        services,
        [
            "TCP  10.1.0.2:80 wlc",
            "TCP  10.1.0.1:80 wlc",
            "FWM  2 wlc",
            "FWM  1 wlc",
        ]
    );
}

#[test]
fn help_is_not_an_error() {
    let reply = ipvsadm(&mut Plain::default(), "-h");
    assert_eq!(
        (reply.stdout, reply.status),
        (format!("{VERSION}{HELP}"), 0)
    );
    assert_eq!(reply.stderr, "");
}

#[test]
fn what_the_gateway_does_not_do_is_said_as_what_ipvs_refuses() {
    let mut host = Plain {
        refuses: Some("no room".to_owned()),
        ..Plain::default()
    };

    let reply = restore(&mut host, "-A -f 1\n-A -f 2\n");

    assert_eq!((reply.stderr.as_str(), reply.status), ("no room\n", 255));
    assert!(host.published.is_empty());
}

#[test]
fn the_gateway_hears_which_services_changed() {
    let mut host = Plain::default();
    let mark = |mark| ServiceName::Mark {
        mark,
        family: Family::V4,
    };

    restore(&mut host, "-A -f 1\n-A -f 2\n-a -f 1 -r 10.2.0.11\n");
    assert_eq!(host.changed, [mark(1), mark(2)]);

    ipvsadm(&mut host, "-e -f 1 -r 10.2.0.11 -w 5");
    assert_eq!(host.changed, [mark(1)]);

    ipvsadm(&mut host, "-C");
    assert_eq!(host.changed, [mark(1), mark(2)]);
}

#[test]
fn local_addresses_are_listed_by_service() {
    let mut host = Plain {
        ports_in_use: 3,
        ..Plain::default()
    };
    restore(
        &mut host,
        "-A -t 10.1.0.100:80\n-A -f 1\n-P -t 10.1.0.100:80 -z 10.2.0.1\n",
    );

    let all = ipvsadm(&mut host, "-G").stdout;

    let lines: Vec<_> = all.lines().map(str::trim_end).collect();
    assert_eq!(
        lines[1..],
        [
            "10.1.0.100:80        1",
            "                              10.2.0.1             0          3"
        ]
    );
    assert_eq!(ipvsadm(&mut host, "-G -t 10.1.0.100:80").stdout, all);
    assert_eq!(ipvsadm(&mut host, "-G -f 1").stdout.lines().count(), 2);
    let missing = ipvsadm(&mut host, "-G -f 2");
    assert_eq!(
        (missing.stderr.as_str(), missing.status),
        ("No such service\n", 1)
    );
}

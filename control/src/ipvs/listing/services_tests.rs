//! Listings of services against what was printed beside the kernel.

use super::super::samples::{LINES, rows};
use super::*;
use crate::ipvs::names::testing::FewNames;

fn numeric(columns: Columns) -> Style<'static> {
    Style {
        columns,
        exact: false,
        naming: Naming::NUMERIC,
    }
}

/// The listing of all samples.
fn listed(columns: Columns) -> String {
    services(rows(LINES), numeric(columns), true, false)
}

#[test]
fn services_are_listed_as_ipvsadm_lists_them() {
    let forwarding = listed(Columns::Forwarding);
    assert_eq!(forwarding, include_str!("samples/ln.txt"));
    let thresholds = listed(Columns::Thresholds);
    assert_eq!(thresholds, include_str!("samples/thresholds.txt"));
    let persistent = listed(Columns::Persistent);
    assert_eq!(persistent, include_str!("samples/persistent-conn.txt"));
    let tunnels = listed(Columns::Tunnels);
    assert_eq!(tunnels, include_str!("samples/tun-info.txt"));
}

#[test]
fn an_unsorted_listing_keeps_the_order_it_is_given() {
    let text = services(rows(LINES), numeric(Columns::Forwarding), true, true);
    assert_eq!(text, include_str!("samples/nosort.txt"));
}

#[test]
fn what_has_a_name_is_called_by_it() {
    let style = Style {
        naming: Naming::by(&FewNames),
        ..numeric(Columns::Forwarding)
    };
    let text = services(rows(LINES), style, true, false);
    assert_eq!(text, include_str!("samples/names.txt"));
}

#[test]
fn one_service_is_listed_without_a_title() {
    let mut rows = rows(LINES);
    rows.truncate(1);
    let text = services(rows, numeric(Columns::Forwarding), false, false);
    assert_eq!(text, include_str!("samples/one-service.txt"));
}

/// The service of the traffic samples, with the same traffic for both servers.
fn busy(traffic: TrafficTotals, rates: Rates) -> Vec<ServiceRow> {
    let mut rows = rows(
        "\
-A -t 10.1.0.100:80
-a -t 10.1.0.100:80 -r 10.2.0.11 -m
-a -t 10.1.0.100:80 -r 10.2.0.12 -m
",
    );
    let row = &mut rows[0];
    for server in &mut row.servers {
        server.traffic = traffic;
        server.rates = rates;
        row.traffic += traffic;
    }
    row.rates = rates;
    rows
}

const TEN: TrafficTotals = TrafficTotals {
    sessions: 10,
    in_packets: 10,
    in_bytes: 400,
    out_packets: 0,
    out_bytes: 0,
};

#[test]
fn traffic_is_listed_as_ipvsadm_lists_it() {
    let text = services(
        busy(TEN, Rates::default()),
        numeric(Columns::Stats),
        true,
        false,
    );

    let expected = "\
IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port               Conns   InPkts  OutPkts  InBytes OutBytes
  -> RemoteAddress:Port
TCP  10.1.0.100:80                      20       20        0      800        0
  -> 10.2.0.11:80                       10       10        0      400        0
  -> 10.2.0.12:80                       10       10        0      400        0
";
    assert_eq!(text, expected);
}

#[test]
fn rates_of_servers_are_shortened_only_in_bytes() {
    let rates = Rates {
        sessions: 2,
        in_packets: 123_456_789,
        out_packets: 0,
        in_bytes: 123_456_789,
        out_bytes: 0,
    };

    let text = services(busy(TEN, rates), numeric(Columns::Rate), true, false);

    let expected = "\
IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port                 CPS    InPPS   OutPPS    InBPS   OutBPS
  -> RemoteAddress:Port
TCP  10.1.0.100:80                       2  123456K        0  123456K        0
  -> 10.2.0.11:80                        2 123456789        0  123456K        0
  -> 10.2.0.12:80                        2 123456789        0  123456K        0
";
    assert_eq!(text, expected);
}

#[test]
fn exact_numbers_are_not_shortened() {
    let traffic = TrafficTotals {
        in_bytes: 123_456_789,
        ..TEN
    };
    let style = Style {
        exact: true,
        ..numeric(Columns::Stats)
    };

    let text = services(busy(traffic, Rates::default()), style, false, false);

    assert!(text.contains("        0 246913578        0\n"), "{text}");
    assert!(text.contains("        0 123456789        0\n"), "{text}");
}

#[test]
fn long_names_of_ipv4_are_cut() {
    let style = Style {
        naming: Naming::by(&FewNames),
        ..numeric(Columns::Forwarding)
    };
    let rows = rows("-A -t 10.1.0.250:80\n-a -t 10.1.0.250:80 -r 10.1.0.250 -m\n");

    let text = services(rows, style, false, false);

    let lines: Vec<_> = text.lines().skip(2).collect();
    assert_eq!(
        lines,
        [
            "TCP  a-host-with-a-very-long-name wlc",
            "  -> a-host-with-a-very-long-name Masq    1      0          0         ",
        ]
    );
}

#[test]
fn fullnat_has_a_word_of_its_own() {
    let mut rows = rows("-A -t 10.1.0.100:80\n-a -t 10.1.0.100:80 -r 10.2.0.11 -m\n");
    rows[0].servers[0].server.method = Method::Fullnat;

    let text = services(rows, numeric(Columns::Forwarding), false, false);

    assert!(
        text.contains("10.2.0.11:80                 FullNat 1 "),
        "{text}"
    );
}

//! What keeps a set-up over a reboot; programs that this machine has not are stood in for.

use testnet::{Namespace, require_namespaces};

use super::segment::{Segment, VIP, own_file, refused, shell, well};

#[test]
fn ifupdown_sets_the_route_when_the_address_is_there_and_not_before() {
    require_namespaces!();
    let segment = Segment::build();
    let words = "--method nat --gateway 10.2.0.7 --interface eth0 --persist ifupdown";
    well(&segment.setup(&format!("{words} --apply")));
    let hook = "/etc/network/if-up.d/sluice-realserver-nat";
    let up = |variables: &str| well(&shell(&segment.server, &format!("env {variables} {hook}")));

    segment.server.ip("addr flush dev eth0");
    up("IFACE=lo METHOD=loopback");
    up("IFACE=eth0 METHOD=manual");
    segment.server.ip("addr add 10.2.0.11/24 dev eth0");
    up("IFACE=eth0 METHOD=static");

    let way = segment.server.ip("route get 10.1.0.2");
    assert!(way.contains("via 10.2.0.7 "), "{way}");
}

/// A program of the server's own, in front of this machine's.
fn stand_in(host: &Namespace, name: &str, text: &str) {
    let script = format!("install -D -m 755 /dev/stdin /usr/local/sbin/{name} <<'END'\n{text}END");
    well(&shell(host, &script));
}

#[test]
fn a_file_that_netplan_does_not_understand_does_not_stay() {
    require_namespaces!();
    let segment = Segment::build();
    let words = format!("--method dr --vip {VIP} --persist netplan");
    let path = "/etc/netplan/90-sluice-realserver-dr-10_2_0_100.yaml";

    stand_in(
        &segment.server,
        "netplan",
        "echo no ethernets >&2\nexit 78\n",
    );
    refused(&segment.setup(&format!("{words} --apply")), "no ethernets");
    assert!(!own_file(&segment.server, path).exists());

    stand_in(&segment.server, "netplan", "echo \"$*\" >>/var/lib/said\n");
    well(&segment.setup(&format!("{words} --apply")));
    assert!(own_file(&segment.server, path).exists());
    well(&segment.setup(&format!("{words} --undo --apply")));
    let said = well(&shell(&segment.server, "cat /var/lib/said"));
    assert_eq!(said, "generate\ngenerate\n");
}

/// A systemd that has one unit.
const SYSTEMCTL: &str = "echo \"$*\" >>/var/lib/said
case $* in
*is-active* | *is-enabled*) [ -e /var/lib/runs ] ;;
start*) \"/usr/local/sbin/$2\" start && touch /var/lib/runs ;;
stop*) [ ! -e /var/lib/runs ] || \"/usr/local/sbin/$2\" stop && rm -f /var/lib/runs ;;
disable*) \"/usr/local/sbin/$3\" stop && rm -f /var/lib/runs ;;
esac
";

#[test]
fn a_unit_that_runs_already_is_let_alone_and_a_changed_one_is_stopped_before() {
    require_namespaces!();
    let segment = Segment::build();
    let before = segment.picture();
    stand_in(&segment.server, "systemctl", SYSTEMCTL);
    let words = format!("--method dr --vip {VIP} --persist systemd");
    let starts_and_stops = || {
        let said = well(&shell(&segment.server, "cat /var/lib/said"));
        let verbs = said.lines().filter_map(|line| line.split(' ').next());
        let verbs = verbs.filter(|verb| ["start", "stop", "disable"].contains(verb));
        let mut verbs: Vec<_> = verbs.collect();
        // One that has stopped is told so once more.
        verbs.dedup();
        verbs.join(" ")
    };

    well(&segment.setup(&format!("{words} --apply")));
    well(&segment.setup(&format!("{words} --apply")));
    assert_eq!(starts_and_stops(), "start");
    assert!(segment.is_accepted(VIP) && !segment.is_found(VIP));

    well(&segment.setup(&format!("{words} --interface eth0 --apply")));
    assert_eq!(starts_and_stops(), "start stop start");
    let settings = segment.picture();
    assert!(settings.contains("conf.all.arp_ignore = 0\n"), "{settings}");
    assert!(
        settings.contains("conf.eth0.arp_ignore = 1\n"),
        "{settings}"
    );

    well(&segment.setup(&format!("--method dr --vip {VIP} --undo --apply")));
    assert_eq!(starts_and_stops(), "start stop start disable");
    assert_eq!(segment.picture(), before);
}

//! What is said for each method, system and keeper. That it does what it says is tested in
//! `tests/real_servers`.

use super::*;

pub(super) fn wanted(method: Method, vips: &[&str]) -> Wanted {
    Wanted {
        method,
        vips: vips.iter().map(|vip| vip.parse().unwrap()).collect(),
        gateway: None,
        interface: None,
        system: System::Linux,
        keeper: None,
        path_mtu: 1_500,
        is_forced: false,
    }
}

fn nat() -> Wanted {
    Wanted {
        gateway: "10.2.0.1".parse().ok(),
        ..wanted(Method::Nat, &[])
    }
}

/// The commands without the remarks.
fn said(plan: &Plan, is_undone: bool) -> String {
    let text = commands(plan, is_undone);
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| format!("{line}\n")).collect()
}

fn files_of(wanted: &Wanted) -> String {
    let steps = plan(wanted).unwrap().steps;
    let files = steps
        .iter()
        .filter(|step| step.what.ends_with(" is written"));
    files
        .map(|step| format!("{}\n", step.run.join("\n")))
        .collect()
}

fn refusal(wanted: &Wanted) -> String {
    plan(wanted).unwrap_err().to_string()
}

#[test]
fn freebsd_and_solaris_answer_by_the_gateway_with_nat() {
    let on = |system| plan(&Wanted { system, ..nat() }).unwrap();

    for (system, replaces, keeps, puts_back) in [
        (
            System::Freebsd,
            "route change -inet default 10.2.0.1 || route add -inet default 10.2.0.1\n",
            "sysrc -in defaultrouter >/var/db/sluice-realserver.defaultrouter || true",
            "sysrc defaultrouter=\"$(cat /var/db/sluice-realserver.defaultrouter)\"",
        ),
        (
            System::Solaris,
            "route -p add -inet default 10.2.0.1\n",
            "sed -n 's/^ *gateway: //p' >/var/sluice-realserver.default",
            "route -p add -inet default \"$(cat /var/sluice-realserver.default)\"",
        ),
    ] {
        let plan = on(system);
        let (done, undone) = (said(&plan, false), said(&plan, true));
        let (replaces, keeps) = (done.find(replaces), done.find(keeps));
        assert!(keeps.is_some() && keeps < replaces, "{done}");
        assert!(undone.contains(puts_back), "{undone}");
        assert!(undone.starts_with("if [ -e "), "{undone}");
    }
    assert!(
        said(&on(System::Solaris), false).contains("route -p delete -inet default \"$(cat "),
        "no second default route stays"
    );
}

#[test]
fn netplan_has_the_vips_on_lo() {
    let dr = Wanted {
        keeper: Some(Keeper::Netplan),
        ..wanted(Method::Dr, &["10.2.0.100", "2001:db8::100"])
    };

    assert_eq!(
        files_of(&dr),
        "sysctl net.ipv4.conf.all.arp_ignore net.ipv4.conf.all.arp_announce | \
         install -D -m 644 /dev/stdin /etc/sysctl.d/90-sluice-realserver-dr.conf
install -D -m 600 /dev/stdin /etc/netplan/90-sluice-realserver-dr-10_2_0_100.yaml <<'END'
network:
  version: 2
  ethernets:
    lo:
      match:
        name: lo
      addresses:
        - \"10.2.0.100/32\"
END
netplan generate || {
    rm -f /etc/netplan/90-sluice-realserver-dr-10_2_0_100.yaml
    exit 1
}
install -D -m 600 /dev/stdin /etc/netplan/90-sluice-realserver-dr-2001_db8__100.yaml <<'END'
network:
  version: 2
  ethernets:
    lo:
      match:
        name: lo
      addresses:
        - \"2001:db8::100/128\":
            lifetime: 0
END
netplan generate || {
    rm -f /etc/netplan/90-sluice-realserver-dr-2001_db8__100.yaml
    exit 1
}
"
    );
}

#[test]
fn ifupdown_has_stanzas_beside_those_that_are_there() {
    let tun = Wanted {
        keeper: Some(Keeper::Ifupdown),
        ..wanted(Method::Tun, &["10.1.0.100"])
    };
    let nat = Wanted {
        keeper: Some(Keeper::Ifupdown),
        interface: Some("eth0".to_owned()),
        ..nat()
    };

    assert_eq!(
        files_of(&tun),
        "install -D -m 644 /dev/stdin /etc/modules-load.d/sluice-realserver-ipip.conf <<'END'
ipip
END
sysctl net.ipv4.conf.all.arp_ignore net.ipv4.conf.all.arp_announce net.ipv4.conf.tunl0.rp_filter | \
         install -D -m 644 /dev/stdin /etc/sysctl.d/90-sluice-realserver-tun.conf
install -D -m 644 /dev/stdin /etc/network/interfaces.d/sluice-realserver-tun-10_1_0_100 <<'END'
auto tunl0
iface tunl0 inet manual
    up ip link set tunl0 up
    up nft add table inet sluice_tun_10_1_0_100
    up nft add chain inet sluice_tun_10_1_0_100 output '{ type filter hook output priority mangle; }'
    up nft flush chain inet sluice_tun_10_1_0_100 output
    up nft add rule inet sluice_tun_10_1_0_100 output ip saddr 10.1.0.100 tcp flags syn tcp option maxseg size set 1440
    up ip address replace 10.1.0.100/32 dev tunl0
    down ip address del 10.1.0.100/32 dev tunl0 || true
END
"
    );
    assert_eq!(
        files_of(&nat),
        "install -D -m 755 /dev/stdin /etc/network/if-up.d/sluice-realserver-nat <<'END'
#!/bin/sh
[ \"$IFACE\" = eth0 ] || exit 0
[ \"$METHOD\" != manual ] || exit 0
ip -4 route replace default via 10.2.0.1 dev eth0 || true
END
"
    );
}

#[test]
fn arp_is_set_on_one_interface_where_one_is_named() {
    let wanted = Wanted {
        interface: Some("eth0.100".to_owned()),
        ..wanted(Method::Dr, &["10.2.0.100"])
    };

    let said = said(&plan(&wanted).unwrap(), false);

    assert!(
        said.contains("sysctl -q -w net.ipv4.conf.eth0/100.arp_ignore=1"),
        "{said}"
    );
    assert!(
        said.contains("sysctl -q -w net.ipv4.conf.eth0/100.arp_announce=2"),
        "{said}"
    );
    assert!(!said.contains("conf.all."), "{said}");
}

#[test]
fn vips_of_ipv6_need_no_setting_and_are_no_source_of_what_the_server_begins() {
    let said = |method| said(&plan(&wanted(method, &["2001:db8::100"])).unwrap(), false);

    let (dr, tun) = (said(Method::Dr), said(Method::Tun));

    let address = |interface| {
        format!("ip address add 2001:db8::100/128 dev {interface} nodad preferred_lft 0")
    };
    assert!(dr.contains(&address("lo")), "{dr}");
    assert!(tun.contains(&address("ip6tnl0")), "{tun}");
    assert!(tun.contains("modprobe ip6_tunnel"), "{tun}");
    assert!(tun.contains("ip6 saddr 2001:db8::100 tcp flags syn tcp option maxseg size set 1400"));
    assert!(
        !dr.contains("sysctl") && !tun.contains("sysctl"),
        "{dr}{tun}"
    );
}

#[test]
fn fullnat_asks_for_nothing() {
    let plan = plan(&wanted(Method::Fullnat, &[])).unwrap();

    assert_eq!(said(&plan, false), "");
    assert!(commands(&plan, false).contains("needs nothing"));
    assert_eq!(undoing(&wanted(Method::Fullnat, &[])).unwrap().steps, []);
}

#[test]
fn undoing_takes_back_the_files_of_every_keeper() {
    let undone = said(
        &undoing(&wanted(Method::Tun, &["10.1.0.100"])).unwrap(),
        true,
    );

    for file in [
        "/etc/modules-load.d/sluice-realserver-ipip.conf",
        "/etc/sysctl.d/90-sluice-realserver-tun.conf",
        "/etc/netplan/90-sluice-realserver-tun-10_1_0_100.yaml",
        "/etc/network/interfaces.d/sluice-realserver-tun-10_1_0_100",
        "/usr/local/sbin/sluice-realserver-tun-10_1_0_100",
        "/etc/systemd/system/sluice-realserver-tun-10_1_0_100.service",
    ] {
        assert!(
            undone.contains(&format!("rm -f {file}\n")),
            "{file}: {undone}"
        );
    }
    assert!(undone.contains("systemctl disable --now sluice-realserver-tun-10_1_0_100\n"));
}

#[test]
fn a_unit_runs_the_script() {
    let wanted = Wanted {
        keeper: Some(Keeper::Systemd),
        ..wanted(Method::Dr, &["10.2.0.100"])
    };
    let plan = plan(&wanted).unwrap();

    let said = commands(&plan, false);
    assert!(
        said.contains("ExecStart=/usr/local/sbin/sluice-realserver-dr-10_2_0_100 start\n"),
        "{said}"
    );
    assert!(
        said.contains("ExecStop=/usr/local/sbin/sluice-realserver-dr-10_2_0_100 stop\n"),
        "{said}"
    );
    let order = "Wants=network-pre.target\nAfter=network-pre.target systemd-modules-load.service\n\
                 Before=network.target\n";
    assert!(said.contains(order), "{said}");
    let alone = Wanted {
        keeper: None,
        is_forced: true,
        ..wanted
    };
    let alone = script(&super::plan(&alone).unwrap());
    assert!(said.contains(&alone), "{said}");
}

#[test]
fn each_vip_has_a_unit_and_files_of_its_own() {
    let two = Wanted {
        keeper: Some(Keeper::Systemd),
        ..wanted(Method::Dr, &["10.2.0.100", "10.2.0.101"])
    };

    let done = said(&plan(&two).unwrap(), false);
    let undone = said(
        &undoing(&wanted(Method::Dr, &["10.2.0.100"])).unwrap(),
        true,
    );

    for unit in ["dr-10_2_0_100", "dr-10_2_0_101"] {
        let line = format!("systemctl enable sluice-realserver-{unit}\n");
        assert!(done.contains(&line), "{unit}: {done}");
    }
    assert!(
        !undone.contains("10_2_0_101") && !undone.contains("10.2.0.101"),
        "{undone}"
    );
    let shared = "if ! ls -d /var/lib/sluice-realserver/vip-dr-* >/dev/null 2>&1; then
    rm -f /etc/sysctl.d/90-sluice-realserver-dr.conf
fi
";
    let note = "rm -f /var/lib/sluice-realserver/vip-dr-10.2.0.100\n";
    let (note, shared) = (undone.find(note), undone.find(shared));
    assert!(note.is_some() && note < shared, "{undone}");
}

#[test]
fn a_unit_for_one_interface_waits_for_it() {
    let wanted = Wanted {
        keeper: Some(Keeper::Systemd),
        interface: Some("br-lan".to_owned()),
        ..wanted(Method::Dr, &["10.2.0.100"])
    };

    let said = commands(&plan(&wanted).unwrap(), false);

    let device = "sys-subsystem-net-devices-br\\x2dlan.device";
    assert!(
        said.contains(&format!("systemd-modules-load.service {device}\n")),
        "{said}"
    );
}

#[test]
fn what_is_missing_or_cannot_be_is_said() {
    let tun = || wanted(Method::Tun, &["10.1.0.100"]);
    let cases = [
        (
            wanted(Method::Dr, &[]),
            "a server of dr has the VIP itself: name it with --vip",
        ),
        (
            wanted(Method::Dr, &["127.0.0.1"]),
            "127.0.0.1 is no VIP: give an address of one host that clients ask",
        ),
        (
            wanted(Method::Dr, &["255.255.255.255"]),
            "255.255.255.255 is no VIP: give an address of one host that clients ask",
        ),
        (
            Wanted {
                interface: Some("eth0;reboot".to_owned()),
                ..tun()
            },
            "\"eth0;reboot\" is no name of an interface: see `ip link` on the server",
        ),
        (
            Wanted {
                system: System::Freebsd,
                ..tun()
            },
            "tun is set up on Linux only: how FreeBSD takes packets out of tunnels was never tried",
        ),
        (
            Wanted {
                keeper: Some(Keeper::Netplan),
                ..tun()
            },
            "netplan has no words for tunl0, whose other end is any gateway: take --persist systemd \
             or ifupdown",
        ),
        (
            Wanted {
                system: System::Solaris,
                keeper: Some(Keeper::Systemd),
                ..nat()
            },
            "--persist is for Linux: the commands for Solaris keep it by themselves",
        ),
        (
            Wanted {
                path_mtu: 500,
                ..tun()
            },
            "a path MTU of 500 is not between 576 and 65535 (1280 for an IPv6 VIP)",
        ),
    ];

    for (wanted, expected) in cases {
        assert_eq!(refusal(&wanted), expected);
    }
}

#[test]
fn nat_wants_a_gateway_that_can_be_one_and_a_keeper_that_can_keep_it() {
    let cases = [
        (
            wanted(Method::Nat, &[]),
            "a server of nat answers by the gateway: name its inner address with --gateway",
        ),
        (
            Wanted {
                keeper: Some(Keeper::Ifupdown),
                ..nat()
            },
            "ifupdown wants to know by which interface the gateway is reached: give --interface",
        ),
        (
            Wanted {
                keeper: Some(Keeper::Netplan),
                ..nat()
            },
            "netplan takes no second default route, and has to know what kind of interface it \
             leaves by: take --persist systemd, or change your own netplan file",
        ),
    ];

    for (wanted, expected) in cases {
        assert_eq!(refusal(&wanted), expected);
    }
    for gateway in ["2001:db8::1", "0.0.0.0", "255.255.255.255", "224.0.0.1"] {
        let wanted = Wanted {
            gateway: gateway.parse().ok(),
            ..nat()
        };
        assert_eq!(
            refusal(&wanted),
            format!(
                "{gateway} is no gateway of nat: give its IPv4 address on the server's segment"
            )
        );
    }
}

#[test]
fn the_first_step_that_fails_ends_it_and_says_why() {
    let steps = vec![
        Step::new("this is so").run("true"),
        Step::new("the sky is green")
            .run("echo it is blue >&2")
            .run("false"),
        Step::new("this is not reached").run("true"),
    ];
    let plan = Plan {
        title: String::new(),
        notes: Vec::new(),
        steps,
    };
    let mut told = Vec::new();

    let error = apply(&plan, false, &mut |done| told.push(done.what.clone())).unwrap_err();

    assert_eq!(
        error.to_string(),
        "could not see to it that the sky is green: it is blue"
    );
    assert_eq!(told, ["this is so"]);
}

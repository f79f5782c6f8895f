//! `sluicectl realserver-setup`: a plain host becomes a real server, and is a plain host again.
//!
//! This kernel has no `ipip`. A TUN device by the name of `tunl0` stands in for its interface, so
//! all but `modprobe` is done for real; the outer header is taken off by testnet's decapsulator.
// Helpers of tests may panic as tests do.
#![allow(clippy::panic)]

mod kept;
mod segment;

use std::net::SocketAddrV4;

use segment::{SERVER, Segment, VIP, VIP6, own_file, refused, shell, well};
use testnet::client::spread;
use testnet::gateway_config::{GatewayConfig, IN_TURN};
use testnet::{Arms, Gateway, Lab, Method, binaries, lab, require_namespaces, run};

#[test]
fn a_server_of_dr_takes_the_vips_and_tells_nobody_and_is_what_it_was_afterwards() {
    require_namespaces!();
    let segment = Segment::build();
    let before = segment.picture();
    let words = format!("--method dr --vip {VIP},{VIP6} --persist ifupdown");

    well(&segment.do_printed(&words));
    let made = segment.picture();
    well(&segment.do_printed(&words));
    let again = segment.setup(&format!("{words} --apply"));

    assert_eq!(segment.picture(), made, "twice does no more than once");
    let told = well(&again);
    assert!(
        told.contains(&format!("already: {VIP} is on lo\n")),
        "{told}"
    );
    for vip in [VIP, VIP6] {
        assert!(!segment.is_found(vip), "{vip} is not answered for");
        assert!(segment.is_accepted(vip), "{vip} is taken");
    }
    assert!(segment.is_found(&SERVER.to_string()));
    let kept = own_file(
        &segment.server,
        "/etc/sysctl.d/90-sluice-realserver-dr.conf",
    );
    well(&shell(
        &segment.server,
        &format!("sysctl -q -p {}", kept.display()),
    ));

    well(&segment.do_printed(&format!("--method dr --vip {VIP},{VIP6} --undo")));
    assert_eq!(segment.picture(), before);
    assert!(!kept.exists());
    well(&segment.setup(&format!("--method dr --vip {VIP},{VIP6} --undo --apply")));
    assert_eq!(segment.picture(), before);
}

#[test]
fn what_two_methods_share_stays_until_the_last_vip_goes() {
    require_namespaces!();
    let segment = Segment::build();
    segment.server.sysctl("net.ipv4.conf.all.arp_announce", "1");
    let before = segment.picture();

    well(&segment.setup("--method tun --vip 10.2.0.103 --apply"));
    let tun_only = segment.picture();
    well(&segment.setup(&format!("--method dr --vip {VIP} --apply")));
    assert!(!segment.is_found("10.2.0.103"));
    let rules = segment.server.run("nft list ruleset");
    assert!(rules.contains("maxseg size set 1440"), "{rules}");
    well(&segment.setup(&format!("--method dr --vip {VIP} --undo --apply")));
    assert_eq!(segment.picture(), tun_only);
    assert!(!segment.is_found("10.2.0.103"));

    well(&segment.setup("--method tun --vip 10.2.0.103 --undo --apply"));
    assert_eq!(segment.picture(), before);
}

#[test]
fn a_vip_that_goes_takes_nothing_of_those_that_stay() {
    require_namespaces!();
    let segment = Segment::build();
    let before = segment.picture();
    let other = "10.2.0.101";
    well(&segment.setup(&format!(
        "--method dr --vip {other} --persist ifupdown --apply"
    )));
    let alone = segment.picture();
    well(&segment.setup(&format!(
        "--method dr --vip {VIP} --persist ifupdown --apply"
    )));

    well(&segment.setup(&format!("--method dr --vip {VIP} --undo --apply")));

    assert_eq!(segment.picture(), alone);
    let shared = "/etc/sysctl.d/90-sluice-realserver-dr.conf";
    let own = |vip| format!("/etc/network/interfaces.d/sluice-realserver-dr-{vip}");
    let is_kept = |path: &str| own_file(&segment.server, path).exists();
    assert!(is_kept(shared) && is_kept(&own("10_2_0_101")));
    assert!(!is_kept(&own("10_2_0_100")));
    well(&segment.setup(&format!("--method dr --vip {other} --undo --apply")));
    assert_eq!(segment.picture(), before);
    assert!(!is_kept(shared) && !is_kept(&own("10_2_0_101")));
}

#[test]
fn what_was_there_before_stays_and_is_not_weakened() {
    require_namespaces!();
    let segment = Segment::build();
    segment.server.ip(&format!("addr add {VIP}/32 dev lo"));
    segment.server.sysctl("net.ipv4.conf.all.arp_ignore", "2");
    let before = segment.picture();

    well(&segment.setup(&format!("--method dr --vip {VIP} --persist sysctl --apply")));
    let kept = own_file(
        &segment.server,
        "/etc/sysctl.d/90-sluice-realserver-dr.conf",
    );
    let kept = std::fs::read_to_string(kept).unwrap_or_else(|error| panic!("{error}"));
    let made = segment.picture();
    well(&segment.setup(&format!("--method dr --vip {VIP} --undo --apply")));

    assert!(
        kept.contains("net.ipv4.conf.all.arp_ignore = 2\n"),
        "{kept}"
    );
    assert!(
        made.contains("net.ipv4.conf.all.arp_ignore = 2\n"),
        "{made}"
    );
    assert_eq!(segment.picture(), before);
}

#[test]
fn the_default_route_of_nat_comes_and_goes() {
    require_namespaces!();
    let segment = Segment::build();
    segment
        .server
        .ip("route add default via 10.2.0.253 metric 100 proto static");
    let before = segment.picture();

    for _ in 0..2 {
        well(&segment.setup("--method nat --gateway 10.2.0.7 --apply"));
        let way = segment.server.ip("route get 10.1.0.2");
        assert!(way.contains("via 10.2.0.7 "), "{way}");
    }
    well(&segment.setup("--method nat --gateway 10.2.0.7 --undo --apply"));
    assert_eq!(segment.picture(), before);

    // One that was the gateway already is not taken away.
    segment.server.ip("route replace default via 10.2.0.7");
    let before = segment.picture();
    well(&segment.setup("--method nat --gateway 10.2.0.7 --apply"));
    well(&segment.setup("--method nat --gateway 10.2.0.7 --undo --apply"));
    assert_eq!(segment.picture(), before);
}

#[test]
fn nat_is_refused_where_it_would_cut_the_server_off() {
    require_namespaces!();
    let segment = Segment::build();
    let before = segment.picture();
    let ctl = binaries!().sluicectl;

    let nobody = "--method nat --gateway 10.2.0.99";
    refused(
        &segment.setup(&format!("{nobody} --apply")),
        "10.2.0.99 answers: it answers neither",
    );
    refused(
        &segment.do_printed(nobody),
        "it answers neither ping nor ARP",
    );
    let over_ssh = |words: &str| {
        let line = format!(
            "SSH_CONNECTION='10.9.9.9 4711 10.2.0.11 22' {ctl} realserver-setup --method nat \
             --gateway 10.2.0.7 {words}"
        );
        shell(&segment.server, &line)
    };
    refused(
        &over_ssh("--apply"),
        "an ssh session comes by the default route",
    );
    assert_eq!(segment.picture(), before);

    segment.server.ip("route add 10.9.9.0/24 via 10.2.0.254");
    well(&over_ssh("--apply"));
    well(&over_ssh("--undo --apply"));
    segment.server.ip("route del 10.9.9.0/24");
    well(&over_ssh("--force --apply"));
    let dr = format!("--method dr --vip {VIP}");
    refused(
        &segment.setup(&format!("{dr} --apply")),
        "answers of dr and tun want a route",
    );
    well(&over_ssh("--undo --apply"));
    well(&segment.setup(&format!("{dr} --apply")));
    refused(&over_ssh("--apply"), "answers of dr and tun want a route");
    well(&segment.setup(&format!("{dr} --undo --apply")));
    assert_eq!(segment.picture(), before);
}

#[test]
fn nat_is_refused_under_an_ssh_session_that_no_variable_tells_of() {
    require_namespaces!();
    let segment = Segment::build();
    let session = segment.ssh_session();
    let before = segment.picture();

    let behind = "--method nat --gateway 10.2.0.8 --apply";
    segment.asker.ip("addr add 10.2.0.8/24 dev eth0");
    refused(
        &segment.setup(behind),
        "an ssh session comes by the default route",
    );
    assert_eq!(segment.picture(), before);
    // By the gateway that the session comes by already, nothing is lost.
    well(&segment.setup("--method nat --gateway 10.2.0.7 --apply"));

    drop(session);
    well(&segment.setup(behind));
    let way = segment.server.ip("route get 10.1.0.2");
    assert!(way.contains("via 10.2.0.8 "), "{way}");
}

#[test]
fn the_script_starts_stops_and_tells_its_status() {
    require_namespaces!();
    let segment = Segment::build();
    let before = segment.picture();
    let words = format!("--method tun --vip {VIP} --script");
    let script = well(&segment.setup(&words));
    let file = segment.server.dir().join("lvs");
    std::fs::write(&file, script).unwrap_or_else(|error| panic!("{error}"));
    run::must(&mut run::command(&format!("shellcheck {}", file.display())));
    let does = |verb: &str| shell(&segment.server, &format!("sh lvs {verb}"));

    assert_eq!(does("status").status.code(), Some(3));
    for verb in ["start", "start", "restart", "status"] {
        well(&does(verb));
    }
    assert!(segment.is_accepted(VIP));
    let rules = segment.server.run("nft list ruleset");
    assert!(rules.contains("maxseg size set 1440"), "{rules}");
    segment.server.ip(&format!("addr del {VIP}/32 dev tunl0"));
    let status = does("status");
    let said = String::from_utf8_lossy(&status.stdout).into_owned();
    assert_eq!(status.status.code(), Some(3), "{said}");
    assert!(said.contains(&format!("{VIP} is on tunl0")), "{said}");
    for verb in ["stop", "stop"] {
        well(&does(verb));
    }
    assert_eq!(segment.picture(), before);
    assert_eq!(does("").status.code(), Some(2));
}

#[test]
fn a_step_that_fails_is_the_last_one_and_is_named() {
    require_namespaces!();
    let segment = Segment::build();
    segment.server.ip("link del tunl0");

    let output = segment.setup(&format!("--method tun --vip {VIP} --apply"));

    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        said.starts_with("could not see to it that ipip is loaded: "),
        "{said}"
    );
    assert_eq!(segment.server.ip(&format!("-o addr show to {VIP}/32")), "");
    well(&segment.setup(&format!("--method tun --vip {VIP} --undo --apply")));
}

/// All of it: servers that were plain hosts a moment ago answer clients by DR and by TUN.
#[test]
fn clients_are_served_by_servers_that_were_set_up_so() {
    require_namespaces!();
    let lab = Lab::build(Arms::Two);
    let methods = [Method::Dr, Method::Tun];
    for server in lab.servers() {
        let host = server.namespace();
        host.sysctl("net.ipv4.conf.all.arp_ignore", "0");
        host.sysctl("net.ipv4.conf.all.arp_announce", "0");
        host.sysctl("net.ipv4.conf.all.rp_filter", "1");
        host.ip("tuntap add dev tunl0 mode tun");
        for method in methods {
            host.ip(&format!("addr del {}/32 dev lo", lab.vip(method)));
        }
        // What LVS's users do: the router is the default route.
        host.ip(&format!(
            "route replace default via {}",
            lab::ROUTER_SERVER_SIDE
        ));
    }
    let config = GatewayConfig::of(&lab)
        .services_of(&lab, Method::Dr)
        .services_of(&lab, Method::Tun);
    let _gateway = Gateway::start(lab.gateway(), binaries!(), &config.text());

    for server in lab.servers() {
        for method in methods {
            let words = format!(
                "--method {} --vip {} --apply",
                method.name(),
                lab.vip(method)
            );
            let ctl = binaries!().sluicectl;
            well(&shell(
                server.namespace(),
                &format!("{ctl} realserver-setup {words}"),
            ));
        }
    }

    for method in methods {
        lab.client().wait_for(lab.at(method, IN_TURN));
        let answers = lab.client().get(lab.at(method, IN_TURN), 30);
        let even = ["server-1", "server-2", "server-3"].map(|name| (name, 10));
        assert_eq!(spread(&answers), even.into());
    }
    assert_eq!(
        segment_bytes(&lab, lab.at(Method::Dr, IN_TURN)),
        1_460 - 12,
        "the whole segment, less the time stamps"
    );
    assert_eq!(
        segment_bytes(&lab, lab.at(Method::Tun, IN_TURN)),
        1_440 - 12
    );
}

/// How much a client puts into a segment to `target`, by what the SYN-ACK asked for.
fn segment_bytes(lab: &Lab, target: SocketAddrV4) -> u32 {
    lab.client().namespace().inside(|| {
        let stream = std::net::TcpStream::connect(target);
        let stream = stream.unwrap_or_else(|error| panic!("{target}: {error}"));
        nix::sys::socket::getsockopt(&stream, nix::sys::socket::sockopt::TcpMaxSeg)
            .unwrap_or_else(|error| panic!("{error}"))
    })
}

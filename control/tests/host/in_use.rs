//! NICs that somebody uses without an address of Linux's on them, or over IPv6 alone.

use control::ctl::Exit;

use crate::tree::Machine;

/// What a NIC is refused for; `doctor` says the same of it and does not offer to take it.
fn why_not(machine: &Machine, nic: &str) -> String {
    let ran = machine.run(&format!("setup-host --bind {nic}"));
    assert_eq!((ran.exit, &*ran.out), (Exit::No, ""), "{}", ran.err);
    let (name, rest) = ran.err.split_once(" is not taken: ").expect(&ran.err);
    let why = rest.split_once(". Free it first").unwrap().0;
    let doctor = machine.run("doctor").out;
    let line = format!("nic: {name} stays Linux's: {why}\n");
    assert!(doctor.contains(&line), "{doctor}");
    machine.well(&format!("setup-host --bind {nic} --force --dry-run"));
    why.to_owned()
}

#[test]
fn a_session_over_link_local_addresses_counts_for_its_interface() {
    let machine = Machine::new();
    let session = "SSH_CONNECTION=fe80::1%eno3 50000 fe80::a%eno3 22\0";
    machine.write("proc/self/environ", session);
    assert_eq!(
        why_not(&machine, "eno3"),
        "eno3 carries an ssh session (to fe80::a)"
    );

    // Behind sudo only the kernel knows, and its table does not say the interface.
    machine.write("proc/self/environ", "HOME=/root\0");
    let address = "fe80000000000000000000000000000a 04 40 20 80  eno3\n";
    machine.write("proc/net/if_inet6", address);
    let connection = "   0: 000080FE00000000000000000A000000:0016 \
                      000080FE000000000000000001000000:C350 01 00000000:00000000 02:0 0 0\n";
    machine.write("proc/net/tcp6", connection);
    assert_eq!(
        why_not(&machine, "eno3"),
        "eno3 carries an ssh session (to fe80::a)"
    );
    machine.well("setup-host --bind ens1f0,ens1f1");
}

#[test]
fn a_session_that_answers_by_a_route_of_ipv6_counts_for_its_interface() {
    let machine = Machine::new();
    let zeros = "0".repeat(32);
    let route = |to: &str, interface: &str| {
        format!("{to} {zeros} 00 {zeros} 00000400 00000001 00000000 00000001 {interface}\n")
    };
    let routes = [
        route("20010db8000100000000000000000000 30", "eno3"),
        route("fe800000000000000000000000000000 40", "ens1f0"),
        route("ff000000000000000000000000000000 08", "ens1f1"),
    ];
    machine.write("proc/net/ipv6_route", &routes.concat());
    let session = "SSH_CONNECTION=2001:db8:1::7 50000 2001:db8:2::1 22\0";
    machine.write("proc/self/environ", session);

    assert_eq!(
        why_not(&machine, "eno3"),
        "eno3 carries an ssh session (to 2001:db8:2::1), Linux has addresses on eno3 \
         (2001:db8:1::/48)"
    );
    machine.well("setup-host --bind ens1f0,ens1f1");
}

#[test]
fn what_stands_on_a_nic_counts_without_an_address() {
    let machine = Machine::new();
    machine.link("../macvtap0", "sys/class/net/eno3/upper_macvtap0");
    assert_eq!(why_not(&machine, "eno3"), "macvtap0 stands on eno3");

    let machine = Machine::new();
    let sessions = "Id       Address              Device\n0000002A 02:00:00:00:00:01     eno3\n";
    machine.write("proc/net/pppoe", sessions);
    assert_eq!(why_not(&machine, "eno3"), "a PPPoE session stands on eno3");
}

#[test]
fn virtual_functions_go_with_their_nic() {
    let machine = Machine::new();
    let count = "sys/devices/pci0000:00/0000:02:00.0/sriov_numvfs";
    machine.write(count, "4\n");
    assert_eq!(
        why_not(&machine, "eno3"),
        "0000:02:00.0 has 4 virtual functions"
    );

    machine.write(count, "0\n");
    machine.well("setup-host --bind eno3");
}

#[test]
fn one_that_the_gateway_has_by_af_packet_is_not_taken_from_it() {
    let machine = Machine::new();
    machine.write("sys/class/net/eno3/ifindex", "4\n");
    let socket = "0000000000000000 3      3    0003   4     1 0      0      31337\n";
    machine.write("proc/net/packet", socket);
    machine.write("proc/77/comm", "sluice\n");
    machine.link("socket:[31337]", "proc/77/fd/9");
    let sentence = "sluice (process 77, AF_PACKET) has the packets of eno3";
    assert_eq!(why_not(&machine, "eno3"), sentence);

    // Its own port is as it should be.
    machine.write(
        "sluice.toml",
        "[gateway]\nworkers = [1]\n[[port]]\nname = \"p\"\ndevice = \
         \"net_af_packet0,iface=eno3,framecnt=4096\"\n",
    );
    let words = format!("doctor --config {}", machine.at("sluice.toml").display());
    let said = machine.run(&words).out;
    assert!(
        said.contains("port: Port p is the interface eno3, which stays Linux's\n"),
        "{said}"
    );

    // Who listens on every interface uses none.
    machine.write("proc/77/comm", "lldpd\n");
    machine.well("setup-host --bind eno3");
}

#[test]
fn one_whose_interface_is_elsewhere_is_not_taken() {
    let machine = Machine::new();
    std::fs::remove_file(machine.at("sys/class/net/eno3")).unwrap();
    let sentence = "ixgbe drives 0000:02:00.0, and there is no interface: another network \
                    namespace may have it";
    assert_eq!(why_not(&machine, "02:00.0"), sentence);

    // The command itself may be elsewhere, and then it sees too little.
    let machine = Machine::new();
    machine.link("net:[4026531833]", "proc/1/ns/net");
    machine.link("net:[4026532700]", "proc/self/ns/net");
    let ran = machine.run("setup-host --bind eno3");
    assert_eq!(ran.exit, Exit::No, "{}", ran.out);
    assert_eq!(
        ran.err,
        "this is another network namespace than that of the machine's first process, so nobody \
         can say what its NICs are used for: run it there (`nsenter --target 1 --net`), or insist \
         with --force\n"
    );
    machine.well("setup-host --bind eno3 --force");
}

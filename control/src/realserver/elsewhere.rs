//! The steps on FreeBSD and on Solaris 11. Neither answers ARP for an address of its loopback.
//!
//! As LVS's users set them up; nobody has run them with this gateway.

use std::net::IpAddr;

use dataplane::service::Method;

use super::Wanted;
use super::persist::word;
use super::step::Step;

/// What makes a FreeBSD a real server: now, and by `rc.conf` after a boot.
pub(super) fn freebsd(wanted: &Wanted) -> Vec<Step> {
    match (wanted.method, wanted.gateway) {
        (Method::Dr, _) => wanted.vips.iter().map(freebsd_alias).collect(),
        (Method::Nat, Some(gateway)) => vec![freebsd_route(gateway)],
        _ => Vec::new(),
    }
}

fn freebsd_alias(vip: &IpAddr) -> Step {
    let (family, alias) = match vip {
        IpAddr::V4(_) => ("inet", format!("inet {vip} netmask 255.255.255.255")),
        IpAddr::V6(_) => ("inet6", format!("inet6 {vip} prefixlen 128")),
    };
    Step::new(format!("{vip} is on lo0"))
        .holds(format!("ifconfig lo0 | grep -q '{family} {vip} '"))
        .run(format!("ifconfig lo0 {alias} alias"))
        .run(with_aliases(format!(
            "*\" {alias} \"*) ;;\n*) sysrc {ALIASES}=\"${{aliases:+$aliases }}{alias}\" ;;"
        )))
        .undo(with_aliases(format!(
            "\" {alias} \") sysrc -x {ALIASES} ;;\n\
             *\" {alias} \"*)\n    \
             aliases=\" $aliases \"\n    \
             sysrc {ALIASES}=\"$(echo ${{aliases%% {alias} *}} ${{aliases#* {alias} }})\"\n    ;;"
        )))
        .undo(format!(
            "! ifconfig lo0 | grep -q '{family} {vip} ' || ifconfig lo0 {family} {vip} -alias"
        ))
}

/// Unlike `ifconfig_lo0_alias0`, this one is not counted: what lo has besides stays.
const ALIASES: &str = "ifconfig_lo0_aliases";

/// What is done with each case of the aliases in `rc.conf`. `sysrc`'s own `+=` and `-=` go by words,
/// which one alias shares with the next.
fn with_aliases(cases: String) -> String {
    format!("aliases=$(sysrc -in {ALIASES} || true)\ncase \" $aliases \" in\n{cases}\nesac")
}

/// How both say which router is the default one.
const ROUTER: &str = "route -n get -inet default 2>/dev/null | sed -n 's/^ *gateway: //p'";

fn freebsd_route(gateway: IpAddr) -> Step {
    // What rc.conf said, and what was so.
    let (kept, was) = (
        "/var/db/sluice-realserver.defaultrouter",
        "/var/db/sluice-realserver.default",
    );
    Step::new(format!("the default route is {gateway}"))
        .why("Answers have to pass the gateway, which puts the VIP back into them.")
        .holds(format!("[ \"$({ROUTER})\" = {gateway} ]"))
        .run(format!(
            "[ -e {kept} ] || {{ {ROUTER} >{was}; sysrc -in defaultrouter >{kept} || true; }}"
        ))
        .run(format!(
            "route change -inet default {gateway} || route add -inet default {gateway}"
        ))
        .run(format!("sysrc defaultrouter=\"{gateway}\""))
        .undo(format!(
            "if [ -e {kept} ]; then\n    \
             [ -s {was} ] && route change -inet default \"$(cat {was})\" || route delete -inet default {gateway}\n    \
             [ -s {kept} ] && sysrc defaultrouter=\"$(cat {kept})\" || sysrc -i -x defaultrouter\n    \
             rm {kept} {was}\nfi"
        ))
}

/// What makes a Solaris 11 a real server; `ipadm` and `route -p` keep it by themselves.
pub(super) fn solaris(wanted: &Wanted) -> Vec<Step> {
    match (wanted.method, wanted.gateway) {
        (Method::Dr, _) => wanted.vips.iter().map(solaris_address).collect(),
        (Method::Nat, Some(gateway)) => vec![solaris_route(gateway)],
        _ => Vec::new(),
    }
}

fn solaris_address(vip: &IpAddr) -> Step {
    let prefix_len = if vip.is_ipv6() { 128 } else { 32 };
    // Of the VIP's own, so that each comes and goes without the others.
    let name = format!("lo0/vip_{}", word(*vip));
    let shown = format!("ipadm show-addr {name} >/dev/null 2>&1");
    Step::new(format!("{vip} is on lo0"))
        .holds(shown.clone())
        .run(format!(
            "ipadm create-addr -T static -a {vip}/{prefix_len} {name}"
        ))
        .undo(format!("! {shown} || ipadm delete-addr {name}"))
}

fn solaris_route(gateway: IpAddr) -> Step {
    // A second default route shares the traffic with the first.
    let was = "/var/sluice-realserver.default";
    Step::new(format!("the default route is {gateway}"))
        .why("Answers have to pass the gateway, which puts the VIP back into them.")
        .holds(format!("[ \"$({ROUTER})\" = {gateway} ]"))
        .run(format!("[ -e {was} ] || {ROUTER} >{was}"))
        .run(format!("route -p add -inet default {gateway}"))
        .run(format!(
            "[ ! -s {was} ] || route -p delete -inet default \"$(cat {was})\""
        ))
        .undo(format!(
            "if [ -e {was} ]; then\n    \
             [ ! -s {was} ] || route -p add -inet default \"$(cat {was})\"\n    \
             route -p delete -inet default {gateway}\n    rm {was}\nfi"
        ))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use crate::realserver::tests::wanted;
    use crate::realserver::{System, commands, plan};

    use super::*;

    /// What is done, or taken back, for these VIPs.
    fn script(system: System, is_undone: bool, vips: &[&str]) -> String {
        let wanted = Wanted {
            system,
            ..wanted(Method::Dr, vips)
        };
        commands(&plan(&wanted).unwrap(), is_undone)
    }

    /// FreeBSD's programs, as far as they are asked here. Whatever is to be kept is in `rc_conf`, one
    /// variable, and the addresses are those in `lo0`.
    const FREEBSD: &str = r#"
rc_conf=unset lo0=
sysrc() {
    case $1 in
    -in) [ "$rc_conf" != unset ] && echo "$rc_conf" ;;
    -x) rc_conf=unset ;;
    *+=* | *-=*) echo "by words" && exit 1 ;;
    *) rc_conf=${1#ifconfig_lo0_aliases=} ;;
    esac
}
ifconfig() {
    case $* in
    lo0) printf "$lo0" ;;
    *" -alias") lo0=$(printf "$lo0" | grep -v " $3 " | sed 's/$/\\n/' | tr -d '\n') ;;
    *) lo0="$lo0 $2 $3 \\n" ;;
    esac
}
"#;

    #[test]
    fn on_freebsd_each_vip_comes_and_goes_without_the_others() {
        let vips = ["10.2.0.100", "10.2.0.101", "2001:db8::100"];
        let [all, one, again] =
            [&vips[..], &vips[..1], &vips[1..2]].map(|vips| script(System::Freebsd, false, vips));
        let [without, all_without] =
            [&vips[..1], &vips[..]].map(|vips| script(System::Freebsd, true, vips));
        let show = "echo \"$rc_conf\"; printf \"$lo0\"; echo .\n";
        let line = format!(
            "{FREEBSD}{all}{again}{show}{without}{without}{show}{one}{all_without}{show}\
             rc_conf='inet 10.9.9.9/32' lo0=\n{all}{all_without}{show}"
        );

        for shell in ["sh", "bash"] {
            let ran = Command::new(shell).args(["-euc", &line]).output().unwrap();

            let said = String::from_utf8(ran.stdout).unwrap();
            assert!(ran.status.success(), "{said}{:?}", ran.stderr);
            assert_eq!(
                said,
                "inet 10.2.0.100 netmask 255.255.255.255 inet 10.2.0.101 netmask 255.255.255.255 \
                 inet6 2001:db8::100 prefixlen 128\n \
                 inet 10.2.0.100 \n inet 10.2.0.101 \n inet6 2001:db8::100 \n.\n\
                 inet 10.2.0.101 netmask 255.255.255.255 inet6 2001:db8::100 prefixlen 128\n \
                 inet 10.2.0.101 \n inet6 2001:db8::100 \n.\n\
                 unset\n.\n\
                 inet 10.9.9.9/32\n.\n"
            );
        }
    }

    #[test]
    fn on_solaris_each_vip_has_a_name_of_its_own() {
        let two = script(System::Solaris, false, &["10.2.0.100", "2001:db8::100"]);
        let undone = script(System::Solaris, true, &["10.2.0.100"]);

        for line in [
            "ipadm show-addr lo0/vip_10_2_0_100 >/dev/null 2>&1 || \
             ipadm create-addr -T static -a 10.2.0.100/32 lo0/vip_10_2_0_100\n",
            "ipadm create-addr -T static -a 2001:db8::100/128 lo0/vip_2001_db8__100\n",
        ] {
            assert!(two.contains(line), "{two}");
        }
        assert!(
            undone.ends_with(
                "! ipadm show-addr lo0/vip_10_2_0_100 >/dev/null 2>&1 || \
                 ipadm delete-addr lo0/vip_10_2_0_100\n"
            ),
            "{undone}"
        );
    }
}

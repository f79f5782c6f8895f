//! What has to be so on a Linux before anything is changed there, unless the operator insists.

use std::net::IpAddr;

use dataplane::service::Method;

use super::Wanted;
use super::linux::{MEMORY, nobody_left};
use super::step::Step;

/// The peers of this ssh session, which sudo conceals, and of others, by IPv4: sshd listens where it likes.
const PEERS: &str = "{ echo \"${SSH_CONNECTION:-}\" | cut -d ' ' -f 1; \
                     { ss -Htn state established sport = :22; \
                     ss -Htnp state established | grep -E '\"(sshd|dropbear)'; } | \
                     sed -E 's/^( *[^ ]+){3} +([^ ]+).*/\\2/'; } \
                     2>/dev/null | sed 's/^\\[::ffff://; s/\\]*:[0-9]*$//' | grep '^[0-9.]*$' | grep .";

/// What would do harm to a server that is not like this.
pub(super) fn steps(wanted: &Wanted) -> Vec<Step> {
    match (wanted.method, wanted.gateway) {
        (Method::Nat, Some(gateway)) => {
            let others = ["vip-dr-*", "vip-tun-*"].map(nobody_left).join(" && ");
            vec![alone(others), answers(gateway), ssh_stays(gateway)]
        }
        (Method::Dr | Method::Tun, _) => vec![alone(nobody_left("vip-nat"))],
        _ => Vec::new(),
    }
}

fn needs(what: String, condition: String, otherwise: &str) -> Step {
    Step::new(what)
        .holds(format!("{{ {condition}; }}"))
        .run(format!("echo '{otherwise}' >&2"))
        .run("exit 1")
}

/// Answers of NAT go by the gateway, those of DR and TUN must not.
fn alone(condition: String) -> Step {
    needs(
        "nat has this server alone, or dr and tun have".to_owned(),
        condition,
        &format!(
            "{MEMORY} has notes of the other: answers of dr and tun want a route of their own (ip route \
             add default via ROUTER table 100; ip rule add from VIP lookup 100). With that, --force"
        ),
    )
}

/// A default route to nobody leaves nothing but the segment.
fn answers(gateway: IpAddr) -> Step {
    needs(
        format!("{gateway} answers"),
        format!(
            "ping -n -c 1 -W 2 {gateway} >/dev/null 2>&1 || ip -4 neigh show to {gateway} nud reachable | \
             grep -q ."
        ),
        "it answers neither ping nor ARP, and would be the default route; --force does it all the same",
    )
}

fn ssh_stays(gateway: IpAddr) -> Step {
    needs(
        "ssh goes on as before".to_owned(),
        format!(
            "! {PEERS} | while read -r peer; do ip -4 route get fibmatch \"$peer\"; done | grep '^default ' | \
             grep -qv '^default via {gateway} '"
        ),
        "an ssh session comes by the default route, and would go on by the gateway: give its client a \
         route of its own, or --force",
    )
}

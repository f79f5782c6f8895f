//! Servers that have the VIP themselves: by DR and by TUN.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};

use dataplane::address::Protocol;
use dataplane::service::Method;

use super::ask::{self, Heard, Replier};
use super::{Visit, unseen, well, wrong};
use crate::linux::ask_arp;
use crate::view::LookView;

/// What a tunnel takes of a packet's room, in bytes.
const TUNNEL: u16 = 20;

/// Sizes that paths are known to have, in bytes, of the packet in the tunnel; what is lost costs
/// time, so from the smallest.
const SIZES: [u16; 6] = [556, 1_260, 1_360, 1_400, 1_440, 1_460];

/// How to be able to look at the VIP.
const NO_CHECK_ADDRESS: &str = "the server has no check address: give `[health]` `check_addresses`, \
                                and the service or server a check with `via = \"vip\"`";

pub(super) fn look(visit: &Visit, address: &Heard) -> Vec<LookView> {
    let mut looks = vec![visit.own_address(address)];
    looks.push(arp(visit));
    let reach = visit.source.zip(visit.check);
    let (Some(_), Some((source, check))) = (visit.service, reach) else {
        let says = match visit.service {
            Some(_) => NO_CHECK_ADDRESS,
            None => "the service is of a mark, which has no VIP to ask at",
        };
        looks.push(unseen("vip", says.to_owned()));
        if visit.method == Method::Tun {
            looks.push(unseen("path_mtu", says.to_owned()));
        }
        return looks;
    };
    looks.push(match visit.protocol() {
        _ if visit.service.is_some_and(|(_, vip)| vip.port() == 0) => unseen(
            "vip",
            "the VIP: the service is of all ports, and none of them is asked".to_owned(),
        ),
        Some(Protocol::Tcp) => tcp(visit, address, source, check),
        Some(Protocol::Udp) => udp(visit, source, check),
        _ => unseen("vip", "the VIP: nothing is asked over SCTP".to_owned()),
    });
    if visit.method == Method::Tun {
        looks.push(path_mtu(visit, source, check));
    }
    looks
}

/// Whether the server answers ARP for the VIP.
fn arp(visit: &Visit) -> LookView {
    let about = "arp";
    let segment = visit.neighbour.as_ref().zip(visit.own);
    let (Some((neighbour, own)), Some(IpAddr::V4(vip)), IpAddr::V4(server)) =
        (segment, visit.vip(), visit.server.ip())
    else {
        let says = "ARP: the server is not on a segment of the gateway's, or has no VIP of IPv4";
        return unseen(about, says.to_owned());
    };
    let host = ask_arp::Host {
        ifindex: neighbour.ifindex,
        mac: neighbour.mac,
        addr: server,
    };
    match ask_arp::ask(host, own, vip) {
        Ok(answers) if answers.address => wrong(
            about,
            format!(
                "the server answers ARP for {vip} with {}: clients and routers go past the gateway",
                neighbour.mac
            ),
            visit.setup(""),
        ),
        Ok(answers) if answers.own => {
            well(about, format!("the server does not answer ARP for {vip}"))
        }
        Ok(_) => {
            let says = format!("ARP: the server answers no question of {own}, not even for itself");
            unseen(about, says)
        }
        Err(error) => unseen(about, format!("ARP: Linux would not ask: {error}")),
    }
}

/// Whether the server takes connections to the VIP.
fn tcp(visit: &Visit, address: &Heard, source: Ipv4Addr, check: Ipv4Addr) -> LookView {
    let about = "vip";
    let Some((_, vip)) = visit.service else {
        return unseen(about, NO_CHECK_ADDRESS.to_owned());
    };
    let heard = ask::connect(Some(source), SocketAddr::from((check, vip.port())));
    match (heard, address) {
        (Heard::Taken, _) => well(about, format!("the server takes connections to {vip}")),
        (Heard::Refused, Heard::Taken) => wrong(
            about,
            format!("the server has {} and refuses port {}, though {} takes connections", vip.ip(), vip.port(), visit.server),
            "bind the service to the VIP or to 0.0.0.0; ss -ltn on the server shows where it listens".to_owned(),
        ),
        (Heard::Refused, _) => wrong(
            about,
            format!("the server has {} and refuses port {}: nobody listens there", vip.ip(), vip.port()),
            "start the service on the server; ss -ltn shows who listens, and where".to_owned(),
        ),
        (Heard::Silence, Heard::Taken | Heard::Refused) => wrong(about, without_vip(visit, vip.ip()), visit.setup("")),
        (Heard::Silence, _) => unseen(
            about,
            format!("the server says nothing at {vip}, nor at its own address: mend that first"),
        ),
        (Heard::Unreachable(why), _) => wrong(
            about,
            format!("the server did not take a connection to {vip}: {why}"),
            visit.setup(""),
        ),
        (Heard::Failed(why), _) => unseen(about, format!("{vip} could not be asked: {why}")),
    }
}

fn without_vip(visit: &Visit, vip: IpAddr) -> String {
    let server = visit.server.ip();
    match visit.method {
        Method::Tun => format!(
            "the server says nothing to packets to {vip} in a tunnel, though {server} answers: it does \
             not take them out (ipip, tunl0), drops them (rp_filter, a firewall) or does not have {vip}"
        ),
        _ => format!(
            "the server says nothing to packets to {vip}, though {server} answers: it does not have \
             {vip}, or a firewall drops them"
        ),
    }
}

/// From where the server answers a datagram to the VIP.
fn udp(visit: &Visit, source: Ipv4Addr, check: Ipv4Addr) -> LookView {
    let about = "udp_source";
    let (Some((_, vip)), Some(own)) = (visit.service, visit.own) else {
        return unseen(about, NO_CHECK_ADDRESS.to_owned());
    };
    let check = SocketAddrV4::new(check, vip.port());
    match ask::datagram((source, own), check, visit.server) {
        Ok(Replier::Asked) => well(
            about,
            format!("the server answers datagrams to {vip} from there"),
        ),
        Ok(Replier::Server) => wrong(
            about,
            format!(
                "the server answers datagrams to {vip} from its own address {}, which clients never asked",
                visit.server.ip()
            ),
            "bind the service to the VIP, not to 0.0.0.0".to_owned(),
        ),
        Err(Heard::Refused) => wrong(
            about,
            format!("nobody listens at {vip} on the server: it answers with ICMP"),
            "bind the service to the VIP; ss -lun on the server shows where it listens".to_owned(),
        ),
        Err(Heard::Unreachable(why)) => wrong(
            about,
            format!("the server did not take a datagram to {vip}: {why}"),
            visit.setup(""),
        ),
        Err(Heard::Failed(why)) => unseen(
            about,
            format!("a datagram to {vip} could not be sent: {why}"),
        ),
        Err(_) => unseen(
            about,
            format!(
                "nothing came back for a question of DNS to {vip}: a service of another kind may be well"
            ),
        ),
    }
}

/// Whether what clients send fits the tunnel.
fn path_mtu(visit: &Visit, source: Ipv4Addr, check: Ipv4Addr) -> LookView {
    let about = "path_mtu";
    let room = visit.mtu.saturating_sub(TUNNEL);
    let fits = |bytes: u16| ask::echo(source, check, bytes) == Heard::Taken;
    if !fits(64) {
        let says = "path MTU: the server does not answer a small echo to the VIP in a tunnel";
        return unseen(about, says.to_owned());
    }
    if fits(room) {
        let says = format!("packets of {} bytes arrive, tunnel and all", visit.mtu);
        return well(about, says);
    }
    let smaller = SIZES.into_iter().filter(|size| *size < room);
    let arrives = smaller.take_while(|size| fits(*size)).last();
    let (least, more) = match arrives {
        Some(size) => (
            format!("those of {} do", size + TUNNEL),
            format!(" --path-mtu {}", size + TUNNEL),
        ),
        None => (
            "only small ones do".to_owned(),
            " --path-mtu 576".to_owned(),
        ),
    };
    wrong(
        about,
        format!(
            "packets of {} bytes, tunnel and all, do not arrive and {least}: uploads hang where \
             clients do not learn of it",
            visit.mtu
        ),
        format!("raise the MTU on the way, or {}", visit.setup(&more)),
    )
}

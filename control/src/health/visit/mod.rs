//! Looks at a real server from the gateway's side for the mistakes that are made when it is set up.
//!
//! ```text
//!   who                 from                to                       for
//!   arp                 the twin            the server's MAC         dr, tun on the twin's segment
//!   vip, path_mtu, udp  the check address   the VIP on the server    dr, tun
//!   address             Linux               the server's own address all
//!   way_back            the check address   the server's own address nat
//! ```
//!
//! What a server is asked goes the ways of checks ([`check_path`](super::check_path)) and of Linux;
//! the packet path has no part in it. What cannot be seen from here is said to be not looked at, and
//! nothing is concluded from it.

mod ask;
mod direct;
mod routed;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use dataplane::address::{MacAddr, Protocol};
use dataplane::service::Method;

use crate::view::LookView;
use ask::Heard;

/// A server on the segment of a twin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Neighbour {
    /// Linux's number for the twin.
    pub ifindex: u32,
    /// Its MAC.
    pub mac: MacAddr,
}

/// What is known of a server that is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Visit {
    /// How packets reach it.
    pub method: Method,
    /// The service's transport, VIP and port; `None` for a mark.
    pub service: Option<(Protocol, SocketAddr)>,
    /// Its own address and port.
    pub server: SocketAddr,
    /// Where it is, if on a segment of the gateway's.
    pub neighbour: Option<Neighbour>,
    /// The gateway's own address on the way to it; `None` without a way.
    pub own: Option<Ipv4Addr>,
    /// The address from which checks come; `None` without `check_addresses`.
    pub source: Option<Ipv4Addr>,
    /// Its check address, behind which is the VIP on it.
    pub check: Option<Ipv4Addr>,
    /// The largest packet that goes to it, in bytes.
    pub mtu: u16,
    /// Whether its address is one of the gateway's.
    pub is_local: bool,
    /// Whether the VIP is on another gateway now: `place = "external"`, and not here.
    pub is_vip_away: bool,
    /// The gateway's address on the server's segment, where it has no other.
    pub only_own: Option<Ipv4Addr>,
}

impl Visit {
    /// Looks at the server; takes some seconds where nobody answers. To be called where waiting
    /// hurts nobody.
    #[must_use]
    pub fn look(&self) -> Vec<LookView> {
        if let Some(says) = self.is_beyond_looking() {
            return vec![unseen("address", says.to_owned())];
        }
        if self.own.is_none() {
            let says = format!(
                "the gateway has no way to {}: no route, no MAC, or no own address on the twin",
                self.server.ip()
            );
            let mend = format!(
                "sluicectl explain, or ip neigh show {} on the gateway",
                self.server.ip()
            );
            return vec![wrong("address", says, mend)];
        }
        let address = ask::connect(None, self.server);
        match self.method {
            Method::Nat => vec![self.own_address(&address), routed::way_back(self, &address)],
            Method::Dr | Method::Tun => direct::look(self, &address),
            _ => vec![self.own_address(&address)],
        }
    }

    /// Why nobody could look at it, if so.
    fn is_beyond_looking(&self) -> Option<&'static str> {
        if self.server.is_ipv6() {
            Some("the server is of IPv6, which this gateway leaves to Linux")
        } else if self.is_local {
            Some("the server is the gateway itself")
        } else {
            None
        }
    }

    /// Whether the server answers at its own address at all. It is asked by TCP; only by NAT and
    /// FULLNAT does the service have to listen there.
    fn own_address(&self, heard: &Heard) -> LookView {
        let about = "address";
        let (server, host) = (self.server, self.server.ip());
        let is_tcp = self.protocol() == Some(Protocol::Tcp) && server.port() != 0;
        let listens_there = is_tcp && !matches!(self.method, Method::Dr | Method::Tun);
        match heard {
            Heard::Taken if is_tcp => well(about, format!("{server} takes connections")),
            Heard::Refused if listens_there => wrong(
                about,
                format!("{server} refuses connections: nobody listens there"),
                "start the service on the server; ss -ltn shows who listens, and where".to_owned(),
            ),
            Heard::Taken | Heard::Refused => well(about, format!("{host} answers")),
            Heard::Silence if is_tcp => wrong(
                about,
                format!("{server} does not answer within 3 s"),
                format!("ping {host} from the gateway; look at the server's firewall"),
            ),
            Heard::Silence => unseen(
                about,
                format!("{host} says nothing to TCP, and the service is not asked that way"),
            ),
            Heard::Unreachable(why) => wrong(
                about,
                format!("{server} cannot be reached: {why}"),
                format!("ip route get {host} on the gateway"),
            ),
            Heard::Failed(why) => unseen(about, format!("{server} could not be asked: {why}")),
        }
    }

    fn protocol(&self) -> Option<Protocol> {
        self.service.map(|(protocol, _)| protocol)
    }

    fn vip(&self) -> Option<IpAddr> {
        self.service.map(|(_, vip)| vip.ip())
    }

    /// The command that sets the server up.
    fn setup(&self, more: &str) -> String {
        let method = self.method;
        let vip = self
            .vip()
            .map_or_else(String::new, |vip| format!(" --vip {vip}"));
        format!("on the server: sluicectl realserver-setup --method {method}{vip}{more} --apply")
    }
}

fn well(about: &str, says: String) -> LookView {
    look(about, "well", says, None)
}

fn wrong(about: &str, says: String, mend: String) -> LookView {
    look(about, "wrong", says, Some(mend))
}

fn unseen(about: &str, says: String) -> LookView {
    look(about, "not_looked_at", says, None)
}

fn look(about: &str, outcome: &str, says: String, mend: Option<String>) -> LookView {
    LookView {
        about: about.to_owned(),
        outcome: outcome.to_owned(),
        says,
        mend,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn visit(server: &str) -> Visit {
        Visit {
            method: Method::Dr,
            service: Some((Protocol::Tcp, "10.1.0.100:80".parse().unwrap())),
            server: server.parse().unwrap(),
            neighbour: None,
            own: Some(Ipv4Addr::LOCALHOST),
            source: None,
            check: None,
            mtu: 1_500,
            is_local: false,
            is_vip_away: false,
            only_own: None,
        }
    }

    fn outcomes(visit: &Visit) -> Vec<(String, String)> {
        let looks = visit.look().into_iter();
        looks.map(|look| (look.about, look.outcome)).collect()
    }

    fn said(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        let owned = |(about, outcome): &(&str, &str)| ((*about).to_owned(), (*outcome).to_owned());
        pairs.iter().map(owned).collect()
    }

    #[test]
    fn nobody_looks_at_ipv6_nor_at_the_gateway_itself() {
        let local = Visit {
            is_local: true,
            own: None,
            ..visit("10.1.0.1:80")
        };

        for visit in [local, visit("[2001:db8::1]:80")] {
            assert_eq!(outcomes(&visit), said(&[("address", "not_looked_at")]));
        }
    }

    #[test]
    fn without_segment_and_check_address_only_the_servers_own_address_is_known() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let dr = visit(&listener.local_addr().unwrap().to_string());
        let nat = Visit {
            method: Method::Nat,
            ..dr.clone()
        };

        let expected = [
            ("address", "well"),
            ("arp", "not_looked_at"),
            ("vip", "not_looked_at"),
        ];
        assert_eq!(outcomes(&dr), said(&expected));
        assert_eq!(
            outcomes(&nat),
            said(&[("address", "well"), ("way_back", "not_looked_at")])
        );
        drop(listener);
        // By DR nobody has to listen there.
        assert_eq!(outcomes(&dr), said(&expected));
        let looks = nat.look();
        assert_eq!(looks[0].outcome, "wrong");
        assert!(
            looks[0].says.contains("refuses connections"),
            "{}",
            looks[0].says
        );
    }

    #[test]
    fn what_failed_here_is_not_held_against_the_server_and_who_is_not_there_is() {
        let heard = |number| Heard::from(std::io::Error::from_raw_os_error(number));
        let mut nat = visit("10.2.0.11:80");
        nat.method = Method::Nat;

        for protocol in [Protocol::Tcp, Protocol::Udp] {
            nat.service = Some((protocol, "10.1.0.100:80".parse().unwrap()));
            let outcome = |number| nat.own_address(&heard(number)).outcome;
            for here in [libc::EADDRNOTAVAIL, libc::EMFILE, libc::ENETUNREACH] {
                assert_eq!(outcome(here), "not_looked_at", "{here}");
            }
            assert_eq!(outcome(libc::EHOSTUNREACH), "wrong");
        }
    }

    #[test]
    fn a_refusal_is_an_answer_where_no_service_of_tcp_has_to_listen() {
        let mut all_ports = visit("10.2.0.11:0");
        all_ports.method = Method::Nat;
        let udp = Visit {
            service: Some((Protocol::Udp, "10.1.0.100:53".parse().unwrap())),
            ..visit("10.2.0.11:53")
        };
        let marked = Visit {
            service: None,
            ..visit("10.2.0.11:80")
        };

        for visit in [all_ports, udp, marked] {
            assert_eq!(visit.own_address(&Heard::Refused).outcome, "well");
            assert_eq!(visit.own_address(&Heard::Silence).outcome, "not_looked_at");
        }
    }

    #[test]
    fn while_the_vip_is_on_another_gateway_the_way_back_is_that_ones() {
        let mut nat = visit("10.2.0.11:80");
        nat.method = Method::Nat;
        nat.source = Some(Ipv4Addr::LOCALHOST);
        nat.is_vip_away = true;

        let look = routed::way_back(&nat, &Heard::Taken);

        assert_eq!(look.outcome, "not_looked_at");
        assert!(look.says.contains("on another gateway"), "{}", look.says);
    }

    #[test]
    fn the_mend_is_a_whole_command() {
        assert_eq!(
            visit("10.2.0.11:80").setup(""),
            "on the server: sluicectl realserver-setup --method dr --vip 10.1.0.100 --apply"
        );
    }
}

//! Looks at a real server from the gateway's side for the mistakes that are made when it is set up.
//!
//! ```text
//!   who                 from                to                       for
//!   arp                 Linux, on the twin  the server's MAC         dr, tun on the twin's segment
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
}

impl Visit {
    /// Looks at the server; takes some seconds where nobody answers. To be called where waiting
    /// hurts nobody.
    #[must_use]
    pub fn look(&self) -> Vec<LookView> {
        if self.own.is_none() {
            let says = format!(
                "the gateway has no way to {}: no route, no MAC, or no own address on the twin",
                self.server.ip()
            );
            let mend = format!(
                "sluicectl explain, or ip neigh get {} on the gateway",
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

    /// Whether the server answers at its own address at all.
    fn own_address(&self, heard: &Heard) -> LookView {
        let server = self.server;
        if self.protocol() == Some(Protocol::Udp) {
            return match heard {
                Heard::Taken | Heard::Refused => {
                    well("address", format!("{} answers", server.ip()))
                }
                _ => unseen(
                    "address",
                    format!("{server} is asked by UDP, and says nothing to TCP"),
                ),
            };
        }
        match heard {
            Heard::Taken => well("address", format!("{server} takes connections")),
            Heard::Refused => wrong(
                "address",
                format!("{server} refuses connections: nobody listens there"),
                "start the service on the server; ss -ltn shows who listens, and where".to_owned(),
            ),
            Heard::Silence => wrong(
                "address",
                format!("{server} does not answer within 3 s"),
                format!(
                    "ping {} from the gateway; look at the server's firewall",
                    server.ip()
                ),
            ),
            Heard::Failed(why) => wrong(
                "address",
                format!("{server} cannot be reached: {why}"),
                format!("ip route get {} on the gateway", server.ip()),
            ),
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

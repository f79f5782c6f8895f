//! The ways from the client to the web server that are compared.

use std::net::{Ipv4Addr, SocketAddrV4};

use testnet::gateway_config::Service;
use testnet::lab::{self, ROUTER_CLIENT_SIDE};
use testnet::{Lab, Method};

/// The client's second address, whose traffic does not pass the gateway in either direction.
pub const DIRECT_CLIENT: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 3);

/// Where the web servers listen.
const HTTP: u16 = 80;

/// A way from the client to the web server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// By the router, without the gateway.
    Direct,
    /// By a VIP.
    Through(Method),
    /// Directly once more: how far two measurements of the same are apart.
    DirectAgain,
}

impl Path {
    /// Those of a round, in its order.
    pub fn round(methods: &[Method]) -> impl Iterator<Item = Self> {
        let through = methods.iter().copied().map(Self::Through);
        [Self::Direct]
            .into_iter()
            .chain(through)
            .chain([Self::DirectAgain])
    }

    /// `direct`, or the method's word in the configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::DirectAgain => "direct again",
            Self::Through(method) => method.name(),
        }
    }

    /// Whom the client asks for `server-N` on `port`.
    #[must_use]
    pub fn target(self, lab: &Lab, number: u8, port: u16) -> SocketAddrV4 {
        match self {
            Self::Through(method) => lab.at(method, port),
            Self::Direct | Self::DirectAgain => {
                SocketAddrV4::new(lab::server_address(number), port)
            }
        }
    }

    /// Whom the client asks for the page of `server-1`.
    #[must_use]
    pub fn page(self, lab: &Lab) -> SocketAddrV4 {
        self.target(lab, 1, HTTP)
    }

    /// What nginx on `server-1` answers on this way: its name, the client it sees, and the
    /// address it was reached at. A packet that took another way would give another answer.
    #[must_use]
    pub fn expected_answer(self, lab: &Lab) -> String {
        let server = lab::server_address(1);
        let (client, reached) = match self {
            Self::Direct | Self::DirectAgain => (DIRECT_CLIENT, server),
            Self::Through(method) => {
                let client = lab.expected_source(method, lab.client().address());
                let kept = !method.sees_replies();
                (client, if kept { lab.vip(method) } else { server })
            }
        };
        format!("server-1 {client} {reached}:{HTTP}\n")
    }
}

/// The method of this name, for options.
///
/// # Errors
///
/// When there is none, with those there are.
pub fn method_named(name: &str) -> Result<Method, String> {
    let found = Method::ALL.into_iter().find(|method| method.name() == name);
    found.ok_or_else(|| "the methods are dr, nat, tun and fullnat".to_owned())
}

/// Gives the client its second address and both sides a route by the router for it. Servers send
/// everything else to the gateway, as NAT needs.
pub fn open_direct_way(lab: &Lab) {
    let client = lab.client().namespace();
    client.ip(&format!("addr add {DIRECT_CLIENT}/24 dev eth0"));
    let servers = lab::server_address(0);
    client.ip(&format!(
        "route add {}/24 via {ROUTER_CLIENT_SIDE} src {DIRECT_CLIENT}",
        Ipv4Addr::from(u32::from(servers) & 0xffff_ff00)
    ));
    for server in lab.servers() {
        // The table of DR's and TUN's answers, which leave by the router too.
        let rule = format!("rule add to {DIRECT_CLIENT} lookup 100");
        server.namespace().ip(&rule);
    }
}

/// The service by which clients reach the page of `server-1` alone.
#[must_use]
pub fn page_service(lab: &Lab, method: Method) -> Service {
    Service {
        vip: lab.vip(method),
        port: HTTP,
        protocol: "tcp",
        scheduler: "rr",
        method,
        servers: vec![(lab::server_address(1), HTTP, 1)],
    }
}

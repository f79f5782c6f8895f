//! A template in terms that mean the same outside of the table.

use std::net::{IpAddr, Ipv4Addr};

use super::Virtual;
use super::shard::{Entry, Standing};
use crate::address::{Address, Endpoint};
use crate::id::ServerSlot;
use crate::time::Tick;

/// A template as listings show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateRecord {
    /// The IP protocol number; 0 for a mark's.
    pub protocol: u8,
    /// The client's address under the netmask; its port is 0.
    pub client: IpAddr,
    /// VIP and port; a mark's template has the mark as an address and port 0. One that is never
    /// found again, since its server takes nobody any more, has port 65535.
    pub virtual_endpoint: Endpoint<IpAddr>,
    /// The server's address and, if the template is of one port, its port (else 0; 65535 as above).
    pub server: Endpoint<IpAddr>,
    /// The server's place in the snapshot.
    pub server_slot: ServerSlot,
    /// Ticks until it ends or, with sessions left, goes on.
    pub expires_in_ticks: u32,
    /// Whether one of its sessions has proven itself (`ASSURED`, else `NONE`).
    pub is_assured: bool,
    /// Its sessions.
    pub children: u32,
}

/// A template as it stands at `now`.
pub(super) fn record<A: Address>(entry: &Entry<A>, now: Tick) -> TemplateRecord {
    let (protocol, vip) = match entry.key.of {
        Virtual::Address(protocol, vip) => {
            (protocol as u8, Endpoint::new(vip.addr.to_ip(), vip.port))
        }
        Virtual::Mark(mark) => {
            let as_address = IpAddr::V4(Ipv4Addr::from_bits(mark));
            (0, Endpoint::new(as_address, 0))
        }
    };
    let shown = |port| match entry.standing {
        Standing::Outcast => u16::MAX,
        Standing::Listed | Standing::Vacant => port,
    };
    TemplateRecord {
        protocol,
        client: entry.key.client.to_ip(),
        virtual_endpoint: Endpoint::new(vip.addr, shown(vip.port)),
        server: Endpoint::new(entry.server_end.addr.to_ip(), shown(entry.server_end.port)),
        server_slot: entry.server,
        expires_in_ticks: entry.timer.left(now),
        is_assured: entry.is_assured,
        children: entry.children,
    }
}

//! Asks one host by ARP whether it answers for an address, by Linux's own neighbour table.
//!
//! An entry in the state "probe" has Linux ask the MAC that is in it, and nobody else, three times a
//! second apart. With an answer the entry becomes reachable, without one it fails. It is removed
//! afterwards. That the address may be one of Linux's own does not matter to the table.

use std::io;
use std::net::Ipv4Addr;
use std::thread;
use std::time::{Duration, Instant};

use dataplane::address::MacAddr;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_REPLACE};
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use parking_lot::Mutex;

use super::netlink::RouteSocket;

/// Three requests, and time to spare.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often the entry is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// An address has one entry on an interface, so one host is asked at a time.
static TURN: Mutex<()> = Mutex::new(());

/// Whether the host with this MAC, on the interface, answers ARP for `address`. Takes three seconds
/// when it does not.
///
/// # Errors
///
/// What the kernel answers; `EPERM` without `CAP_NET_ADMIN`.
pub fn answers(ifindex: u32, address: Ipv4Addr, mac: MacAddr) -> io::Result<bool> {
    let _turn = TURN.lock();
    let mut socket = RouteSocket::open()?;
    let mut asking = message(ifindex, address);
    asking.header.state = NeighbourState::Probe;
    let link = NeighbourAttribute::LinkLayerAddress(mac.0.to_vec());
    asking.attributes.push(link);
    let asking = RouteNetlinkMessage::NewNeighbour(asking);
    socket.change(asking, NLM_F_CREATE | NLM_F_REPLACE)?;
    let answered = wait(&mut socket, ifindex, address);
    let forgetting = RouteNetlinkMessage::DelNeighbour(message(ifindex, address));
    // One that has failed may be gone already.
    let _gone = socket.change(forgetting, 0);
    answered
}

fn wait(socket: &mut RouteSocket, ifindex: u32, address: Ipv4Addr) -> io::Result<bool> {
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until {
        let question = RouteNetlinkMessage::GetNeighbour(message(ifindex, address));
        match socket.get(question) {
            Ok(Some(RouteNetlinkMessage::NewNeighbour(entry))) => match entry.header.state {
                NeighbourState::Reachable => return Ok(true),
                NeighbourState::Failed => return Ok(false),
                _ => {}
            },
            Ok(_) => {}
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => return Ok(false),
            Err(error) => return Err(error),
        }
        thread::sleep(LOOK);
    }
    Ok(false)
}

fn message(ifindex: u32, address: Ipv4Addr) -> NeighbourMessage {
    let mut message = NeighbourMessage::default();
    message.header.ifindex = ifindex;
    message.header.family = AddressFamily::Inet;
    let destination = NeighbourAddress::Inet(address);
    let destination = NeighbourAttribute::Destination(destination);
    message.attributes.push(destination);
    message
}

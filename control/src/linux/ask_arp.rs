//! Asks one host by ARP whether it answers for an address, in frames of its own.
//!
//! Linux would choose the sender, and may choose the very address that is asked for, if that is one
//! of its own: hosts drop such a question. Linux's neighbour table has no part in it.
//!
//! ```text
//!   0     6         12    14                22        28      32  38      42     60
//!   | mac | twin's  | 0806 | 1 0800 6 4 op=1 | twin's  | sender | 0 | target | pad |
//! ```

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use dataplane::address::MacAddr;
use nix::ifaddrs::getifaddrs;
use nix::sys::socket::{LinkAddr, bind};
use socket2::{Domain, Protocol, Socket, Type};

/// How often an address is asked for, and how long each answer may take.
const QUESTIONS: usize = 3;
const PATIENCE: Duration = Duration::from_secs(1);

/// How long one look for a frame waits.
const LOOK: Duration = Duration::from_millis(20);

const ETHERTYPE: [u8; 2] = [0x08, 0x06];

/// Ethernet and IPv4 with the lengths of their addresses (RFC 826).
const KIND: [u8; 6] = [0, 1, 0x08, 0x00, 6, 4];

/// A host on the segment of an interface.
#[derive(Clone, Copy, Debug)]
pub struct Host {
    /// Linux's number for the interface.
    pub ifindex: u32,
    /// The host's MAC.
    pub mac: MacAddr,
    /// The host's own address.
    pub addr: Ipv4Addr,
}

/// For which addresses a host answers ARP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Answers {
    /// Its own one.
    pub own: bool,
    /// The one in question.
    pub address: bool,
}

/// Whether a host answers ARP for `address`, asked by `sender`; takes three seconds when it does
/// not.
///
/// # Errors
///
/// What the kernel answers; `EPERM` without `CAP_NET_RAW`.
pub fn ask(host: Host, sender: Ipv4Addr, address: Ipv4Addr) -> io::Result<Answers> {
    let link = link(host.ifindex)?;
    let twin = MacAddr(link.addr().unwrap_or_default());
    let protocol = i32::from(u16::from_ne_bytes(ETHERTYPE));
    let socket = Socket::new(Domain::PACKET, Type::RAW, Some(Protocol::from(protocol)))?;
    bind(socket.as_raw_fd(), &link)?;
    socket.set_read_timeout(Some(LOOK))?;
    let mut answers = Answers::default();
    for _ in 0..QUESTIONS {
        for target in [host.addr, address] {
            socket.send(&question((twin, sender), host.mac, target))?;
        }
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until && !answers.address {
            match answer(&socket, host.mac)? {
                Some(addr) if addr == address => answers.address = true,
                Some(addr) if addr == host.addr => answers.own = true,
                _ => {}
            }
        }
        if answers.address {
            break;
        }
    }
    Ok(answers)
}

/// The address of an interface's link, as sockets want it.
fn link(ifindex: u32) -> io::Result<LinkAddr> {
    let links = getifaddrs()?.filter_map(|it| it.address?.as_link_addr().copied());
    let mut links = links.filter(|link| u32::try_from(link.ifindex()) == Ok(ifindex));
    links.next().ok_or_else(|| io::ErrorKind::NotFound.into())
}

/// For which address a host has answered, if it has.
fn answer(socket: &Socket, mac: MacAddr) -> io::Result<Option<Ipv4Addr>> {
    let mut frame = [0; 128];
    match io::Read::read(&mut &*socket, &mut frame) {
        Ok(len) => Ok(answered(frame.get(..len).unwrap_or_default(), mac)),
        Err(error) => match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted => {
                Ok(None)
            }
            _ => Err(error),
        },
    }
}

fn question((twin, sender): (MacAddr, Ipv4Addr), to: MacAddr, target: Ipv4Addr) -> Vec<u8> {
    let mut frame = Vec::with_capacity(60);
    frame.extend(to.0);
    frame.extend(twin.0);
    frame.extend(ETHERTYPE);
    frame.extend(KIND);
    frame.extend([0, 1]);
    frame.extend(twin.0);
    frame.extend(sender.octets());
    frame.extend([0; 6]);
    frame.extend(target.octets());
    frame.resize(60, 0);
    frame
}

fn answered(frame: &[u8], mac: MacAddr) -> Option<Ipv4Addr> {
    let is_answer = frame.get(12..14)? == ETHERTYPE
        && frame.get(14..20)? == KIND
        && frame.get(20..22)? == [0, 2]
        && frame.get(22..28)? == mac.0;
    let addr: [u8; 4] = frame.get(28..32)?.try_into().ok()?;
    is_answer.then(|| addr.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWIN: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
    const HOST: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);
    const OWN: Ipv4Addr = Ipv4Addr::new(10, 2, 0, 1);
    const VIP: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);

    #[test]
    fn the_sender_is_who_was_named_and_only_the_host_is_asked() {
        let mut expected = vec![
            2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1, //
            2, 0, 0, 0, 0, 1, 10, 2, 0, 1, 0, 0, 0, 0, 0, 0, 198, 51, 100, 7,
        ];
        expected.resize(60, 0);
        assert_eq!(question((TWIN, OWN), HOST, VIP), expected);
    }

    #[test]
    fn an_answer_of_that_host_is_one_and_nothing_else_is() {
        let mut frame = question((HOST, VIP), TWIN, OWN);
        assert_eq!(answered(&frame, HOST), None, "a question");
        frame[21] = 2;
        assert_eq!(answered(&frame, HOST), Some(VIP));
        assert_eq!(answered(&frame, TWIN), None, "another host");
        assert_eq!(answered(&frame[..31], HOST), None, "cut");
    }
}

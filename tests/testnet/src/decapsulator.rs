//! Takes the outer header off IP-in-IP packets (RFC 2003), as a real server of the TUN method
//! must, where the kernel has no `ipip` module.
//!
//! ```text
//!   wire:   [ outer IPv4, protocol 4 ][ inner IPv4 ][ TCP ... ]
//!                 raw socket 4 ──►     [ inner IPv4 ][ TCP ... ]  ──► raw socket ──► loopback
//! ```
//!
//! The inner packet is sent to its own destination. That is an address of this host, so it comes
//! in again over the loopback and meets the server's socket with the client's address as sender.
//! Only packets to the given VIPs are let in: this must not become a way to spoof.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt::RcvBufForce};
use socket2::{Domain, Protocol, Socket, Type};

use crate::namespace::Namespace;

/// IP in IP, RFC 2003 §3.
const IPIP: i32 = 4;
/// A raw socket of this protocol only sends, and brings its own IP header.
const RAW: i32 = 255;
/// Room for a burst at full speed while this thread waits for a core.
const RECEIVE_BYTES: usize = 8 << 20;

/// The two sockets between which packets lose their outer header.
#[derive(Debug)]
pub struct Sockets {
    outer: Socket,
    inner: Socket,
    vips: Vec<Ipv4Addr>,
}

impl Sockets {
    /// Opens the sockets in the network namespace of the calling thread, for packets to `vips`.
    ///
    /// # Errors
    ///
    /// When the kernel refuses raw sockets, which need `CAP_NET_RAW`.
    pub fn open(vips: &[Ipv4Addr]) -> io::Result<Self> {
        let outer = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(IPIP)))?;
        setsockopt(&outer, RcvBufForce, &RECEIVE_BYTES)?;
        outer.set_read_timeout(Some(Duration::from_millis(100)))?;
        let inner = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(RAW)))?;
        Ok(Self {
            outer,
            inner,
            vips: vips.to_vec(),
        })
    }

    /// Moves one packet. `Ok(false)` when none came in time, or it was not for a VIP.
    ///
    /// # Errors
    ///
    /// When receiving fails for another reason than time.
    pub fn turn(&self, buffer: &mut [u8]) -> io::Result<bool> {
        let length = match io::Read::read(&mut &self.outer, buffer) {
            Ok(length) => length,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                return Ok(false);
            }
            Err(error) => return Err(error),
        };
        let Some((packet, destination)) = inner_packet(&buffer[..length]) else {
            return Ok(false);
        };
        if !self.vips.contains(&destination) {
            return Ok(false);
        }
        let to = SocketAddrV4::new(destination, 0).into();
        // A full loopback queue loses the packet, as a full NIC would.
        Ok(self.inner.send_to(packet, &to).is_ok())
    }
}

/// The packet inside an IPv4 packet and its destination, when it is a whole IPv4 packet with a
/// right header checksum. (The kernel fills in the checksum of what raw sockets send, so a wrong
/// one has to be found here or never.)
fn inner_packet(outer: &[u8]) -> Option<(&[u8], Ipv4Addr)> {
    let header_bytes = usize::from(outer.first()? & 0x0f) * 4;
    let inner = outer.get(header_bytes..)?;
    let (fixed, _) = inner.split_first_chunk::<20>()?;
    let inner_header_bytes = usize::from(fixed[0] & 0x0f) * 4;
    let total_bytes = usize::from(u16::from_be_bytes([fixed[2], fixed[3]]));
    let header = inner.get(..inner_header_bytes)?;
    let right = fixed[0] >> 4 == 4 && ones_complement_sum(header) == 0xffff;
    let destination = Ipv4Addr::from([fixed[16], fixed[17], fixed[18], fixed[19]]);
    Some((inner.get(..total_bytes)?, destination)).filter(|_| right)
}

/// RFC 1071: over a header with its checksum in place the sum is all ones.
fn ones_complement_sum(bytes: &[u8]) -> u32 {
    let words = bytes
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | pair.get(1).copied().map_or(0, u32::from));
    let sum: u32 = words.sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    (folded & 0xffff) + (folded >> 16)
}

/// A decapsulator at work on a thread of its own.
#[derive(Debug)]
pub struct Decapsulator {
    stop: Arc<AtomicBool>,
    packets: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Decapsulator {
    /// Starts one on `host` for packets to `vips`.
    ///
    /// # Panics
    ///
    /// When the sockets cannot be opened.
    #[must_use]
    pub fn start(host: &Namespace, vips: &[Ipv4Addr]) -> Self {
        let sockets = host.inside(|| Sockets::open(vips).expect("root may open raw sockets"));
        let stop = Arc::new(AtomicBool::new(false));
        let packets = Arc::new(AtomicU64::new(0));
        let (stopped, counted) = (Arc::clone(&stop), Arc::clone(&packets));
        let thread = thread::spawn(move || {
            let mut buffer = vec![0; 1 << 16];
            while !stopped.load(Ordering::Relaxed) {
                let moved = sockets
                    .turn(&mut buffer)
                    .expect("the raw socket stays open");
                counted.fetch_add(u64::from(moved), Ordering::Relaxed);
            }
        });
        Self {
            stop,
            packets,
            thread: Some(thread),
        }
    }

    /// How many packets lost their outer header here.
    #[must_use]
    pub fn packets(&self) -> u64 {
        self.packets.load(Ordering::Relaxed)
    }
}

impl Drop for Decapsulator {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 20 bytes of outer header, then an inner header to 10.1.0.103 with a right checksum.
    fn packet() -> Vec<u8> {
        let mut outer = vec![0x45; 20];
        let mut inner = vec![
            0x45, 0, 0, 24, 0, 1, 0x40, 0, 64, 17, 0, 0, 10, 1, 0, 2, 10, 1, 0, 103, 1, 2, 3, 4,
        ];
        let sum = !ones_complement_sum(&inner[..20]);
        inner[10..12].copy_from_slice(&sum.to_be_bytes()[2..]);
        outer.extend(inner);
        outer
    }

    #[test]
    fn the_inner_packet_is_found_behind_the_outer_header_and_padding_is_cut() {
        let mut padded = packet();
        padded.extend([0; 6]);

        let (inner, destination) = inner_packet(&padded).expect("it is whole");

        assert_eq!(inner, &packet()[20..]);
        assert_eq!(destination, Ipv4Addr::new(10, 1, 0, 103));
    }

    #[test]
    fn a_wrong_inner_checksum_or_a_cut_packet_is_refused() {
        let mut wrong = packet();
        wrong[20 + 8] -= 1;
        assert_eq!(inner_packet(&wrong), None);
        let whole = packet();
        for length in 0..whole.len() {
            assert_eq!(inner_packet(&whole[..length]), None, "{length} bytes");
        }
    }
}

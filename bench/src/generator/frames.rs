//! Frames computed from a number: which flow, in which order, with which headers.
//!
//! A flow's number is mixed by a multiplication that maps numbers one to one, so that flows next
//! to each other in number share neither client nor port, and none comes twice.

use dataplane::address::{Endpoint, Protocol, V4};
use dataplane::id::WorkerId;
use dataplane::steering::Steering;
use dataplane::testing::{tcp, udp};
use dataplane::wire::checksum::Change;

/// Bits of a flow's number that tell flows apart.
const FLOW_BITS: u32 = 38;

/// The low bits of a mixed number that become the client's port.
const PORT_BITS: u32 = 15;

/// Clients are 11.0.0.0–11.127.255.255.
const FIRST_CLIENT: u32 = 0x0b00_0000;

/// Odd, so that multiplying by it modulo 2^38 can be undone.
const MIXER: u64 = 0x9e37_79b9_7f4a_7c15;

/// Where things stand in a frame without tag and without options.
const IP_CHECKSUM: usize = 24;
const SOURCE_ADDR: usize = 26;
const DESTINATION_ADDR: usize = 30;
const SOURCE_PORT: usize = 34;
const DESTINATION_PORT: usize = 36;
const UDP_CHECKSUM: usize = 40;
const TCP_CHECKSUM: usize = 50;

/// The frame of 64 bytes, without the four of the frame check sequence.
pub(super) const FRAME_LEN: usize = 60;

/// Makes frames.
pub(super) trait Frames: Send + 'static {
    /// Bytes of every frame.
    const LEN: usize = FRAME_LEN;

    /// Writes the next frame into `frame`, which is [`Self::LEN`] bytes long.
    fn write_next(&mut self, frame: &mut [u8]);
}

/// The client of a flow.
pub(super) const fn client_of(flow: u64) -> Endpoint<V4> {
    let mixed = flow.wrapping_mul(MIXER) & ((1 << FLOW_BITS) - 1);
    let port = 1_024 + (mixed & ((1 << PORT_BITS) - 1)) as u16;
    Endpoint::new(V4(FIRST_CLIENT + (mixed >> PORT_BITS) as u32), port)
}

/// In which order flows come.
pub(super) enum Order {
    /// Any of the first `flows`, at random.
    Random { flows: u64, dice: u64 },
    /// One after the other, from `next` on.
    Ascending { next: u64 },
    /// 70 of 100 packets at random among the first `flows`, 30 each of a flow of its own.
    Mixed { flows: u64, dice: u64, next: u64 },
    /// Those of another order that one worker owns.
    Owned { among: Box<Self>, owner: Owner },
}

/// One of several workers, by the sessions that are its own where no ethdev steers packets.
#[derive(Clone, Copy)]
pub(super) struct Owner {
    pub(super) workers: u16,
    pub(super) worker: WorkerId,
    pub(super) protocol: Protocol,
}

impl Owner {
    /// Whether a flow is its own.
    #[inline]
    pub(super) fn owns(&self, flow: u64) -> bool {
        let steering = Steering::Software {
            workers: self.workers,
        };
        steering.client_owner_software(self.protocol, client_of(flow)) == self.worker
    }
}

impl Order {
    pub(super) const fn random(flows: u64) -> Self {
        Self::Random {
            flows,
            dice: 0x243f_6a88_85a3_08d3,
        }
    }

    /// New flows come behind the first `flows`.
    pub(super) const fn mixed(flows: u64) -> Self {
        Self::Mixed {
            flows,
            dice: 0x243f_6a88_85a3_08d3,
            next: flows,
        }
    }

    #[inline]
    fn next(&mut self) -> u64 {
        match self {
            Self::Random { flows, dice } => below(*flows, dice),
            Self::Ascending { next } => {
                *next += 1;
                *next - 1
            }
            Self::Mixed { flows, dice, next } => {
                if below(10, dice) < 7 {
                    return below(*flows, dice);
                }
                *next += 1;
                *next - 1
            }
            Self::Owned { among, owner } => loop {
                let flow = among.next();
                if owner.owns(flow) {
                    return flow;
                }
            },
        }
    }
}

/// A number below `limit`, which fits 32 bits (xorshift64*).
#[inline]
fn below(limit: u64, dice: &mut u64) -> u64 {
    *dice ^= *dice >> 12;
    *dice ^= *dice << 25;
    *dice ^= *dice >> 27;
    ((dice.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) * limit) >> 32
}

/// What clients send.
pub(super) struct Requests {
    template: [u8; FRAME_LEN],
    order: Order,
    checksum_at: usize,
    /// Where the number of the flow is written, if it is.
    number_at: Option<usize>,
}

/// Which TCP segment: of a flow that begins, or of one that goes on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Segment {
    Syn,
    Ack,
}

impl Requests {
    pub(super) fn new(
        protocol: Protocol,
        segment: Segment,
        mac: [u8; 6],
        vip: Endpoint<V4>,
        order: Order,
    ) -> Self {
        let source = Endpoint::new(V4(0), 0);
        let template = template(protocol, segment, mac, source, vip);
        Self {
            template,
            order,
            checksum_at: checksum_at(protocol),
            number_at: None,
        }
    }

    /// Writes the flow's number into the last six bytes. Checksums are then wrong, which the
    /// gateway neither sees nor mends.
    pub(super) const fn numbered(mut self) -> Self {
        self.number_at = Some(FRAME_LEN - 6);
        self
    }
}

/// The number that [`Requests::numbered`] wrote, when the frame still ends where it did.
pub(super) fn number_of(frame: &[u8]) -> Option<u64> {
    let number: &[u8; 6] = frame.last_chunk()?;
    let [a, b, c, d, e, f] = *number;
    Some(u64::from_be_bytes([0, 0, a, b, c, d, e, f]))
}

impl Frames for Requests {
    #[inline]
    fn write_next(&mut self, frame: &mut [u8]) {
        let Some(frame) = frame.first_chunk_mut::<FRAME_LEN>() else {
            return;
        };
        let flow = self.order.next();
        *frame = self.template;
        let client = client_of(flow);
        replace(frame, SOURCE_ADDR, self.checksum_at, client);
        if let Some(at) = self.number_at {
            frame[at..at + 6].copy_from_slice(&flow.to_be_bytes()[2..]);
        }
    }
}

/// What servers send: to the flows' local ends, from the flows' servers.
pub(super) struct Replies {
    template: [u8; FRAME_LEN],
    order: Order,
    checksum_at: usize,
    /// Server and local end by flow.
    ends: std::sync::Arc<Vec<(Endpoint<V4>, Endpoint<V4>)>>,
}

impl Replies {
    pub(super) fn new(
        protocol: Protocol,
        mac: [u8; 6],
        order: Order,
        ends: std::sync::Arc<Vec<(Endpoint<V4>, Endpoint<V4>)>>,
    ) -> Self {
        let nobody = Endpoint::new(V4(0), 0);
        let mut template = template(protocol, Segment::Ack, mac, nobody, nobody);
        template[6] = 2;
        Self {
            template,
            order,
            checksum_at: checksum_at(protocol),
            ends,
        }
    }
}

impl Frames for Replies {
    #[inline]
    fn write_next(&mut self, frame: &mut [u8]) {
        let Some(frame) = frame.first_chunk_mut::<FRAME_LEN>() else {
            return;
        };
        let flow = usize::try_from(self.order.next()).unwrap_or(0);
        let Some((server, local)) = self.ends.get(flow) else {
            return;
        };
        *frame = self.template;
        replace(frame, SOURCE_ADDR, self.checksum_at, *server);
        replace(frame, DESTINATION_ADDR, self.checksum_at, *local);
    }
}

/// Requests and replies in turn.
pub(super) struct Both {
    pub(super) requests: Requests,
    pub(super) replies: Replies,
    pub(super) reply_next: bool,
}

impl Frames for Both {
    #[inline]
    fn write_next(&mut self, frame: &mut [u8]) {
        self.reply_next = !self.reply_next;
        if self.reply_next {
            self.requests.write_next(frame);
        } else {
            self.replies.write_next(frame);
        }
    }
}

/// Any of the sources, so that one case needs one kind of I/O.
pub(super) enum AnyFrames {
    Requests(Requests),
    Replies(Replies),
    Both(Both),
}

impl Frames for AnyFrames {
    #[inline]
    fn write_next(&mut self, frame: &mut [u8]) {
        match self {
            Self::Requests(frames) => frames.write_next(frame),
            Self::Replies(frames) => frames.write_next(frame),
            Self::Both(frames) => frames.write_next(frame),
        }
    }
}

const fn checksum_at(protocol: Protocol) -> usize {
    match protocol {
        Protocol::Udp => UDP_CHECKSUM,
        Protocol::Tcp | Protocol::Sctp => TCP_CHECKSUM,
    }
}

/// A frame between these ends, with right checksums.
fn template(
    protocol: Protocol,
    segment: Segment,
    mac: [u8; 6],
    from: Endpoint<V4>,
    to: Endpoint<V4>,
) -> [u8; FRAME_LEN] {
    // What is left of 60 bytes behind Ethernet, IP and the transport.
    let frame = match (protocol, segment) {
        (Protocol::Udp, _) => udp().from(from).to(to).payload(&[0; 18]).build(),
        (_, Segment::Syn) => tcp().syn().from(from).to(to).payload(&[0; 6]).build(),
        (_, Segment::Ack) => tcp().from(from).to(to).payload(&[0; 6]).build(),
    };
    let mut template = [0; FRAME_LEN];
    template.copy_from_slice(&frame);
    template[..6].copy_from_slice(&mac);
    template
}

/// Writes an end whose address stands at `addr_at`, which was all zeros, with both checksums.
#[inline]
fn replace(frame: &mut [u8; FRAME_LEN], addr_at: usize, checksum_at: usize, end: Endpoint<V4>) {
    let port_at = match addr_at {
        SOURCE_ADDR => SOURCE_PORT,
        _ => DESTINATION_PORT,
    };
    let address = Change::default().u32(0, end.addr.0);
    carry_over(frame, IP_CHECKSUM, address);
    carry_over(frame, checksum_at, address.u16(0, end.port));
    frame[addr_at..addr_at + 4].copy_from_slice(&end.addr.octets());
    frame[port_at..port_at + 2].copy_from_slice(&end.port.to_be_bytes());
}

#[inline]
fn carry_over(frame: &mut [u8; FRAME_LEN], at: usize, change: Change) {
    let old = u16::from_be_bytes([frame[at], frame[at + 1]]);
    frame[at..at + 2].copy_from_slice(&change.apply(old).to_be_bytes());
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    const VIP: Endpoint<V4> = Endpoint::new(V4(0x0a01_0064), 80);

    #[test]
    fn no_client_comes_twice() {
        let clients: HashSet<_> = (0..200_000)
            .map(client_of)
            .map(|end| (end.addr, end.port))
            .collect();

        assert_eq!(clients.len(), 200_000);
    }

    #[test]
    fn a_frame_is_what_the_builder_would_build() {
        for (protocol, segment) in [
            (Protocol::Udp, Segment::Ack),
            (Protocol::Tcp, Segment::Syn),
            (Protocol::Tcp, Segment::Ack),
        ] {
            let order = Order::Ascending { next: 77 };
            let mut requests = Requests::new(protocol, segment, [2; 6], VIP, order);
            let mut frame = [0; FRAME_LEN];

            requests.write_next(&mut frame);

            assert_eq!(
                frame,
                template(protocol, segment, [2; 6], client_of(77), VIP)
            );
        }
    }

    #[test]
    fn random_flows_stay_below_their_number_and_reach_all() {
        let mut order = Order::random(100);

        let seen: HashSet<_> = (0..5_000).map(|_| order.next()).collect();

        assert_eq!(seen, (0..100).collect());
    }

    #[test]
    fn what_two_workers_own_is_everything_once() {
        let flows_of = |worker| {
            let owner = Owner {
                workers: 2,
                worker: WorkerId(worker),
                protocol: Protocol::Udp,
            };
            let among = Box::new(Order::Ascending { next: 0 });
            let mut order = Order::Owned { among, owner };
            let flows = std::iter::from_fn(move || Some(order.next()));
            flows.take_while(|flow| *flow < 1_000)
        };

        let mut flows: Vec<_> = flows_of(0).chain(flows_of(1)).collect();

        assert!((400..600).contains(&flows_of(0).count()));
        flows.sort_unstable();
        assert_eq!(flows, (0..1_000).collect::<Vec<_>>());
    }
}

//! Asks the kernel over rtnetlink, one question at a time.
//!
//! The kernel works on a request inside `send` and has queued its answer when `send` returns, so
//! a plain blocking socket never waits for anybody else. The socket belongs to the network
//! namespace of the thread that opened it, whatever thread uses it later.

use std::io;

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NetlinkBuffer, NetlinkMessage,
    NetlinkPayload,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};

/// The largest piece of a dump the kernel sends at once, with room to spare.
const RECEIVE_BUFFER_BYTES: usize = 64 * 1024;

/// How often a dump is begun again because the kernel's table changed under it; after that the
/// last one is taken as it is.
const DUMP_ATTEMPTS: usize = 8;

/// A socket for rtnetlink requests.
#[derive(Debug)]
pub struct RouteSocket {
    socket: Socket,
    sequence: u32,
    buffer: Vec<u8>,
}

impl RouteSocket {
    /// Opens a socket in the calling thread's network namespace.
    ///
    /// # Errors
    ///
    /// Passes on what the kernel answers.
    pub fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        Ok(Self {
            socket,
            sequence: 0,
            buffer: Vec::with_capacity(RECEIVE_BUFFER_BYTES),
        })
    }

    /// As [`Self::open`], and dumps are of what the question names only (a table, a protocol).
    /// Kernels before 4.20 cannot do that and answer with all there is.
    ///
    /// # Errors
    ///
    /// Passes on what the kernel answers.
    pub fn open_strict() -> io::Result<Self> {
        let opened = Self::open()?;
        match opened.socket.set_netlink_get_strict_chk(true) {
            Err(error) if error.raw_os_error() != Some(libc::ENOPROTOOPT) => Err(error),
            _ => Ok(opened),
        }
    }

    /// Asks for a change and waits for the acknowledgement.
    ///
    /// `flags` are added to `NLM_F_REQUEST | NLM_F_ACK`.
    ///
    /// # Errors
    ///
    /// The kernel's refusal, as the error number it gave.
    pub fn change(&mut self, message: RouteNetlinkMessage, flags: u16) -> io::Result<()> {
        self.send(message, NLM_F_REQUEST | NLM_F_ACK | flags)?;
        self.collect(&mut |_| ()).map(drop)
    }

    /// Asks for one object.
    ///
    /// # Errors
    ///
    /// The kernel's refusal, as the error number it gave; `ENOENT` or `ENODEV` when there is no
    /// such object.
    pub fn get(&mut self, message: RouteNetlinkMessage) -> io::Result<Option<RouteNetlinkMessage>> {
        let mut found = None;
        self.send(message, NLM_F_REQUEST | NLM_F_ACK)?;
        self.collect(&mut |answer| found = Some(answer))?;
        Ok(found)
    }

    /// Asks for all objects of a kind. A dump the kernel calls inconsistent is begun again.
    ///
    /// # Errors
    ///
    /// The kernel's refusal, as the error number it gave.
    pub fn dump(&mut self, message: RouteNetlinkMessage) -> io::Result<Vec<RouteNetlinkMessage>> {
        let mut found = Vec::new();
        for _ in 0..DUMP_ATTEMPTS {
            found.clear();
            self.send(message.clone(), NLM_F_REQUEST | NLM_F_DUMP)?;
            if self.collect(&mut |answer| found.push(answer))? == Consistency::Whole {
                break;
            }
        }
        Ok(found)
    }

    fn send(&mut self, message: RouteNetlinkMessage, flags: u16) -> io::Result<()> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut message = NetlinkMessage::from(message);
        message.header.flags = flags;
        message.header.sequence_number = self.sequence;
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        self.socket.send(&bytes, 0).map(drop)
    }

    /// Reads answers until the one that ends them.
    fn collect(&mut self, each: &mut dyn FnMut(RouteNetlinkMessage)) -> io::Result<Consistency> {
        let mut consistency = Consistency::Whole;
        loop {
            receive(&self.socket, &mut self.buffer)?;
            for message in Messages(&self.buffer) {
                if message.header.sequence_number != self.sequence {
                    continue;
                }
                if message.header.flags & NLM_F_DUMP_INTR != 0 {
                    consistency = Consistency::Torn;
                }
                match message.payload {
                    NetlinkPayload::InnerMessage(answer) => each(answer),
                    // A dump that failed ends like one that is whole, but for its code.
                    NetlinkPayload::Done(done) if done.code < 0 => {
                        return Err(io::Error::from_raw_os_error(done.code.saturating_neg()));
                    }
                    NetlinkPayload::Done(_) => return Ok(consistency),
                    NetlinkPayload::Error(error) if error.code.is_none() => {
                        return Ok(consistency);
                    }
                    NetlinkPayload::Error(error) => return Err(error.to_io()),
                    _ => {}
                }
            }
        }
    }
}

/// Whether a dump is the picture of one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Consistency {
    Whole,
    Torn,
}

/// Reads one datagram into `buffer`, replacing what it held.
///
/// # Errors
///
/// Passes on what the kernel answers: `ENOBUFS` when notifications were lost.
pub(super) fn receive(socket: &Socket, buffer: &mut Vec<u8>) -> io::Result<()> {
    buffer.clear();
    buffer.reserve(RECEIVE_BUFFER_BYTES);
    socket.recv(buffer, 0).map(drop)
}

/// The messages of one datagram. One that cannot be understood (a newer kernel's) is passed
/// over, with those behind it still read.
pub(super) struct Messages<'a>(pub(super) &'a [u8]);

impl Iterator for Messages<'_> {
    type Item = NetlinkMessage<RouteNetlinkMessage>;

    fn next(&mut self) -> Option<Self::Item> {
        while let Ok(header) = NetlinkBuffer::new_checked(self.0) {
            let len = header.length() as usize;
            let (message, rest) = self.0.split_at_checked(len)?;
            // Netlink pads every message to four bytes.
            self.0 = rest.get(len.next_multiple_of(4) - len..).unwrap_or(&[]);
            match NetlinkMessage::deserialize(message) {
                Ok(message) => return Some(message),
                Err(error) => tracing::debug!(%error, "passed over a netlink message"),
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use netlink_packet_route::AddressFamily;
    use netlink_packet_route::link::LinkMessage;
    use netlink_packet_route::route::{RouteAttribute, RouteMessage};

    use super::*;

    fn serialized(index: u32) -> Vec<u8> {
        let mut link = LinkMessage::default();
        link.header.index = index;
        let mut message = NetlinkMessage::from(RouteNetlinkMessage::NewLink(link));
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        bytes
    }

    #[test]
    fn a_message_that_cannot_be_understood_does_not_hide_those_behind_it() {
        let mut datagram = serialized(1);
        // An address message (RTM_NEWADDR, 20) too short for its header.
        datagram.extend([18, 0, 0, 0, 20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9, 9, 0, 0]);
        datagram.extend(serialized(2));

        let indices: Vec<u32> = Messages(&datagram)
            .map(|message| match message.payload {
                NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(link)) => {
                    link.header.index
                }
                other => panic!("not a link: {other:?}"),
            })
            .collect();

        assert_eq!(indices, [1, 2]);
    }

    #[test]
    fn a_truncated_datagram_ends_the_messages() {
        let mut datagram = serialized(1);
        datagram.truncate(datagram.len() - 1);

        assert_eq!(Messages(&datagram).count(), 0);
    }

    #[test]
    fn a_dump_that_fails_at_its_end_is_an_error() {
        let mut socket = RouteSocket::open_strict().unwrap();
        let mut question = RouteMessage::default();
        question.header.address_family = AddressFamily::Inet;
        question.attributes.push(RouteAttribute::Table(70_999));

        let error = socket
            .dump(RouteNetlinkMessage::GetRoute(question))
            .unwrap_err();

        assert_eq!(error.raw_os_error(), Some(libc::ENOENT));
    }

    #[test]
    fn the_loopback_link_is_found_and_a_missing_one_is_an_error() {
        let mut socket = RouteSocket::open().unwrap();
        let ask = |index| {
            let mut link = LinkMessage::default();
            link.header.index = index;
            RouteNetlinkMessage::GetLink(link)
        };

        assert!(socket.get(ask(1)).unwrap().is_some());
        let error = socket.get(ask(0x7fff_0000)).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENODEV));
    }
}

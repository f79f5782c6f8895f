//! Keeps the kernel from answering what the gateway receives.
//!
//! AF_PACKET and AF_XDP leave the interface to the kernel, which would see the same packets and,
//! having the VIPs on the twins, answer ARP and reset connections by itself. A netdev chain with
//! policy drop in front of its stack stops that; AF_PACKET and AF_XDP receive before it.
//!
//! ```text
//!   NIC --> AF_XDP, AF_PACKET taps (the gateway) --> [fence: drop] -/-> kernel's stack
//! ```
//!
//! The table is owned by a netlink socket of this process (`NFT_TABLE_F_OWNER`, kernel 5.12):
//! when the socket goes, by any death, the kernel removes the table. Nobody else can change it.

use std::io;
use std::time::{Duration, Instant};

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REQUEST, NetlinkBuffer, NetlinkMessage,
    NetlinkPayload,
};
use netlink_packet_netfilter::nftables::{
    ChainAttribute, ChainMessage, DevHookNumber, Hook, HookNumber, NfTablesMessage, TableAttribute,
    TableFlags, TableMessage,
};
use netlink_packet_netfilter::none::ControlMessage;
use netlink_packet_netfilter::{
    NetfilterHeader, NetfilterMessage, NetfilterMessageInner, NetfilterProtoFamily,
};
use netlink_sys::protocols::NETLINK_NETFILTER;
use netlink_sys::{Socket, SocketAddr};

use super::link;
use super::netlink::RouteSocket;

/// `NF_DROP` (`linux/netfilter.h`).
const POLICY_DROP: u32 = 0;

/// `NFNL_SUBSYS_NFTABLES`, to which a batch is addressed (`linux/netfilter/nfnetlink.h`).
const SUBSYSTEM_NFTABLES: u16 = 10;

/// How long a fence another process holds is waited for: a killed gateway's sockets are closed
/// a moment after its death.
const PATIENCE: Duration = Duration::from_secs(3);

/// A raised fence. Dropping it takes the fence away.
#[derive(Debug)]
pub struct Fence {
    interface: String,
    /// The table lives as long as this.
    _owner: Socket,
}

/// Why a fence could not be raised.
#[derive(Debug, thiserror::Error)]
pub enum FenceError {
    /// There is no such interface.
    #[error("there is no interface {0} to fence: see `ip link`")]
    NotFound(String),
    /// A living process holds the fence of this interface.
    #[error("the interface {0} is fenced by another process: is another gateway using it?")]
    Held(String),
    /// This process may not change packet filters.
    #[error("no permission to fence the interface {0}: run as root or with CAP_NET_ADMIN")]
    NoPermission(String),
    /// The kernel refused.
    #[error(
        "could not fence the interface {interface} with nftables ({source}): the kernel needs \
         nf_tables with netdev chains, from version 5.12"
    )]
    Refused {
        /// The interface.
        interface: String,
        /// The kernel's answer.
        source: io::Error,
    },
}

impl Fence {
    /// Keeps whatever arrives on `interface` of the calling thread's network namespace from the
    /// kernel's stack until dropped.
    ///
    /// # Errors
    ///
    /// [`FenceError`] lists the cases.
    pub fn raise(interface: &str) -> Result<Self, FenceError> {
        // Since 6.16 the kernel takes a chain for an interface that may come later.
        let found =
            RouteSocket::open().and_then(|mut socket| link::by_name(&mut socket, interface));
        match found {
            Ok(Some(_)) => {}
            Ok(None) => return Err(FenceError::NotFound(interface.to_owned())),
            Err(source) => return Err(refused(interface)(source)),
        }
        let deadline = Instant::now() + PATIENCE;
        loop {
            match Self::attempt(interface) {
                Err(FenceError::Held(_)) if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(10));
                }
                outcome => return outcome,
            }
        }
    }

    /// The interface behind the fence.
    #[must_use]
    pub fn interface(&self) -> &str {
        &self.interface
    }

    fn attempt(interface: &str) -> Result<Self, FenceError> {
        let socket = connect().map_err(refused(interface))?;
        socket
            .send(&transaction(interface), 0)
            .map_err(refused(interface))?;
        match verdict(&socket).map_err(refused(interface))? {
            Verdict::Done => Ok(Self {
                interface: interface.to_owned(),
                _owner: socket,
            }),
            // Without permission the kernel refuses the batch as such; that a table has another
            // owner it says of the table.
            Verdict::Refused(Step::Begin, libc::EPERM) => {
                Err(FenceError::NoPermission(interface.to_owned()))
            }
            Verdict::Refused(Step::Table, libc::EPERM | libc::EEXIST) => {
                Err(FenceError::Held(interface.to_owned()))
            }
            Verdict::Refused(_, errno) => {
                Err(refused(interface)(io::Error::from_raw_os_error(errno)))
            }
        }
    }
}

fn refused(interface: &str) -> impl FnOnce(io::Error) -> FenceError {
    let interface = interface.to_owned();
    |source| FenceError::Refused { interface, source }
}

/// The messages of the transaction; their numbers are the netlink sequence numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Begin = 1,
    Table = 2,
    Chain = 3,
    End = 4,
}

/// What the kernel made of the transaction.
enum Verdict {
    Done,
    Refused(Step, i32),
}

fn connect() -> io::Result<Socket> {
    let mut socket = Socket::new(NETLINK_NETFILTER)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    // All answers are there once `send` returns.
    socket.set_non_blocking(true)?;
    Ok(socket)
}

/// Table and chain in one transaction: both or neither.
fn transaction(interface: &str) -> Vec<u8> {
    let name = format!("sluice_{interface}");
    let table = NfTablesMessage::NewTable(TableMessage {
        attributes: vec![
            TableAttribute::Name(name.clone()),
            TableAttribute::Flags(TableFlags::Owner),
        ],
    });
    let chain = NfTablesMessage::NewChain(ChainMessage {
        attributes: vec![
            ChainAttribute::Table(name),
            ChainAttribute::Name("ingress".to_owned()),
            ChainAttribute::Hook(vec![
                Hook::Number(HookNumber::Dev(DevHookNumber::Ingress)),
                Hook::Priority(0),
                Hook::NetDeviceName(interface.to_owned()),
            ]),
            ChainAttribute::Policy(POLICY_DROP),
            ChainAttribute::Type("filter".to_owned()),
        ],
    });
    let batch = NetfilterHeader::new(NetfilterProtoFamily::Unspec, 0, SUBSYSTEM_NFTABLES);
    let netdev = NetfilterHeader::new(NetfilterProtoFamily::NetDev, 0, 0);
    let create = NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL;
    let mut bytes = Vec::new();
    append(
        &mut bytes,
        Step::Begin,
        0,
        &batch,
        ControlMessage::BatchBegin,
    );
    append(&mut bytes, Step::Table, create, &netdev, table);
    append(&mut bytes, Step::Chain, create, &netdev, chain);
    append(&mut bytes, Step::End, 0, &batch, ControlMessage::BatchEnd);
    bytes
}

fn append(
    bytes: &mut Vec<u8>,
    step: Step,
    flags: u16,
    header: &NetfilterHeader,
    inner: impl Into<NetfilterMessageInner>,
) {
    let message = NetfilterMessage::new(header.clone(), inner);
    let mut message = NetlinkMessage::from(message);
    message.header.flags = NLM_F_REQUEST | flags;
    message.header.sequence_number = step as u32;
    message.finalize();
    let start = bytes.len();
    // Each message begins at a multiple of four bytes.
    bytes.resize(start + message.buffer_len().next_multiple_of(4), 0);
    message.serialize(&mut bytes[start..start + message.buffer_len()]);
}

/// Reads the kernel's answers: the first refusal, or that the chain was made.
fn verdict(socket: &Socket) -> io::Result<Verdict> {
    let mut chain_made = false;
    let mut buffer = Vec::with_capacity(16 * 1024);
    loop {
        buffer.clear();
        match socket.recv(&mut buffer, 0) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && chain_made => {
                return Ok(Verdict::Done);
            }
            Err(error) => return Err(error),
        }
        let mut rest = &buffer[..];
        while let Ok(header) = NetlinkBuffer::new_checked(rest) {
            let len = header.length() as usize;
            let message = NetlinkMessage::<NetfilterMessage>::deserialize(rest);
            rest = rest.get(len.next_multiple_of(4)..).unwrap_or(&[]);
            let Ok(NetlinkPayload::Error(answer)) = message.map(|message| message.payload) else {
                continue;
            };
            let step = step_of(header.sequence_number());
            match answer.code {
                Some(code) => return Ok(Verdict::Refused(step, -code.get())),
                None => chain_made |= step == Step::Chain,
            }
        }
    }
}

fn step_of(sequence_number: u32) -> Step {
    match sequence_number {
        1 => Step::Begin,
        2 => Step::Table,
        3 => Step::Chain,
        _ => Step::End,
    }
}

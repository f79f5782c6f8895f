//! Linux as the slow path.
//!
//! Each gateway interface has a *twin*, a TAP through which Linux sees the ethdev's wire. What is
//! not a load-balanced packet goes there, and addresses, routes and neighbours are Linux's: this
//! module makes the twins, moves their frames, and mirrors what Linux decides about them. It
//! knows no packet path: what it learns leaves it as `MirrorEvent`s.
//!
//! The order of a start: `device::check_free` and `fence::Fence::raise` for each vdev that
//! needs it, `Twins::open` (with the ethdevs' MACs), `Mirror::start` and, when the first
//! `Synchronised` has come and the workers run,
//! `Twins::start`, which makes persistent twins stay, `neighbour::NeighbourKeeper`,
//! `addresses::AddressKeeper::apply`, and `sysctl::warnings`. The order of a stop:
//! `addresses::AddressKeeper::remove_all`, then drop everything, the fence last.
//!
//! Sockets belong to the network namespace of the thread that opens them; every `open` and
//! `start` in here opens its sockets on the caller's thread.

/// All twins of the gateway.
mod twins;

/// The kernel's interface behind a vdev, and whether the gateway may have it.
pub mod device;
/// Keeps the kernel from answering what the gateway receives.
pub mod fence;

/// The TAP interface beside an ethdev.
pub mod twin;

/// The interface to which check addresses are routed.
pub mod check_device;
/// Moves the packets of checks.
pub mod check_lane;

/// Moves frames between the twins and the data plane.
pub mod pump;

/// What the gateway has lost of Linux while it ran.
pub mod losses;

/// Gives every twin the carrier of its ethdev.
pub mod carrier;

/// Puts the configured addresses and routes on a twin.
pub mod furnish;

/// Mirrors what Linux knows about the twins.
pub mod mirror;

/// Keeps the MACs of next hops known.
pub mod neighbour;

/// Asks one host whether it answers ARP for an address.
pub mod ask_arp;

/// Puts VIPs and LIPs on the twins, and takes away what it put there.
pub mod addresses;
/// Tells the neighbours that an address is here now.
pub mod announce;
/// Announces VIPs to routing daemons, in a routing table of their own.
pub mod announce_table;
/// Remembers over a sudden death which addresses the gateway added.
pub mod journal;
/// Decides which twin a VIP or LIP is put on.
pub mod placement;

/// Looks at the kernel settings that quietly break a gateway.
pub mod sysctl;

/// Which interfaces Linux's default routes leave by.
mod default_route;
/// Addresses of Linux's interfaces, as rtnetlink says them.
mod host_address;
/// Which cores this process may use.
pub mod cores;
/// What rtnetlink says about one network interface.
pub mod link;
/// Asks the kernel over rtnetlink.
pub mod netlink;

pub use self::mirror::Mirror;
pub use self::twins::Twins;

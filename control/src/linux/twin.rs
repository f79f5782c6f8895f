//! The TAP interface beside an ethdev, through which Linux sees it.
//!
//! ```text
//!   wire <-> ethdev <-> worker <-> rings <-> Twin (fd) <-> TAP interface <-> Linux
//! ```
//!
//! Frames are plain Ethernet: no packet information, no virtio header, and no offload is
//! announced, so Linux fills in every checksum itself. A persistent twin outlives this process
//! with its addresses and routes, but without carrier; the next start attaches to it again.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use dataplane::address::MacAddr;
use dataplane::id::InterfaceId;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::LinkMessage;
use tun_rs::{DeviceBuilder, Layer, SyncDevice};

use super::link;
use super::netlink::RouteSocket;

/// Room for any frame a twin carries: the largest MTU Linux allows on a TAP (65521), an Ethernet
/// header and a VLAN tag.
pub const MAX_FRAME_BYTES: usize = 65_521 + 14 + 4;

/// How long a twin that another process holds is waited for: a killed gateway's descriptors are
/// closed a moment after its death.
const PATIENCE: Duration = Duration::from_secs(3);

/// What a twin should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TwinConfig {
    /// The interface it stands beside.
    pub interface: InterfaceId,
    /// The name Linux knows it by, at most 15 bytes.
    pub name: String,
    /// The ethdev's MAC.
    pub mac: MacAddr,
    /// The ethdev's MTU, in bytes without the Ethernet header.
    pub mtu: u16,
    /// Whether it outlives this process.
    pub persist: bool,
}

/// What Linux calls a twin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TwinLink {
    /// The interface it stands beside.
    pub interface: InterfaceId,
    /// Linux's number for it.
    pub ifindex: u32,
    /// Linux's name for it.
    pub name: String,
    /// Its MAC.
    pub mac: MacAddr,
}

/// A twin this process holds.
pub struct Twin {
    link: TwinLink,
    persist: bool,
    device: SyncDevice,
}

/// Why a twin could not be had.
#[derive(Debug, thiserror::Error)]
pub enum TwinError {
    /// Linux would not take the name.
    #[error("\"{0}\" cannot name a twin: use 1 to 15 bytes without spaces, '/', ':' or '%'")]
    BadName(String),
    /// Some other kind of interface has the name.
    #[error(
        "the twin's name {0} is in use by an interface that is not a TAP: \
         give the port another `twin` name, or remove that interface"
    )]
    NameInUse(String),
    /// A living process is attached to it.
    #[error("the twin {0} is held by another process: is another gateway running?")]
    Held(String),
    /// This process may not make network interfaces.
    #[error("no permission to make the twin {0}: run as root or with CAP_NET_ADMIN")]
    NoPermission(String),
    /// This kernel has no TAP.
    #[error("this kernel offers no /dev/net/tun: load it with `modprobe tun`")]
    NoTun,
    /// Anything else.
    #[error("could not {action} the twin {name}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The twin.
        name: String,
        /// What the kernel answered.
        source: io::Error,
    },
}

impl Twin {
    /// Makes the twin, or attaches to the persistent one of an earlier start, in the calling
    /// thread's network namespace, and sets it up.
    ///
    /// An earlier persistent twin is kept with its addresses if the new one is persistent too;
    /// if not it is made anew, so that it vanishes with this process. A new one outlives this
    /// process only once [`keep`](Self::keep) was called, so a start that fails leaves nothing.
    ///
    /// # Errors
    ///
    /// [`TwinError`] lists the cases.
    pub fn open(config: &TwinConfig) -> Result<Self, TwinError> {
        check_name(&config.name)?;
        let mut device = attach(&config.name)?;
        let failed = |action| {
            move |source| TwinError::Io {
                action,
                name: config.name.clone(),
                source,
            }
        };
        if !config.persist {
            device = remake(device, &config.name)?;
        }
        if device.mac_address().map_err(failed("read the MAC of"))? != config.mac.0 {
            device
                .set_mac_address(config.mac.0)
                .map_err(failed("set the MAC of"))?;
        }
        if device.mtu().map_err(failed("read the MTU of"))? != config.mtu {
            device
                .set_mtu(config.mtu)
                .map_err(failed("set the MTU of"))?;
        }
        device
            .set_nonblocking(true)
            .map_err(failed("stop waiting on"))?;
        device.enabled(true).map_err(failed("set up"))?;
        let ifindex = device.if_index().map_err(failed("find"))?;
        Ok(Self {
            persist: config.persist,
            link: TwinLink {
                interface: config.interface,
                ifindex,
                name: config.name.clone(),
                mac: config.mac,
            },
            device,
        })
    }

    /// Lets the twin outlive this process from now on, if it is to.
    ///
    /// # Errors
    ///
    /// [`TwinError::Io`] with what the kernel answers.
    pub fn keep(&self) -> Result<(), TwinError> {
        if !self.persist {
            return Ok(());
        }
        self.device.persist().map_err(|source| TwinError::Io {
            action: "keep",
            name: self.link.name.clone(),
            source,
        })
    }

    /// What Linux calls it.
    #[must_use]
    pub fn link(&self) -> &TwinLink {
        &self.link
    }

    /// Reads one Ethernet frame that Linux sent, and returns its length; `None` when there is
    /// none now. A frame longer than `buffer` is cut ([`MAX_FRAME_BYTES`] never is).
    ///
    /// # Errors
    ///
    /// What the kernel answers; `EBADFD` when the interface was removed.
    pub fn read_frame(&self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        match self.device.recv(buffer) {
            Ok(len) => Ok(Some(len)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Gives Linux one Ethernet frame as received.
    ///
    /// # Errors
    ///
    /// What the kernel answers; `EIO` while the interface is set down.
    pub fn write_frame(&self, frame: &[u8]) -> io::Result<()> {
        self.device.send(frame).map(drop)
    }
}

impl AsFd for Twin {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.device.as_fd()
    }
}

/// The kernel's rule for interface names, and no '%', which it would replace by a number.
fn check_name(name: &str) -> Result<(), TwinError> {
    let bad_byte = |byte: u8| byte.is_ascii_whitespace() || b"/:%\0".contains(&byte);
    if name.is_empty()
        || name.len() >= libc::IFNAMSIZ
        || matches!(name, "." | "..")
        || name.bytes().any(bad_byte)
    {
        return Err(TwinError::BadName(name.to_owned()));
    }
    Ok(())
}

/// Makes or attaches to a TAP of this name, waiting a little for a dying holder.
fn attach(name: &str) -> Result<SyncDevice, TwinError> {
    make(name, Layer::L2).map_err(|source| explain(name, source))
}

/// Makes or attaches to a TAP (`L2`) or TUN (`L3`) of this name, waiting a little for a dying
/// holder.
pub(super) fn make(name: &str, layer: Layer) -> io::Result<SyncDevice> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let made = DeviceBuilder::new()
            .name(name)
            .layer(layer)
            // Asking for no offload also clears what an earlier holder of a persistent TAP set.
            .with(|builder| {
                builder.offload(false);
            })
            // Its MAC comes first, lest Linux derive a link-local address from a random one.
            .inherit_enable_state()
            .build_sync();
        match made {
            Err(error)
                if error.raw_os_error() == Some(libc::EBUSY) && Instant::now() < deadline =>
            {
                std::thread::sleep(Duration::from_millis(10));
            }
            outcome => return outcome,
        }
    }
}

/// Gives back a device that is certainly not persistent.
fn remake(device: SyncDevice, name: &str) -> Result<SyncDevice, TwinError> {
    let io_error = |source| TwinError::Io {
        action: "renew",
        name: name.to_owned(),
        source,
    };
    let mut socket = RouteSocket::open().map_err(io_error)?;
    let ifindex = device.if_index().map_err(io_error)?;
    let found = link::by_index(&mut socket, ifindex).map_err(io_error)?;
    if !found.is_some_and(|link| link.persistent_tap) {
        return Ok(device);
    }
    let mut message = LinkMessage::default();
    message.header.index = ifindex;
    socket
        .change(RouteNetlinkMessage::DelLink(message), 0)
        .map_err(io_error)?;
    drop(device);
    attach(name)
}

/// What the answer to `TUNSETIFF` means.
fn explain(name: &str, source: io::Error) -> TwinError {
    let name = name.to_owned();
    match source.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => TwinError::NoPermission(name),
        Some(libc::EBUSY) => TwinError::Held(name),
        // Not a TUN/TAP at all, a TUN, or a TAP made with several queues.
        Some(libc::EINVAL) => TwinError::NameInUse(name),
        Some(libc::ENOENT | libc::ENODEV | libc::ENXIO) => TwinError::NoTun,
        _ => TwinError::Io {
            action: "make",
            name,
            source,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_linux_would_refuse_or_change_are_refused_with_a_sentence() {
        for name in [
            "",
            ".",
            "..",
            "a b",
            "a/b",
            "a:b",
            "tap%d",
            "sixteen-bytes-xx",
        ] {
            let error = check_name(name).unwrap_err();

            assert!(error.to_string().contains("1 to 15 bytes"), "{error}");
        }
        assert!(check_name("fifteen-bytes-x").is_ok());
        assert!(check_name("wan0.100").is_ok());
    }
}

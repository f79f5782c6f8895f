//! The check interface: a TUN of Linux's, to which the check addresses are routed.
//!
//! A TUN has no Ethernet, so nobody asks by ARP for a check address. It never outlives this
//! process: check addresses mean nothing without it.

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};

use netlink_packet_core::{NLM_F_CREATE, NLM_F_REPLACE};
use netlink_packet_route::RouteNetlinkMessage;
use tun_rs::{Layer, SyncDevice};

use super::furnish::address_message;
use super::netlink::RouteSocket;
use super::twin::make;
use crate::config::InterfaceAddress;
use crate::health::check_path::CheckRange;

/// The check interface could not be had.
#[derive(Debug, thiserror::Error)]
#[error("could not {action} the check interface {name}: {source}{advice}")]
pub struct CheckDeviceError {
    action: &'static str,
    name: String,
    source: io::Error,
    advice: &'static str,
}

/// The check interface.
pub struct CheckDevice(SyncDevice);

impl CheckDevice {
    /// Makes the interface in the calling thread's network namespace, with the address of `range`
    /// that checks come from, and with that the route to the others; sets it up. `mtu` is the
    /// largest IP packet that Linux sends on it, in bytes.
    ///
    /// # Errors
    ///
    /// [`CheckDeviceError`] with what the kernel answers.
    pub fn open(name: &str, range: CheckRange, mtu: u16) -> Result<Self, CheckDeviceError> {
        let failed = |action| {
            move |source: io::Error| CheckDeviceError {
                action,
                name: name.to_owned(),
                advice: advice(&source),
                source,
            }
        };
        let device = make(name, Layer::L3).map_err(failed("make"))?;
        device.set_mtu(mtu).map_err(failed("set the MTU of"))?;
        (device.set_nonblocking(true)).map_err(failed("stop waiting on"))?;
        device.enabled(true).map_err(failed("set up"))?;
        let ifindex = device.if_index().map_err(failed("find"))?;
        let address = InterfaceAddress {
            address: IpAddr::V4(range.own()),
            prefix_len: range.prefix_len(),
        };
        let message = RouteNetlinkMessage::NewAddress(address_message(ifindex, &address));
        RouteSocket::open()
            .and_then(|mut socket| socket.change(message, NLM_F_CREATE | NLM_F_REPLACE))
            .map_err(failed("give its address to"))?;
        Ok(Self(device))
    }

    /// Reads one IP packet that Linux sent, and returns its length; `None` when there is none now.
    ///
    /// # Errors
    ///
    /// What the kernel answers; `EBADFD` when the interface was removed.
    pub(super) fn read_packet(&self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        match self.0.recv(buffer) {
            Ok(len) => Ok(Some(len)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Gives Linux one IP packet as received.
    ///
    /// # Errors
    ///
    /// What the kernel answers; `EIO` while the interface is set down.
    pub(super) fn write_packet(&self, packet: &[u8]) -> io::Result<()> {
        self.0.send(packet).map(drop)
    }
}

impl AsFd for CheckDevice {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn advice(source: &io::Error) -> &'static str {
    match source.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => ": run as root or with CAP_NET_ADMIN",
        Some(libc::EBUSY) => ": another process holds it; is another gateway running?",
        Some(libc::EINVAL) => {
            ": some other interface has that name; give `[health]` another `check_interface`"
        }
        Some(libc::ENOENT | libc::ENODEV | libc::ENXIO) => ": load it with `modprobe tun`",
        _ => "",
    }
}

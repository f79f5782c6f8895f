//! One DPDK port: found or added when opened, stopped, closed and removed when dropped.
//!
//! Physical NICs and vdevs take the same way: the device's string is handed to DPDK's hot-plug,
//! whose failure, unlike that of a device on the EAL's command line, is an error.

use std::ffi::{CStr, CString};
use std::ptr::NonNull;

use dpdk_sys as sys;
use parking_lot::Mutex;

use super::cause::Cause;
use super::eal::Eal;
use super::mempool::Mempool;
use crate::address::MacAddr;
use crate::id::QueueId;

/// Why an ethdev does not open or start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EthdevError {
    /// No bus of DPDK has such a device.
    #[error("there is no device {device}: {cause}")]
    NoSuchDevice {
        /// The device as configured.
        device: String,
        /// What DPDK says.
        cause: Cause,
    },
    /// The text names neither a PCI device nor a driver.
    #[error(
        "\"{device}\" is neither a PCI address such as 0000:3b:00.0 nor a DPDK device \
         such as net_af_packet0,iface=eth1"
    )]
    NotADevice {
        /// The device as configured.
        device: String,
    },
    /// No driver takes the PCI device as it is: most often it still belongs to Linux.
    #[error(
        "DPDK has no driver for the device {device} as it is; \
         a NIC that Linux uses must first be bound to vfio-pci (`sluicectl setup-host --bind` does it)"
    )]
    NoDriver {
        /// The device as configured.
        device: String,
    },
    /// The device is one of our ethdevs already.
    #[error("the device {device} is already in use by another port")]
    AlreadyOpen {
        /// The device as configured.
        device: String,
    },
    /// There is a device, but its driver does not make it work.
    #[error("the device {device} does not work: {cause}")]
    ProbeFailed {
        /// The device as configured.
        device: String,
        /// What DPDK says.
        cause: Cause,
    },
    /// The device is something else: a crypto accelerator, say.
    #[error("the device {device} is no network interface")]
    NotAnEthdev {
        /// The device as configured.
        device: String,
    },
    /// Its driver makes several ports of one device, as `mlx4` does of a ConnectX-3.
    #[error(
        "DPDK calls a port of the device {device} \"{port}\": a device of several ports cannot be \
         opened; use its Linux interface, as net_af_packet0,iface=NAME,framecnt=4096"
    )]
    SeveralPorts {
        /// The device as configured.
        device: String,
        /// The first of its ports, by DPDK's name.
        port: String,
    },
    /// It has fewer queues than there are workers.
    #[error("{device} has {max} queues, but {asked} workers need one each")]
    TooFewQueues {
        /// The device as configured.
        device: String,
        /// Queue pairs asked for.
        asked: u16,
        /// Queue pairs it has.
        max: u16,
    },
    /// There must be at least one queue, and one mempool for each.
    #[error("{device} was given {pools} mempools for {queues} queues: it needs one for each")]
    PoolForEachQueue {
        /// The device as configured.
        device: String,
        /// Mempools given.
        pools: usize,
        /// Queue pairs asked for.
        queues: u16,
    },
    /// A full frame does not fit one packet buffer.
    #[error(
        "{device}: an MTU of {mtu} needs packet buffers of {needed} bytes, \
         but its mempool's have {frame_room}"
    )]
    FrameRoomTooSmall {
        /// The device as configured.
        device: String,
        /// The MTU asked for, in bytes.
        mtu: u16,
        /// Bytes a buffer must hold.
        needed: u32,
        /// Bytes the smallest of the given pools' buffers hold.
        frame_room: u16,
    },
    /// The redirection table names a queue that is not there.
    #[error("{device} has {queues} queues, but its RSS table points at queue {queue}")]
    NoSuchQueue {
        /// The device as configured.
        device: String,
        /// The queue named.
        queue: QueueId,
        /// Queue pairs asked for.
        queues: u16,
    },
    /// DPDK refused a step of the start.
    #[error("{device}: cannot {step}: {cause}")]
    Refused {
        /// The device as configured.
        device: String,
        /// What was to be done, as a verb with its object.
        step: &'static str,
        /// What DPDK says.
        cause: Cause,
    },
}

/// A DPDK port of ours.
#[derive(Debug)]
pub(super) struct Port {
    id: u16,
    device: String,
    started: bool,
    /// The device to take off its bus in the end, if we put it there; the EAL's otherwise.
    added: Option<NonNull<sys::rte_device>>,
    /// Where received packets come from: must outlive the ethdev's rings.
    pools: Vec<Mempool>,
    _eal: Eal,
}

// SAFETY: the device pointer is used in the destructor only, and DPDK guards its lists itself.
unsafe impl Send for Port {}
// SAFETY: as above; what can be called through `&Port` DPDK allows from any thread.
unsafe impl Sync for Port {}

/// The ports that are open, so that no two handles mean the same one. Its lock is held while
/// devices come and go, because DPDK gives a closed port's number to the next device at once.
static OPEN: Mutex<[bool; sys::RTE_MAX_ETHPORTS as usize]> =
    Mutex::new([false; sys::RTE_MAX_ETHPORTS as usize]);

impl Port {
    /// Finds the device among those the EAL knows, or adds it.
    pub(super) fn open(eal: &Eal, device: &str) -> Result<Self, EthdevError> {
        let name = name_of(device);
        let (id, was_known) = take(device, &name)?;
        let mut port = Self {
            id,
            device: name,
            started: false,
            added: None,
            pools: Vec::new(),
            _eal: eal.clone(),
        };
        let info = port.info()?;
        port.added = NonNull::new(info.device).filter(|_| !was_known);
        Ok(port)
    }

    pub(super) const fn id(&self) -> u16 {
        self.id
    }

    /// The device's name, without its arguments.
    pub(super) fn device(&self) -> &str {
        &self.device
    }

    /// Keeps the pools of the receive queues alive as long as the port.
    pub(super) fn keep(&mut self, pools: &[Mempool]) {
        self.pools = pools.to_vec();
    }

    /// Runs one step of the start.
    pub(super) fn step(
        &self,
        step: &'static str,
        call: impl FnOnce() -> i32,
    ) -> Result<i32, EthdevError> {
        Cause::check(call).map_err(|cause| EthdevError::Refused {
            device: self.device.clone(),
            step,
            cause,
        })
    }

    pub(super) fn info(&self) -> Result<sys::rte_eth_dev_info, EthdevError> {
        let mut info = sys::rte_eth_dev_info::default();
        // SAFETY: DPDK checks the port's number and fills `info`.
        self.step("ask what it can do", || unsafe {
            sys::rte_eth_dev_info_get(self.id, &raw mut info)
        })?;
        Ok(info)
    }

    pub(super) fn mac(&self) -> Result<MacAddr, EthdevError> {
        let mut mac = sys::rte_ether_addr::default();
        // SAFETY: DPDK checks the port's number and fills `mac`.
        self.step("read its MAC address", || unsafe {
            sys::rte_eth_macaddr_get(self.id, &raw mut mac)
        })?;
        Ok(MacAddr(mac.addr_bytes))
    }

    /// The NUMA socket the device is attached to, as DPDK numbers it; -1 when it has none.
    pub(super) fn socket(&self) -> i32 {
        // SAFETY: DPDK checks the port's number.
        unsafe { sys::rte_eth_dev_socket_id(self.id) }
    }

    pub(super) fn mtu(&self) -> Result<u16, EthdevError> {
        let mut mtu = 0;
        // SAFETY: DPDK checks the port's number and fills `mtu`.
        self.step("read its MTU", || unsafe {
            sys::rte_eth_dev_get_mtu(self.id, &raw mut mtu)
        })?;
        Ok(mtu)
    }

    pub(super) fn start(&mut self) -> Result<(), EthdevError> {
        // SAFETY: DPDK checks the port's number and that it is configured.
        self.step("start it", || unsafe { sys::rte_eth_dev_start(self.id) })?;
        self.started = true;
        Ok(())
    }
}

impl Drop for Port {
    /// Nothing can be done about a device that does not stop; DPDK logs it.
    fn drop(&mut self) {
        let mut open = OPEN.lock();
        if self.started {
            // SAFETY: the queues' handles are gone, so nobody polls it.
            unsafe { sys::rte_eth_dev_stop(self.id) };
        }
        // SAFETY: stopped, and ours.
        unsafe { sys::rte_eth_dev_close(self.id) };
        if let Some(device) = self.added {
            remove_if_unused(device.as_ptr());
        }
        if let Some(taken) = open.get_mut(usize::from(self.id)) {
            *taken = false;
        }
    }
}

/// Finds the device among those the EAL knows, or adds it, and marks its port as open; gives the
/// port's number, and whether the EAL knew it.
fn take(device: &str, name: &str) -> Result<(u16, bool), EthdevError> {
    let mut open = OPEN.lock();
    let (id, was_known) = match find(name) {
        Some(id) => (id, true),
        None => (add(device, name)?, false),
    };
    match open.get_mut(usize::from(id)) {
        Some(taken) if !*taken => *taken = true,
        _ => {
            return Err(EthdevError::AlreadyOpen {
                device: device.to_owned(),
            });
        }
    }
    Ok((id, was_known))
}

/// Takes a device off its bus, so that it can be added again, unless another port is on it.
fn remove_if_unused(device: *mut sys::rte_device) {
    // SAFETY: compares the pointer with those of the open ports.
    let other = unsafe { sys::rte_eth_find_next_of(0, device) };
    if u32::from(other) < sys::RTE_MAX_ETHPORTS {
        return;
    }
    // SAFETY: the device was added by us, is still on its bus, and no port uses it.
    unsafe { sys::rte_dev_remove(device) };
}

/// The name DPDK gives the device's port: what stands before the arguments, and a PCI address in
/// full and in small letters.
fn name_of(device: &str) -> String {
    let name = device.split(',').next().unwrap_or(device).trim();
    let is_pci = |text: &str| {
        let shape: String = text
            .chars()
            .map(|c| if c.is_ascii_hexdigit() { 'x' } else { c })
            .collect();
        shape == "xxxx:xx:xx.x"
    };
    for prefix in ["", "0000:"] {
        let full = format!("{prefix}{}", name.to_ascii_lowercase());
        if is_pci(&full) {
            return full;
        }
    }
    name.to_owned()
}

fn find(name: &str) -> Option<u16> {
    let name = CString::new(name).ok()?;
    let mut id = 0;
    // SAFETY: a C string in, a number out.
    let result = unsafe { sys::rte_eth_dev_get_port_by_name(name.as_ptr(), &raw mut id) };
    (result == 0).then_some(id)
}

fn add(device: &str, name: &str) -> Result<u16, EthdevError> {
    let not_a_device = || EthdevError::NotADevice {
        device: device.to_owned(),
    };
    if name.is_empty() {
        return Err(not_a_device());
    }
    let arguments = CString::new(device).map_err(|_| not_a_device())?;
    // SAFETY: a C string that DPDK copies.
    Cause::check(|| unsafe { sys::rte_dev_probe(arguments.as_ptr()) })
        .map_err(|cause| explain(device.to_owned(), cause))?;
    find(name).ok_or_else(|| {
        let error = nameless(device, name, |name| find(name).is_some());
        remove_by_name(name);
        error
    })
}

/// Why a device that is there has no port of its name.
fn nameless(device: &str, name: &str, is_port: impl Fn(&str) -> bool) -> EthdevError {
    let device = device.to_owned();
    let mut ports = (0..2).map(|number| format!("{name} port {number}"));
    match ports.find(|port| is_port(port)) {
        Some(port) => EthdevError::SeveralPorts { device, port },
        None => EthdevError::NotAnEthdev { device },
    }
}

fn explain(device: String, cause: Cause) -> EthdevError {
    match cause.code() {
        libc::EEXIST => EthdevError::AlreadyOpen { device },
        libc::ENODEV => EthdevError::NoSuchDevice { device, cause },
        // No bus can read it.
        libc::EFAULT => EthdevError::NotADevice { device },
        libc::ENOTSUP => EthdevError::NoDriver { device },
        _ => EthdevError::ProbeFailed { device, cause },
    }
}

/// Takes a device that turned out to be no ethdev off its bus again.
fn remove_by_name(name: &str) {
    const VDEV_BUS: &CStr = c"vdev";
    if let Ok(name) = CString::new(name) {
        // SAFETY: two C strings; DPDK answers an error for a device that is not there.
        unsafe { sys::rte_eal_hotplug_remove(VDEV_BUS.as_ptr(), name.as_ptr()) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nic_without_a_driver_comes_with_advice() {
        // The EAL's answer when no driver of the bus takes a device.
        let cause = Cause::check(|| -libc::ENOTSUP).unwrap_err();

        let error = explain("0000:3b:00.0".to_owned(), cause);

        assert!(error.to_string().contains("0000:3b:00.0"), "{error}");
        assert!(error.to_string().contains("vfio-pci"), "{error}");
    }

    #[test]
    fn a_device_of_several_ports_says_so_and_what_to_use() {
        let name = "0000:3b:00.0";

        let mlx4 = nameless(name, name, |port| port == "0000:3b:00.0 port 0");
        let crypto = nameless(name, name, |_| false);

        assert_eq!(
            mlx4.to_string(),
            "DPDK calls a port of the device 0000:3b:00.0 \"0000:3b:00.0 port 0\": a device of \
             several ports cannot be opened; use its Linux interface, as \
             net_af_packet0,iface=NAME,framecnt=4096"
        );
        assert_eq!(
            crypto.to_string(),
            "the device 0000:3b:00.0 is no network interface"
        );
    }

    #[test]
    fn a_device_is_called_what_dpdk_calls_its_port() {
        assert_eq!(
            name_of("net_af_packet0,iface=veth1,qpairs=2"),
            "net_af_packet0"
        );
        assert_eq!(name_of("0000:3B:00.0"), "0000:3b:00.0");
        assert_eq!(name_of("3b:00.1,representor=0"), "0000:3b:00.1");
        assert_eq!(name_of("net_Ring0"), "net_Ring0");
    }
}

//! From `[[port]]` to running ethdevs: fences, EAL, mempools, queues, RSS.

use std::sync::atomic::{AtomicBool, Ordering};

use control::config::{Config, Device, HugePages, Port};
use control::linux::carrier::Links;
use control::linux::device;
use control::linux::fence::Fence;
use control::linux::link;
use control::linux::netlink::RouteSocket;
use dataplane::address::MacAddr;
use dataplane::id::{CoreId, QueueId, WorkerId};
use dataplane::io::dpdk::{
    Clock, Eal, EalConfig, EalError, Ethdev, EthdevConfig, EthdevError, LogLevel, Memory,
    OpenEthdev, QueuePair, RssConfig, RssState, StartedEthdev,
};
use dataplane::snapshot::Interface;
use dataplane::steering::{DEFAULT_KEY, Steering};

use super::StartError;
use super::pools::Pools;
use super::stats::StatsReader;

/// Entries of the logical redirection table, unless a NIC has fewer: what most have.
const REDIRECTION_ENTRIES: u16 = 128;

/// All running ethdevs, with what they stand on. The fields are dropped in their order.
pub(super) struct Ethdevs {
    ethdevs: Vec<Ethdev>,
    /// Each ethdev's queue pairs, until the workers take them.
    queues: Vec<Vec<QueuePair>>,
    /// Entries of the logical redirection table.
    entries: u16,
    pools: Pools,
    pub(super) clock: Clock,
    pub(super) eal: Eal,
    _fences: Vec<Fence>,
}

impl Ethdevs {
    /// Keeps the kernel off shared interfaces, starts the EAL and then each ethdev.
    pub(super) fn start(config: &Config) -> Result<Self, StartError> {
        let fences = raise_fences(config.ports())?;
        let eal = start_eal(config)?;
        let opened = open_ethdevs(&eal, config)?;
        let sockets: Vec<_> = opened.iter().map(OpenEthdev::socket).collect();
        let pools = Pools::create(&eal, config, &sockets)?;
        let entries = redirection_entries(opened.iter().map(OpenEthdev::redirection_entries));
        let mut ethdevs = Vec::new();
        let mut queues = Vec::new();
        for (open, port) in opened.into_iter().zip(config.ports()) {
            let name = &port.interface.name;
            let started = start_ethdev(open, &pools, config, port, entries).map_err(|source| {
                StartError::Ethdev {
                    port: name.clone(),
                    source,
                }
            })?;
            for note in &started.notes {
                tracing::warn!("port {name}: {note}");
            }
            tracing::info!(
                "port {name} is {} ({})",
                port.device.name(),
                started.ethdev.mac()
            );
            ethdevs.push(started.ethdev);
            queues.push(started.queues);
        }
        STARTED.store(true, Ordering::Relaxed);
        Ok(Self {
            ethdevs,
            queues,
            entries,
            pools,
            clock: Clock::start(&eal),
            eal,
            _fences: fences,
        })
    }

    /// Where packets come from that no ethdev received.
    pub(super) const fn pools(&self) -> &Pools {
        &self.pools
    }

    /// Takes the last worker's queue pairs, one of each ethdev; workers are served last first.
    pub(super) fn take_queues(&mut self) -> Vec<QueuePair> {
        self.queues.iter_mut().filter_map(Vec::pop).collect()
    }

    /// What the packet path calls the ports and VLANs.
    pub(super) fn interfaces(&self, config: &Config) -> Vec<Interface> {
        (config.interfaces())
            .map(|numbered| Interface {
                id: numbered.id,
                ethdev: numbered.ethdev,
                vlan: numbered.vlan,
                mac: self.mac(numbered.ethdev.index()),
                mtu: numbered.interface.mtu,
                address: None,
                accept_replies: numbered.interface.accept_replies,
            })
            .collect()
    }

    /// The MAC of an ethdev, which all its interfaces share.
    pub(super) fn mac(&self, ethdev: usize) -> MacAddr {
        self.ethdevs
            .get(ethdev)
            .map(Ethdev::mac)
            .unwrap_or_default()
    }

    /// By RSS if every ethdev hashes as told and says so, else by software.
    pub(super) fn steering(&self, config: &Config) -> Steering {
        let workers = config.gateway().workers.count();
        let software = Steering::Software { workers };
        if workers == 1 {
            return software;
        }
        let wanted = rss_config(workers, self.entries);
        let agrees = |state: &RssState| {
            state.ports_hashed
                && state.key.starts_with(&DEFAULT_KEY)
                && state
                    .reta
                    .chunks(wanted.reta.len())
                    .all(|part| wanted.reta.starts_with(part))
        };
        for (ethdev, port) in self.ethdevs.iter().zip(config.ports()) {
            if !ethdev.rss().is_some_and(agrees) {
                let name = &port.interface.name;
                tracing::warn!("port {name} has no usable RSS: flows are steered by software");
                return software;
            }
        }
        if let Some((most, all)) = uneven(workers, self.entries) {
            tracing::warn!(
                "{workers} workers share {all} entries of the NICs' redirection tables: some get \
                 {most} and some {}; a power of two of workers gets the same",
                most - 1
            );
        }
        let workers: Vec<_> = wanted.reta.iter().map(|queue| WorkerId(queue.0)).collect();
        Steering::toeplitz(&DEFAULT_KEY, &workers).unwrap_or(software)
    }

    /// A reader of what ethdevs and mempools count themselves.
    pub(super) fn stats(&self, config: &Config) -> std::io::Result<StatsReader> {
        let ports = config.ports().iter().zip(&self.ethdevs);
        let ports = ports.map(|(port, ethdev)| (port, ethdev.clone()));
        let workers = config.gateway().workers.count();
        StatsReader::new(ports, workers, self.pools.named())
    }

    /// A reader of the ethdevs' links.
    pub(super) fn links(&self, config: &Config) -> std::io::Result<LinkReader> {
        let devices = config.ports().iter().map(|port| &port.device);
        let links = devices.zip(&self.ethdevs).map(|(device, ethdev)| {
            device.linux_interface().map_or_else(
                || Link::Dpdk {
                    ethdev: ethdev.clone(),
                    was_up: false,
                },
                |interface| Link::Linux(interface.to_owned()),
            )
        });
        Ok(LinkReader {
            socket: RouteSocket::open()?,
            links: links.collect(),
        })
    }

    /// Stops and closes the ethdevs and gives DPDK's memory back.
    pub(super) fn stop(self) {
        let Self {
            ethdevs,
            queues,
            pools,
            eal,
            _fences: fences,
            ..
        } = self;
        drop((queues, ethdevs, pools));
        if let Err(error) = eal.cleanup() {
            tracing::warn!("{error}");
        }
        drop(fences);
    }
}

/// Reads the ethdevs' links.
pub(super) struct LinkReader {
    socket: RouteSocket,
    links: Vec<Link>,
}

/// Who knows about a link.
enum Link {
    /// Linux, which has the interface: drivers that share it say "up" whatever happens.
    Linux(String),
    /// The driver. Some never say a word about the link, so it counts from the first "up" on.
    Dpdk { ethdev: Ethdev, was_up: bool },
}

impl Links for LinkReader {
    fn up(&mut self) -> Vec<Option<bool>> {
        let socket = &mut self.socket;
        let links = self.links.iter_mut();
        links
            .map(|link| match link {
                Link::Linux(interface) => {
                    let found = link::by_name(socket, interface).ok()?;
                    // One that was removed carries nothing.
                    Some(found.is_some_and(|link| link.running))
                }
                Link::Dpdk { ethdev, was_up } => {
                    let up = ethdev.link().ok()?.up;
                    *was_up |= up;
                    was_up.then_some(up)
                }
            })
            .collect()
    }
}

/// Keeps the kernel off every interface that a vdev takes packets from, and sets it up.
fn raise_fences(ports: &[Port]) -> Result<Vec<Fence>, StartError> {
    let mut fences = Vec::new();
    for port in ports {
        let Some(interface) = port.device.linux_interface() else {
            continue;
        };
        let name = || port.interface.name.clone();
        device::check_free(interface, port.take_interface).map_err(|source| {
            StartError::Device {
                port: name(),
                source,
            }
        })?;
        let fence = Fence::raise(interface).map_err(|source| StartError::Fence {
            port: name(),
            source,
        })?;
        fences.push(fence);
        link::set_up(interface)?;
    }
    Ok(fences)
}

fn start_eal(config: &Config) -> Result<Eal, EalError> {
    let gateway = config.gateway();
    let devices = config.ports().iter().map(|port| &port.device);
    let base = EalConfig {
        memory: Memory::HugePages {
            megabytes: Some(gateway.memory_mb),
        },
        pci_devices: devices
            .filter_map(|device| match device {
                Device::Pci(devargs) => Some(devargs.clone()),
                Device::Vdev(_) => None,
            })
            .collect(),
        file_prefix: gateway.file_prefix.clone(),
        main_core: first_core(),
        log_level: LogLevel::Warning,
        log_sink: log,
    };
    let ordinary = Memory::NoHuge {
        megabytes: gateway.memory_mb,
    };
    match gateway.huge_pages {
        HugePages::Required => Eal::start(&base),
        HugePages::Never => Eal::start(&EalConfig {
            memory: ordinary,
            ..base
        }),
        HugePages::Auto => match Eal::start(&base) {
            Err(error @ (EalError::NoHugePages | EalError::TooFewHugePages { .. })) => {
                tracing::warn!("ordinary memory is used, which is slower: {error}");
                Eal::start(&EalConfig {
                    memory: ordinary,
                    ..base
                })
            }
            other => other,
        },
    }
}

/// While the gateway starts, what DPDK complains of is part of the error that the start ends in.
static STARTED: AtomicBool = AtomicBool::new(false);

fn log(level: LogLevel, line: &str) {
    match level {
        LogLevel::Error | LogLevel::Warning if STARTED.load(Ordering::Relaxed) => {
            tracing::warn!("DPDK: {line}");
        }
        _ => tracing::debug!("DPDK: {line}"),
    }
}

fn open_ethdevs(eal: &Eal, config: &Config) -> Result<Vec<OpenEthdev>, StartError> {
    let workers = config.gateway().workers.count();
    let open = |port: &Port| {
        let devargs = port.device.devargs_for(workers);
        OpenEthdev::open(eal, &devargs).map_err(|source| StartError::Ethdev {
            port: port.interface.name.clone(),
            source,
        })
    };
    config.ports().iter().map(open).collect()
}

fn start_ethdev(
    open: OpenEthdev,
    pools: &Pools,
    config: &Config,
    port: &Port,
    entries: u16,
) -> Result<StartedEthdev, EthdevError> {
    let workers = config.gateway().workers.count();
    let pool = pools.of(open.socket());
    let ethdev_config = EthdevConfig {
        queues: workers,
        rx_descriptors: port.rx_descriptors,
        tx_descriptors: port.tx_descriptors,
        mtu: port.interface.mtu,
        rss: (workers > 1).then(|| rss_config(workers, entries)),
        one_pool: pools.is_one(),
    };
    open.start(&ethdev_config, &vec![pool.clone(); usize::from(workers)])
}

/// The same key and logical redirection table for every ethdev.
fn rss_config(workers: u16, entries: u16) -> RssConfig {
    RssConfig {
        key: DEFAULT_KEY.to_vec(),
        reta: (0..entries).map(|entry| QueueId(entry % workers)).collect(),
    }
}

/// Entries that the tables of all ethdevs have: a longer one repeats them, and a shorter one would
/// cut them off, so that its low bits of the hash name other workers. Ethdevs without a table, or
/// with one that is no power of two, are steered by software whatever is here.
fn redirection_entries(of_ethdevs: impl Iterator<Item = u16>) -> u16 {
    let usable = of_ethdevs.filter(|entries| entries.is_power_of_two());
    usable.fold(REDIRECTION_ENTRIES, u16::min)
}

/// The most entries that a worker has, and all of them, if that is a quarter more than the least or
/// worse.
fn uneven(workers: u16, entries: u16) -> Option<(u16, u16)> {
    let least = entries / workers.max(1);
    (!entries.is_multiple_of(workers.max(1)) && least <= 4).then_some((least + 1, entries))
}

/// The cores this process may run on, lowest first.
pub(super) fn usable_cores() -> Vec<CoreId> {
    control::linux::cores::allowed()
        .into_iter()
        .map(CoreId)
        .collect()
}

/// The cores a worker may be put on, lowest first: isolated ones too.
pub(super) fn reachable_cores() -> Vec<CoreId> {
    control::linux::cores::reachable()
        .into_iter()
        .map(CoreId)
        .collect()
}

fn first_core() -> CoreId {
    usable_cores().first().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shortest_usable_table_is_that_of_all() {
        assert_eq!(redirection_entries([128, 512].into_iter()), 128);
        assert_eq!(redirection_entries([512, 64].into_iter()), 64);
        assert_eq!(redirection_entries([0, 96].into_iter()), 128);
    }

    #[test]
    fn a_table_of_64_names_the_same_worker_as_the_nic_whatever_their_number() {
        let entries = redirection_entries([64].into_iter());
        let logical = rss_config(3, entries).reta;
        let nic: Vec<_> = logical.iter().copied().cycle().take(64).collect();

        let steering = |hash: usize| logical[hash & (logical.len() - 1)];

        for hash in [0, 63, 64, 100, 127, 4_000_000_001] {
            assert_eq!(steering(hash), nic[hash & 63], "{hash}");
        }
    }

    #[test]
    fn workers_with_a_quarter_more_than_others_are_a_warning() {
        assert_eq!(uneven(3, 64), None);
        assert_eq!(uneven(16, 64), None);
        assert_eq!(uneven(12, 64), None);
        assert_eq!(uneven(24, 64), Some((3, 64)));
        assert_eq!(uneven(48, 128), Some((3, 128)));
    }
}

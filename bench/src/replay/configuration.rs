//! The gateway's configuration file for one case.

use std::fmt::Write as _;

use testnet::Namespace;

use super::case::{Method, Protocol};
use super::topology::{
    FIRST_LOCAL_PORT, GATEWAY, LOCAL_ADDRESSES, PREFIX_LEN, ROUTER, SERVERS, VIP, local_address,
    server, server_port,
};

/// The Linux interface of the gateway's only port.
pub const TWIN: &str = "tw-wan";
/// Where the gateway is asked for its metrics, in its namespace.
pub const METRICS: &str = "127.0.0.1:9911";

/// A buffer: the least the gateway takes, which is also testpmd's default.
const BUFFER_BYTES: u64 = 2176;
/// What DPDK keeps beside each buffer: its mbuf and a cache line of the pool's.
const BUFFER_KEEPING_BYTES: u64 = 128 + 64;
/// Buffers that are on their way: descriptors, caches and bursts.
const BUFFERS_AT_WORK: u32 = 8192;
/// Memory that DPDK needs besides buffers, in MB.
const OTHER_MB: u64 = 192;

/// How many packet buffers a replay of this many frames needs: `infinite_rx` keeps each frame in
/// one.
#[must_use]
pub const fn buffers(frames: u32) -> u32 {
    frames + frames / 64 + BUFFERS_AT_WORK
}

/// Megabytes for a replay of this many frames, in the gateway and in testpmd alike.
#[must_use]
pub const fn memory_mb(frames: u32) -> u64 {
    let bytes = buffers(frames) as u64 * (BUFFER_BYTES + BUFFER_KEEPING_BYTES);
    bytes.div_ceil(1 << 20) + OTHER_MB
}

/// Places in each session table for this many sessions: some are left free, as in any table.
#[must_use]
pub const fn table_slots(flows: u32) -> u32 {
    flows + flows / 8 + 1024
}

/// Megabytes of huge pages for a gateway and a testpmd with this many flows.
#[must_use]
pub const fn huge_mb(flows: u32) -> u64 {
    // Two cache lines for a session and some for its keys, and slack for whole pages.
    2 * memory_mb(flows) + (table_slots(flows) as u64 * 192).div_ceil(1 << 20) + 64
}

/// What differs between the configurations of one run.
#[derive(Clone, Debug)]
pub struct Configuration<'a> {
    /// Where the gateway runs.
    pub host: &'a Namespace,
    /// The cores of the workers.
    pub cores: &'a [usize],
    /// Whether everything lies in huge pages.
    pub huge_pages: bool,
    /// How packets reach the servers.
    pub method: Method,
    /// The DPDK device of the only port.
    pub device: String,
    /// Frames that the device keeps in buffers.
    pub frames: u32,
    /// Sessions to be.
    pub flows: u32,
    /// The servers' weight; with 0 no packet makes a session.
    pub weight: u32,
}

impl Configuration<'_> {
    /// The file's text: both transports are served alike, so that a case of one of them has a
    /// neighbour.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = self.gateway() + &self.port();
        for protocol in Protocol::ALL {
            self.service(protocol, &mut text);
        }
        text
    }

    fn gateway(&self) -> String {
        let (host, dir) = (self.host.name(), self.host.dir().display());
        format!(
            "[gateway]\nworkers = {:?}\nidle = \"spin\"\nhuge_pages = {}\nmemory_mb = {}\n\
             pool_buffers = {}\nbuffer_bytes = {BUFFER_BYTES}\nsessions_per_worker = {}\n\
             file_prefix = \"{host}\"\nsocket = \"{dir}/sluice.sock\"\n\
             state_dir = \"{dir}/state\"\nmetrics = \"{METRICS}\"\n\n\
             [timeouts]\ntcp_established = \"1d\"\nudp = \"1d\"\n",
            self.cores,
            self.huge_pages,
            memory_mb(self.frames),
            buffers(self.frames),
            table_slots(self.flows),
        )
    }

    fn port(&self) -> String {
        format!(
            "\n[[port]]\nname = \"wan\"\ndevice = \"{}\"\n\
             twin = {{ name = \"{TWIN}\", persist = false }}\n\
             addresses = [\"{GATEWAY}/{PREFIX_LEN}\"]\nroutes = [\"default via {}\"]\n\n\
             [[local_pool]]\nname = \"local\"\naddresses = [\"{}-{}\"]\n\
             ports = \"{FIRST_LOCAL_PORT}-65535\"\n",
            self.device,
            ROUTER.0,
            local_address(0),
            local_address(LOCAL_ADDRESSES - 1),
        )
    }

    fn service(&self, protocol: Protocol, text: &mut String) {
        let _infallible = write!(
            text,
            "\n[[service]]\nvip = \"{}\"\nport = {}\nprotocol = \"{}\"\nscheduler = \"rr\"\n\
             unserved = \"drop\"\n",
            VIP.ip(),
            VIP.port(),
            protocol.name(),
        );
        if self.method == Method::Fullnat {
            text.push_str("local_pool = \"local\"\n");
        }
        for (addr, _) in (0..SERVERS).map(server) {
            let _infallible = write!(
                text,
                "\n[[service.server]]\naddress = \"{addr}\"\nport = {}\nmethod = \"{}\"\n\
                 weight = {}\n",
                server_port(self.method),
                self.method.name(),
                self.weight,
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replay_has_room_for_its_frames() {
        assert!(buffers(1_000_000) > 1_000_000 + 4096);
        // 2,368 bytes for each.
        assert!(memory_mb(1_000_000) > 2_258);
        assert!(table_slots(1_000_000) > 1_000_000);
    }
}

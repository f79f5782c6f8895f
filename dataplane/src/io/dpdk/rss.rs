//! Receive side scaling: asked for where offered, and read back, because only what the ethdev
//! says it does can be computed in software.

use dpdk_sys as sys;

use super::cause::Cause;
use super::port::Port;
use crate::id::QueueId;

/// Entries of DPDK's redirection table groups.
const GROUP: usize = sys::RTE_ETH_RETA_GROUP_SIZE as usize;

/// What the hash should cover: addresses always, and ports of TCP and UDP where the packet is
/// whole. SCTP is left at addresses, since some NICs add its verification tag.
const WANTED: u64 = sys::SHIM_RSS_IPV4
    | sys::SHIM_RSS_FRAG_IPV4
    | sys::SHIM_RSS_NONFRAG_IPV4_OTHER
    | sys::SHIM_RSS_IPV6
    | sys::SHIM_RSS_FRAG_IPV6
    | sys::SHIM_RSS_NONFRAG_IPV6_OTHER
    | PORTS
    | sys::SHIM_RSS_NONFRAG_IPV6_TCP
    | sys::SHIM_RSS_NONFRAG_IPV6_UDP;

const PORTS: u64 = sys::SHIM_RSS_NONFRAG_IPV4_TCP | sys::SHIM_RSS_NONFRAG_IPV4_UDP;

/// What all ethdevs should do alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RssConfig {
    /// The Toeplitz key; repeated or cut to the ethdev's length. Empty keeps the driver's own.
    pub key: Vec<u8>,
    /// The logical redirection table; repeated or cut to the ethdev's size. Empty keeps the
    /// driver's own.
    pub reta: Vec<QueueId>,
}

/// What an ethdev says it does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RssState {
    /// The Toeplitz key in use.
    pub key: Vec<u8>,
    /// The redirection table in use: the hash's low bits name the entry.
    pub reta: Vec<QueueId>,
    /// Whether the ports of TCP and UDP over IPv4 are hashed, not the addresses alone.
    pub ports_hashed: bool,
}

/// What one ethdev can do of what is configured.
pub(super) struct Wish {
    fields: u64,
    key: Vec<u8>,
    /// Whether the driver names the length of its key. If not, DPDK 23.11 and newer refuse to
    /// configure the ethdev with any key, so it is only tried once the ethdev runs.
    length_is_named: bool,
}

impl Wish {
    /// What of `config` the ethdev offers; `None` when it spreads nothing.
    pub(super) fn new(config: &RssConfig, info: &sys::rte_eth_dev_info) -> Option<Self> {
        let fields = WANTED & info.flow_type_rss_offloads;
        let key = config.key.iter().copied().cycle();
        (fields != 0).then(|| Self {
            fields,
            key: key.take(key_len(info)).collect(),
            length_is_named: info.hash_key_size != 0,
        })
    }

    /// What to configure the ethdev with; it points into `self`.
    pub(super) fn for_configure(&mut self) -> sys::rte_eth_rss_conf {
        if self.length_is_named {
            conf(self.fields, &mut self.key)
        } else {
            conf(self.fields, &mut [])
        }
    }
}

/// Bytes of the key; where the driver does not say, those a Toeplitz hash of IPv6 needs.
fn key_len(info: &sys::rte_eth_dev_info) -> usize {
    match info.hash_key_size {
        0 => 40,
        len => usize::from(len),
    }
}

/// DPDK's form; no key at all is a null pointer, which stands for the driver's own.
fn conf(fields: u64, key: &mut [u8]) -> sys::rte_eth_rss_conf {
    let mut conf = sys::rte_eth_rss_conf {
        rss_hf: fields,
        ..Default::default()
    };
    if let Ok(len @ 1..) = u8::try_from(key.len()) {
        conf.rss_key = key.as_mut_ptr();
        conf.rss_key_len = len;
    }
    conf
}

/// Tells a started port its key and table, and asks what became of them.
pub(super) fn settle(
    port: &Port,
    info: &sys::rte_eth_dev_info,
    config: &RssConfig,
    mut wish: Wish,
) -> Result<RssState, Cause> {
    if !wish.key.is_empty() {
        let mut conf = conf(wish.fields, &mut wish.key);
        // Some drivers take the key only now, others only when configured: the answer does not
        // matter, what is read back does.
        // SAFETY: `conf` points at a key of the length it says.
        unsafe { sys::rte_eth_dev_rss_hash_update(port.id(), &raw mut conf) };
    }
    write_table(port, info, &config.reta)?;
    read_back(port, info)
}

/// Writes the redirection table of a started port.
fn write_table(
    port: &Port,
    info: &sys::rte_eth_dev_info,
    logical: &[QueueId],
) -> Result<(), Cause> {
    if logical.is_empty() {
        return Ok(());
    }
    let mut table = all_entries(info.reta_size);
    let slots = table.iter_mut().flat_map(|group| &mut group.reta);
    for (slot, queue) in slots.zip(logical.iter().cycle()) {
        *slot = queue.0;
    }
    // SAFETY: the table has room for `reta_size` entries.
    Cause::check(|| unsafe {
        sys::rte_eth_dev_rss_reta_update(port.id(), table.as_mut_ptr(), info.reta_size)
    })?;
    Ok(())
}

/// Asks a started port for its key, table and fields.
fn read_back(port: &Port, info: &sys::rte_eth_dev_info) -> Result<RssState, Cause> {
    let mut key = vec![0; key_len(info)];
    let mut conf = conf(0, &mut key);
    // SAFETY: `conf` points at a key of the length it says, or at none.
    Cause::check(|| unsafe { sys::rte_eth_dev_rss_hash_conf_get(port.id(), &raw mut conf) })?;
    let mut table = all_entries(info.reta_size);
    // SAFETY: the table has room for `reta_size` entries.
    Cause::check(|| unsafe {
        sys::rte_eth_dev_rss_reta_query(port.id(), table.as_mut_ptr(), info.reta_size)
    })?;
    key.truncate(usize::from(conf.rss_key_len));
    let reta = table.iter().flat_map(|group| group.reta).map(QueueId);
    Ok(RssState {
        key,
        reta: reta.take(usize::from(info.reta_size)).collect(),
        ports_hashed: conf.rss_hf & PORTS == PORTS,
    })
}

/// A table of `size` entries, all marked to be read or written.
fn all_entries(size: u16) -> Vec<sys::rte_eth_rss_reta_entry64> {
    let size = usize::from(size);
    (0..size.div_ceil(GROUP))
        .map(|group| {
            let used = (size - group * GROUP).min(GROUP);
            sys::rte_eth_rss_reta_entry64 {
                mask: u64::MAX >> (GROUP - used),
                ..Default::default()
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offering(fields: u64, key_len: u8) -> sys::rte_eth_dev_info {
        sys::rte_eth_dev_info {
            flow_type_rss_offloads: fields,
            hash_key_size: key_len,
            ..Default::default()
        }
    }

    #[test]
    fn only_offered_fields_are_asked_for() {
        let config = RssConfig {
            key: vec![1, 2, 3],
            reta: Vec::new(),
        };
        let mut wish = Wish::new(&config, &offering(sys::SHIM_RSS_IPV4 | 1 << 60, 5)).unwrap();

        let conf = wish.for_configure();

        assert_eq!(conf.rss_hf, sys::SHIM_RSS_IPV4);
        assert_eq!(conf.rss_key_len, 5);
        assert_eq!(wish.key, [1, 2, 3, 1, 2]);
        assert!(Wish::new(&config, &offering(0, 40)).is_none());
    }

    #[test]
    fn without_a_key_the_driver_keeps_its_own() {
        let config = RssConfig {
            key: Vec::new(),
            reta: Vec::new(),
        };
        let mut wish = Wish::new(&config, &offering(sys::SHIM_RSS_IPV4, 40)).unwrap();

        let conf = wish.for_configure();

        assert!(conf.rss_key.is_null());
        assert_eq!(conf.rss_key_len, 0);
    }

    #[test]
    fn a_driver_that_names_no_key_length_is_configured_without_a_key() {
        let config = RssConfig {
            key: vec![1; 52],
            reta: Vec::new(),
        };
        let mut wish = Wish::new(&config, &offering(sys::SHIM_RSS_IPV4, 0)).unwrap();

        assert!(wish.for_configure().rss_key.is_null());
        assert_eq!(wish.key.len(), 40);
    }

    #[test]
    fn every_entry_of_a_table_is_marked_and_no_more() {
        let masks = |size| -> Vec<u64> { all_entries(size).iter().map(|g| g.mask).collect() };

        assert_eq!(masks(128), [u64::MAX, u64::MAX]);
        assert_eq!(masks(70), [u64::MAX, 0b11_1111]);
        assert!(masks(0).is_empty());
    }
}

//! Firewall marks: which packets have which mark.
//!
//! Packets do not pass netfilter, so marks come from rules; the first one that matches gives the
//! mark.

use std::ops::RangeInclusive;

use crate::address::{Endpoint, V4};
use crate::id::EthdevId;

/// What packets get which mark.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MarkRule {
    /// Those that arrive here; `None` is anywhere.
    pub ethdev: Option<EthdevId>,
    /// Those of this IP protocol number; `None` is any.
    pub protocol: Option<u8>,
    /// Those from this prefix.
    pub source: Option<(V4, u8)>,
    /// Those to this prefix.
    pub destination: Option<(V4, u8)>,
    /// Those from these ports.
    pub source_ports: RangeInclusive<u16>,
    /// Those to these ports.
    pub destination_ports: RangeInclusive<u16>,
    /// The mark, above 0.
    pub mark: u32,
}

impl MarkRule {
    fn matches(
        &self,
        ethdev: EthdevId,
        protocol: u8,
        source: Endpoint<V4>,
        destination: Endpoint<V4>,
    ) -> bool {
        self.ethdev.is_none_or(|own| own == ethdev)
            && self.protocol.is_none_or(|own| own == protocol)
            && covers(self.source, source.addr)
            && covers(self.destination, destination.addr)
            && self.source_ports.contains(&source.port)
            && self.destination_ports.contains(&destination.port)
    }
}

fn covers(prefix: Option<(V4, u8)>, addr: V4) -> bool {
    prefix.is_none_or(|(prefix, len)| {
        let host_bits = 32_u32.saturating_sub(len.into());
        (u64::from(prefix.0) ^ u64::from(addr.0)) >> host_bits == 0
    })
}

/// All rules.
#[derive(Clone, Debug, Default)]
pub struct MarkRules(Vec<MarkRule>);

impl MarkRules {
    /// These rules, in this order.
    #[must_use]
    pub const fn new(rules: Vec<MarkRule>) -> Self {
        Self(rules)
    }

    /// The mark of a packet; 0 is none.
    #[must_use]
    pub fn mark(
        &self,
        ethdev: EthdevId,
        protocol: u8,
        source: Endpoint<V4>,
        destination: Endpoint<V4>,
    ) -> u32 {
        let matching =
            (self.0.iter()).find(|rule| rule.matches(ethdev, protocol, source, destination));
        matching.map_or(0, |rule| rule.mark)
    }
}

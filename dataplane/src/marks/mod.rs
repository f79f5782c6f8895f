//! Firewall marks: which packets a mark service is for.
//!
//! Packets do not pass netfilter, so marks come from rules of the configuration. The rules are
//! compiled into one [`Field`] for each thing they ask about. A field cuts its values (addresses,
//! ports) where a rule begins or ends, and knows for each piece which rules hold there, a bit
//! each; a packet's rules are those that hold in all fields.
//!
//! ```text
//!                   0         10.0.0.0       10.1.0.0       10.2.0.0
//! source address    │  piece 0   │   piece 1    │    piece 2   │  piece 3 ...
//! rules that hold   │   ..1..    │   1.1..      │    111..     │   1.1..
//!                                                    AND destination AND ports ... → first bit
//! ```
//!
//! So a look costs a binary search in each field and a few words of bits, whatever the rules
//! say: nothing an operator writes makes it slow. Only packets that met no session ask.

mod field;

use std::ops::RangeInclusive;

use crate::address::{Endpoint, V4};
use crate::id::EthdevId;
use field::{Field, Pieces};

/// What a rule asks of a packet, and the mark that the packet then has. What is `None`, or all
/// ports, is not asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MarkRule {
    /// Where the packet arrives.
    pub ethdev: Option<EthdevId>,
    /// The IP protocol's number.
    pub protocol: Option<u8>,
    /// Prefix of the sender's address: the address and how many of its bits count, at most 32.
    pub source: Option<(V4, u8)>,
    /// Prefix of the receiver's address, in the same way.
    pub destination: Option<(V4, u8)>,
    /// The sender's port.
    pub source_ports: RangeInclusive<u16>,
    /// The receiver's port.
    pub destination_ports: RangeInclusive<u16>,
    /// The mark; 0 is none, which ends the search like any other.
    pub mark: u32,
}

impl MarkRule {
    /// The most rules there may be; what is behind them is not looked at.
    pub const MOST: usize = 4_096;

    /// A rule for all packets.
    #[must_use]
    pub const fn any(mark: u32) -> Self {
        Self {
            ethdev: None,
            protocol: None,
            source: None,
            destination: None,
            source_ports: 0..=u16::MAX,
            destination_ports: 0..=u16::MAX,
            mark,
        }
    }
}

/// The rules of a configuration, made for looking up: the first that matches gives the mark.
#[derive(Clone, Debug, Default)]
pub struct MarkRules {
    /// One for each thing that rules ask about; none without rules.
    fields: Option<Box<[Field; 6]>>,
    /// The marks of the rules, in order.
    marks: Vec<u32>,
}

impl MarkRules {
    /// Compiles the first [`MarkRule::MOST`] rules.
    #[must_use]
    pub fn new(mut rules: Vec<MarkRule>) -> Self {
        rules.truncate(MarkRule::MOST);
        if rules.is_empty() {
            return Self::default();
        }
        let field = |values: fn(&MarkRule) -> RangeInclusive<u32>| {
            Field::new(rules.iter().map(values).collect::<Vec<_>>().as_slice())
        };
        let fields = [
            field(|rule| prefix(rule.source)),
            field(|rule| prefix(rule.destination)),
            field(|rule| ports(&rule.source_ports)),
            field(|rule| ports(&rule.destination_ports)),
            field(|rule| one_or_all(rule.protocol.map(u32::from))),
            field(|rule| one_or_all(rule.ethdev.map(|ethdev| u32::from(ethdev.0)))),
        ];
        Self {
            fields: Some(Box::new(fields)),
            marks: rules.iter().map(|rule| rule.mark).collect(),
        }
    }

    /// The mark of a packet that arrived at `ethdev`; 0 is none.
    #[inline]
    #[must_use]
    pub fn mark(
        &self,
        ethdev: EthdevId,
        protocol: u8,
        source: Endpoint<V4>,
        destination: Endpoint<V4>,
    ) -> u32 {
        let Some(fields) = &self.fields else {
            return 0;
        };
        let values = [
            source.addr.0,
            destination.addr.0,
            u32::from(source.port),
            u32::from(destination.port),
            u32::from(protocol),
            u32::from(ethdev.0),
        ];
        let mut pieces = [Pieces::default(); 6];
        for ((piece, field), value) in pieces.iter_mut().zip(&**fields).zip(values) {
            *piece = field.at(value);
        }
        let first = field::first_in_all(&pieces);
        first
            .and_then(|rule| self.marks.get(rule))
            .map_or(0, |mark| *mark)
    }

    /// How many rules there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.marks.len()
    }

    /// Whether no packet has a mark.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.marks.is_empty()
    }
}

/// The addresses with this prefix.
fn prefix(prefix: Option<(V4, u8)>) -> RangeInclusive<u32> {
    let (V4(addr), len) = prefix.unwrap_or_default();
    let host = u32::MAX.checked_shr(len.into()).unwrap_or(0);
    addr & !host..=addr | host
}

fn ports(ports: &RangeInclusive<u16>) -> RangeInclusive<u32> {
    u32::from(*ports.start())..=u32::from(*ports.end())
}

fn one_or_all(value: Option<u32>) -> RangeInclusive<u32> {
    value.map_or(0..=u32::MAX, |value| value..=value)
}

#[cfg(test)]
mod tests;

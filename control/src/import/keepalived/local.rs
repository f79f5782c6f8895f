//! `local_address_group` of DPVS: the addresses from which FULLNAT asks servers.

use std::net::{IpAddr, Ipv4Addr};

use super::super::draft::PoolDraft;
use super::super::place::{Note, Place};
use super::group;
use super::tree::Statement;
use crate::config::MAX_POOL_ADDRESSES;

/// A group, which becomes a local pool of the same name.
#[derive(Debug)]
pub(super) struct LocalGroup {
    place: Place,
    /// Each with its line.
    addresses: Vec<(Place, IpAddr)>,
    /// What is left out of it.
    pub(super) notes: Vec<Note>,
}

impl LocalGroup {
    /// Reads a block. Behind an address stands the port that has it, by DPVS's name: here the twin
    /// carries it whose subnet covers it, unless the pool says otherwise.
    pub(super) fn read(statement: &Statement) -> Self {
        let mut local = Self {
            place: statement.place.clone(),
            addresses: Vec::new(),
            notes: Vec::new(),
        };
        for line in statement.statements() {
            match group::addresses(line.keyword()) {
                Ok((first, last)) => local.add(&line.place, first, last),
                Err(why) => {
                    let message = format!("`{}` is left out: {why}", line.heading());
                    local.notes.push(Note::new(&line.place, message));
                }
            }
        }
        local
    }

    fn add(&mut self, place: &Place, first: u32, last: u32) {
        for number in first..=last {
            let addr = IpAddr::V4(Ipv4Addr::from_bits(number));
            let is_known = |(_, known): &(Place, IpAddr)| *known == addr;
            // One more than a pool can have, so that it is said.
            if self.addresses.len() as u128 <= MAX_POOL_ADDRESSES
                && !self.addresses.iter().any(is_known)
            {
                self.addresses.push((place.clone(), addr));
            }
        }
    }

    /// The pool that a service has of it.
    pub(super) fn pool(&self) -> PoolDraft {
        PoolDraft {
            place: self.place.clone(),
            addresses: self.addresses.clone(),
        }
    }
}

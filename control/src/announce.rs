//! Tells routers, by way of a routing daemon, which VIPs are served here.
//!
//! ```text
//! quorum, maintenance ─► Gateway::wished_announcements ─► Announcer ─► routing table of Linux
//!                                                                           └─► BIRD or FRR ─► routers
//! ```

use std::net::IpAddr;
use std::sync::Arc;

use dataplane::id::InterfaceId;

use crate::gateway::Gateway;
use crate::linux::addresses::AddressKeeper;
use crate::linux::announce_table::{AnnounceTable, Announcement};

/// Keeps the table as the gateway wishes.
pub struct Announcer {
    gateway: Arc<Gateway>,
    table: AnnounceTable,
    wished: Vec<(IpAddr, Option<InterfaceId>)>,
    announcements: Vec<Announcement>,
    /// What was said when it could not be told where VIPs belong.
    unplaced: Option<String>,
    /// What was said when Linux refused one.
    refused: Option<String>,
}

impl Announcer {
    /// One that has announced nothing yet.
    #[must_use]
    pub fn new(gateway: Arc<Gateway>, table: AnnounceTable) -> Self {
        Self {
            gateway,
            table,
            wished: Vec::new(),
            announcements: Vec::new(),
            unplaced: None,
            refused: None,
        }
    }

    /// Announces what the gateway wishes now, and withdraws the rest; `moved` says that addresses
    /// or default routes of Linux have changed since the last time.
    pub fn renew(&mut self, addresses: &mut AddressKeeper, moved: bool) {
        let wished = self.gateway.wished_announcements();
        if !moved && wished == self.wished {
            return;
        }
        match addresses.homes(&wished) {
            Ok(homes) => {
                let announcements = homes.into_iter();
                self.announcements = announcements
                    .map(|(vip, interface)| Announcement { vip, interface })
                    .collect();
                self.unplaced = None;
            }
            // What is wished no longer is withdrawn all the same.
            Err(error) => {
                let sentence = format!("could not announce all VIPs, will try again: {error}");
                if self.unplaced.as_ref() != Some(&sentence) {
                    tracing::warn!("{sentence}");
                }
                self.unplaced = Some(sentence);
                let is_wished = |vip| wished.iter().any(|(addr, _)| *addr == vip);
                self.announcements.retain(|it| is_wished(it.vip));
            }
        }
        self.wished = wished;
        self.apply();
    }

    /// Looks whether Linux still has all of it, adds what went with a twin that was down for a
    /// while, and tries again what failed. Call it about once a second.
    pub fn verify(&mut self, addresses: &mut AddressKeeper) {
        if self.unplaced.is_some() {
            self.renew(addresses, true);
        } else {
            self.apply();
        }
    }

    /// Withdraws all VIPs, for the moment before this gateway stops.
    pub fn withdraw_all(&mut self) {
        self.announcements.clear();
        self.wished.clear();
        self.apply();
    }

    fn apply(&mut self) {
        let (announced, applied) = self.table.apply(&self.announcements);
        self.gateway.announced(announced);
        let refused = applied.err().map(|error| error.to_string());
        if let Some(sentence) = &refused
            && self.refused != refused
        {
            tracing::warn!("{sentence}; will try again");
        }
        self.refused = refused;
    }
}

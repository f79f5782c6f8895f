//! Tells routers, by way of a routing daemon, which VIPs are served here.
//!
//! ```text
//! quorum, maintenance ─► Gateway::wished_announcements ─► Announcer ─► routing table of Linux
//!                                                                           └─► BIRD or FRR ─► routers
//! ```

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use dataplane::id::InterfaceId;

use crate::gateway::Gateway;
use crate::linux::addresses::AddressKeeper;
use crate::linux::announce_table::{AnnounceError, AnnounceTable, Announcement};

/// Keeps the table as the gateway wishes.
pub struct Announcer {
    gateway: Arc<Gateway>,
    table: AnnounceTable,
    wished: Vec<(IpAddr, Option<InterfaceId>)>,
    announcements: Vec<Announcement>,
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
                self.wished = wished;
            }
            // What is wished no longer is withdrawn all the same.
            Err(error) => {
                tracing::warn!("could not announce all VIPs: {error}");
                let is_wished = |vip| wished.iter().any(|(addr, _)| *addr == vip);
                self.announcements.retain(|it| is_wished(it.vip));
                self.wished.clear();
            }
        }
        self.verify();
    }

    /// Looks whether Linux still has all of it, and adds what went with a twin that was down for
    /// a while. Call it about once a second.
    pub fn verify(&mut self) {
        let (announced, applied) = self.table.apply(&self.announcements);
        self.tell(announced, applied);
    }

    /// Withdraws all VIPs, for the moment before this gateway stops.
    pub fn withdraw_all(&mut self) {
        self.announcements.clear();
        self.wished.clear();
        self.verify();
    }

    fn tell(&mut self, announced: BTreeSet<IpAddr>, applied: Result<(), AnnounceError>) {
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

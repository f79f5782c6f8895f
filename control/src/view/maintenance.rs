//! Maintenance, and which VIPs routers are told of, as the API says it.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Whether maintenance shall be on (`PUT /v1/maintenance`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MaintenanceWish {
    /// `true`: no VIP is announced, and the gateway is not ready, until it is `false` again or the
    /// gateway is restarted.
    pub on: bool,
}

/// What is announced, and what is left to do before the gateway may stop.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MaintenanceView {
    /// Whether maintenance is on.
    pub on: bool,
    /// The routing table in which VIPs are announced, if they are.
    pub announce_table: Option<u32>,
    /// Each VIP, if VIPs are announced.
    pub vips: Vec<AnnouncedView>,
    /// Sessions of all workers.
    pub sessions: u64,
    /// Packets that met a session, began one or were served without, since the start: while this
    /// stands still, nobody comes.
    pub served_packets: u64,
}

/// A VIP that routers may be told of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AnnouncedView {
    /// The VIP.
    #[schema(value_type = String)]
    pub vip: IpAddr,
    /// Whether it is in the table.
    pub announced: bool,
    /// Whether as many of its services have quorum as `announce` asks for.
    pub quorum: bool,
}

impl MaintenanceView {
    /// Whether exactly those VIPs are announced that are to be.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        let wished = |it: &AnnouncedView| it.quorum && !self.on;
        self.vips.iter().all(|it| it.announced == wished(it))
    }

    /// The VIPs that routers are told of though maintenance is on.
    pub(crate) fn still_announced(&self) -> Vec<String> {
        let vips = self.vips.iter().filter(|it| self.on && it.announced);
        vips.map(|it| it.vip.to_string()).collect()
    }
}

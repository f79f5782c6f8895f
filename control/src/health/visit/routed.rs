//! Servers whose answers have to pass the gateway: by NAT.

use super::ask::{self, Heard};
use super::{Visit, unseen, well, wrong};
use crate::view::LookView;

/// Whether what the server says to other networks comes by the gateway: it is asked from the check
/// interface, whose addresses nobody else knows.
pub(super) fn way_back(visit: &Visit, address: &Heard) -> LookView {
    let about = "way_back";
    if visit.is_vip_away {
        let says = "the way back: the VIP is on another gateway, by which the answers go now";
        return unseen(about, says.to_owned());
    }
    let (Some(source), Some(own)) = (visit.source, visit.own) else {
        let says = "the way back: the gateway has no address of its own beyond the server's segment; \
                    give `[health]` `check_addresses`";
        return unseen(about, says.to_owned());
    };
    if !matches!(address, Heard::Taken | Heard::Refused) {
        let says = "the way back: the server does not even answer on its own segment";
        return unseen(about, says.to_owned());
    }
    match ask::connect(Some(source), visit.server) {
        Heard::Taken | Heard::Refused => well(
            about,
            format!("answers to other networks ({source}) come back by the gateway"),
        ),
        Heard::Silence => wrong(
            about,
            format!(
                "{} answers {own} and does not answer {source}: its answers to other networks go \
                 past the gateway, or its firewall knows no other networks",
                visit.server.ip()
            ),
            // Where there are others, one of them may move with the VIP.
            match visit.only_own {
                Some(own) => visit.setup(&format!(" --gateway {own}")),
                None => {
                    visit.setup(" --gateway ADDRESS") + ", the gateway's address on its segment"
                }
            },
        ),
        Heard::Unreachable(why) | Heard::Failed(why) => unseen(
            about,
            format!("the way back: {source} could not ask: {why}"),
        ),
    }
}

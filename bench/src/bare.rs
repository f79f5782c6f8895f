//! A gateway of one worker without ethdevs: what is measured is the control plane's.

use std::sync::Arc;

use control::config::Config;
use control::gateway::{EthdevSource, EthdevStats, Gateway, Plane};
use dataplane::counters::WorkerCounters;
use dataplane::editor::Editor;
use dataplane::mailbox::Mailbox;
use dataplane::session::Timeouts;
use dataplane::steering::Steering;

struct NoEthdevs;

impl EthdevSource for NoEthdevs {
    fn stats(&self) -> Vec<EthdevStats> {
        Vec::new()
    }
}

/// The gateway with this configuration; its worker is the caller's to run, or not.
pub(crate) fn gateway(
    config: Config,
    mailbox: Arc<Mailbox>,
    counters: Arc<WorkerCounters>,
    session_capacity: u64,
) -> Arc<Gateway> {
    let plane = Plane {
        mailboxes: vec![mailbox],
        counters: vec![counters],
        cores: vec![None],
        session_capacity,
        ethdevs: Box::new(NoEthdevs),
        version: "bench".to_owned(),
        dpdk: "none".to_owned(),
    };
    let steering = Steering::Software { workers: 1 };
    let editor = Editor::new(1, steering, Timeouts::default(), Vec::new());
    Gateway::new(plane, editor, config)
}

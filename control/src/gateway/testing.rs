//! A gateway without workers, for tests.

use std::path::Path;
use std::sync::Arc;

use dataplane::counters::WorkerCounters;
use dataplane::editor::Editor;
use dataplane::id::WorkerId;
use dataplane::mailbox::Mailbox;
use dataplane::session::Timeouts;
use dataplane::steering::Steering;

use super::{EthdevSource, EthdevStats, Gateway, Plane};
use crate::config::Config;

struct NoEthdevs;

impl EthdevSource for NoEthdevs {
    fn stats(&self) -> Vec<EthdevStats> {
        Vec::new()
    }
}

/// A gateway with what `text` says and a port.
pub(crate) fn gateway(text: &str) -> Arc<Gateway> {
    let port = "[[port]]\nname = \"wan\"\ndevice = \"net_null0\"\n";
    let (config, _) = Config::from_toml(&format!("{port}{text}"), Path::new("t.toml"))
        .unwrap_or_else(|errors| panic!("{errors}"));
    let plane = Plane {
        mailboxes: vec![Arc::new(Mailbox::new(WorkerId(0)))],
        counters: vec![Arc::new(WorkerCounters::default())],
        cores: vec![None],
        session_capacity: 0,
        ethdevs: Box::new(NoEthdevs),
        version: "0".to_owned(),
        dpdk: "none".to_owned(),
    };
    let steering = Steering::Software { workers: 1 };
    let editor = Editor::new(1, steering, Timeouts::default(), Vec::new());
    Gateway::new(plane, editor, config)
}

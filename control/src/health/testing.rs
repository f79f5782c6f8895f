//! Checks for tests.

use std::time::Duration;

use crate::config::{Check, CheckKind, CheckPath, Timing};

/// That a connection comes about, once a second.
pub(crate) const TCP: Check = Check {
    kind: CheckKind::Tcp,
    port: None,
    address: None,
    path: CheckPath::Route,
    timing: Timing {
        interval: Duration::from_secs(1),
        jitter: 0,
        timeout: Duration::from_millis(500),
        retry: 0,
        retry_delay: Duration::ZERO,
        rise: 1,
        fall: 1,
        delay: Duration::ZERO,
    },
    load: None,
};

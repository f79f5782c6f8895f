//! SIGTERM, SIGINT and SIGHUP, heard from the first moment of a start to the last of a stop.
//!
//! What comes while the gateway starts waits: a stop is obeyed between two steps, a reload once
//! all runs. While it hands over, the next stop ends that; while it stops, further signals change
//! nothing.

use std::future::ready;
use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// What the operator wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// End in good order.
    Stop,
    /// Read the configuration file again.
    Reload,
}

/// The signals that the gateway obeys.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    reload: Signal,
}

impl Signals {
    /// Listens from now on, on the runtime that this is called in.
    pub(super) fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            reload: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for the next one.
    pub(super) async fn next(&mut self) -> Told {
        tokio::select! {
            _ = self.terminate.recv() => Told::Stop,
            _ = self.interrupt.recv() => Told::Stop,
            _ = self.reload.recv() => Told::Reload,
        }
    }

    /// Whether a stop was asked for meanwhile.
    pub(super) async fn stop_asked(&mut self) -> bool {
        // The runtime looks at what has come only when its task lets it.
        tokio::task::yield_now().await;
        let asked = tokio::select! {
            biased;
            _ = self.terminate.recv() => true,
            _ = self.interrupt.recv() => true,
            () = ready(()) => false,
        };
        if asked {
            tracing::info!("stopping before it was ready");
        }
        asked
    }
}

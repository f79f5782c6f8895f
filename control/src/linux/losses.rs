//! What the gateway has lost of Linux while it ran, and only a restart brings back.

use std::sync::Arc;

use parking_lot::Mutex;

/// A list of losses that its clones share.
#[derive(Clone, Debug, Default)]
pub struct Losses(Arc<Mutex<Vec<String>>>);

impl Losses {
    /// Takes note of one, in words that "the gateway is ill:" could stand before.
    pub fn add(&self, loss: String) {
        self.0.lock().push(loss);
    }

    /// All of them, oldest first.
    #[must_use]
    pub fn list(&self) -> Vec<String> {
        self.0.lock().clone()
    }
}

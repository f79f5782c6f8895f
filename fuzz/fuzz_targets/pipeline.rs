//! Plays arbitrary frames to a whole gateway: nothing may panic, and what leaves must be frames.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|history: &[u8]| {
    let _ = dataplane::testing::play(history);
});

//! Capture files, in the format of libpcap 2.4 with this machine's byte order, and where they lie.
//!
//! ```text
//! | magic, version, zone, accuracy, longest frame, link type: 24 |
//! | seconds 4, fraction 4, captured length 4, length 4 | frame | ...
//! ```

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

const FILE_HEADER_LEN: usize = 24;
const LONGEST_FRAME: u32 = 65_535;
const LINK_TYPE_ETHERNET: u32 = 1;

/// A directory that goes away with the test.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("sluice-dpdk-packets-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Makes a capture file without frames.
pub(crate) fn create(path: &Path) {
    let version = u32::from_ne_bytes(if cfg!(target_endian = "little") {
        [2, 0, 4, 0]
    } else {
        [0, 2, 0, 4]
    });
    let header = [
        0xa1b2_c3d4,
        version,
        0,
        0,
        LONGEST_FRAME,
        LINK_TYPE_ETHERNET,
    ];
    fs::write(path, header.map(u32::to_ne_bytes).concat()).unwrap();
}

/// Adds frames to the end of a capture file.
pub(crate) fn append<'a>(path: &Path, frames: impl Iterator<Item = &'a [u8]>) {
    let mut bytes = Vec::new();
    for frame in frames {
        let len = u32::try_from(frame.len()).unwrap();
        bytes.extend([0, 0, len, len].map(u32::to_ne_bytes).concat());
        bytes.extend(frame);
    }
    let mut file = OpenOptions::new().append(true).open(path).unwrap();
    file.write_all(&bytes).unwrap();
}

/// The frames of a capture file.
pub(crate) fn read(path: &Path) -> Vec<Vec<u8>> {
    let file = fs::read(path).unwrap();
    let mut rest = &file[FILE_HEADER_LEN..];
    let mut frames = Vec::new();
    while let Some((header, after)) = rest.split_first_chunk::<16>() {
        let [captured, whole] = [8, 12].map(|place| {
            let bytes = header[place..].first_chunk::<4>();
            u32::from_ne_bytes(*bytes.unwrap())
        });
        assert_eq!(captured, whole, "{} has part of a frame", path.display());
        let (frame, after) = after.split_at(usize::try_from(whole).unwrap());
        frames.push(frame.to_vec());
        rest = after;
    }
    assert!(rest.is_empty(), "{} ends in a frame", path.display());
    frames
}

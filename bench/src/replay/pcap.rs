//! The classic capture file, as libpcap reads it.
//!
//! ```text
//! file   | magic 4 | version 2+2 | zone 4 | accuracy 4 | longest 4 | link type 4 | records
//! record | seconds 4 | microseconds 4 | bytes here 4 | bytes on the wire 4 | frame |
//! ```

use std::io::{self, Write};

/// Microseconds, little end first: readers tell the byte order by it.
const MAGIC: u32 = 0xa1b2_c3d4;
const LINK_TYPE_ETHERNET: u32 = 1;
const LONGEST: u32 = 65_535;

/// Writes `frames` as a capture file.
///
/// # Errors
///
/// When `out` cannot be written, or a frame is longer than 65,535 bytes.
pub fn write(mut out: impl Write, frames: impl Iterator<Item = Vec<u8>>) -> io::Result<()> {
    let version: u32 = 2 | 4 << 16;
    for word in [MAGIC, version, 0, 0, LONGEST, LINK_TYPE_ETHERNET] {
        out.write_all(&word.to_le_bytes())?;
    }
    for frame in frames {
        let length = u32::from(u16::try_from(frame.len()).map_err(io::Error::other)?);
        for word in [0, 0, length, length] {
            out.write_all(&word.to_le_bytes())?;
        }
        out.write_all(&frame)?;
    }
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads what [`write`] wrote.
    fn read(file: &[u8]) -> Vec<Vec<u8>> {
        let word = |bytes: &[u8]| u32::from_le_bytes(bytes.try_into().unwrap());
        assert_eq!(word(&file[..4]), MAGIC);
        assert_eq!(file[4..8], [2, 0, 4, 0]);
        assert_eq!(word(&file[20..24]), LINK_TYPE_ETHERNET);
        let mut rest = &file[24..];
        let mut frames = Vec::new();
        while !rest.is_empty() {
            let (header, behind) = rest.split_at(16);
            let length = word(&header[8..12]);
            assert_eq!(word(&header[12..16]), length);
            let (frame, behind) = behind.split_at(length as usize);
            frames.push(frame.to_vec());
            rest = behind;
        }
        frames
    }

    #[test]
    fn frames_read_back_as_they_were_written() {
        let frames = vec![vec![1; 60], vec![2; 1514], (0..=255).collect()];
        let mut file = Vec::new();

        write(&mut file, frames.clone().into_iter()).unwrap();

        assert_eq!(read(&file), frames);
    }

    #[test]
    fn a_frame_that_no_length_can_say_is_refused() {
        let refused = write(Vec::new(), std::iter::once(vec![0; 65_536]));

        assert!(refused.is_err());
    }
}

//! Classic capture files, as `tcpdump -w` writes them.
//!
//! ```text
//! file   | magic 4 | version 2+2 | zone 4 | accuracy 4 | longest 4 | link type 4 | records
//! record | seconds 4 | micro- or nanoseconds 4 | bytes here 4 | bytes on the wire 4 | frame |
//! ```

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use thiserror::Error;

const MICROSECONDS: u32 = 0xa1b2_c3d4;
const NANOSECONDS: u32 = 0xa1b2_3c4d;
const LINK_TYPE_ETHERNET: u32 = 1;
const HEADER_LEN: usize = 24;

/// A frame of a capture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Captured {
    /// When, as the capture says.
    pub time: Duration,
    /// From its Ethernet header on.
    pub bytes: Vec<u8>,
}

/// Why a capture cannot be played.
#[derive(Debug, Error)]
pub enum CaptureError {
    /// The file cannot be read.
    #[error("cannot read the capture {}: {source}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It is not a classic capture of Ethernet frames.
    #[error("{} is no classic capture of Ethernet frames ('editcap -F pcap' converts others)", .0.display())]
    Format(PathBuf),
}

/// Reads a capture file. A record that the file's end cuts is left out, as tools do.
///
/// # Errors
///
/// When the file cannot be read, or is something else.
pub fn load(path: &Path) -> Result<Vec<Captured>, CaptureError> {
    let file = fs::read(path).map_err(|source| CaptureError::File {
        path: path.to_owned(),
        source,
    })?;
    read(&file).ok_or_else(|| CaptureError::Format(path.to_owned()))
}

/// How a capture's numbers are to be read.
#[derive(Clone, Copy)]
struct Format {
    big_endian: bool,
    nanoseconds: bool,
}

impl Format {
    fn of(magic: [u8; 4]) -> Option<Self> {
        let (little, big) = (u32::from_le_bytes(magic), u32::from_be_bytes(magic));
        let known = |number| matches!(number, MICROSECONDS | NANOSECONDS);
        let number = [little, big].into_iter().find(|number| known(*number))?;
        Some(Self {
            big_endian: number == big,
            nanoseconds: number == NANOSECONDS,
        })
    }

    fn number(self, bytes: [u8; 4]) -> u32 {
        if self.big_endian {
            u32::from_be_bytes(bytes)
        } else {
            u32::from_le_bytes(bytes)
        }
    }
}

fn read(file: &[u8]) -> Option<Vec<Captured>> {
    let (header, mut rest) = file.split_first_chunk::<HEADER_LEN>()?;
    let format = Format::of(*header.first_chunk()?)?;
    let link_type = format.number(*header.last_chunk()?);
    if link_type != LINK_TYPE_ETHERNET {
        return None;
    }
    let mut frames = Vec::new();
    while let Some((frame, behind)) = record(format, rest) {
        frames.push(frame);
        rest = behind;
    }
    Some(frames)
}

fn record(format: Format, bytes: &[u8]) -> Option<(Captured, &[u8])> {
    let mut numbers = [0; 4];
    let mut rest = bytes;
    for number in &mut numbers {
        let (word, behind) = rest.split_first_chunk()?;
        *number = format.number(*word);
        rest = behind;
    }
    let [seconds, fraction, len, _] = numbers;
    let (frame, rest) = rest.split_at_checked(usize::try_from(len).ok()?)?;
    let fraction = match format.nanoseconds {
        true => Duration::from_nanos(fraction.into()),
        false => Duration::from_micros(fraction.into()),
    };
    let frame = Captured {
        time: Duration::from_secs(seconds.into()) + fraction,
        bytes: frame.to_vec(),
    };
    Some((frame, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes a number in some byte order.
    type Order = fn(u32) -> [u8; 4];

    /// A capture of two frames whose numbers are written by `number`.
    fn capture(magic: u32, number: Order) -> Vec<u8> {
        let version = match number(1) {
            [1, ..] => [2, 0, 4, 0],
            _ => [0, 2, 0, 4],
        };
        let mut file = number(magic).to_vec();
        file.extend(version);
        for word in [0, 0, 65_535, 1, 7, 250_000, 3, 60] {
            file.extend(number(word));
        }
        file.extend([1, 2, 3]);
        for word in [8, 0, 1, 1] {
            file.extend(number(word));
        }
        file.push(9);
        file
    }

    #[test]
    fn both_byte_orders_and_both_clocks_are_read() {
        let cases: [(u32, Order, Duration); 3] = [
            (MICROSECONDS, u32::to_le_bytes, Duration::from_millis(7_250)),
            (MICROSECONDS, u32::to_be_bytes, Duration::from_millis(7_250)),
            (NANOSECONDS, u32::to_be_bytes, Duration::new(7, 250_000)),
        ];
        for (magic, number, time) in cases {
            let frames = read(&capture(magic, number)).unwrap();

            let bytes: Vec<&[u8]> = frames.iter().map(|frame| frame.bytes.as_slice()).collect();
            assert_eq!(bytes, [&[1, 2, 3][..], &[9]]);
            assert_eq!(
                [frames[0].time, frames[1].time],
                [time, Duration::from_secs(8)]
            );
        }
    }

    #[test]
    fn another_file_or_link_is_refused_and_a_cut_record_left_out() {
        let mut file = capture(MICROSECONDS, u32::to_le_bytes);
        assert!(read(&file[..20]).is_none());
        assert!(read(&[b'x'; 40]).is_none());

        assert_eq!(read(&file[..file.len() - 1]).unwrap().len(), 1);
        file[20] = 113;
        assert!(read(&file).is_none());
    }
}

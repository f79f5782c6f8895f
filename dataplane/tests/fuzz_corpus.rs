//! Replays the committed corpus of the fuzz target `parse` without a fuzzer.
//!
//! A file `<outcome>.<what it is>` must have that outcome: `ipv4`, `ipv4_other`, `arp`, `ipv6`,
//! `other` or the name of a drop reason. Files without a dot are a fuzzer's own findings on this
//! machine, which only must not panic.

use std::io;
use std::path::Path;

use dataplane::io::RxChecksum;
use dataplane::parse::{Frame, parse};

/// The name and bytes of every file.
fn corpus() -> io::Result<Vec<(String, Vec<u8>)>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/parse");
    std::fs::read_dir(directory)?
        .map(|entry| {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            Ok((name, std::fs::read(entry.path())?))
        })
        .collect()
}

fn outcome(frame: &[u8]) -> &'static str {
    match parse(frame, RxChecksum::Unknown) {
        Ok((_, Frame::Ipv4(_))) => "ipv4",
        Ok((_, Frame::Ipv4Cut(_))) => "ipv4_cut",
        Ok((_, Frame::Ipv4Other(_))) => "ipv4_other",
        Ok((_, Frame::Arp)) => "arp",
        Ok((_, Frame::Ipv6(_))) => "ipv6",
        Ok((_, Frame::Other(_))) => "other",
        Err(reason) => reason.name(),
    }
}

#[test]
fn every_file_has_the_outcome_in_its_name() {
    let mut named = 0;

    for (name, frame) in corpus().unwrap() {
        let outcome = outcome(&frame);
        if let Some((expected, _)) = name.split_once('.') {
            assert_eq!(outcome, expected, "{name}");
            named += 1;
        }
    }

    assert!(named >= 12, "the corpus has only {named} files");
}

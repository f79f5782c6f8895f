//! Parses arbitrary frames: no bytes may panic or yield an offset outside the frame.

#![no_main]

use dataplane::io::RxChecksum;
use dataplane::parse::{Frame, OtherIpv4, Parsed, parse};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|frame: &[u8]| {
    for checksum in [RxChecksum::Unknown, RxChecksum::Good, RxChecksum::Bad] {
        match parse(frame, checksum) {
            Ok((_, Frame::Ipv4(Parsed { ip, .. }) | Frame::Ipv4Other(OtherIpv4 { ip, .. }))) => {
                let end = usize::from(ip.l3_offset) + usize::from(ip.total_len);
                assert!(frame.get(usize::from(ip.l4_offset)..end).is_some());
            }
            Ok((_, Frame::Ipv6(facts))) => {
                assert!(frame.get(usize::from(facts.l4_offset)..).is_some());
            }
            Ok((_, Frame::Arp | Frame::Other(_))) | Err(_) => {}
        }
    }
});

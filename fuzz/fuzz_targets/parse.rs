//! Parses arbitrary frames: no bytes may panic or yield an offset outside the frame.

#![no_main]

use dataplane::io::RxChecksum;
use dataplane::parse::{About, Frame, OtherIpv4, Parsed, RelatedError, parse};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|frame: &[u8]| {
    for checksum in [RxChecksum::Unknown, RxChecksum::Good, RxChecksum::Bad] {
        match parse(frame, checksum) {
            Ok((
                _,
                Frame::Ipv4(Parsed { ip, .. })
                | Frame::Ipv4Cut(Parsed { ip, .. })
                | Frame::Ipv4Other(OtherIpv4 { ip, .. }),
            )) => {
                let end = usize::from(ip.l3_offset) + usize::from(ip.total_len);
                let message = frame.get(usize::from(ip.l4_offset)..end);
                assert!(message.is_some());
                let error = message.and_then(RelatedError::parse);
                if let Some(About::Tunnel(tunnel)) = error.map(|error| error.about) {
                    let inner = message.and_then(|it| it.get(usize::from(tunnel.inner_offset)..));
                    assert!(inner.is_some_and(|inner| inner.len() >= 24));
                }
            }
            Ok((_, Frame::Ipv6(facts))) => {
                assert!(frame.get(usize::from(facts.l4_offset)..).is_some());
            }
            Ok((_, Frame::Arp | Frame::Other(_))) | Err(_) => {}
        }
    }
});

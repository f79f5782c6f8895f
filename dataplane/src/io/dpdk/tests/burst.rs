//! Bursts through real queues.

use super::*;

#[test]
fn frames_come_out_of_a_pcap_and_go_into_another_byte_for_byte() {
    let scratch = Scratch::new();
    let (rx, tx) = (scratch.file("in.pcap"), scratch.file("out.pcap"));
    let frames = frames(70);
    write_pcap(&rx, &frames);
    let pool = pool(255);
    let mut started = start(
        &format!("net_pcap_bytes,rx_pcap={rx},tx_pcap={tx}"),
        slice::from_ref(&pool),
    );
    let mut received = Vec::new();

    let queues = &mut started.queues[0];
    loop {
        let mut burst = Burst::new();
        if queues.rx.receive(&mut burst) == 0 {
            break;
        }
        received.extend(burst.iter().map(|packet| packet.bytes().to_vec()));
        let count = burst.len();
        assert_eq!(queues.tx.send(&mut burst), count);
        assert!(burst.is_empty());
    }
    let stats = started.ethdev.stats().unwrap();
    drop(started);

    assert_eq!(received, frames);
    assert_eq!(read_pcap(tx), frames);
    assert_eq!((stats.rx_packets, stats.tx_packets), (70, 70));
    assert_eq!(stats.rx_no_buffer, 0);
    let queue = stats.queues[0];
    assert_eq!((queue.rx_packets, queue.tx_packets), (70, 70));
    assert_eq!(stats.queues[1], QueueStats::default());
    assert_eq!(pool.in_use(), 0);
}

#[test]
fn a_frame_longer_than_a_buffer_is_not_contiguous() {
    let scratch = Scratch::new();
    let rx = scratch.file("in.pcap");
    write_pcap(&rx, &[vec![7; 3_000]]);
    let pool = pool(63);
    let device = format!("net_pcap_long,rx_pcap={rx}");
    let mut started = start(&device, slice::from_ref(&pool));
    let mut burst = Burst::new();

    started.queues[0].rx.receive(&mut burst);

    let mut packet = burst.pop().unwrap();
    assert!(!packet.is_contiguous());
    assert!(packet.bytes().len() < 3_000);
    assert!(!packet.set_len(60));
    drop(packet);
    drop(started);
    assert_eq!(pool.in_use(), 0);
}

#[test]
fn a_ring_gives_back_what_was_sent_and_leaves_what_does_not_fit() {
    let mut pool = pool(2_047);
    let mut started = start("net_ring_loop", slice::from_ref(&pool));
    let queues = &mut started.queues[0];
    let mut burst = Burst::new();
    let mut sent = 0_u32;

    // The ring takes fewer packets than the pool has.
    while burst.is_empty() && sent < 2_000 {
        while !burst.is_full() {
            let mut packet = pool.allocate(64).unwrap();
            let number = sent + u32::try_from(burst.len()).unwrap();
            packet.bytes_mut()[..4].copy_from_slice(&number.to_be_bytes());
            burst.push(packet);
        }
        sent += u32::try_from(queues.tx.send(&mut burst)).unwrap();
    }
    let first_left = burst[0].bytes()[..4].to_vec();
    burst.clear();
    let mut received = 0_u32;
    while queues.rx.receive(&mut burst) > 0 {
        for packet in burst.drain(..) {
            assert_eq!(packet.bytes()[..4], received.to_be_bytes());
            received += 1;
        }
    }

    assert_eq!(first_left, sent.to_be_bytes());
    assert_eq!(received, sent);
    assert_eq!(pool.in_use(), 0);
}

#[test]
fn receiving_appends_to_what_the_burst_holds_and_never_overfills_it() {
    let scratch = Scratch::new();
    let rx = scratch.file("in.pcap");
    let frames = frames(64);
    write_pcap(&rx, &frames);
    let pool = pool(127);
    let device = format!("net_pcap_append,rx_pcap={rx}");
    let mut started = start(&device, slice::from_ref(&pool));
    let queue = &mut started.queues[0].rx;
    let mut burst = Burst::new();

    assert_eq!(queue.receive(&mut burst), 32);
    assert_eq!(queue.receive(&mut burst), 0);
    burst.truncate(30);
    assert_eq!(queue.receive(&mut burst), 2);

    let bytes: Vec<_> = burst.iter().map(|packet| packet.bytes().to_vec()).collect();
    assert_eq!(bytes[..30], frames[..30]);
    assert_eq!(bytes[30..], frames[32..34]);
}

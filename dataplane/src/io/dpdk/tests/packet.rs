//! Mempools and the packets they lend.

use super::*;

#[test]
fn an_empty_pool_gives_none_and_recovers() {
    let mut pool = pool(31);

    let packets: Vec<_> = std::iter::from_fn(|| pool.allocate(60)).collect();

    assert_eq!(packets.len(), 31);
    assert_eq!(pool.in_use(), 31);
    drop(packets);
    assert_eq!(pool.available(), 31);
    assert!(pool.allocate(60).is_some());
}

#[test]
fn a_packet_grows_into_its_headroom_and_tailroom_and_no_further() {
    let mut pool = pool(1);
    let mut packet = pool.allocate(3).unwrap();
    packet.bytes_mut().copy_from_slice(&[1, 2, 3]);

    assert!(packet.push_front(HEADROOM + 1).is_none());
    assert!(packet.push_front(usize::MAX).is_none());
    assert_eq!(packet.push_front(20).map(|frame| frame.len()), Some(23));
    assert_eq!(packet.bytes()[20..], [1, 2, 3]);
    assert!(packet.pull_front(21));
    assert_eq!(packet.bytes(), [2, 3]);
    assert!(!packet.pull_front(3));
    assert!(!packet.set_len(2_048));
    assert!(packet.set_len(2_047));
    assert!(packet.set_len(1));
    assert_eq!(packet.bytes(), [2]);
    assert!(packet.is_contiguous());
    assert_eq!(packet.ip_checksum(), RxChecksum::Unknown);
    assert_eq!(packet.rss_hash(), None);

    drop(packet);
    assert!(pool.allocate(2_049).is_none());
    assert_eq!(pool.in_use(), 0);
}

#[test]
fn a_reused_buffer_starts_with_its_full_headroom() {
    let mut pool = pool(1);
    let mut packet = pool.allocate(10).unwrap();
    packet.push_front(100);
    drop(packet);

    let mut again = pool.allocate(10).unwrap();

    assert_eq!(again.bytes().len(), 10);
    assert!(again.push_front(HEADROOM).is_some());
}

#[test]
fn what_the_ethdev_found_out_is_read_from_the_flags() {
    use dpdk_sys as sys;
    let mut pool = pool(1);
    let mut packet = pool.allocate(60).unwrap();
    let mut with_flags = |flags: u64| {
        packet.set_receive_flags(flags, 0xdead_beef);
        (packet.ip_checksum(), packet.rss_hash())
    };

    let good = with_flags(sys::SHIM_MBUF_RX_IP_CKSUM_GOOD | sys::SHIM_MBUF_RX_RSS_HASH);
    let bad = with_flags(sys::SHIM_MBUF_RX_IP_CKSUM_BAD);
    let neither = with_flags(sys::SHIM_MBUF_RX_IP_CKSUM_MASK);

    assert_eq!(good, (RxChecksum::Good, Some(0xdead_beef)));
    assert_eq!(bad, (RxChecksum::Bad, None));
    assert_eq!(neither, (RxChecksum::Unknown, None));
}

#[test]
fn a_pool_dropped_before_its_packets_leaves_them_valid() {
    let mut pool = pool(7);
    let mut packet = pool.allocate(60).unwrap();

    drop(pool);
    packet.bytes_mut().fill(9);

    assert_eq!(packet.bytes(), [9; 60]);
}

#[test]
fn a_registered_thread_gives_its_cached_packets_back_to_the_count() {
    let config = MempoolConfig {
        packets: 255,
        cache: 32,
        ..MempoolConfig::default()
    };
    let mut pool = Mempool::create(eal(), &config).unwrap();
    let mut lent = pool.clone();

    thread::spawn(move || {
        let _guard = WorkerThread::enter(eal(), None).unwrap();
        let packets: Vec<_> = std::iter::from_fn(|| lent.allocate(60)).take(40).collect();
        drop(packets);
    })
    .join()
    .unwrap();

    assert_eq!(pool.available(), 255);
    assert!(pool.allocate(60).is_some());
}

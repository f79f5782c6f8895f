//! Opening, starting and asking ethdevs.

use super::*;

#[test]
fn a_device_that_is_not_there_is_named() {
    for device in [
        "net_nonsense0",
        "0000:ff:1f.7",
        "net_pcap_missing,rx_pcap=/nonexistent/in.pcap",
        "zero\0byte",
    ] {
        let error = OpenEthdev::open(eal(), device).unwrap_err();

        assert!(error.to_string().contains(device), "{error}");
    }
}

#[test]
fn a_failed_probe_says_what_dpdk_says() {
    let error = OpenEthdev::open(eal(), "net_pcap_why,rx_pcap=/nonexistent/in.pcap").unwrap_err();

    assert!(matches!(error, EthdevError::ProbeFailed { .. }), "{error}");
    assert!(
        error.to_string().contains("/nonexistent/in.pcap:"),
        "{error}"
    );
}

#[test]
fn text_that_is_no_device_is_told_from_a_device_that_is_absent() {
    let nonsense = OpenEthdev::open(eal(), "eth0").unwrap_err();
    let nothing = OpenEthdev::open(eal(), "").unwrap_err();
    let absent = OpenEthdev::open(eal(), "0000:fe:1f.7").unwrap_err();

    assert!(
        matches!(nothing, EthdevError::NotADevice { .. }),
        "{nothing}"
    );
    assert!(
        matches!(nonsense, EthdevError::NotADevice { .. }),
        "{nonsense}"
    );
    assert!(
        matches!(absent, EthdevError::NoSuchDevice { .. }),
        "{absent}"
    );
}

#[test]
fn a_device_opens_once_and_again_after_it_was_dropped() {
    let pool = pool(1_023);
    let first = OpenEthdev::open(eal(), "net_null_twice").unwrap();

    let second = OpenEthdev::open(eal(), "net_null_twice").unwrap_err();
    drop(first);
    let started = start("net_null_twice", slice::from_ref(&pool));
    drop(started);

    assert_eq!(
        second,
        EthdevError::AlreadyOpen {
            device: "net_null_twice".to_owned()
        }
    );
    assert!(OpenEthdev::open(eal(), "net_null_twice").is_ok());
    assert_eq!(pool.in_use(), 0);
}

#[test]
fn an_ethdev_stays_open_while_a_queue_lives() {
    let mut pool = pool(63);
    let started = start("net_null_queue", slice::from_ref(&pool));
    let StartedEthdev {
        ethdev, mut queues, ..
    } = started;
    drop(ethdev);
    let mut burst: Burst<_> = pool.allocate(60).into_iter().collect();

    assert_eq!(queues[0].tx.send(&mut burst), 1);
    assert!(OpenEthdev::open(eal(), "net_null_queue").is_err());
    drop(queues);

    assert!(OpenEthdev::open(eal(), "net_null_queue").is_ok());
}

#[test]
fn an_open_ethdev_says_what_it_is() {
    let open = OpenEthdev::open(eal(), "net_null_says,size=60").unwrap();

    assert_eq!(open.device(), "net_null_says");
    assert_eq!(open.driver(), Ok("net_null".to_owned()));
    assert!(open.max_queues().unwrap() >= 2);

    let started = open.start(&EthdevConfig::default(), &[pool(63)]).unwrap();
    assert_eq!(started.ethdev.mtu(), Ok(1_500));
    assert!(started.ethdev.link().unwrap().up);
    assert!(!started.ethdev.mac().is_group());
    assert_eq!(started.ethdev.stats(), Ok(EthdevStats::default()));
}

#[test]
fn impossible_starts_are_refused_before_dpdk_is_asked() {
    let open = |device| OpenEthdev::open(eal(), device).unwrap();
    let pool = pool(63);
    let config = EthdevConfig::default();

    let queues = open("net_pcap_one,iface=lo").start(
        &EthdevConfig {
            queues: 2,
            ..config.clone()
        },
        &[pool.clone(), pool.clone()],
    );
    let pools = open("net_null_pools").start(&config, &[]);
    let mtu = open("net_null_mtu").start(
        &EthdevConfig {
            mtu: 9_000,
            ..config.clone()
        },
        slice::from_ref(&pool),
    );
    let rss = RssConfig {
        key: Vec::new(),
        reta: vec![QueueId(0), QueueId(1)],
    };
    let table = open("net_null_table").start(
        &EthdevConfig {
            rss: Some(rss),
            ..config
        },
        slice::from_ref(&pool),
    );

    let sentence = |result: Result<StartedEthdev, EthdevError>| result.unwrap_err().to_string();
    assert_eq!(
        sentence(queues),
        "net_pcap_one has 1 queues, but 2 workers need one each"
    );
    assert_eq!(
        sentence(pools),
        "net_null_pools was given 0 mempools for 1 queues: it needs one for each"
    );
    assert_eq!(
        sentence(mtu),
        "net_null_mtu: an MTU of 9000 needs packet buffers of 9022 bytes, \
         but its mempool's have 2048"
    );
    assert_eq!(
        sentence(table),
        "net_null_table has 1 queues, but its RSS table points at queue 1"
    );
}

#[test]
fn rss_key_and_table_are_read_back_as_they_were_set() {
    let pool = pool(1_023);
    let key: Vec<u8> = (1..=40).collect();
    let reta: Vec<_> = (0..128).map(|n| QueueId(n % 3)).collect();
    let config = EthdevConfig {
        queues: 3,
        rss: Some(RssConfig {
            key: key.clone(),
            reta: reta.clone(),
        }),
        ..EthdevConfig::default()
    };

    // net_null claims RSS, with a table of fewer entries than ours.
    let open = OpenEthdev::open(eal(), "net_null_rss").unwrap();
    let started = open
        .start(&config, &[pool.clone(), pool.clone(), pool.clone()])
        .unwrap();

    let rss = started.ethdev.rss().expect("net_null offers RSS");
    assert_eq!(rss.key, key);
    assert!(!rss.reta.is_empty());
    assert_eq!(rss.reta[..], reta[..rss.reta.len()]);
    assert!(rss.ports_hashed);
    assert!(started.notes.is_empty(), "{:?}", started.notes);
}

#[test]
fn an_ethdev_without_rss_starts_all_the_same() {
    let config = EthdevConfig {
        rss: Some(RssConfig {
            key: vec![1; 40],
            reta: vec![QueueId(0)],
        }),
        ..EthdevConfig::default()
    };

    let open = OpenEthdev::open(eal(), "net_ring_plain").unwrap();
    let started = open.start(&config, &[pool(63)]).unwrap();

    assert_eq!(started.ethdev.rss(), None);
}

//! The whole life of DPDK in one process: started, used, stopped, and nothing left behind.
#![cfg(feature = "dpdk")]

use std::path::Path;

use dataplane::io::dpdk::{
    Eal, EalConfig, EthdevConfig, Memory, Mempool, MempoolConfig, OpenEthdev, WorkerThread,
};
use dataplane::io::{Burst, PacketPool, TxQueue};

#[test]
fn dpdk_stops_cleanly_when_all_its_users_are_gone() {
    let prefix = format!("sluice-life-{}", std::process::id());
    let eal = Eal::start(&EalConfig {
        memory: Memory::NoHuge { megabytes: 64 },
        file_prefix: prefix.clone(),
        ..EalConfig::default()
    })
    .unwrap();
    let config = MempoolConfig {
        packets: 1_023,
        ..MempoolConfig::default()
    };
    let mut pool = Mempool::create(&eal, &config).unwrap();
    let worker = WorkerThread::enter(&eal, None).unwrap();
    let open = OpenEthdev::open(&eal, "net_null_life").unwrap();
    let mut started = open
        .start(&EthdevConfig::default(), &[pool.clone()])
        .unwrap();
    let mut burst: Burst<_> = pool.allocate(60).into_iter().collect();
    assert_eq!(started.queues[0].tx.send(&mut burst), 1);

    drop((started, pool, worker));
    let stopped = eal.cleanup();

    assert_eq!(stopped, Ok(()));
    for directory in ["/var/run/dpdk", "/run/dpdk"] {
        assert!(!Path::new(directory).join(&prefix).exists());
    }
}

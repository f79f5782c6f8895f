//! What an operator reads when DPDK runs out of memory; in a process of its own, since it takes
//! all there is.
#![cfg(feature = "dpdk")]

use dataplane::io::dpdk::{Eal, EalConfig, Memory, Mempool, MempoolConfig};

#[test]
fn memory_that_is_not_there_makes_no_pool_and_stays_free() {
    let eal = Eal::start(&EalConfig {
        memory: Memory::NoHuge { megabytes: 32 },
        file_prefix: format!("sluice-memory-{}", std::process::id()),
        ..EalConfig::default()
    })
    .unwrap();
    let pool = |packets| {
        let config = MempoolConfig {
            packets,
            ..MempoolConfig::default()
        };
        Mempool::create(&eal, &config)
    };

    let error = pool(1 << 20).unwrap_err();
    let smaller = pool(4_095);

    assert_eq!(
        error.to_string(),
        "there is no memory for a mempool of 1048576 packets of 2048 bytes: \
         give DPDK more memory or ask for fewer packets"
    );
    assert_eq!(smaller.map(|pool| pool.available()), Ok(4_095));
}

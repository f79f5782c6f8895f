//! What it costs to make the next version of a large service.
//!
//! Of `moved` servers of 2,000 the weight is another one, as when a load or a slow start moves all
//! of them every second; `left` servers go and come back, as with the link that they are behind.
//!
//! ```text
//! cargo bench -p sluice-dataplane --no-default-features --bench services
//! ```
#![allow(missing_docs)]

use std::net::{IpAddr, Ipv4Addr};

use dataplane::address::{Endpoint, Protocol};
use dataplane::editor::{Editor, ServerSpec, ServiceSpec};
use dataplane::id::Weight;
use dataplane::service::{Method, MssClamp, SchedulerKind, ServiceKey, Unserved};
use dataplane::session::Timeouts;
use dataplane::steering::Steering;
use divan::Bencher;

const SERVERS: u32 = 2_000;

const MH: SchedulerKind = SchedulerKind::Mh {
    fallback: true,
    port: true,
};

fn main() {
    divan::main();
}

#[divan::bench(args = [1, SERVERS], sample_size = 2, sample_count = 10)]
fn moved_wrr(bencher: Bencher<'_, '_>, moved: u32) {
    between(bencher, service(SchedulerKind::Wrr, moved, 0));
}

#[divan::bench(args = [1, SERVERS], sample_size = 2, sample_count = 10)]
fn moved_mh(bencher: Bencher<'_, '_>, moved: u32) {
    between(bencher, service(MH, moved, 0));
}

#[divan::bench(args = [1, SERVERS], sample_size = 2, sample_count = 10)]
fn left_mh(bencher: Bencher<'_, '_>, left: u32) {
    between(bencher, service(MH, 0, left));
}

/// The service with all of its servers, and so changed, in turns.
fn between(bencher: Bencher<'_, '_>, changed: ServiceSpec) {
    let mut editor = Editor::new(
        1,
        Steering::Software { workers: 1 },
        Timeouts::default(),
        Vec::new(),
    );
    let specs = [service(changed.scheduler, 0, 0), changed];
    let mut turns = specs.iter().cycle();
    bencher.bench_local(|| {
        if let Some(spec) = turns.next() {
            editor.put_service(spec);
        }
        editor.snapshot()
    });
}

/// A service of which so many servers weigh more, and so many others are not there.
fn service(scheduler: SchedulerKind, moved: u32, left: u32) -> ServiceSpec {
    let server = |number: u32| ServerSpec {
        endpoint: Endpoint::new(IpAddr::V4(Ipv4Addr::from(0x0a02_0000 + number)), 80),
        weight: Weight(100 + number % 7 + u32::from(number < moved)),
        method: Method::Dr,
        upper_threshold: 0,
        lower_threshold: 0,
        edits: 0,
    };
    let vip = Endpoint::new(IpAddr::V4(Ipv4Addr::new(10, 1, 0, 100)), 80);
    ServiceSpec {
        key: ServiceKey::address(Protocol::Tcp, vip),
        scheduler,
        servers: (left..SERVERS).map(server).collect(),
        local_addresses: Vec::new(),
        unserved: Unserved::Drop,
        mss_clamp: MssClamp::Auto,
        persistence: None,
        one_packet: false,
    }
}

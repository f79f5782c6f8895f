//! What a scheduler costs a session: choosing a server, counting the session there, and taking it
//! off again when it ends.
//!
//! Each service has as many sessions as it has servers, times 16; every turn makes one and ends
//! the oldest, so that loads differ as they do in life. Sessions count as active (TCP), which is
//! two changes of load more; those of `wlc_datagrams` do not (UDP). Clients come by one of 1024
//! VIPs, those of `lblcr_one_vip` by one.
//!
//! ```text
//! cargo bench -p sluice-dataplane --bench schedule
//! ```
// A bench that cannot set up its case stops, which is what a panic is for.
#![allow(clippy::expect_used, missing_docs)]

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use dataplane::address::{Endpoint, Protocol};
use dataplane::id::{ServerSlot, Weight};
use dataplane::schedule::{FlowInfo, Schedule, Scheduler, Standings, load};
use dataplane::service::{
    LOCALITY_EXPIRATION_SECONDS, Method, RealServer, SchedulerKind, ServerShared, ServiceKey,
};
use dataplane::time::Tick;
use divan::Bencher;
use divan::counter::ItemsCount;

const SERVERS: [u32; 4] = [1, 10, 100, 1000];

/// VIPs that clients come by.
const VIPS: u32 = 1024;

const SH: SchedulerKind = SchedulerKind::Sh {
    fallback: true,
    port: true,
};
const MH: SchedulerKind = SchedulerKind::Mh {
    fallback: true,
    port: true,
};
const LBLC: SchedulerKind = SchedulerKind::Lblc {
    expiration_seconds: LOCALITY_EXPIRATION_SECONDS,
};
const LBLCR: SchedulerKind = SchedulerKind::Lblcr {
    expiration_seconds: LOCALITY_EXPIRATION_SECONDS,
};

fn main() {
    divan::main();
}

#[divan::bench(args = SERVERS, sample_size = 1000)]
fn rr(bencher: Bencher<'_, '_>, servers: u32) {
    turn(bencher, Service::new(SchedulerKind::Rr, servers), true);
}

#[divan::bench(args = SERVERS, sample_size = 1000)]
fn wrr(bencher: Bencher<'_, '_>, servers: u32) {
    turn(bencher, Service::new(SchedulerKind::Wrr, servers), true);
}

/// One server weighs so much that it gets nearly all sessions, passing over all others.
#[divan::bench(args = SERVERS, sample_size = 1000)]
fn wrr_one_heavy(bencher: Bencher<'_, '_>, servers: u32) {
    let weight = |number| if number == 0 { 65_535 } else { 1 };
    turn(
        bencher,
        Service::weighing(SchedulerKind::Wrr, servers, weight),
        true,
    );
}

#[divan::bench(args = SERVERS, sample_size = 1000)]
fn lc(bencher: Bencher<'_, '_>, servers: u32) {
    turn(bencher, Service::new(SchedulerKind::Lc, servers), true);
}

#[divan::bench(args = SERVERS, sample_size = 1000)]
fn wlc(bencher: Bencher<'_, '_>, servers: u32) {
    turn(bencher, Service::new(SchedulerKind::Wlc, servers), true);
}

#[divan::bench(args = SERVERS, sample_size = 1000)]
fn sed(bencher: Bencher<'_, '_>, servers: u32) {
    turn(bencher, Service::new(SchedulerKind::Sed, servers), true);
}

#[divan::bench(args = SERVERS, sample_size = 1000)]
fn nq(bencher: Bencher<'_, '_>, servers: u32) {
    turn(bencher, Service::new(SchedulerKind::Nq, servers), true);
}

#[divan::bench(args = SERVERS, sample_size = 1000)]
fn fo(bencher: Bencher<'_, '_>, servers: u32) {
    turn(bencher, Service::new(SchedulerKind::Fo, servers), true);
}

/// Its servers are heavy enough to take the sessions.
#[divan::bench(args = SERVERS, sample_size = 1000)]
fn ovf(bencher: Bencher<'_, '_>, servers: u32) {
    let weight = |number| weight(number) * 16;
    turn(
        bencher,
        Service::weighing(SchedulerKind::Ovf, servers, weight),
        true,
    );
}

#[divan::bench(args = SERVERS, sample_size = 1000)]
fn twos(bencher: Bencher<'_, '_>, servers: u32) {
    turn(bencher, Service::new(SchedulerKind::Twos, servers), true);
}

#[divan::bench(args = SERVERS, sample_size = 1000)]
fn dh(bencher: Bencher<'_, '_>, servers: u32) {
    turn(bencher, Service::new(SchedulerKind::Dh, servers), true);
}

#[divan::bench(args = SERVERS, sample_size = 1000)]
fn sh(bencher: Bencher<'_, '_>, servers: u32) {
    turn(bencher, Service::new(SH, servers), true);
}

#[divan::bench(args = SERVERS, sample_size = 1000)]
fn mh(bencher: Bencher<'_, '_>, servers: u32) {
    turn(bencher, Service::new(MH, servers), true);
}

#[divan::bench(args = SERVERS, sample_size = 1000)]
fn lblc(bencher: Bencher<'_, '_>, servers: u32) {
    turn(bencher, Service::new(LBLC, servers), true);
}

#[divan::bench(args = SERVERS, sample_size = 1000)]
fn lblcr(bencher: Bencher<'_, '_>, servers: u32) {
    turn(bencher, Service::new(LBLCR, servers), true);
}

/// The set of the VIP has all servers.
#[divan::bench(args = SERVERS, sample_size = 1000)]
fn lblcr_one_vip(bencher: Bencher<'_, '_>, servers: u32) {
    let mut service = Service::new(LBLCR, servers);
    service.vips = 1;
    turn(bencher, service, true);
}

#[divan::bench(args = SERVERS, sample_size = 1000)]
fn wlc_datagrams(bencher: Bencher<'_, '_>, servers: u32) {
    turn(bencher, Service::new(SchedulerKind::Wlc, servers), false);
}

/// Choosing alone, when nothing changed.
#[divan::bench(args = SERVERS, sample_size = 1000)]
fn wlc_pick_alone(bencher: Bencher<'_, '_>, servers: u32) {
    let mut service = Service::new(SchedulerKind::Wlc, servers);
    bencher.bench_local(|| service.pick());
}

/// Two workers at once.
#[divan::bench(args = SERVERS, sample_size = 1000, threads = 2)]
fn wlc_two_workers(bencher: Bencher<'_, '_>, servers: u32) {
    turn_shared(bencher, &Service::new(SchedulerKind::Wlc, servers));
}

/// Two workers at once.
#[divan::bench(args = SERVERS, sample_size = 1000, threads = 2)]
fn rr_two_workers(bencher: Bencher<'_, '_>, servers: u32) {
    turn_shared(bencher, &Service::new(SchedulerKind::Rr, servers));
}

/// A service with servers of weights 1 to 4.
struct Service {
    servers: Vec<Arc<RealServer>>,
    scheduler: Scheduler,
    bound: VecDeque<usize>,
    clients: u32,
    vips: u32,
}

impl Service {
    fn new(kind: SchedulerKind, count: u32) -> Self {
        Self::weighing(kind, count, weight)
    }

    fn weighing(kind: SchedulerKind, count: u32, weight: impl Fn(u32) -> u32) -> Self {
        let standings = Standings::new();
        let server = |number| server(number, weight(number), &standings);
        let servers: Vec<_> = (0..count).map(server).collect();
        Self {
            scheduler: Scheduler::new(kind, &servers),
            servers,
            bound: VecDeque::new(),
            clients: 0,
            vips: VIPS,
        }
    }

    fn pick(&mut self) -> usize {
        self.clients = self.clients.wrapping_add(0x9e37_79b9);
        let flow = flow(self.clients, self.vips);
        let picked = self.scheduler.pick(&self.servers, flow);
        picked.expect("every server is eligible")
    }

    fn begin(&mut self, is_tcp: bool) {
        self.clients = self.clients.wrapping_add(0x9e37_79b9);
        let flow = flow(self.clients, self.vips);
        let taken = self.scheduler.take(&self.servers, flow, is_tcp);
        self.bound
            .push_back(taken.expect("every server is eligible"));
    }

    fn end(&mut self, is_tcp: bool) {
        let oldest = self.bound.pop_front().expect("there are sessions");
        end(&self.servers[oldest], is_tcp);
    }
}

fn server(number: u32, weight: u32, standings: &Arc<Standings>) -> Arc<RealServer> {
    let addr = IpAddr::V4(Ipv4Addr::from_bits(0x0a02_0000 + number));
    let weight = Weight(weight);
    Arc::new(RealServer {
        slot: ServerSlot(number),
        service: ServiceKey::address(Protocol::Tcp, Endpoint::new([10, 1, 0, 100].into(), 80)),
        endpoint: Endpoint::new(addr, 80),
        weight,
        last_weight: weight,
        method: Method::Dr,
        upper_threshold: 0,
        lower_threshold: 0,
        available: true,
        shared: Arc::new(ServerShared::new(1, standings)),
    })
}

/// 1 to 4.
const fn weight(number: u32) -> u32 {
    1 + number % 4
}

const fn flow(client: u32, vips: u32) -> FlowInfo {
    FlowInfo {
        folded_source: client,
        source_port: 40_000,
        destination: (client % vips) as u128,
        now: Tick(0),
    }
}

fn end(server: &RealServer, is_tcp: bool) {
    load::unbind(server, is_tcp);
}

fn turn(bencher: Bencher<'_, '_>, mut service: Service, is_tcp: bool) {
    for _ in 0..16 * service.servers.len() {
        service.begin(is_tcp);
    }
    bencher.counter(ItemsCount::new(1_u32)).bench_local(|| {
        service.begin(is_tcp);
        service.end(is_tcp);
    });
}

/// One worker's turn, in which the session ends at once.
fn turn_shared(bencher: Bencher<'_, '_>, service: &Service) {
    bencher.counter(ItemsCount::new(1_u32)).bench(|| {
        let (scheduler, servers) = (&service.scheduler, &service.servers);
        let taken = scheduler.take(servers, flow(1, VIPS), true);
        let server = &servers[taken.expect("every server is eligible")];
        end(server, true);
    });
}

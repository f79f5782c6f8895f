//! Values that were not read from text, against what can be written.
//!
//! Readers refuse such values where they stand; here are the same rules for services and pools
//! that come as values, in sentences that name the service instead of a line.

use std::fmt::Display;
use std::ops::RangeInclusive;

use dataplane::service::{MssClamp, Persistence, ServiceKey};
use dataplane::time::Tick;

use super::super::RawConfig;
use super::super::local_pool::{self, LocalPool};
use super::super::network::not_a_host;
use super::super::section::Problems;
use super::super::service::{self, Server, Service};
use super::super::vip;

pub(super) fn check(raw: &RawConfig<'_>, problems: &Problems) {
    for service in raw.checked_services() {
        check_service(&service.value, problems);
    }
    for pool in raw.checked_pools() {
        check_pool(&pool.value, problems);
    }
}

fn check_service(service: &Service, problems: &Problems) {
    let key = service.key();
    let refuse = |message: String| problems.refuse(0, format!("service {key}: {message}"));
    if let Some(Err(message)) = service.name.as_deref().map(service::check_name) {
        refuse(format!("`name` {message}"));
    }
    if let Some(what) = service.vip().and_then(not_a_host) {
        refuse(format!("its VIP is {what}: give {}", vip::WANTED_VIP));
    }
    if matches!(key, ServiceKey::Mark(0) | ServiceKey::Mark6(0)) {
        refuse("`mark` 0 is below 1: give 1 to 4294967295".to_owned());
    }
    if let MssClamp::To(bytes) = service.mss_clamp {
        within("mss_clamp", bytes, service::MSS, &refuse);
    }
    if let Some(persistence) = service.persistence {
        check_persistence(service, persistence, &refuse);
    }
    for server in &service.servers {
        check_server(server, &refuse);
    }
}

fn check_persistence(service: &Service, persistence: Persistence, refuse: &impl Fn(String)) {
    let longest = Tick::MAX_TIMEOUT_SECONDS;
    within(
        "persistent",
        persistence.timeout_seconds,
        1..=longest,
        refuse,
    );
    if service.key.is_ipv6() {
        let lengths = service::PREFIX_LENGTHS_V6;
        within("persistent_netmask", persistence.netmask, lengths, refuse);
    }
}

fn check_server(server: &Server, refuse: &impl Fn(String)) {
    let addr = server.endpoint.addr;
    if let Some(what) = service::not_a_server(addr) {
        refuse(format!(
            "server {addr} is {what}: give {}",
            service::WANTED_RIP
        ));
    }
    within("weight", server.weight.0, 0..=service::MAX_WEIGHT, refuse);
    let sessions = 0..=service::MAX_THRESHOLD;
    within(
        "upper_threshold",
        server.upper_threshold,
        sessions.clone(),
        refuse,
    );
    within("lower_threshold", server.lower_threshold, sessions, refuse);
}

fn check_pool(pool: &LocalPool, problems: &Problems) {
    let refuse = |message: String| {
        problems.refuse(0, format!("local pool \"{}\": {message}", pool.name));
    };
    if let Err(message) = local_pool::check_name(&pool.name) {
        refuse(format!("`name` {message}"));
    }
    match local_pool::check_ranges(&pool.addresses) {
        Err(message) => refuse(message),
        Ok(()) if pool.addresses.is_empty() => refuse(local_pool::NO_ADDRESSES.to_owned()),
        Ok(()) => {}
    }
}

fn within<T: PartialOrd + Display>(
    key: &str,
    value: T,
    range: RangeInclusive<T>,
    refuse: &impl Fn(String),
) {
    if !range.contains(&value) {
        let (least, most) = range.into_inner();
        let (side, end) = if value < least {
            ("below", &least)
        } else {
            ("above", &most)
        };
        refuse(format!(
            "`{key}` {value} is {side} {end}: give {least} to {most}"
        ));
    }
}

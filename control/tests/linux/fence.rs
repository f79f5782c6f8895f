//! The fence and the check before it, on a veth pair.

use control::linux::device::{DeviceError, check_free};
use control::linux::fence::{Fence, FenceError};

use crate::children::Holder;
use crate::namespace::{eventually, in_namespace, ip, run, succeeds};

/// A veth `dev0` here, its other end `far0` with 10.0.0.2/24 in a namespace of its own.
struct Pair {
    far: std::process::Child,
}

impl Pair {
    fn new() -> Self {
        ip("link add dev0 type veth peer name far0");
        // A process that holds the other namespace open.
        let far = std::process::Command::new("unshare")
            .args(["--net", "sleep", "600"])
            .spawn()
            .unwrap();
        let pid = far.id();
        let own = std::fs::read_link("/proc/thread-self/ns/net").unwrap();
        eventually("the other namespace", || {
            std::fs::read_link(format!("/proc/{pid}/ns/net")).is_ok_and(|other| other != own)
        });
        ip(&format!("link set far0 netns {pid}"));
        let pair = Self { far };
        pair.far("ip address add 10.0.0.2/24 dev far0");
        pair.far("ip link set far0 up");
        ip("link set dev0 up");
        pair
    }

    fn far(&self, command: &str) -> String {
        run(
            "nsenter",
            &format!("--net=/proc/{}/ns/net {command}", self.far.id()),
        )
    }

    /// Whether the other end gets an answer from 10.0.0.1 within so many seconds.
    fn far_reaches_us(&self, seconds: u32) -> bool {
        let pid = self.far.id();
        succeeds(
            "nsenter",
            &format!("--net=/proc/{pid}/ns/net ping -c 1 -w {seconds} 10.0.0.1"),
        )
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        let _ = self.far.kill();
        let _ = self.far.wait();
    }
}

fn tables() -> String {
    run("nft", "list tables")
}

#[test]
fn behind_a_fence_the_kernel_answers_nothing_until_it_is_dropped() {
    in_namespace(|| {
        let pair = Pair::new();
        ip("address add 10.0.0.1/24 dev dev0");
        assert!(pair.far_reaches_us(10));

        let fence = Fence::raise("dev0").unwrap();
        assert_eq!(fence.interface(), "dev0");
        assert!(!pair.far_reaches_us(1));
        assert!(
            tables().contains("table netdev sluice_dev0"),
            "{}",
            tables()
        );

        drop(fence);
        assert_eq!(tables(), "");
        assert!(pair.far_reaches_us(10));
    });
}

#[test]
fn a_fence_vanishes_with_its_holder_even_by_kill_9() {
    in_namespace(|| {
        ip("link add dev0 type veth peer name far0");
        let holder = Holder::start("fence dev0").ready();
        assert!(tables().contains("sluice_dev0"), "{}", tables());

        holder.kill();

        assert_eq!(tables(), "");
        assert!(Fence::raise("dev0").is_ok());
    });
}

#[test]
fn a_fence_held_by_a_living_process_is_refused() {
    in_namespace(|| {
        ip("link add dev0 type veth peer name far0");
        let _holder = Holder::start("fence dev0").ready();

        let error = Fence::raise("dev0").err().unwrap();

        assert!(matches!(error, FenceError::Held(_)), "{error:?}");
    });
}

#[test]
fn two_interfaces_have_fences_of_their_own() {
    in_namespace(|| {
        ip("link add dev0 type veth peer name dev1");

        let first = Fence::raise("dev0").unwrap();
        let _second = Fence::raise("dev1").unwrap();
        drop(first);

        assert_eq!(tables().trim(), "table netdev sluice_dev1");
    });
}

#[test]
fn a_process_that_may_not_filter_is_told_so() {
    in_namespace(|| {
        ip("link add dev0 type veth peer name far0");

        let outcome = Holder::start_without_net_admin("fence dev0").outcome();

        assert!(outcome.contains("no permission"), "{outcome}");
    });
}

#[test]
fn an_interface_that_is_not_there_cannot_be_fenced() {
    in_namespace(|| {
        let error = Fence::raise("dev0").err().unwrap();

        assert!(matches!(error, FenceError::NotFound(_)), "{error:?}");
        assert_eq!(tables(), "");
    });
}

#[test]
fn an_interface_in_use_is_taken_only_when_told_to() {
    in_namespace(|| {
        let missing = check_free("dev0", true).unwrap_err();
        assert!(matches!(missing, DeviceError::NotFound(_)), "{missing:?}");

        ip("link add dev0 type veth peer name far0");
        ip("link set dev0 up");
        ip("link set far0 up");
        // Up, it has at most the link-local address that Linux makes.
        check_free("dev0", false).unwrap();

        ip("address add 10.0.0.1/24 dev dev0");
        let error = check_free("dev0", false).unwrap_err();
        assert!(error.to_string().contains("10.0.0.1"), "{error}");
        check_free("dev0", true).unwrap();

        ip("route add default via 10.0.0.254");
        let error = check_free("dev0", false).unwrap_err();
        assert!(error.to_string().contains("default route"), "{error}");
        check_free("dev0", true).unwrap();
    });
}

#[test]
fn an_ipv6_address_or_default_route_counts_too() {
    in_namespace(|| {
        ip("link add dev0 type veth peer name far0");
        ip("link set dev0 up");
        ip("link set far0 up");

        ip("-6 route add default dev dev0");
        let error = check_free("dev0", false).unwrap_err();
        assert!(
            matches!(error, DeviceError::CarriesDefaultRoute(_)),
            "{error:?}"
        );

        ip("-6 route delete default dev dev0");
        ip("address add 2001:db8::1/64 dev dev0");
        let error = check_free("dev0", false).unwrap_err();
        assert!(error.to_string().contains("2001:db8::1"), "{error}");
    });
}

//! Each program says what it was built from, in one line.

#![expect(
    clippy::expect_used,
    reason = "without the programs there is nothing to test"
)]

use std::process::Command;

/// What `--version` of a program prints.
fn version_of(program: &str) -> String {
    let said = Command::new(program).arg("--version").output();
    let said = said.expect("it runs");
    assert!(said.status.success(), "{said:?}");
    String::from_utf8(said.stdout).expect("it is text")
}

#[test]
fn programs_say_their_version_and_commit_and_the_gateway_its_dpdk() {
    let built = format!("{} ({})", env!("CARGO_PKG_VERSION"), env!("SLUICE_COMMIT"));

    let gateway = version_of(env!("CARGO_BIN_EXE_sluice"));
    let sluicectl = version_of(env!("CARGO_BIN_EXE_sluicectl"));

    assert_eq!(sluicectl, format!("sluicectl {built}\n"));
    let dpdk = gateway.strip_prefix(&format!("sluice {built}, DPDK "));
    let dpdk = dpdk.expect("it names its DPDK");
    assert!(dpdk.starts_with(|c: char| c.is_ascii_digit()), "{gateway}");
    let commit = env!("SLUICE_COMMIT");
    let is_commit = commit.len() == 12 && commit.chars().all(|c| c.is_ascii_hexdigit());
    assert!(is_commit || commit == "unknown", "{commit}");
}

//! Finds DPDK with pkg-config, compiles the C shim and generates the bindings.
//!
//! Meant for every LTS that pkg-config finds; run with 22.11 (Debian 12) and 24.11 (Debian 13),
//! without a difference between them here. DPDK is linked dynamically: its EAL
//! loads the drivers of the distribution's plugin directory by itself, and the linker's
//! `--as-needed` keeps the libraries nobody calls out of the binary.

use std::path::PathBuf;
use std::process::Command;
use std::{env, fs};

/// The oldest release whose names the shim and the users of this crate know.
const OLDEST: &str = "22.11";

fn main() {
    for file in ["shim/shim.h", "shim/shim.c", "build.rs"] {
        println!("cargo:rerun-if-changed={file}");
    }
    println!("cargo:rerun-if-env-changed=PKG_CONFIG_PATH");
    let library = pkg_config::Config::new()
        .atleast_version(OLDEST)
        .probe("libdpdk")
        .unwrap_or_else(|error| {
            panic!("DPDK {OLDEST} or newer is needed (Debian: apt install libdpdk-dev): {error}")
        });
    println!("cargo:version={}", library.version);
    let flags = compiler_flags();
    compile_shim(&flags);
    generate_bindings(&flags);
}

/// What pkg-config wants the compiler to be told. The pkg-config crate keeps only `-I` and `-D`,
/// but DPDK's headers need the `-include` and `-march` too.
fn compiler_flags() -> Vec<String> {
    let program = env::var_os("PKG_CONFIG").unwrap_or_else(|| "pkg-config".into());
    let output = Command::new(program)
        .args(["--cflags", "libdpdk"])
        .output()
        .expect("pkg-config just ran");
    let flags = String::from_utf8(output.stdout).expect("pkg-config prints UTF-8");
    flags.split_whitespace().map(str::to_owned).collect()
}

fn compile_shim(flags: &[String]) {
    let mut build = cc::Build::new();
    build.file("shim/shim.c").include("shim");
    for flag in flags {
        build.flag(flag);
    }
    // A mistake in the shim still shows: its own warnings stay errors where they matter.
    build
        .flag("-Werror=implicit-function-declaration")
        .flag("-Werror=incompatible-pointer-types")
        .opt_level(2)
        .compile("sluice_dpdk_shim");
}

fn generate_bindings(flags: &[String]) {
    let bindings = bindgen::Builder::default()
        .header("shim/shim.h")
        .clang_args(flags)
        .allowlist_item("(rte|RTE|shim|SHIM)_.*|SOCKET_ID_ANY")
        // Both packed and aligned in C, which Rust cannot say; nobody here reads them.
        .opaque_type("rte_arp_ipv4|rte_arp_hdr|rte_l2tpv2_combined_msg_hdr|rte_gtp_psc_generic_hdr")
        // Not our streams: libc's FILE stays a name.
        .blocklist_type("FILE|_IO_FILE|_IO_.*")
        .raw_line("pub type FILE = ::std::os::raw::c_void;")
        .derive_default(true)
        .layout_tests(true)
        .generate_comments(false)
        .prepend_enum_name(false)
        .generate()
        .expect("bindgen understands the DPDK headers");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let text = bindings.to_string();
    fs::write(out.join("bindings.rs"), text).expect("OUT_DIR is writable");
}

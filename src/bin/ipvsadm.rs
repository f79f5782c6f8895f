//! `ipvsadm`: the language of LVS, spoken to a running gateway.

use std::process::ExitCode;

fn main() -> ExitCode {
    control::ipvs::wire::main()
}

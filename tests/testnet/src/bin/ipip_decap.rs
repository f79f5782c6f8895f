//! `ipip-decap VIP...`: takes the outer header off IP-in-IP packets to the given addresses.
//!
//! What `scripts/demo` runs on its real servers for the TUN method. On a server of your own, the
//! kernel's `ipip` module does this.

use std::net::Ipv4Addr;
use std::process::ExitCode;

use testnet::decapsulator::Sockets;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(sentence) => {
            eprintln!("ipip-decap: {sentence}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), String> {
    let vips = std::env::args()
        .skip(1)
        .map(|word| {
            word.parse()
                .map_err(|_| format!("{word} is not an IPv4 address"))
        })
        .collect::<Result<Vec<Ipv4Addr>, _>>()?;
    if vips.is_empty() {
        return Err("name the addresses to accept, as in: ipip-decap 10.1.0.103".to_owned());
    }
    let sockets = Sockets::open(&vips).map_err(|error| format!("no raw socket: {error}"))?;
    let mut buffer = vec![0; 1 << 16];
    loop {
        sockets
            .turn(&mut buffer)
            .map_err(|error| format!("cannot receive: {error}"))?;
    }
}

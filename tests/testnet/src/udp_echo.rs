//! Answers UDP datagrams with the server's name and the sender's address.
//!
//! It binds each address on its own: a server bound to every address would answer a DR or TUN
//! client from its real address, which the client does not know.

use std::net::{Ipv4Addr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::namespace::Namespace;

/// The port it listens on: the one RFC 862 gave to echo.
pub const PORT: u16 = 7;

/// An echo service at work; it stops when dropped.
#[derive(Debug)]
pub struct UdpEcho {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl UdpEcho {
    /// Starts the service on `host` at each of `addresses`.
    ///
    /// # Panics
    ///
    /// When an address cannot be bound.
    #[must_use]
    pub fn start(host: &Namespace, name: &str, addresses: &[Ipv4Addr]) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let threads = addresses
            .iter()
            .map(|address| {
                let socket = host.inside(|| UdpSocket::bind((*address, PORT)));
                let socket = socket.unwrap_or_else(|error| panic!("{address}:{PORT}: {error}"));
                let (name, stop) = (name.to_owned(), Arc::clone(&stop));
                thread::spawn(move || serve(&socket, &name, &stop))
            })
            .collect();
        Self { stop, threads }
    }
}

fn serve(socket: &UdpSocket, name: &str, stop: &AtomicBool) {
    let wait = Some(Duration::from_millis(100));
    socket
        .set_read_timeout(wait)
        .expect("a time above zero is accepted");
    let mut buffer = vec![0; 1 << 16];
    while !stop.load(Ordering::Relaxed) {
        let Ok((length, peer)) = socket.recv_from(&mut buffer) else {
            continue;
        };
        let mut answer = format!("{name} {} ", peer.ip()).into_bytes();
        answer.extend_from_slice(&buffer[..length]);
        // A client that has gone is no concern of an echo service.
        let _ = socket.send_to(&answer, peer);
    }
}

impl Drop for UdpEcho {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

//! A port without a data plane: a wire with hosts on it that answer ARP.

use std::collections::{HashMap, VecDeque};
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};

use dataplane::address::MacAddr;
use dataplane::id::InterfaceId;
use dataplane::punt::TwinPort;

use crate::frames::Arp;

#[derive(Default)]
struct State {
    hosts: HashMap<Ipv4Addr, MacAddr>,
    to_linux: VecDeque<Vec<u8>>,
    from_linux: Vec<Vec<u8>>,
}

/// The test's view of the wire.
#[derive(Clone, Default)]
pub(crate) struct Wire(Arc<Mutex<State>>);

impl Wire {
    /// Puts a host on the wire, or gives it another MAC.
    pub(crate) fn host(&self, addr: &str, mac: MacAddr) {
        let addr = addr.parse().unwrap();
        self.0.lock().unwrap().hosts.insert(addr, mac);
    }

    /// Sends a frame to the gateway.
    pub(crate) fn send(&self, frame: Vec<u8>) {
        self.0.lock().unwrap().to_linux.push_back(frame);
    }

    /// The first frame the gateway sent for which `pick` gives something.
    pub(crate) fn find<T>(&self, pick: impl Fn(&[u8]) -> Option<T>) -> Option<T> {
        let state = self.0.lock().unwrap();
        state.from_linux.iter().find_map(|frame| pick(frame))
    }

    /// How many frames the gateway sent for which `pick` gives something.
    pub(crate) fn count<T>(&self, pick: impl Fn(&[u8]) -> Option<T>) -> usize {
        let state = self.0.lock().unwrap();
        state
            .from_linux
            .iter()
            .filter_map(|frame| pick(frame))
            .count()
    }

    /// The gateway's end of the wire.
    pub(crate) fn port(&self, interface: InterfaceId) -> Box<dyn TwinPort> {
        Box::new(WirePort {
            wire: self.clone(),
            interface,
        })
    }
}

struct WirePort {
    wire: Wire,
    interface: InterfaceId,
}

impl TwinPort for WirePort {
    fn interface(&self) -> InterfaceId {
        self.interface
    }

    fn receive_punted(&mut self, sink: &mut dyn FnMut(&[u8])) -> usize {
        let batch = std::mem::take(&mut self.wire.0.lock().unwrap().to_linux);
        for frame in &batch {
            sink(frame);
        }
        batch.len()
    }

    fn inject(&mut self, frame: &[u8]) -> bool {
        let mut state = self.wire.0.lock().unwrap();
        state.from_linux.push(frame.to_vec());
        if let Some(question) = Arp::parse(frame).filter(|arp| !arp.reply)
            && let Some(&mac) = state.hosts.get(&question.target)
        {
            let answer = Arp {
                reply: true,
                sender_mac: mac,
                sender: question.target,
                target_mac: question.sender_mac,
                target: question.sender,
            };
            let frame = answer.frame_to(question.sender_mac);
            state.to_linux.push_back(frame);
        }
        true
    }
}

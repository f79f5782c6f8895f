//! Programs that have the packets of an interface by AF_PACKET, as the gateway does without vfio.

use std::fs;

use super::tree::Tree;

/// All protocols, in /proc/net/packet: whoever asks for one alone shares the interface with Linux.
const ALL: &str = "0003";

/// Those that only listen for who is there, on every interface.
const LISTENERS: [&str; 3] = ["dhclient", "lldpad", "lldpd"];

/// The program that has all packets of an interface, with its process number.
pub(super) fn reader(tree: &Tree, interface: &str) -> Option<String> {
    let index = tree.text(&format!("/sys/class/net/{interface}/ifindex"))?;
    let sockets = tree.text("/proc/net/packet")?;
    // sk RefCnt Type Proto Iface R Rmem User Inode
    let inode = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let is_it = words.get(3) == Some(&ALL) && words.get(4) == Some(&&*index);
        is_it.then(|| words.last().copied().unwrap_or_default().to_owned())
    };
    let inodes: Vec<String> = sockets.lines().filter_map(inode).collect();
    inodes.iter().find_map(|inode| owner(tree, inode))
}

fn owner(tree: &Tree, inode: &str) -> Option<String> {
    let socket = format!("socket:[{inode}]");
    let mut processes = tree.names("/proc");
    processes.retain(|name| name.bytes().all(|digit| digit.is_ascii_digit()));
    let process = processes.into_iter().find(|process| {
        let place = format!("/proc/{process}/fd");
        let mut files = tree.names(&place).into_iter();
        files.any(|file| {
            let target = fs::read_link(tree.at(&format!("{place}/{file}")));
            target.is_ok_and(|target| target.as_os_str() == &*socket)
        })
    });
    // It may be hidden from here.
    let Some(process) = process else {
        return Some("a program (AF_PACKET)".to_owned());
    };
    let name = tree.text(&format!("/proc/{process}/comm"));
    let name = name.unwrap_or_default();
    (!LISTENERS.contains(&&*name)).then(|| format!("{name} (process {process}, AF_PACKET)"))
}

//! A host that is to be a real server, beside one that asks it.

use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use testnet::lab::SERVERS;
use testnet::network::Network;
use testnet::run::Running;
use testnet::{Namespace, binaries, run};

pub(super) const SERVER: Ipv4Addr = Ipv4Addr::new(10, 2, 0, 11);
pub(super) const VIP: &str = "10.2.0.100";
pub(super) const VIP6: &str = "2001:db8::100";

/// Directories of a host's own, so that nothing of this machine's is written.
const OWN: [&str; 3] = ["/etc", "/var/lib", "/usr/local/sbin"];

/// A host that is to be a real server, and one on its segment that asks it.
pub(super) struct Segment {
    pub(super) server: Namespace,
    pub(super) asker: Namespace,
    // Last: the cables go with the hosts.
    _network: Network,
}

impl Segment {
    pub(super) fn build() -> Self {
        let network = Network::create();
        network.switch(SERVERS);
        let host = |name: &str, last: u8| {
            let host = Namespace::create(name);
            network.cable(SERVERS, &host, "eth0");
            // As on most hosts; the namespaces of tests have none.
            for scope in ["all", "default", "lo", "eth0"] {
                host.run(&format!(
                    "sysctl -q -w net.ipv6.conf.{scope}.disable_ipv6=0"
                ));
            }
            host.ip(&format!("addr add 10.2.0.{last}/24 dev eth0"));
            host.ip(&format!("addr add 2001:db8::{last}/64 dev eth0 nodad"));
            host
        };
        let server = host("server", 11);
        server.ip("tuntap add dev tunl0 mode tun");
        server.ip("route add default via 10.2.0.254");
        server.sysctl("net.ipv4.conf.eth0.rp_filter", "1");
        Self {
            server,
            asker: host("asker", 7),
            _network: network,
        }
    }

    /// Whether who has no other knowledge finds the address on the segment.
    pub(super) fn is_found(&self, address: &str) -> bool {
        self.asker.ip("neigh flush dev eth0");
        self.pings(address)
    }

    /// Whether the server answers who knows its MAC, as the gateway does.
    pub(super) fn is_accepted(&self, address: &str) -> bool {
        let link = self.server.run("cat /sys/class/net/eth0/address");
        let mac = link.trim();
        self.asker
            .ip(&format!("neigh replace {address} lladdr {mac} dev eth0"));
        let is_accepted = self.pings(address);
        self.asker.ip(&format!("neigh del {address} dev eth0"));
        is_accepted
    }

    /// The asker as the server's default route, and as a client behind it who is at the server by ssh,
    /// at another port than ssh's own.
    pub(super) fn ssh_session(&self) -> Session {
        self.server.ip("route replace default via 10.2.0.7");
        self.asker.ip("addr add 10.9.9.9/32 dev eth0");
        self.asker.ip("route add 10.2.0.11 dev eth0 src 10.9.9.9");
        // Whoever waits for connections under that name.
        let sshd = self.server.dir().join("sshd");
        std::os::unix::fs::symlink("/usr/bin/iperf3", &sshd)
            .unwrap_or_else(|error| panic!("{error}"));
        let mut command = self
            .server
            .command(&format!("{} -s -p 2222", sshd.display()));
        let server = command.stdout(Stdio::null()).spawn();
        let server = Running(server.unwrap_or_else(|error| panic!("{error}")));
        let connect = || {
            self.asker
                .spawn(|| TcpStream::connect("10.2.0.11:2222"))
                .join()
        };
        let mut client = None;
        let is_there = run::eventually(Duration::from_secs(30), || {
            client = client.take().or_else(|| connect().ok()?.ok());
            self.server
                .run("ss -Htnp state established")
                .contains("\"sshd\"")
        });
        assert!(is_there, "nobody answers");
        Session {
            _client: client,
            _server: server,
        }
    }

    fn pings(&self, address: &str) -> bool {
        let line = format!("ping -n -c 1 -W 2 {address}");
        run::output(&mut self.asker.command(&line)).status.success()
    }

    /// What of the server a set-up may change.
    pub(super) fn picture(&self) -> String {
        let settings = self.server.run("sysctl -a -r ^net.ipv4.conf");
        let rules = self.server.run("nft list ruleset");
        let [addresses, routes] = ["-br addr", "route"].map(|it| self.server.ip(it));
        [addresses, routes, settings, rules].join("\n")
    }

    pub(super) fn setup(&self, words: &str) -> Output {
        let ctl = binaries!().sluicectl;
        // A test may itself be started over ssh.
        let line = format!("env -u SSH_CONNECTION {ctl} realserver-setup {words}");
        shell(&self.server, &line)
    }

    /// Does what is printed.
    pub(super) fn do_printed(&self, words: &str) -> Output {
        let ctl = binaries!().sluicectl;
        let line = format!("{ctl} realserver-setup {words} | tee printed | sh -e");
        shell(&self.server, &line)
    }
}

/// A connection to a server's sshd; it ends when dropped.
pub(super) struct Session {
    _client: Option<TcpStream>,
    _server: Running,
}

/// Runs a line on a host that has [`OWN`] directories, in the host's own directory.
pub(super) fn shell(host: &Namespace, line: &str) -> Output {
    let root = host.dir().display().to_string();
    // What stands in for a program lies where root's own programs do, before this machine's.
    let mut script = format!("set -e; cd {root}; PATH=/usr/local/sbin:$PATH\n");
    for path in OWN {
        let own = format!("{root}{path}");
        std::fs::create_dir_all(&own).unwrap_or_else(|error| panic!("{own}: {error}"));
        script += &format!("mount --bind {own} {path}\n");
    }
    let mut command = host.command("sh -c");
    run::output(command.arg(format!("{script}{line}\n")))
}

pub(super) fn well(output: &Output) -> String {
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "{}{}",
        said(&output.stdout),
        said(&output.stderr)
    );
    said(&output.stdout)
}

pub(super) fn own_file(host: &Namespace, path: &str) -> std::path::PathBuf {
    host.dir()
        .join(Path::new(path).strip_prefix("/").unwrap_or(Path::new(path)))
}

pub(super) fn refused(output: &Output, says: &str) {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains(says), "{said}");
}

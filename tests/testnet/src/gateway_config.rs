//! Configuration files for the gateway under test.
//!
//! They say what an operator would write, with what a shared machine asks for: ordinary memory,
//! a small session table and twins that go with the daemon.

use std::fmt::Write as _;
use std::net::Ipv4Addr;

use crate::gateway::Gateway;
use crate::iperf;
use crate::lab::{self, Arms, CLIENTS, Lab, Method, SERVERS};
use crate::namespace::Namespace;
use crate::udp_echo;

/// The port of the service that goes to the servers in turn.
pub const IN_TURN: u16 = 80;
/// The port of the service whose servers have the weights 3, 2 and 1.
pub const WEIGHTED: u16 = 81;
/// Where NAT and FULLNAT map their services to, to show that they can.
pub const MAPPED: u16 = 8080;

/// How the gateway gets at its interfaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Driver {
    /// Packet sockets with a ring of 4,096 frames: the default ring loses packets unseen.
    AfPacket,
    /// XDP sockets, one queue on each interface.
    AfXdp,
}

impl Driver {
    /// DPDK's name for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AfPacket => "net_af_packet",
            Self::AfXdp => "net_af_xdp",
        }
    }

    /// The vdev on `interface`, with a queue for each worker where the driver has several.
    fn device(self, number: usize, interface: &str, workers: u16, large_frames: bool) -> String {
        let name = self.name();
        let queues = match self {
            // As much memory either way.
            Self::AfPacket if large_frames => {
                format!(",framecnt=512,framesz=16384,qpairs={workers}")
            }
            Self::AfPacket => format!(",framecnt=4096,qpairs={workers}"),
            Self::AfXdp => String::new(),
        };
        format!("{name}{number},iface={interface}{queues}")
    }
}

/// A configuration file being written.
#[derive(Clone, Debug)]
pub struct GatewayConfig {
    head: String,
    driver: Driver,
    large_frames: bool,
    idle: &'static str,
    sessions: u32,
    workers: u16,
    persist: bool,
    ports: Vec<Port>,
    local_ports: String,
    services: Vec<Service>,
}

#[derive(Clone, Debug)]
struct Port {
    name: &'static str,
    address: Ipv4Addr,
    default_route: Option<Ipv4Addr>,
}

/// A `[[service]]`.
#[derive(Clone, Debug)]
pub struct Service {
    /// The address clients ask.
    pub vip: Ipv4Addr,
    /// The port clients ask.
    pub port: u16,
    /// `tcp` or `udp`.
    pub protocol: &'static str,
    /// A scheduler by its name in IPVS.
    pub scheduler: &'static str,
    /// How packets reach its servers.
    pub method: Method,
    /// Address, port and weight of each server.
    pub servers: Vec<(Ipv4Addr, u16, u32)>,
}

impl GatewayConfig {
    /// A configuration for the gateway of `lab`, still without services.
    #[must_use]
    pub fn of(lab: &Lab) -> Self {
        let servers = Port {
            name: SERVERS,
            address: lab::GATEWAY_SERVER_SIDE,
            default_route: (lab.arms() == Arms::One).then_some(lab::ROUTER_SERVER_SIDE),
        };
        let clients = Port {
            name: CLIENTS,
            address: lab::GATEWAY_CLIENT_SIDE,
            default_route: None,
        };
        match lab.arms() {
            Arms::One => Self::on(lab.gateway(), vec![servers]),
            Arms::Two => Self::on(lab.gateway(), vec![clients, servers]),
        }
    }

    /// A one-arm configuration on `host`, with a default route by `router`.
    #[must_use]
    pub fn one_arm(host: &Namespace, router: Ipv4Addr) -> Self {
        let port = Port {
            name: SERVERS,
            address: lab::GATEWAY_SERVER_SIDE,
            default_route: Some(router),
        };
        Self::on(host, vec![port])
    }

    fn on(host: &Namespace, ports: Vec<Port>) -> Self {
        let head = format!(
            "huge_pages = false\n\
             file_prefix = \"{}\"\nsocket = \"{}\"\nstate_dir = \"{}\"\n\
             metrics = \"127.0.0.1:9911\"\n",
            host.name(),
            Gateway::socket(host).display(),
            host.dir().join("state").display(),
        );
        Self {
            head,
            driver: Driver::AfPacket,
            large_frames: false,
            idle: "sleep",
            sessions: 65_536,
            workers: 1,
            persist: false,
            ports,
            local_ports: "1024-65535".to_owned(),
            services: Vec::new(),
        }
    }

    /// Forwards on this many workers, each with a queue of its own on every port.
    #[must_use]
    pub fn workers(mut self, workers: u16) -> Self {
        self.workers = workers;
        self
    }

    /// Gets at its interfaces by `driver`.
    #[must_use]
    pub fn driver(mut self, driver: Driver) -> Self {
        self.driver = driver;
        self
    }

    /// Takes datagrams of up to 16,304 bytes that Linux joined for AF_PACKET.
    #[must_use]
    pub fn large_frames(mut self) -> Self {
        self.large_frames = true;
        self
    }

    /// What a worker does when nothing arrives: `sleep`, the default, or `spin`.
    #[must_use]
    pub fn idle(mut self, idle: &'static str) -> Self {
        self.idle = idle;
        self
    }

    /// Places in each worker's session table.
    #[must_use]
    pub fn sessions(mut self, sessions: u32) -> Self {
        self.sessions = sessions;
        self
    }

    /// Whether twins outlive the daemon.
    #[must_use]
    pub fn persist(mut self, persist: bool) -> Self {
        self.persist = persist;
        self
    }

    /// The ports FULLNAT lends, such as `1024-65535`.
    #[must_use]
    pub fn local_ports(mut self, range: &str) -> Self {
        range.clone_into(&mut self.local_ports);
        self
    }

    /// Adds a service.
    #[must_use]
    pub fn service(mut self, service: Service) -> Self {
        self.services.push(service);
        self
    }

    /// Adds all services of `method`: HTTP in turn and by weight, UDP echo, iperf3.
    #[must_use]
    pub fn services_of(self, lab: &Lab, method: Method) -> Self {
        let vip = lab.vip(method);
        let base = Service {
            vip,
            port: IN_TURN,
            protocol: "tcp",
            scheduler: "rr",
            method,
            servers: servers_at(http_port(method, IN_TURN), [1, 1, 1]),
        };
        let weighted = Service {
            port: WEIGHTED,
            scheduler: "wrr",
            servers: servers_at(http_port(method, WEIGHTED), [3, 2, 1]),
            ..base.clone()
        };
        let echo = Service {
            port: udp_echo::PORT,
            protocol: "udp",
            servers: servers_at(udp_echo::PORT, [1, 1, 1]),
            ..base.clone()
        };
        // One server only: iperf3 uses several connections that must meet the same one.
        let throughput = Service {
            port: iperf::PORT,
            servers: vec![(lab::server_address(1), iperf::PORT, 1)],
            ..base.clone()
        };
        self.service(base)
            .service(weighted)
            .service(echo)
            .service(throughput)
    }

    /// The file's text.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = format!(
            "[gateway]\nworkers = {}\nidle = \"{}\"\nsessions_per_worker = {}\n\
             memory_mb = {}\n{}",
            self.workers,
            self.idle,
            self.sessions,
            if self.large_frames { 512 } else { 256 },
            self.head
        );
        for (number, port) in self.ports.iter().enumerate() {
            text += &self.port_text(number, port);
        }
        if self
            .services
            .iter()
            .any(|service| service.method == Method::Fullnat)
        {
            let _ = write!(
                text,
                "\n[[local_pool]]\nname = \"local\"\naddresses = [\"{}\"]\nports = \"{}\"\n",
                lab::LOCAL_ADDRESS,
                self.local_ports
            );
        }
        self.services
            .iter()
            .map(Service::text)
            .fold(text, |text, service| text + &service)
    }

    fn port_text(&self, number: usize, port: &Port) -> String {
        let routes = port.default_route.map_or_else(String::new, |router| {
            format!("routes = [\"default via {router}\"]\n")
        });
        format!(
            "\n[[port]]\nname = \"{name}\"\n\
             device = \"{}\"\n\
             twin = {{ name = \"{}\", persist = {} }}\naddresses = [\"{}/24\"]\n{routes}",
            (self.driver).device(number, port.name, self.workers, self.large_frames),
            twin(port.name),
            self.persist,
            port.address,
            name = port.name,
        )
    }
}

impl Service {
    fn text(&self) -> String {
        let mut text = format!(
            "\n[[service]]\nvip = \"{}\"\nport = {}\nprotocol = \"{}\"\nscheduler = \"{}\"\n",
            self.vip, self.port, self.protocol, self.scheduler
        );
        if self.method == Method::Fullnat {
            text += "local_pool = \"local\"\n";
        }
        for (address, port, weight) in &self.servers {
            let method = self.method.name();
            let _ = write!(
                text,
                "\n[[service.server]]\naddress = \"{address}\"\nport = {port}\n\
                 method = \"{method}\"\nweight = {weight}\n"
            );
        }
        text
    }
}

/// The name of the twin of a port.
#[must_use]
pub fn twin(port: &str) -> String {
    format!("tw-{port}")
}

/// The port on the servers behind an HTTP service: mapped where the method can, but for the
/// weighted one. By NAT a server sees the client's own port, and when the client uses it for one
/// service shortly after the other, the server would meet it in TIME_WAIT with time stamps that
/// may go backwards (RFC 7323 §5.3): it refuses, and the client has to try again.
#[must_use]
pub fn http_port(method: Method, service_port: u16) -> u16 {
    if method.sees_replies() && service_port != WEIGHTED {
        MAPPED
    } else {
        service_port
    }
}

/// The lab's three servers at `port`, with these weights.
#[must_use]
pub fn servers_at(port: u16, weights: [u32; 3]) -> Vec<(Ipv4Addr, u16, u32)> {
    let server = |(number, weight)| (lab::server_address(number), port, weight);
    (1..=3).zip(weights).map(server).collect()
}

//! Random scenarios, each from its seed.
//!
//! ```text
//! services ─► burst of packets and changes ─► jump in time ─► burst ─► jump ─► burst ─► listings
//! ```
//!
//! Bursts stand where no timer of the kernel is late, so both sides must do the same.

mod deadlines;
mod numbers;
mod services;
mod shrink;
mod traffic;

use std::time::Duration;

use dataplane::address::{Endpoint, Protocol, V4};

use crate::draft::{Draft, address};
use crate::scenario::Scenario;

use deadlines::Deadlines;
use numbers::Numbers;
use services::Service;
use traffic::{LONGEST_BURST, Talk};

pub use shrink::shrink;

/// What a random scenario may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// Waits cost nothing: any time-out may be waited for.
    Virtual,
    /// Waits are real: a few seconds at most, and no firewall marks.
    Real,
}

/// Seconds between two bursts; the last fits behind every deadline.
const JUMPS: [u64; 18] = [
    4, 6, 15, 22, 26, 38, 48, 75, 100, 145, 180, 230, 270, 350, 500, 750, 1_100, 3_300,
];
const SHORT_JUMPS: [u64; 2] = [4, 6];

/// Sessions that the gateway keeps of one client without a port with one VIP and port. The kernel
/// knows no limit (docs/ipvs-compatibility.md).
const MOST_WITHOUT_PORT: usize = 8;

/// Time-outs that `ipvsadm --set` may give to ESTABLISHED, FIN_WAIT and UDP.
const TIMEOUTS: [(u64, u64, u64); 3] = [(600, 50, 100), (0, 0, 40), (200, 20, 0)];

/// What happens in a scenario, and how often.
type Weights = [(u32, Action); 9];

/// What may happen next.
#[derive(Clone, Copy, Debug)]
enum Action {
    /// A client opens a conversation.
    Open,
    /// A client goes on with one.
    GoOn,
    /// Servers answer.
    Answer,
    /// A router or a client sends an error about an answer.
    Complain,
    /// A server or a router sends an error about a client's packet.
    Refuse,
    /// A client's packet comes in fragments.
    Fragments,
    /// An operator changes a service.
    Edit,
    /// An operator changes something else.
    Turn,
    /// A packet that is for no service.
    Other,
}

const MIXED: Weights = weights([12, 20, 14, 3, 3, 3, 6, 1, 2]);
const SCHEDULING: Weights = weights([40, 8, 4, 0, 0, 1, 15, 1, 1]);
const CLOSING: Weights = weights([6, 40, 30, 1, 1, 0, 3, 1, 0]);
const ERRORS: Weights = weights([12, 10, 10, 14, 14, 4, 2, 1, 2]);

const fn weights(counts: [u32; 9]) -> Weights {
    [
        (counts[0], Action::Open),
        (counts[1], Action::GoOn),
        (counts[2], Action::Answer),
        (counts[3], Action::Complain),
        (counts[4], Action::Refuse),
        (counts[5], Action::Fragments),
        (counts[6], Action::Edit),
        (counts[7], Action::Turn),
        (counts[8], Action::Other),
    ]
}

/// Variables of IPVS and the values they are given.
const KNOBS: [(&str, &[u32]); 10] = [
    ("expire_nodest_conn", &[0, 1]),
    ("conn_reuse_mode", &[0, 1, 2, 3]),
    ("sloppy_tcp", &[0, 1]),
    ("sloppy_sctp", &[0, 1]),
    ("expire_quiescent_template", &[0, 1]),
    ("nat_icmp_send", &[0, 1]),
    ("schedule_icmp", &[0, 1]),
    ("pmtu_disc", &[0, 1]),
    ("secure_tcp", &[0, 3]),
    ("snat_reroute", &[0, 1]),
];

/// The scenario of a seed.
#[must_use]
pub fn scenario(seed: u64, patience: Patience) -> Scenario {
    let mut writer = Writer::new(seed, patience);
    let bursts = writer.numbers.within(2, 5);
    for burst in 0..bursts {
        writer.burst();
        if burst + 1 < bursts && !writer.jump() {
            break;
        }
    }
    writer.draft.finish()
}

/// Writes one scenario.
struct Writer {
    draft: Draft,
    numbers: Numbers,
    patience: Patience,
    weights: Weights,
    services: Vec<Service>,
    talks: Vec<Talk>,
    deadlines: Deadlines,
    /// What `--set` said, beside the kernel's own time-outs.
    timeouts: Vec<u64>,
    next_port: u16,
    /// Both ends of each session that a client without a port began.
    without_port: Vec<(Endpoint<V4>, Endpoint<V4>, Protocol)>,
    now: Duration,
    /// How long the present burst has lasted.
    lasted: Duration,
}

impl Writer {
    fn new(seed: u64, patience: Patience) -> Self {
        let mut numbers = Numbers::new(seed);
        let mut draft = Draft::new(format!("random-{seed}"));
        if numbers.percent(20) {
            draft.server_mtu(1_400);
        }
        for (knob, values) in KNOBS {
            if numbers.percent(12)
                && let Some(value) = numbers.pick(values)
            {
                draft.knob(knob, *value);
            }
        }
        if numbers.percent(5) {
            draft.knob("am_droprate", 5).knob("drop_packet", 3);
        }
        let profiles = [(4, MIXED), (3, SCHEDULING), (3, CLOSING), (2, ERRORS)];
        let weights = numbers.weighted(&profiles).unwrap_or(MIXED);
        let services = draw_services(&mut numbers, patience);
        for service in &services {
            service.configure(&mut draft, &mut numbers);
        }
        Self {
            draft,
            numbers,
            patience,
            weights,
            services,
            talks: Vec::new(),
            deadlines: Deadlines::default(),
            timeouts: Vec::new(),
            next_port: 10_000,
            without_port: Vec::new(),
            now: Duration::ZERO,
            lasted: Duration::ZERO,
        }
    }

    /// Several things, one right after the other.
    fn burst(&mut self) {
        self.lasted = Duration::ZERO;
        self.begin_statistics_anew();
        for _ in 0..self.numbers.within(6, 18) {
            self.act();
            self.lasted = self.draft.elapsed() - self.now;
            if self.lasted >= LONGEST_BURST / 2 {
                break;
            }
        }
        if self.numbers.percent(40) {
            self.draft.dump("burst");
        }
        self.note_deadlines();
        self.now += self.lasted;
    }

    /// Sometimes does what makes counters zero: the kernel goes by what it saw when it last looked,
    /// which it does every two seconds, and behind a jump that is all there was.
    fn begin_statistics_anew(&mut self) {
        if self.numbers.percent(6) {
            self.draft.ipvsadm("-Z");
        }
        if self.numbers.percent(8) {
            let now = self.now;
            if let Some(service) = self.pick_service() {
                let command = service.remove(now);
                self.draft.ipvsadm(command).tick();
            }
        }
    }

    fn pick_service(&mut self) -> Option<&mut Service> {
        let len = u32::try_from(self.services.len()).unwrap_or(0);
        let index = usize::try_from(self.numbers.below(len)).unwrap_or(0);
        self.services
            .get_mut(index)
            .filter(|service| !service.is_gone())
    }

    fn act(&mut self) {
        let action = self.numbers.weighted(&self.weights).unwrap_or(Action::Open);
        let talk = self.numbers.pick(&self.talks).copied();
        let talk = talk.map(|talk| (talk, self.services.get(talk.service).cloned()));
        let (draft, numbers) = (&mut self.draft, &mut self.numbers);
        match (action, talk) {
            // What is of no session the kernel's own host answers. It does so from the VIP, and for
            // a client without a port the kernel takes that for an answer of its server.
            (Action::GoOn | Action::Fragments, Some((talk, service))) if talk.client.port == 0 => {
                if service.is_some_and(|service| !service.is_gone()) {
                    self.send_first(&talk);
                }
            }
            (Action::GoOn, Some((talk, Some(service)))) => talk.go_on(draft, numbers, &service),
            (Action::Answer, Some((talk, Some(service)))) => talk.answer(draft, numbers, &service),
            (Action::Complain, Some((talk, _))) => talk.complain(draft, numbers),
            (Action::Refuse, Some((talk, Some(service)))) => talk.refuse(draft, numbers, &service),
            (Action::Fragments, Some((talk, Some(_)))) => talk.ask_in_fragments(draft, numbers),
            (Action::Edit, _) => self.edit(),
            (Action::Turn, _) => self.turn(),
            (Action::Other, _) => traffic::send_other(draft, numbers, self.next_port),
            _ => self.open(),
        }
    }

    fn open(&mut self) {
        let len = u32::try_from(self.services.len()).unwrap_or(0);
        let index = usize::try_from(self.numbers.below(len)).unwrap_or(0);
        let Some(service) = self.services.get(index) else {
            return;
        };
        // Few clients, so that persistence and hashes meet them again.
        let third = u8::try_from(self.numbers.below(3)).unwrap_or(0);
        let last = u8::try_from(self.numbers.within(1, 9)).unwrap_or(1);
        let port = if self.numbers.percent(1) {
            0
        } else {
            self.next_port
        };
        self.next_port += 1;
        let talk = Talk {
            client: Endpoint::new(address([192, 168, third, last]), port),
            target: service.draw_target(&mut self.numbers),
            protocol: service.protocol,
            service: index,
        };
        self.send_first(&talk);
        self.talks.push(talk);
    }

    /// Sends a packet that begins a session, unless a client without a port would have more of them
    /// than the gateway keeps.
    fn send_first(&mut self, talk: &Talk) {
        if talk.client.port == 0 {
            let ends = (talk.client, talk.target, talk.protocol);
            let others = self.without_port.iter().filter(|other| **other == ends);
            if others.count() >= MOST_WITHOUT_PORT {
                return;
            }
            self.without_port.push(ends);
        }
        talk.open(&mut self.draft, &mut self.numbers);
    }

    fn edit(&mut self) {
        let len = u32::try_from(self.services.len()).unwrap_or(0);
        let index = usize::try_from(self.numbers.below(len)).unwrap_or(0);
        let now = self.now + self.lasted;
        if let Some(service) = self.services.get_mut(index) {
            service.edit(&mut self.draft, &mut self.numbers, now);
        }
    }

    fn turn(&mut self) {
        match self.numbers.below(3) {
            0 => {
                let choice = self.numbers.pick(&TIMEOUTS).copied();
                let (tcp, fin, udp) = choice.unwrap_or_default();
                self.draft.ipvsadm(format!("--set {tcp} {fin} {udp}"));
                self.timeouts
                    .extend([tcp, fin, udp].into_iter().filter(|time| *time > 0));
            }
            _ => {
                if let Some((knob, values)) = self.numbers.pick(&KNOBS)
                    && let Some(value) = self.numbers.pick(values)
                {
                    self.draft.turn(knob, *value);
                }
            }
        }
    }

    /// Notes every time-out that the burst may have started.
    fn note_deadlines(&mut self) {
        let (first, last) = (self.now, self.now + self.lasted);
        for protocol in [Protocol::Tcp, Protocol::Udp, Protocol::Sctp] {
            let mut services = self.services.iter();
            if !services.any(|service| service.protocol == protocol) {
                continue;
            }
            let mut times = time_outs(protocol).to_vec();
            times.extend(&self.timeouts);
            for time in &times {
                self.deadlines.note(protocol, first, last, *time);
            }
            let longest = times.into_iter().max().unwrap_or(0);
            self.note_templates(protocol, longest);
        }
    }

    /// Notes the time-outs of the templates of services of `protocol`. One that has been armed
    /// again has 60 s from then on.
    fn note_templates(&mut self, protocol: Protocol, longest: u64) {
        const ARMED_AGAIN: u64 = 60;

        let (first, last) = (self.now, self.now + self.lasted);
        let services = self.services.iter();
        let times = services
            .filter(|service| service.protocol == protocol)
            .filter_map(|service| service.persistence.map(u64::from));
        for seconds in times {
            let deadlines = &mut self.deadlines;
            deadlines.note_template(protocol, first, last, seconds, longest);
            if last >= Duration::from_secs(seconds) {
                deadlines.note_template(protocol, first, last, ARMED_AGAIN, longest);
            }
        }
    }

    /// Lets time pass to where no deadline is near; gives up if there is no such time.
    fn jump(&mut self) -> bool {
        let mut jumps = match self.patience {
            Patience::Virtual => JUMPS.to_vec(),
            Patience::Real => SHORT_JUMPS.to_vec(),
        };
        self.numbers.shuffle(&mut jumps);
        let clear = jumps.into_iter().map(Duration::from_secs).find(|jump| {
            let first = self.now + *jump;
            self.deadlines.are_clear(first, first + LONGEST_BURST)
        });
        if let Some(jump) = clear {
            self.draft.pause(jump);
            self.now += jump;
        }
        clear.is_some()
    }
}

/// The kernel's time-outs of all states that sessions come to; no packet leads to LAST_ACK.
const fn time_outs(protocol: Protocol) -> &'static [u64] {
    match protocol {
        Protocol::Tcp => &[2, 3, 10, 60, 120, 900],
        Protocol::Udp => &[3, 300],
        Protocol::Sctp => &[2, 3, 4, 61, 900],
    }
}

fn draw_services(numbers: &mut Numbers, patience: Patience) -> Vec<Service> {
    let count = numbers.within(1, 3);
    let mut services: Vec<Service> = Vec::new();
    for number in 0..12 {
        let service = Service::draw(numbers, number, patience == Patience::Virtual);
        let is_new = services.iter().all(|other| other.name() != service.name());
        if is_new && services.len() < usize::try_from(count).unwrap_or(1) {
            services.push(service);
        }
    }
    services
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::scenario::PlayLine;

    #[test]
    fn a_seed_gives_the_same_scenario_always() {
        assert_eq!(
            scenario(7, Patience::Virtual),
            scenario(7, Patience::Virtual)
        );
        assert_ne!(
            scenario(7, Patience::Virtual).play,
            scenario(8, Patience::Virtual).play
        );
    }

    #[test]
    fn scenarios_have_frames_changes_and_jumps() {
        let scenarios: Vec<Scenario> = (0..200)
            .map(|seed| scenario(seed, Patience::Virtual))
            .collect();
        let count = |is: fn(&PlayLine) -> bool| {
            let lines = scenarios.iter().flat_map(|scenario| &scenario.play);
            lines.filter(|line| is(line)).count() / scenarios.len()
        };

        assert!((20..80).contains(&count(|line| matches!(line, PlayLine::Packet { .. }))));
        assert!(count(|line| matches!(line, PlayLine::Ipvsadm(_))) >= 1);
        let is_jump = |line: &PlayLine| matches!(line, PlayLine::Wait(time) if time.as_secs() > 3);
        assert!(count(is_jump) >= 1);
    }

    #[test]
    fn a_client_without_a_port_begins_no_more_sessions_than_the_gateway_keeps() {
        let ends_without_port = |line: &PlayLine| match line {
            // Addresses and ports of an IPv4 packet without options.
            PlayLine::Packet { frame, .. } => frame.get(26..38).map(<[u8]>::to_vec),
            _ => None,
        };
        let is_to_a_service = |ends: &Vec<u8>| ends[8..10] == [0, 0] && ends[11] == 80;
        let most = (0..300).filter_map(|seed| {
            let play = scenario(seed, Patience::Virtual).play;
            let mut sessions = BTreeMap::<_, usize>::new();
            let ends = play.iter().filter_map(ends_without_port);
            for ends in ends.filter(is_to_a_service) {
                *sessions.entry(ends).or_default() += 1;
            }
            sessions.into_values().max()
        });

        assert_eq!(most.max(), Some(MOST_WITHOUT_PORT));
    }

    #[test]
    fn who_waits_in_real_time_waits_seconds_only() {
        for seed in 0..50 {
            let elapsed = scenario(seed, Patience::Real).elapsed();
            assert!(elapsed < Duration::from_secs(30), "{seed}: {elapsed:?}");
        }
    }
}

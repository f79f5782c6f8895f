//! Compares what commands print: tables of services and lists of sessions by their meaning,
//! anything else line by line.
//!
//! The kernel's timers are late by up to an eighth of their time. A session that is overdue but
//! still listed (as `00:00`) may be missing in the gateway, and then it is missing in the counts of
//! its server too. A template that was overdue and lived on got its new time late. Nothing in the
//! kernel is ever early.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Clocks, Comparison, DiffLine};

/// What a deliberate difference of listings is counted as.
const LATE: &str = "late expiry";
const STALE: &str = "statistics of 2 s ago";

/// How much of a time-out the kernel's timers may be late: an eighth.
const LATEST: u32 = 8;

/// How far expiry columns may be apart.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tolerance {
    /// Seconds by which the gateway's may be later because it waited less.
    shortened: u64,
    /// Seconds by which a template's may be later in the kernel.
    template: u64,
    /// Seconds by which the kernel's clock was ahead when it should have been the gateway's.
    ahead: u64,
    /// Whether statistics may be those of two seconds ago.
    stale_statistics: bool,
}

impl Tolerance {
    /// Both sides round down, on clocks that are not quite the same.
    const ROUNDING: u64 = 1;

    pub(super) fn new(elapsed: Duration, clocks: Clocks) -> Self {
        let late = (elapsed / LATEST).as_secs() + 1;
        Self {
            shortened: match clocks {
                Clocks::Same => 0,
                Clocks::GatewayEarlier => late,
            },
            template: late,
            ahead: 0,
            stale_statistics: true,
        }
    }

    /// The same where the kernel's clock was ahead by so much: on a busy machine it goes on while
    /// the kernel waits for the processor.
    pub(super) fn with_clock_ahead(self, time: Duration) -> Self {
        Self {
            ahead: time.as_secs() + u64::from(time.subsec_nanos() > 0),
            ..self
        }
    }

    /// The same where the kernel has had its two seconds.
    pub(super) fn with_fresh_statistics(self) -> Self {
        Self {
            stale_statistics: false,
            ..self
        }
    }

    fn allows(self, kernel: &Session, gateway: &Session) -> bool {
        let late = if kernel.is_template() {
            self.template
        } else {
            0
        };
        let latest = gateway.expires + Self::ROUNDING + late;
        let earliest = gateway
            .expires
            .saturating_sub(Self::ROUNDING + self.shortened + self.ahead);
        (earliest..=latest).contains(&kernel.expires)
    }
}

/// Some lines of an output that belong together.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Block<'a> {
    /// Services and their servers.
    Table(Vec<&'a str>),
    /// Sessions.
    Sessions(Vec<&'a str>),
    /// Anything else.
    Text(Vec<&'a str>),
}

impl<'a> Block<'a> {
    const TABLE: [&'static str; 6] = ["Prot ", "  -> ", "TCP ", "UDP ", "SCTP ", "FWM "];
    const SESSIONS: [&'static str; 5] = ["pro expire", "TCP ", "UDP ", "SCTP ", "IP "];

    fn begin(line: &'a str) -> Self {
        if line.starts_with("IP Virtual Server version") || line.starts_with("Prot Local") {
            Self::Table(vec![line])
        } else if line.starts_with("IPVS connection entries") {
            Self::Sessions(vec![line])
        } else {
            Self::Text(vec![line])
        }
    }

    /// Takes a line that belongs to the block.
    fn take(&mut self, line: &'a str) -> bool {
        let begins = |words: &[&str]| words.iter().any(|word| line.starts_with(word));
        let (lines, belongs) = match self {
            Self::Table(lines) => (lines, begins(&Self::TABLE)),
            Self::Sessions(lines) => (lines, begins(&Self::SESSIONS)),
            Self::Text(lines) => (lines, matches!(Self::begin(line), Self::Text(_))),
        };
        if belongs {
            lines.push(line);
        }
        belongs
    }
}

fn blocks(text: &str) -> Vec<Block<'_>> {
    let mut blocks: Vec<Block<'_>> = Vec::new();
    for line in text.lines() {
        if !blocks.last_mut().is_some_and(|block| block.take(line)) {
            blocks.push(Block::begin(line));
        }
    }
    blocks
}

/// Compares what a command printed.
pub(super) fn compare(
    found: &mut Comparison,
    kernel: &str,
    gateway: &str,
    tolerance: Tolerance,
) -> Vec<DiffLine> {
    compare_table(found, [kernel, gateway], [kernel, gateway], tolerance)
}

/// Compares what a command printed, where `sessions` tells what is overdue.
pub(super) fn compare_table(
    found: &mut Comparison,
    [kernel, gateway]: [&str; 2],
    sessions: [&str; 2],
    tolerance: Tolerance,
) -> Vec<DiffLine> {
    let (theirs, ours) = (blocks(kernel), blocks(gateway));
    let alike = |(theirs, ours): (&Block<'_>, &Block<'_>)| {
        std::mem::discriminant(theirs) == std::mem::discriminant(ours)
    };
    if theirs.len() != ours.len() || !theirs.iter().zip(&ours).all(alike) {
        let (theirs, ours): (Vec<&str>, Vec<&str>) =
            (kernel.lines().collect(), gateway.lines().collect());
        return line_by_line(&theirs, &ours);
    }
    let overdue = overdue(sessions, tolerance);
    let mut lines = Vec::new();
    for pair in theirs.iter().zip(&ours) {
        lines.extend(match pair {
            (Block::Table(theirs), Block::Table(ours)) => {
                let rows = Rows {
                    overdue: &overdue,
                    stale_statistics: tolerance.stale_statistics,
                };
                rows.compare(found, theirs, ours)
            }
            (Block::Sessions(theirs), Block::Sessions(ours)) => {
                let pairing = Pairing::new(theirs, ours, tolerance);
                pairing.overdue.iter().for_each(|_| found.accept(LATE));
                pairing.lines()
            }
            (Block::Text(theirs), Block::Text(ours)) => line_by_line(theirs, ours),
            _ => Vec::new(),
        });
    }
    lines
}

/// Lines that only one side has; the first line where only their order differs.
fn line_by_line(theirs: &[&str], ours: &[&str]) -> Vec<DiffLine> {
    let mut missing: Vec<&str> = ours.to_vec();
    let mut lines = Vec::new();
    for line in theirs {
        match missing.iter().position(|other| other == line) {
            Some(index) => {
                missing.remove(index);
            }
            None => lines.push(DiffLine::Kernel((*line).to_owned())),
        }
    }
    lines.extend(
        missing
            .into_iter()
            .map(|line| DiffLine::Gateway(line.to_owned())),
    );
    if lines.is_empty()
        && let Some((theirs, ours)) = theirs.iter().zip(ours).find(|(a, b)| a != b)
    {
        lines.push(DiffLine::Kernel((*theirs).to_owned()));
        lines.push(DiffLine::Gateway((*ours).to_owned()));
    }
    lines
}

/// A line of `-Lnc`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Session {
    protocol: String,
    state: String,
    source: String,
    destination: String,
    /// The virtual service's address and what else the line says.
    others: Vec<String>,
    /// Seconds.
    expires: u64,
}

impl Session {
    fn read(line: &str) -> Option<Self> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [
            protocol,
            expires,
            state,
            source,
            service,
            destination,
            rest @ ..,
        ] = words.as_slice()
        else {
            return None;
        };
        let (minutes, seconds) = expires.split_once(':')?;
        let minutes: u64 = minutes.parse().ok()?;
        let seconds: u64 = seconds.parse().ok()?;
        let others = std::iter::once(service).chain(rest);
        Some(Self {
            protocol: (*protocol).to_owned(),
            state: (*state).to_owned(),
            source: (*source).to_owned(),
            destination: (*destination).to_owned(),
            others: others.map(|word| (*word).to_owned()).collect(),
            expires: minutes * 60 + seconds,
        })
    }

    /// Templates have no client port.
    fn is_template(&self) -> bool {
        self.source.ends_with(":0") && matches!(self.state.as_str(), "NONE" | "ASSURED")
    }

    fn is_same(&self, other: &Self) -> bool {
        let key = |session: &Self| Self {
            expires: 0,
            ..session.clone()
        };
        key(self) == key(other)
    }

    fn line(&self) -> String {
        let (minutes, seconds) = (self.expires / 60, self.expires % 60);
        format!(
            "{} {minutes:02}:{seconds:02} {} {} {} > {}",
            self.protocol,
            self.state,
            self.source,
            self.others.join(" "),
            self.destination
        )
    }
}

/// Two lists of sessions, crossed out as far as they agree.
struct Pairing {
    /// In the kernel only, but past their time.
    overdue: Vec<Session>,
    kernel: Vec<Session>,
    gateway: Vec<Session>,
    /// Lines that are no sessions.
    text: Vec<DiffLine>,
}

impl Pairing {
    fn new(theirs: &[&str], ours: &[&str], tolerance: Tolerance) -> Self {
        let (mut kernel, their_text) = Self::read(theirs);
        let (mut gateway, our_text) = Self::read(ours);
        let mut missing = Vec::new();
        for session in kernel.drain(..) {
            let fits =
                |other: &Session| session.is_same(other) && tolerance.allows(&session, other);
            match gateway.iter().position(fits) {
                Some(index) => {
                    gateway.remove(index);
                }
                None => missing.push(session),
            }
        }
        let (overdue, kernel) = missing
            .into_iter()
            .partition(|session| session.expires == 0);
        Self {
            overdue,
            kernel,
            gateway,
            text: line_by_line(&their_text, &our_text),
        }
    }

    /// The sessions in order, and the lines that are none.
    fn read<'a>(lines: &[&'a str]) -> (Vec<Session>, Vec<&'a str>) {
        let mut sessions: Vec<Session> = lines
            .iter()
            .filter_map(|line| Session::read(line))
            .collect();
        sessions.sort();
        let text = lines.iter().filter(|line| Session::read(line).is_none());
        (sessions, text.copied().collect())
    }

    fn lines(&self) -> Vec<DiffLine> {
        let theirs = self
            .kernel
            .iter()
            .map(|session| DiffLine::Kernel(session.line()));
        let ours = self
            .gateway
            .iter()
            .map(|session| DiffLine::Gateway(session.line()));
        self.text
            .iter()
            .cloned()
            .chain(theirs)
            .chain(ours)
            .collect()
    }
}

/// By a server's address, how many sessions and templates only the kernel still has.
type Overdue = BTreeMap<String, u64>;

fn overdue([kernel, gateway]: [&str; 2], tolerance: Tolerance) -> Overdue {
    let (theirs, ours): (Vec<&str>, Vec<&str>) =
        (kernel.lines().collect(), gateway.lines().collect());
    let mut overdue = Overdue::new();
    for session in Pairing::new(&theirs, &ours, tolerance).overdue {
        *overdue
            .entry(address(&session.destination).to_owned())
            .or_default() += 1;
    }
    overdue
}

/// An address without its port.
fn address(endpoint: &str) -> &str {
    endpoint
        .rsplit_once(':')
        .map_or(endpoint, |(address, _)| address)
}

/// Compares tables of services. Rows may differ in what is overdue, and in statistics that the
/// kernel has not brought up to date.
struct Rows<'a> {
    overdue: &'a Overdue,
    stale_statistics: bool,
}

impl Rows<'_> {
    fn compare(&self, found: &mut Comparison, theirs: &[&str], ours: &[&str]) -> Vec<DiffLine> {
        if theirs.len() != ours.len() {
            return line_by_line(theirs, ours);
        }
        let has_statistics = theirs.iter().any(|line| line.contains("InPkts"));
        let mut lines = Vec::new();
        for (theirs, ours) in theirs.iter().zip(ours) {
            if theirs == ours {
                continue;
            }
            let rows = Row::read(theirs).zip(Row::read(ours));
            let explained = rows.is_some_and(|(theirs, ours)| match has_statistics {
                true => self.stale_statistics && theirs.is_before(&ours),
                false => theirs.is_late(&ours, self.overdue),
            });
            if explained {
                found.accept(if has_statistics { STALE } else { LATE });
            } else {
                lines.push(DiffLine::Kernel((*theirs).to_owned()));
                lines.push(DiffLine::Gateway((*ours).to_owned()));
            }
        }
        lines
    }
}

/// A row of a table: what it is about, and its numbers at the end.
#[derive(Debug)]
struct Row<'a> {
    about: Vec<&'a str>,
    numbers: Vec<u64>,
}

impl<'a> Row<'a> {
    fn read(line: &'a str) -> Option<Self> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let numbers = (words.iter().rev())
            .map_while(|word| word.parse().ok())
            .collect::<Vec<u64>>();
        let about = words.get(..words.len() - numbers.len())?.to_vec();
        (!numbers.is_empty()).then_some(Self { about, numbers })
    }

    /// Whether no number is above the other row's.
    fn is_before(&self, other: &Self) -> bool {
        self.about == other.about
            && self.numbers.len() == other.numbers.len()
            && self.numbers.iter().zip(&other.numbers).all(|(a, b)| a <= b)
    }

    /// Whether a server's counts are above the other row's by no more than what is overdue.
    fn is_late(&self, other: &Self, overdue: &Overdue) -> bool {
        let ["->", server, ..] = self.about.as_slice() else {
            return false;
        };
        let late = overdue.get(address(server)).copied().unwrap_or(0);
        let more = |(theirs, ours): (&u64, &u64)| theirs.checked_sub(*ours);
        let excess: Option<Vec<u64>> = self.numbers.iter().zip(&other.numbers).map(more).collect();
        self.about == other.about
            && self.numbers.len() == other.numbers.len()
            && excess.is_some_and(|excess| excess.iter().sum::<u64>() <= late)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "IPVS connection entries\n\
        pro expire state       source             virtual            destination\n";

    /// A list of sessions.
    fn list(lines: &[&str]) -> String {
        format!("{HEAD}{}\n", lines.join("\n"))
    }

    fn differ(kernel: &str, gateway: &str, elapsed: u64, clocks: Clocks) -> (usize, usize) {
        let mut found = Comparison::default();
        let tolerance = Tolerance::new(Duration::from_secs(elapsed), clocks);
        let lines = compare(&mut found, kernel, gateway, tolerance);
        (lines.len(), found.accepted.values().sum())
    }

    const SYN: &str = "TCP 00:59  SYN_RECV    192.168.0.1:1000   10.1.0.100:80      10.2.0.11:80";
    const UDP: &str = "UDP 05:00  UDP         192.168.0.1:1000   10.1.0.100:53      10.2.0.11:53";

    #[test]
    fn a_clock_that_was_ahead_is_made_up_for_and_no_more() {
        let later = UDP.replace("05:00", "04:57");
        let tolerance = Tolerance::new(Duration::ZERO, Clocks::Same);
        for (millis, same) in [(0, false), (1_000, false), (1_001, true), (2_000, true)] {
            let tolerance = tolerance.with_clock_ahead(Duration::from_millis(millis));
            let (kernel, gateway) = (list(&[&later]), list(&[UDP]));
            let lines = compare(&mut Comparison::default(), &kernel, &gateway, tolerance);
            assert_eq!(lines.is_empty(), same, "{millis}");
        }
    }

    #[test]
    fn the_order_of_sessions_and_a_second_do_not_matter() {
        let kernel = list(&[SYN, UDP]);
        let gateway = list(&[UDP, &SYN.replace("00:59", "01:00")]);

        assert_eq!(differ(&kernel, &gateway, 0, Clocks::Same), (0, 0));
        let gateway = list(&[UDP, &SYN.replace("00:59", "00:57")]);
        assert_eq!(differ(&kernel, &gateway, 900, Clocks::Same), (2, 0));
    }

    #[test]
    fn an_overdue_session_may_still_be_in_the_kernel_only() {
        let overdue = SYN.replace("00:59", "00:00");

        assert_eq!(
            differ(&list(&[&overdue, UDP]), &list(&[UDP]), 70, Clocks::Same),
            (0, 1)
        );
        assert_eq!(
            differ(&list(&[SYN, UDP]), &list(&[UDP]), 70, Clocks::Same),
            (1, 0)
        );
        assert_eq!(
            differ(&list(&[UDP]), &list(&[&overdue, UDP]), 70, Clocks::Same),
            (1, 0)
        );
    }

    #[test]
    fn a_template_may_be_late_by_an_eighth_and_nothing_early() {
        let line = "TCP 01:00  NONE        192.168.0.0:0      10.1.0.100:80      10.2.0.11:80";
        let (kernel, gateway) = (list(&[line]), list(&[&line.replace("01:00", "00:50")]));

        assert_eq!(differ(&kernel, &gateway, 80, Clocks::Same), (0, 0));
        assert_eq!(differ(&kernel, &gateway, 16, Clocks::Same), (2, 0));
        assert_eq!(differ(&gateway, &kernel, 80, Clocks::Same), (2, 0));
        assert_eq!(
            differ(&gateway, &kernel, 80, Clocks::GatewayEarlier),
            (0, 0)
        );
    }

    #[test]
    fn the_counts_of_overdue_sessions_are_explained_and_no_others() {
        let table = |inactive: u32| {
            format!(
                "IP Virtual Server version 1.2.1 (size=4096)\n\
                 Prot LocalAddress:Port Scheduler Flags\n  \
                 -> RemoteAddress:Port           Forward Weight ActiveConn InActConn\n\
                 TCP  10.1.0.100:80 wlc\n  \
                 -> 10.2.0.11:80                 Masq    1      0          {inactive}         \n"
            )
        };
        let overdue = SYN.replace("00:59", "00:00");
        let kernel = format!("{}{}", table(1), list(&[&overdue]));
        let gateway = format!("{}{HEAD}", table(0));

        assert_eq!(differ(&kernel, &gateway, 70, Clocks::Same), (0, 2));
        let kernel = format!("{}{}", table(2), list(&[&overdue]));
        assert_eq!(differ(&kernel, &gateway, 70, Clocks::Same).0, 2);
    }

    #[test]
    fn statistics_of_two_seconds_ago_are_told_in_the_middle_only() {
        let table = |packets: u32| {
            format!(
                "Prot LocalAddress:Port               Conns   InPkts  OutPkts  InBytes OutBytes\n\
                 TCP  10.1.0.100:80                       1        {packets}        0       40        0\n"
            )
        };
        let lines = |kernel: u32, gateway: u32, tolerance: Tolerance| {
            let mut found = Comparison::default();
            compare(&mut found, &table(kernel), &table(gateway), tolerance).len()
        };
        let middle = Tolerance::new(Duration::ZERO, Clocks::Same);

        assert_eq!(lines(1, 3, middle), 0);
        assert_eq!(lines(3, 1, middle), 2);
        assert_eq!(lines(1, 3, middle.with_fresh_statistics()), 2);
    }

    #[test]
    fn text_is_compared_line_by_line() {
        assert_eq!(differ("rc=0\n", "rc=0\n", 0, Clocks::Same), (0, 0));
        assert_eq!(differ("a\nb\n", "b\na\n", 0, Clocks::Same), (2, 0));
        assert_eq!(differ("No such service\n", "", 0, Clocks::Same), (1, 0));
    }
}

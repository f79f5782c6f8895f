//! What becomes of each kind of packet, row by row as `docs/packets.md` tells it.

use dataplane::drop_reason::DropReason;
use dataplane::id::InterfaceId;
use dataplane::punt::PuntClass;
use dataplane::service::Method;
use dataplane::testing::*;

/// What the page promises of a packet.
pub(crate) enum Fate {
    Dropped(DropReason),
    /// The sender gets this frame.
    Answered(DropReason, &'static str, Vec<u8>),
    Linux(PuntClass),
    /// Nothing happens yet.
    Waits(&'static str),
    /// These frames leave on the servers' side.
    Forwarded(&'static str, Vec<Vec<u8>>),
}

/// One row of the page, with a packet that shows it.
pub(crate) struct Row {
    packet: &'static str,
    frame: Vec<u8>,
    fate: Fate,
}

impl Row {
    /// The row as it stands in the page.
    fn text(&self) -> String {
        let fate = match &self.fate {
            Fate::Dropped(reason) => format!("dropped: `{reason}`"),
            Fate::Answered(reason, answer, _) => format!("dropped: `{reason}`; {answer}"),
            Fate::Linux(class) => format!("to Linux: `{}`", class.name()),
            Fate::Waits(how) | Fate::Forwarded(how, _) => (*how).to_owned(),
        };
        format!("| {} | {fate} |", self.packet)
    }
}

/// 10.1.0.100 with a DR service on TCP 80, NAT services on UDP 80 and SCTP 80 (port 8080 at the
/// server), FULLNAT on TCP 8080; reached over a link of 1,400 bytes.
fn gateway() -> TestGateway {
    let fullnat = endpoint([10, 1, 0, 100], 8_080);
    let sctp_server = endpoint([10, 2, 0, 13], 8_080);
    let service = |protocol, vip| service(protocol, vip);
    let [tcp, udp, sctp] = TALKS.map(|talk| talk.protocol);
    let mut gateway = Setup::two_arm().mtu(SERVER_SIDE, 1_400).start();
    gateway.serve(&[
        service(tcp, VIP).server(RIP_1, Method::Dr),
        service(udp, VIP).nat(RIP_2),
        service(sctp, VIP).nat(sctp_server),
        service(tcp, fullnat).fullnat(RIP_1),
    ]);
    gateway
}

/// Lets a fresh gateway receive the packet and compares everything it does.
fn check(row: &Row) {
    let mut gateway = gateway();
    gateway.receive(0, &row.frame);

    let (to_client, to_server) = (gateway.sent(0), gateway.sent(1));
    let punted: Vec<_> = [CLIENT_SIDE, SERVER_SIDE]
        .map(|side: InterfaceId| gateway.punted(side))
        .concat();
    let moved = gateway.moved();
    let counts = |name: &str| {
        moved
            .iter()
            .any(|(counter, by)| *counter == name && *by == 1)
    };
    let none: [Vec<u8>; 0] = [];
    let name = row.packet;
    match &row.fate {
        Fate::Dropped(reason) => {
            assert!(counts(reason.name()), "{name}: {moved:?}");
            assert_eq!([to_client, to_server, punted].concat(), none, "{name}");
        }
        Fate::Answered(reason, _, answer) => {
            assert!(counts(reason.name()), "{name}: {moved:?}");
            assert_eq!(to_client, std::slice::from_ref(answer), "{name}");
            assert_eq!([to_server, punted].concat(), none, "{name}");
        }
        Fate::Linux(class) => {
            assert!(counts(class.name()), "{name}: {moved:?}");
            assert_eq!(punted, std::slice::from_ref(&row.frame), "{name}");
            assert_eq!([to_client, to_server].concat(), none, "{name}");
        }
        Fate::Waits(_) => {
            assert_eq!(moved, [("received", 1)], "{name}");
            assert_eq!([to_client, to_server, punted].concat(), none, "{name}");
        }
        Fate::Forwarded(_, frames) => {
            assert_eq!(to_server, *frames, "{name}");
            assert_eq!([to_client, punted].concat(), none, "{name}");
        }
    }
}

/// The page, as it stands in the repository.
fn page() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/packets.md");
    std::fs::read_to_string(path).unwrap_or_default()
}

/// Panics with the rows that the page does not have as they should be.
fn assert_in_page(rows: &[String]) {
    let page = page();
    let lines: std::collections::HashSet<&str> = page.lines().collect();
    let missing = rows.iter().filter(|row| !lines.contains(row.as_str()));
    let missing: Vec<_> = missing.map(String::as_str).collect();
    assert!(
        missing.is_empty(),
        "docs/packets.md lacks\n{}",
        missing.join("\n")
    );
}

/// A row of the page.
pub(crate) fn row(packet: &'static str, frame: Vec<u8>, fate: Fate) -> Row {
    Row {
        packet,
        frame,
        fate,
    }
}

/// A row whose packet is dropped.
pub(crate) fn dropped(packet: &'static str, frame: Vec<u8>, reason: DropReason) -> Row {
    row(packet, frame, Fate::Dropped(reason))
}

/// A row whose packet is Linux's.
pub(crate) fn linux(packet: &'static str, frame: Vec<u8>, class: PuntClass) -> Row {
    row(packet, frame, Fate::Linux(class))
}

/// Checks every row, and that the page has it word for word.
pub(crate) fn run(rows: &[Row]) {
    rows.iter().for_each(check);
    assert_in_page(&rows.iter().map(Row::text).collect::<Vec<_>>());
}

#[test]
fn the_page_names_every_drop_reason_with_its_sentence() {
    let rows =
        (DropReason::ALL.iter()).map(|reason| format!("| `{reason}` | {} |", reason.sentence()));

    assert_in_page(&rows.collect::<Vec<_>>());
}

//! Which packet leads from which state to which: one look-up.
//!
//! The rows come from the protocols' files ([`tcp`](super::tcp), [`sctp`](super::sctp)) and are
//! put together when the crate is compiled, so that the packet path asks no question about the
//! protocol: an event of another protocol changes nothing.

use super::flags::SessionFlags;
use super::state::State;
use super::{sctp, tcp};

/// Which way a packet goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the client to the server.
    ToServer,
    /// From the server to the client.
    ToClient,
}

/// What a packet says about the state of its flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Event {
    /// TCP: SYN, and no RST.
    Syn,
    /// TCP: FIN, and neither RST nor SYN.
    Fin,
    /// TCP: ACK alone of the four flags.
    Ack,
    /// TCP: RST, whatever else.
    Rst,
    /// TCP: none of the four flags.
    NoFlags,
    /// UDP: a datagram.
    Datagram,
    /// SCTP: DATA, SACK, HEARTBEAT and its answer, ECNE, CWR, and unknown chunks.
    Data,
    /// SCTP: INIT.
    Init,
    /// SCTP: INIT ACK.
    InitAck,
    /// SCTP: COOKIE ECHO.
    CookieEcho,
    /// SCTP: COOKIE ACK.
    CookieAck,
    /// SCTP: SHUTDOWN.
    Shutdown,
    /// SCTP: SHUTDOWN ACK.
    ShutdownAck,
    /// SCTP: SHUTDOWN COMPLETE.
    ShutdownComplete,
    /// SCTP: ERROR.
    Error,
    /// SCTP: ABORT.
    Abort,
}

/// How many events there are.
const EVENTS: usize = Event::Abort as usize + 1;

/// Rows of one direction: state, then event.
type Table = [[State; EVENTS]; State::COUNT];

/// What the client's packets do where the server's are seen.
const IN: usize = 0;
/// What the server's packets do.
const OUT: usize = 1;
/// What the client's packets do where only they are seen.
const IN_ONLY: usize = 2;

/// By which rules TCP sessions change their states.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum TcpRules {
    /// The usual ones.
    #[default]
    Usual,
    /// Those of `secure_tcp`.
    Secure,
}

/// For each of [`TcpRules`].
static TABLES: [[Table; 3]; 2] = [
    [
        table(&tcp::IN, &sctp::IN),
        table(&tcp::OUT, &sctp::OUT),
        table(&tcp::IN_ONLY, &sctp::IN_ONLY),
    ],
    [
        table(&tcp::SECURE_IN, &sctp::IN),
        table(&tcp::SECURE_OUT, &sctp::OUT),
        table(&tcp::SECURE_IN_ONLY, &sctp::IN_ONLY),
    ],
];

/// The state after a packet that says `event`, of a session in `state`, by the usual rules.
#[inline]
#[must_use]
pub fn next_state(state: State, direction: Direction, flags: SessionFlags, event: Event) -> State {
    next_state_under(TcpRules::Usual, state, direction, flags, event)
}

/// [`next_state`] by any rules.
#[inline]
#[must_use]
pub fn next_state_under(
    rules: TcpRules,
    state: State,
    direction: Direction,
    flags: SessionFlags,
    event: Event,
) -> State {
    let table = match direction {
        Direction::ToClient => OUT,
        Direction::ToServer if flags.contains(SessionFlags::NO_OUTPUT) => IN_ONLY,
        Direction::ToServer => IN,
    };
    TABLES[rules as usize][table][state as usize][event as usize]
}

/// Puts the protocols' rows of one direction together.
const fn table(tcp: &tcp::Rows, sctp: &sctp::Rows) -> Table {
    let mut table = [[State::None; EVENTS]; State::COUNT];
    let mut row = 0;
    while row < State::COUNT {
        table[row] = [State::ALL[row]; EVENTS];
        row += 1;
    }
    let mut row = 0;
    while row < tcp.len() {
        let columns = &mut table[row];
        copy(columns, Event::Syn as usize, &tcp[row]);
        columns[Event::NoFlags as usize] = State::Close;
        row += 1;
    }
    let mut row = 0;
    while row < sctp.len() {
        // Its first row is NONE, which it shares; the others follow UDP.
        let state = if row == 0 {
            0
        } else {
            State::Udp as usize + row
        };
        copy(&mut table[state], Event::Data as usize, &sctp[row]);
        row += 1;
    }
    table[State::None as usize][Event::Datagram as usize] = State::Udp;
    table
}

/// Copies `row` to the columns from `first` on.
const fn copy(columns: &mut [State; EVENTS], first: usize, row: &[State]) {
    let mut column = 0;
    while column < row.len() {
        columns[first + column] = row[column];
        column += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Direction::{ToClient, ToServer};
    use Event::*;

    /// The states a session goes through that sees these packets, beginning at NONE.
    fn walk(flags: SessionFlags, packets: &[(Direction, Event)]) -> Vec<&'static str> {
        let mut state = State::None;
        (packets.iter())
            .map(|&(direction, event)| {
                state = next_state(state, direction, flags, event);
                state.name()
            })
            .collect()
    }

    const NAT: SessionFlags = SessionFlags::empty();
    const DR: SessionFlags = SessionFlags::NO_OUTPUT;

    #[test]
    fn a_nat_client_opens_and_closes() {
        let states = walk(
            NAT,
            &[
                (ToServer, Syn),
                (ToClient, Syn),
                (ToServer, Ack),
                (ToServer, Fin),
                (ToClient, Fin),
                (ToServer, Ack),
            ],
        );

        let expected = "SYN_RECV SYN_RECV ESTABLISHED CLOSE_WAIT TIME_WAIT TIME_WAIT";
        assert_eq!(states.join(" "), expected);
    }

    #[test]
    fn a_nat_server_closes_first() {
        let states = walk(
            NAT,
            &[
                (ToServer, Syn),
                (ToServer, Ack),
                (ToClient, Fin),
                (ToServer, Ack),
                (ToServer, Fin),
            ],
        );

        let expected = "SYN_RECV ESTABLISHED FIN_WAIT FIN_WAIT TIME_WAIT";
        assert_eq!(states.join(" "), expected);
    }

    #[test]
    fn a_dr_client_closes_to_fin_wait_which_an_ack_keeps() {
        let states = walk(
            DR,
            &[
                (ToServer, Syn),
                (ToServer, Ack),
                (ToServer, Fin),
                (ToServer, Ack),
                (ToServer, Fin),
                (ToServer, Syn),
            ],
        );

        let expected = "SYN_RECV ESTABLISHED FIN_WAIT FIN_WAIT FIN_WAIT SYN_RECV";
        assert_eq!(states.join(" "), expected);
    }

    #[test]
    fn resets_close_but_not_a_half_open_one() {
        let by_client = walk(NAT, &[(ToServer, Syn), (ToServer, Rst), (ToServer, Ack)]);
        let by_server = walk(NAT, &[(ToServer, Syn), (ToClient, Rst), (ToClient, Rst)]);
        let established = walk(DR, &[(ToServer, Syn), (ToServer, Ack), (ToServer, Rst)]);

        assert_eq!(by_client, ["SYN_RECV", "SYN_RECV", "ESTABLISHED"]);
        assert_eq!(by_server, ["SYN_RECV", "CLOSE", "CLOSE"]);
        assert_eq!(established, ["SYN_RECV", "ESTABLISHED", "CLOSE"]);
    }

    #[test]
    fn a_syn_keeps_an_established_session_and_opens_an_ended_one_again() {
        let next = |state, direction| next_state(state, direction, NAT, Syn);

        assert_eq!(next(State::Established, ToServer), State::Established);
        assert_eq!(next(State::Established, ToClient), State::Established);
        for ended in [
            State::FinWait,
            State::TimeWait,
            State::Close,
            State::LastAck,
        ] {
            assert_eq!(next(ended, ToServer), State::SynRecv, "{ended}");
            assert_eq!(next(ended, ToClient), State::SynSent, "{ended}");
        }
        assert_eq!(next(State::SynSent, ToServer), State::Established);
    }

    #[test]
    fn cells_that_differ_between_the_three_tcp_tables() {
        let next = |state, event| {
            [(ToServer, NAT), (ToClient, NAT), (ToServer, DR)]
                .map(|(direction, flags)| next_state(state, direction, flags, event).name())
        };

        assert_eq!(next(State::None, Fin), ["CLOSE", "TIME_WAIT", "CLOSE"]);
        assert_eq!(next(State::TimeWait, Rst), ["CLOSE", "TIME_WAIT", "CLOSE"]);
        assert_eq!(next(State::SynSent, Rst), ["CLOSE", "SYN_SENT", "CLOSE"]);
        assert_eq!(next(State::LastAck, Ack), ["CLOSE", "LAST_ACK", "CLOSE"]);
        assert_eq!(next(State::LastAck, Rst), ["LAST_ACK", "CLOSE", "LAST_ACK"]);
        assert_eq!(
            next(State::Listen, Ack),
            ["LISTEN", "ESTABLISHED", "LISTEN"]
        );
        assert_eq!(next(State::SynAck, Rst), ["SYN_RECV", "CLOSE", "CLOSE"]);
        assert_eq!(
            next(State::FinWait, Fin),
            ["TIME_WAIT", "FIN_WAIT", "FIN_WAIT"]
        );
        assert_eq!(
            next(State::CloseWait, Fin),
            ["CLOSE_WAIT", "TIME_WAIT", "CLOSE_WAIT"]
        );
        assert_eq!(
            next(State::Established, Fin),
            ["CLOSE_WAIT", "FIN_WAIT", "FIN_WAIT"]
        );
    }

    #[test]
    fn secure_tcp_changes_these_cells_and_no_other() {
        let mut changed = Vec::new();
        for (name, direction, flags) in [
            ("in", ToServer, NAT),
            ("out", ToClient, NAT),
            ("in-only", ToServer, DR),
        ] {
            for event in [Syn, Fin, Ack, Rst, NoFlags, Datagram, Data, Init, Abort] {
                for state in State::ALL {
                    let usual = next_state(state, direction, flags, event);
                    let rules = TcpRules::Secure;
                    let secure = next_state_under(rules, state, direction, flags, event);
                    if usual != secure {
                        changed.push(format!("{name} {event:?} {state} {usual} {secure}"));
                    }
                }
            }
        }

        assert_eq!(
            changed,
            [
                "in Syn SYNACK SYN_RECV SYNACK",
                "in Fin SYNACK TIME_WAIT SYNACK",
                "in Ack SYN_RECV ESTABLISHED SYN_RECV",
                "in Ack SYNACK ESTABLISHED SYNACK",
                "in Rst SYNACK SYN_RECV CLOSE",
                "out Syn SYN_RECV SYN_RECV SYNACK",
                "out Syn SYNACK SYN_RECV SYNACK",
                "in-only Syn NONE SYN_RECV SYNACK",
                "in-only Syn FIN_WAIT SYN_RECV SYNACK",
                "in-only Syn TIME_WAIT SYN_RECV SYNACK",
                "in-only Syn CLOSE SYN_RECV SYNACK",
                "in-only Syn CLOSE_WAIT SYN_RECV SYNACK",
                "in-only Syn LAST_ACK SYN_RECV SYNACK",
                "in-only Syn LISTEN SYN_RECV SYNACK",
                "in-only Syn SYNACK SYN_RECV SYNACK",
            ]
        );
    }

    #[test]
    fn what_an_ack_keeps_by_the_usual_rules_it_keeps_by_secure_tcps() {
        // So a session that is in full swing stays so when the rules change.
        for state in State::ALL {
            for (direction, flags) in [(ToServer, NAT), (ToClient, NAT), (ToServer, DR)] {
                let usual = next_state(state, direction, flags, Ack);
                let secure = next_state_under(TcpRules::Secure, state, direction, flags, Ack);

                assert!(usual != state || secure == state, "{state}");
            }
        }
    }

    #[test]
    fn a_segment_without_flags_closes() {
        for flags in [NAT, DR] {
            let state = next_state(State::Established, ToServer, flags, NoFlags);

            assert_eq!(state, State::Close);
        }
    }

    #[test]
    fn an_sctp_association_opens_and_shuts_down_through_nat() {
        let states = walk(
            NAT,
            &[
                (ToServer, Init),
                (ToClient, InitAck),
                (ToServer, CookieEcho),
                (ToClient, CookieAck),
                (ToServer, Data),
                (ToServer, Shutdown),
                (ToClient, ShutdownAck),
                (ToServer, ShutdownComplete),
            ],
        );

        let expected =
            "INIT1 C-SENT C-REPLIED ESTABLISHED ESTABLISHED S-RECEIVED S-ACK-SENT CLOSED";
        assert_eq!(states.join(" "), expected);
    }

    #[test]
    fn an_sctp_association_opens_and_shuts_down_through_dr() {
        let states = walk(
            DR,
            &[
                (ToServer, Init),
                (ToServer, Init),
                (ToServer, CookieEcho),
                (ToServer, Shutdown),
                (ToServer, ShutdownComplete),
                (ToServer, Init),
            ],
        );

        let expected = "INIT1 INIT ESTABLISHED S-RECEIVED CLOSED INIT";
        assert_eq!(states.join(" "), expected);
    }

    #[test]
    fn an_sctp_server_refuses_or_breaks_off() {
        let refused = walk(NAT, &[(ToServer, Init), (ToClient, Abort)]);
        let again = walk(
            NAT,
            &[(ToServer, Init), (ToServer, Init), (ToClient, Abort)],
        );
        let broken = walk(
            NAT,
            &[(ToServer, Data), (ToClient, Abort), (ToServer, Data)],
        );
        let waiting = walk(
            NAT,
            &[
                (ToClient, Init),
                (ToServer, InitAck),
                (ToClient, CookieEcho),
            ],
        );

        assert_eq!(refused, ["INIT1", "REJECTED"]);
        assert_eq!(again, ["INIT1", "INIT", "CLOSED"]);
        assert_eq!(broken, ["ESTABLISHED", "CLOSED", "CLOSED"]);
        assert_eq!(waiting, ["C-WAIT", "COOKIE", "C-ECHOED"]);
    }

    #[test]
    fn udp_has_one_state_in_both_directions() {
        let states = walk(NAT, &[(ToServer, Datagram), (ToClient, Datagram)]);

        assert_eq!(states, ["UDP", "UDP"]);
    }

    #[test]
    fn no_event_leads_to_another_protocols_state() {
        use crate::address::Protocol;
        let events = [
            (Protocol::Tcp, &[Syn, Fin, Ack, Rst, NoFlags][..]),
            (Protocol::Udp, &[Datagram][..]),
            (
                Protocol::Sctp,
                &[
                    Data,
                    Init,
                    InitAck,
                    CookieEcho,
                    CookieAck,
                    Shutdown,
                    ShutdownAck,
                    ShutdownComplete,
                    Error,
                    Abort,
                ][..],
            ),
        ];

        for (protocol, events) in events {
            for (state, &event) in State::ALL
                .iter()
                .flat_map(|s| events.iter().map(move |e| (s, e)))
            {
                for (direction, flags) in [(ToServer, NAT), (ToClient, NAT), (ToServer, DR)] {
                    let next = next_state(*state, direction, flags, event);

                    if state.belongs_to(protocol) {
                        assert!(next.belongs_to(protocol), "{state} {event:?}");
                        assert_ne!(next, State::None);
                    } else {
                        assert_eq!(next, *state);
                    }
                }
            }
        }
    }
}

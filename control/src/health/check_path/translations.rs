//! Which packets of servers belong to which check.
//!
//! A check speaks with a check address; its server sees the gateway's own address speak with the
//! VIP. Checks of several servers of one VIP therefore differ by the check's port alone, as their
//! servers see them:
//!
//! ```text
//! the check says   198.18.0.1:40000 > 198.18.0.2:80      198.18.0.1:40001 > 198.18.0.3:80
//! its server sees    10.2.0.1:40000 > VIP:80               10.2.0.1:40001 > VIP:80
//! ```
//!
//! A socket that bind(2) gave its port has it for itself at the check interface's address, and the
//! gateway's own checks ask for that. Linux gives the port again as soon as the socket is closed, so the
//! newest check has it, unless an older one is in the middle of a connection, which keeps it. That may
//! happen to programs that choose their ports themselves or leave them to connect(2)
//! (`IP_BIND_ADDRESS_NO_PORT`): such a port is but that of one check address.

use std::time::{Duration, Instant};

use dataplane::address::{Endpoint, V4};
use dataplane::hasher::FastMap;

use super::refusal::Refusal;

/// A translation that no packet used for so long is forgotten.
const LIFE: Duration = Duration::from_secs(60);

/// One of a connection that has ended: what still comes are last acknowledgements.
const LIFE_ENDED: Duration = Duration::from_secs(5);

/// How often those that are over are taken out.
const SWEEP: Duration = Duration::from_secs(10);

/// The most translations: what 4,000 checks a second leave behind in [`LIFE`].
const ROOM: usize = 262_144;

/// Who speaks with whom, as the server sees it. With ICMP echo both ports are its identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Conversation {
    /// The number of the IP protocol.
    pub(super) protocol: u8,
    /// The VIP and the port that is checked.
    pub(super) vip: Endpoint<V4>,
    /// The gateway's own address and the check's port.
    pub(super) own: Endpoint<V4>,
}

/// What a packet does to its conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// It stands for itself: a datagram, an echo.
    Alone,
    /// It begins a connection.
    Begins,
    /// It is part of a connection.
    GoesOn,
    /// It ends a connection, from its side at least.
    Ends,
}

/// How far a conversation has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The server has not answered.
    Asked,
    /// A connection is open, for all that is known.
    Open,
    /// One side has ended it.
    Ended,
}

#[derive(Clone, Copy, Debug)]
struct Translation {
    check_addr: V4,
    stage: Stage,
    used: Instant,
}

impl Translation {
    fn is_over(&self, now: Instant) -> bool {
        let life = match self.stage {
            Stage::Ended => LIFE_ENDED,
            Stage::Asked | Stage::Open => LIFE,
        };
        now.saturating_duration_since(self.used) >= life
    }

    /// Whether a check of another server may have the port instead.
    fn gives_way_to(&self, step: Step, now: Instant) -> bool {
        let is_newer = match step {
            Step::Alone => true,
            Step::Begins => self.stage != Stage::Open,
            Step::GoesOn | Step::Ends => false,
        };
        is_newer || self.is_over(now)
    }
}

/// The conversations of checks that are under way.
#[derive(Debug)]
pub(super) struct Translations {
    open: FastMap<Conversation, Translation>,
    swept: Option<Instant>,
    room: usize,
}

impl Default for Translations {
    fn default() -> Self {
        Self {
            open: FastMap::default(),
            swept: None,
            room: ROOM,
        }
    }
}

impl Translations {
    /// Whether no check is under way.
    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Notes a packet of a check that was sent to `check_addr`.
    ///
    /// # Errors
    ///
    /// [`Refusal::PortTaken`] when a check of another server has the port, [`Refusal::TooMany`]
    /// when there is no room.
    pub(super) fn leave(
        &mut self,
        conversation: Conversation,
        check_addr: V4,
        step: Step,
        now: Instant,
    ) -> Result<(), Refusal> {
        self.sweep(now);
        let known = self.open.get_mut(&conversation);
        if let Some(known) = known.filter(|known| known.check_addr == check_addr) {
            known.used = now;
            match step {
                Step::Alone | Step::Begins => known.stage = Stage::Asked,
                Step::GoesOn => {}
                Step::Ends => known.stage = Stage::Ended,
            }
            return Ok(());
        }
        match self.open.get(&conversation) {
            Some(known) if !known.gives_way_to(step, now) => return Err(Refusal::PortTaken),
            None if self.open.len() >= self.room => return Err(Refusal::TooMany),
            _ => {}
        }
        let stage = match step {
            Step::Alone | Step::Begins => Stage::Asked,
            Step::GoesOn => Stage::Open,
            Step::Ends => Stage::Ended,
        };
        let translation = Translation {
            check_addr,
            stage,
            used: now,
        };
        self.open.insert(conversation, translation);
        Ok(())
    }

    /// The check address that a server's packet comes from for its check, if there is one.
    pub(super) fn answer(
        &mut self,
        conversation: &Conversation,
        step: Step,
        now: Instant,
    ) -> Option<V4> {
        let known = self.open.get_mut(conversation)?;
        if known.is_over(now) {
            return None;
        }
        known.used = now;
        known.stage = match (known.stage, step) {
            (_, Step::Ends) | (Stage::Ended, _) => Stage::Ended,
            _ => Stage::Open,
        };
        Some(known.check_addr)
    }

    /// The check address that a packet was sent to which an ICMP error quotes.
    pub(super) fn quoted(&self, conversation: &Conversation, now: Instant) -> Option<V4> {
        let known = self.open.get(conversation)?;
        (!known.is_over(now)).then_some(known.check_addr)
    }

    /// Takes out now and then what is over.
    fn sweep(&mut self, now: Instant) {
        let swept = *self.swept.get_or_insert(now);
        let is_due = now.saturating_duration_since(swept) >= SWEEP;
        if is_due {
            self.open.retain(|_, translation| !translation.is_over(now));
            self.swept = Some(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use dataplane::testing::{VIP, endpoint};

    use super::*;

    const SERVER_1: V4 = endpoint([198, 18, 0, 2], 0).addr;
    const SERVER_2: V4 = endpoint([198, 18, 0, 3], 0).addr;

    fn conversation(port: u16) -> Conversation {
        Conversation {
            protocol: 6,
            vip: VIP,
            own: endpoint([10, 2, 0, 1], port),
        }
    }

    /// Server 1 was asked from port 40000, and a moment later answered if `answered` says so.
    fn begun(answered: bool) -> (Translations, Instant) {
        let mut translations = Translations::default();
        let now = Instant::now();
        let asked = conversation(40_000);
        translations
            .leave(asked, SERVER_1, Step::Begins, now)
            .unwrap();
        if answered {
            let check_addr = translations.answer(&asked, Step::GoesOn, now);
            assert_eq!(check_addr, Some(SERVER_1));
        }
        (translations, now)
    }

    #[test]
    fn an_answer_belongs_to_the_check_that_asked_from_its_port() {
        let (mut translations, now) = begun(true);
        let other = conversation(40_001);
        translations
            .leave(other, SERVER_2, Step::Begins, now)
            .unwrap();

        let answers = [40_000, 40_001, 40_002]
            .map(|port| translations.answer(&conversation(port), Step::GoesOn, now));

        assert_eq!(answers, [Some(SERVER_1), Some(SERVER_2), None]);
        let by_udp = Conversation {
            protocol: 17,
            ..conversation(40_000)
        };
        assert_eq!(translations.answer(&by_udp, Step::Alone, now), None);
    }

    #[test]
    fn a_connection_keeps_its_port_from_a_check_of_another_server() {
        let (mut translations, now) = begun(true);

        for step in [Step::Begins, Step::GoesOn, Step::Ends] {
            let refused = translations.leave(conversation(40_000), SERVER_2, step, now);
            assert_eq!(refused, Err(Refusal::PortTaken), "{step:?}");
        }

        let answer = translations.answer(&conversation(40_000), Step::GoesOn, now);
        assert_eq!(answer, Some(SERVER_1));
    }

    #[test]
    fn a_port_is_free_again_when_the_server_never_answered_or_one_side_has_ended() {
        let asked = conversation(40_000);
        for (answered, last) in [
            (false, None),
            (true, Some(Step::Ends)),
            (true, Some(Step::Begins)),
        ] {
            let (mut translations, now) = begun(answered);
            if let Some(step) = last {
                translations.leave(asked, SERVER_1, step, now).unwrap();
            }

            let begins = translations.leave(asked, SERVER_2, Step::Begins, now);

            assert_eq!(begins, Ok(()), "{answered} {last:?}");
            let answer = translations.answer(&asked, Step::GoesOn, now);
            assert_eq!(answer, Some(SERVER_2));
        }
        let (mut translations, now) = begun(true);
        translations.answer(&asked, Step::Ends, now);
        let begins = translations.leave(asked, SERVER_2, Step::Begins, now);
        assert_eq!(begins, Ok(()));
    }

    #[test]
    fn the_newest_datagram_has_the_port() {
        let (mut translations, now) = begun(true);

        let sent = translations.leave(conversation(40_000), SERVER_2, Step::Alone, now);

        assert_eq!(sent, Ok(()));
        let answer = translations.answer(&conversation(40_000), Step::Alone, now);
        assert_eq!(answer, Some(SERVER_2));
    }

    #[test]
    fn a_translation_lives_a_minute_from_its_last_use_and_five_seconds_from_its_end() {
        let (mut translations, now) = begun(true);
        let asked = conversation(40_000);
        let almost = now + LIFE - Duration::from_millis(1);
        assert_eq!(
            translations.answer(&asked, Step::GoesOn, almost),
            Some(SERVER_1)
        );
        assert_eq!(translations.quoted(&asked, almost + LIFE), None);
        assert_eq!(
            translations.answer(&asked, Step::GoesOn, almost + LIFE),
            None
        );

        translations
            .leave(asked, SERVER_1, Step::Ends, almost)
            .unwrap();
        let soon = almost + LIFE_ENDED - Duration::from_millis(1);
        assert_eq!(translations.quoted(&asked, soon), Some(SERVER_1));
        assert_eq!(translations.quoted(&asked, almost + LIFE_ENDED), None);
    }

    #[test]
    fn what_is_over_makes_room() {
        let (mut translations, now) = begun(true);
        translations.room = 1;
        let next = conversation(40_001);

        let full = translations.leave(next, SERVER_2, Step::Begins, now);
        let later = translations.leave(next, SERVER_2, Step::Begins, now + LIFE);

        assert_eq!((full, later), (Err(Refusal::TooMany), Ok(())));
        assert_eq!(translations.open.len(), 1);
    }
}

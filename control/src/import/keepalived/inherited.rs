//! What a virtual server, a real server and a checker say alike: the inner one counts, else the
//! one around it, else keepalived's default.

use std::time::Duration;

use super::super::place::Note;
use super::tree::Statement;

/// What one of them says.
#[derive(Clone, Debug, Default)]
pub(super) struct Inherited<'a> {
    /// Servers wait for their first check.
    pub(super) alpha: Option<bool>,
    /// A server that is down stays with the weight 0.
    pub(super) inhibit: Option<bool>,
    /// Attempts after the first.
    pub(super) retry: Option<u32>,
    pub(super) connect_timeout: Option<Duration>,
    pub(super) delay_loop: Option<Duration>,
    pub(super) warmup: Option<Duration>,
    pub(super) delay_before_retry: Option<Duration>,
    /// The Host header.
    pub(super) virtualhost: Option<&'a str>,
}

impl<'a> Inherited<'a> {
    /// Takes in a line, if it is one of these.
    pub(super) fn read(&mut self, line: &'a Statement, notes: &mut Vec<Note>) -> bool {
        match line.keyword() {
            "alpha" => self.alpha = boolean(line, notes),
            "inhibit_on_failure" => self.inhibit = boolean(line, notes),
            // The first two are keepalived's, of which the second is the older; the third is DPVS's.
            "retry" | "nb_get_retry" | "nb_sock_retry" => {
                self.retry = super::value::number(line, 0..=100, notes)
            }
            "connect_timeout" => self.connect_timeout = timer(line, notes),
            "delay_loop" => self.delay_loop = timer(line, notes),
            "warmup" => self.warmup = timer(line, notes),
            "delay_before_retry" => self.delay_before_retry = timer(line, notes),
            "virtualhost" => self.virtualhost = line.argument(),
            _ => return false,
        }
        true
    }

    /// What counts for something within `outer`.
    pub(super) fn within(&self, outer: &Self) -> Self {
        Self {
            alpha: self.alpha.or(outer.alpha),
            inhibit: self.inhibit.or(outer.inhibit),
            retry: self.retry.or(outer.retry),
            connect_timeout: self.connect_timeout.or(outer.connect_timeout),
            delay_loop: self.delay_loop.or(outer.delay_loop),
            warmup: self.warmup.or(outer.warmup),
            delay_before_retry: self.delay_before_retry.or(outer.delay_before_retry),
            virtualhost: self.virtualhost.or(outer.virtualhost),
        }
    }
}

/// A word for true or false; none is true.
fn boolean(line: &Statement, notes: &mut Vec<Note>) -> Option<bool> {
    match line.argument() {
        None | Some("on" | "true" | "yes") => Some(true),
        Some("off" | "false" | "no") => Some(false),
        Some(word) => {
            let keyword = line.keyword();
            let message = format!("`{keyword}` takes on or off, not \"{word}\": left out");
            notes.push(Note::new(&line.place, message));
            None
        }
    }
}

/// Seconds with a fraction.
pub(super) fn timer(line: &Statement, notes: &mut Vec<Note>) -> Option<Duration> {
    let text = line.argument().unwrap_or_default();
    let seconds = text.parse().ok();
    let time = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    if time.is_none() {
        let keyword = line.keyword();
        let message = format!("`{keyword}` takes seconds, not \"{text}\": left out");
        notes.push(Note::new(&line.place, message));
    }
    time
}

//! What the guest writes down while it plays: one event a line, as JSON. The last line of a
//! scenario that was played to its end is [`Event::Done`].

use serde::{Deserialize, Serialize};

use crate::outcome::{Input, Outcome, Output, ShellLine};

/// Something that happened in the guest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Event {
    /// A frame was played.
    Input {
        nanos: u64,
        interface: String,
        frame: Vec<u8>,
    },
    /// A frame left the director.
    Output {
        nanos: u64,
        interface: String,
        frame: Vec<u8>,
    },
    /// A command ended.
    Shell {
        command: String,
        output: String,
        errors: String,
        status: i32,
    },
    /// A listing at the end.
    Dump { name: String, text: String },
    /// The scenario means nothing here, and why.
    Refused(String),
    /// Nothing comes after this.
    Done,
}

/// What happened so far.
#[derive(Debug, Default)]
pub(super) struct Log {
    text: String,
}

impl Log {
    /// Writes an event down.
    pub(super) fn add(&mut self, event: &Event) {
        // Only keys that are no text cannot be written as JSON.
        if let Ok(line) = serde_json::to_string(event) {
            self.text.push_str(&line);
            self.text.push('\n');
        }
    }

    /// All of it, one event a line.
    pub(super) fn text(&self) -> &str {
        &self.text
    }
}

/// The outcome that `text` tells, or `None` when it does not tell everything.
pub(super) fn read(text: &str) -> Option<Outcome> {
    let mut outcome = Outcome::default();
    for line in text.lines() {
        match serde_json::from_str(line).ok()? {
            Event::Done => return Some(outcome),
            event => add(&mut outcome, event),
        }
    }
    None
}

fn add(outcome: &mut Outcome, event: Event) {
    match event {
        Event::Input {
            nanos,
            interface,
            frame,
        } => outcome.inputs.push(Input {
            nanos,
            interface,
            frame,
        }),
        Event::Output {
            nanos,
            interface,
            frame,
        } => outcome.frames.push(Output {
            after: outcome.inputs.len().checked_sub(1),
            nanos,
            interface,
            frame,
        }),
        Event::Shell {
            command,
            output,
            errors,
            status,
        } => outcome.shell.push(ShellLine {
            command,
            after: outcome.inputs.len(),
            output,
            errors,
            status,
        }),
        Event::Dump { name, text } => {
            outcome.dumps.insert(name, text);
        }
        Event::Refused(reason) => outcome.not_comparable.push(reason),
        Event::Done => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(events: &[Event]) -> String {
        let mut log = Log::default();
        events.iter().for_each(|event| log.add(event));
        log.text().trim_end().to_owned()
    }

    fn output(byte: u8) -> Event {
        Event::Output {
            nanos: 5,
            interface: "eth1".to_owned(),
            frame: vec![byte],
        }
    }

    #[test]
    fn what_leaves_belongs_to_the_frame_played_last() {
        let input = Event::Input {
            nanos: 1,
            interface: "eth0".to_owned(),
            frame: vec![1, 2],
        };
        let said = Event::Shell {
            command: "ipvsadm -Ln".to_owned(),
            output: "a\n\"b\"\n".to_owned(),
            errors: "c\n".to_owned(),
            status: 255,
        };
        let given = [
            output(0),
            input.clone(),
            said,
            input,
            output(1),
            output(2),
            Event::Done,
        ];

        let outcome = read(&told(&given)).unwrap();

        let after: Vec<_> = outcome.frames.iter().map(|frame| frame.after).collect();
        assert_eq!(after, [None, Some(1), Some(1)]);
        assert_eq!((outcome.inputs.len(), outcome.shell[0].after), (2, 1));
        assert_eq!(outcome.shell[0].output, "a\n\"b\"\n");
        assert_eq!(outcome.shell[0].errors, "c\n");
        assert_eq!(outcome.shell[0].status, 255);
    }

    #[test]
    fn a_report_without_its_end_tells_nothing() {
        let whole = told(&[output(0), Event::Done]);

        assert!(read(&whole).is_some());
        assert_eq!(read(&told(&[output(0)])), None);
        assert_eq!(read(&whole[..whole.len() - 2]), None);
        assert_eq!(read(""), None);
    }
}

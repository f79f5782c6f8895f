//! What valgrind's lackey says of memory, as far as it matters who wrote which cache line.
//!
//! ```text
//! I  04016b8c,4        an instruction at this address, 4 bytes long
//!  S 1ffefff1a8,8      it stores 8 bytes here
//!  M 1ffefff1a8,8      it changes them
//!  L 1ffefff1a8,8      it loads them
//! ```

use std::collections::HashMap;

/// Bytes of a cache line, as a power of two.
const LINE: u32 = 6;

/// What the traced program says first, followed by where it begins in memory.
pub(super) const BASE: &str = "@base ";

/// What it says before a phase, followed by the worker, a space and the case.
pub(super) const BEGIN: &str = "@begin ";

/// What it says behind a phase.
pub(super) const END: &str = "@end\n";

/// Cache lines that a worker wrote, by number, with the address of an instruction that did.
pub(super) type Written = HashMap<u64, u64>;

/// What was written in each phase.
#[derive(Debug, Default)]
pub(super) struct Phases {
    written: HashMap<String, [Written; 2]>,
    /// Whose phase it is.
    now: Option<(String, usize)>,
    instruction: u64,
    base: u64,
}

/// A line that both workers wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shared {
    /// The address at which it begins.
    pub(super) line: u64,
    /// An instruction of each worker.
    pub(super) writers: [u64; 2],
}

impl Phases {
    /// Takes the next line; false when it says nothing of memory or phases.
    pub(super) fn take(&mut self, line: &[u8]) -> bool {
        match line {
            [b'I', rest @ ..] => {
                if self.now.is_some() {
                    self.instruction = access(rest).map_or(0, |(address, _)| address);
                }
                true
            }
            [b' ', b'S' | b'M', rest @ ..] => {
                if let (Some((case, worker)), Some((address, size))) = (&self.now, access(rest)) {
                    let lines = (address >> LINE)..=(address + size - 1) >> LINE;
                    let written = self.written.get_mut(case).map(|both| &mut both[*worker]);
                    if let Some(written) = written {
                        written.extend(lines.map(|line| (line, self.instruction)));
                    }
                }
                true
            }
            [b' ', b'L', ..] => true,
            _ => self.turn_over(line),
        }
    }

    /// Begins or ends a phase.
    fn turn_over(&mut self, line: &[u8]) -> bool {
        if let Some(base) = base(line) {
            self.base = base;
            return true;
        }
        if line == END.as_bytes() {
            self.now = None;
            return true;
        }
        let Some((worker, case)) = phase(line) else {
            return false;
        };
        self.written.entry(case.clone()).or_default();
        self.now = Some((case, worker));
        true
    }

    /// Where the traced program began in memory.
    pub(super) const fn base(&self) -> u64 {
        self.base
    }

    /// What both workers wrote in a case.
    pub(super) fn of(&self, case: &str) -> Option<&[Written; 2]> {
        self.written.get(case)
    }

    /// What both of them wrote, in the order of addresses.
    pub(super) fn shared(&self, case: &str) -> Vec<Shared> {
        let Some([first, second]) = self.of(case) else {
            return Vec::new();
        };
        let mut shared: Vec<_> = (first.iter())
            .filter_map(|(line, writer)| {
                let writers = [*writer, *second.get(line)?];
                let line = line << LINE;
                Some(Shared { line, writers })
            })
            .collect();
        shared.sort_by_key(|shared| shared.line);
        shared
    }
}

fn base(line: &[u8]) -> Option<u64> {
    let line = std::str::from_utf8(line).ok()?;
    u64::from_str_radix(line.strip_prefix(BASE)?.trim_end(), 16).ok()
}

/// Worker and case of a line that begins a phase.
fn phase(line: &[u8]) -> Option<(usize, String)> {
    let line = std::str::from_utf8(line).ok()?;
    let (worker, case) = line.strip_prefix(BEGIN)?.trim_end().split_once(' ')?;
    let worker = worker.parse().ok().filter(|worker| *worker < 2)?;
    Some((worker, case.to_owned()))
}

/// Address and size in ` 1ffefff1a8,8`.
fn access(text: &[u8]) -> Option<(u64, u64)> {
    let text = std::str::from_utf8(text).ok()?;
    let (address, size) = text.trim().split_once(',')?;
    let size = size.parse().ok().filter(|size| *size > 0)?;
    Some((u64::from_str_radix(address, 16).ok()?, size))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn phases(trace: &str) -> Phases {
        let mut phases = Phases::default();
        for line in trace.split_inclusive('\n') {
            phases.take(line.as_bytes());
        }
        phases
    }

    #[test]
    fn a_line_that_both_write_is_found_with_both_writers() {
        let phases = phases(
            " S 1000,8\n@begin 0 nat tcp request\nI  400010,4\n S 1000,8\nI  400020,4\n M 2000,1\n\
             @end\n S 3000,8\n@begin 1 nat tcp request\nI  400030,4\n S 3000,8\n L 1000,8\n\
             I  400040,4\n S 203f,1\n@end\n",
        );

        let [first, second] = phases.of("nat tcp request").unwrap();
        assert_eq!((first.len(), second.len()), (2, 2));
        let shared = Shared {
            line: 0x2000,
            writers: [0x40_0020, 0x40_0040],
        };
        assert_eq!(phases.shared("nat tcp request"), [shared]);
    }

    #[test]
    fn what_reaches_into_the_next_line_writes_both() {
        let phases = phases("@begin 0 a\n S 103c,8\n@end\n@begin 1 a\n S 1040,4\n@end\n");

        let lines: Vec<_> = phases.shared("a").iter().map(|it| it.line).collect();
        assert_eq!(lines, [0x1040]);
    }

    #[test]
    fn cases_do_not_mix_and_other_words_are_no_trace() {
        let mut phases = phases("@begin 0 a\n S 10,8\n@end\n@begin 1 b\n S 10,8\n@end\n");

        assert_eq!(phases.shared("a"), []);
        assert!(!phases.take(b"sessions: 1 instead of 2\n"));
        assert!(phases.of("c").is_none());
        assert!(phases.take(b"@base 10800\n") && phases.base() == 0x1_0800);
    }
}

//! Takes a command line apart as popt does: clusters of letters, glued and separate arguments,
//! `--long=value`, `--` before words that are no options. Long options are not abbreviated.

use super::failure::Failure;
use super::options::{Argument, FULLNAT, Opt, SPELLINGS, Spelling, Verb};

/// How DPVS's `ipvsadm` is told which port carries a local address.
const IFNAME: [&str; 2] = ["-F", "--ifname"];

/// What to do instead.
const WITHOUT_IFNAME: &str = "unknown option: leave it and its argument out, the twin whose subnet \
                              has the address carries it, or the one that `interface` of its \
                              [[local_pool]] names";

/// A command line that is being read.
#[derive(Debug)]
pub(super) struct Words<'a> {
    arguments: std::slice::Iter<'a, String>,
    /// The word that is being read, as a message shows it.
    word: &'a str,
    /// What is left of a cluster of letters.
    cluster: &'a str,
    /// Words that are no options.
    others: Vec<&'a str>,
    /// Whether `--` was read.
    only_others: bool,
    /// The first command, which says what `-b` means.
    verb: Option<Verb>,
}

/// An option, and its argument if it has one.
pub(super) type Found<'a> = (Opt, Option<&'a str>);

impl<'a> Words<'a> {
    pub(super) fn new(arguments: &'a [String]) -> Self {
        Self {
            arguments: arguments.iter(),
            word: "",
            cluster: "",
            others: Vec::new(),
            only_others: false,
            verb: None,
        }
    }

    /// The word the last option stands in.
    pub(super) const fn word(&self) -> &'a str {
        self.word
    }

    /// The words that are no options, of those read so far.
    pub(super) fn into_others(self) -> Vec<&'a str> {
        self.others
    }

    /// The next option; `None` when there is no more.
    pub(super) fn next(&mut self) -> Result<Option<Found<'a>>, Failure> {
        if self.cluster.is_empty() {
            match self.next_word() {
                None => return Ok(None),
                Some(word) => match word.strip_prefix("--") {
                    Some(long) => return self.long(long).map(Some),
                    None => self.cluster = &word[1..],
                },
            }
        }
        self.short().map(Some)
    }

    /// The next word with an option; others are put aside.
    fn next_word(&mut self) -> Option<&'a str> {
        for word in self.arguments.by_ref() {
            let is_other = self.only_others || !word.starts_with('-') || word == "-";
            if is_other {
                self.others.push(word);
            } else if word == "--" {
                self.only_others = true;
            } else {
                self.word = word;
                return Some(word);
            }
        }
        None
    }

    fn long(&mut self, text: &'a str) -> Result<Found<'a>, Failure> {
        let (name, glued) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (text, None),
        };
        let found = SPELLINGS.iter().find(|it| it.long == name);
        let spelling = found.ok_or_else(|| self.unknown())?;
        if spelling.argument == Argument::None && glued.is_some() {
            return Err(Failure::word(self.word, "option does not take an argument"));
        }
        self.with_argument(spelling, glued)
    }

    fn short(&mut self) -> Result<Found<'a>, Failure> {
        let mut letters = self.cluster.chars();
        let letter = letters.next();
        self.cluster = letters.as_str();
        let found = SPELLINGS
            .iter()
            .find(|it| letter.is_some_and(|letter| it.short.contains(letter)));
        let found = match letter {
            Some('b') if self.verb.is_some_and(Verb::describes_server) => Some(&FULLNAT),
            _ => found,
        };
        let spelling = found.ok_or_else(|| self.unknown())?;
        // popt passes over it after every letter.
        let rest = self.cluster.strip_prefix('=').unwrap_or(self.cluster);
        if spelling.argument == Argument::None {
            self.note(spelling.opt);
            self.cluster = rest;
            return Ok((spelling.opt, None));
        }
        let glued = Some(rest).filter(|rest| !rest.is_empty());
        self.cluster = "";
        self.with_argument(spelling, glued)
    }

    fn with_argument(
        &mut self,
        spelling: &Spelling,
        glued: Option<&'a str>,
    ) -> Result<Found<'a>, Failure> {
        self.note(spelling.opt);
        let argument = match spelling.argument {
            Argument::None => None,
            _ if glued.is_some() => glued,
            Argument::Required => {
                let next = self.arguments.next().map(String::as_str);
                Some(next.ok_or_else(|| Failure::word(self.word, "missing argument"))?)
            }
            Argument::Optional => {
                let next = self.arguments.as_slice().first();
                let next = next.filter(|it| !it.starts_with('-'));
                next.and_then(|_| self.arguments.next().map(String::as_str))
            }
        };
        Ok((spelling.opt, argument))
    }

    fn note(&mut self, opt: Opt) {
        if let Opt::Verb(verb) = opt {
            self.verb.get_or_insert(verb);
        }
    }

    fn unknown(&self) -> Failure {
        let is_local = matches!(self.verb, Some(Verb::AddLocal | Verb::DeleteLocal));
        let is_dpvs = is_local && IFNAME.contains(&self.word);
        let why = if is_dpvs {
            WITHOUT_IFNAME
        } else {
            "unknown option"
        };
        Failure::word(self.word, why)
    }
}

#[cfg(test)]
mod tests {
    use super::super::options::{Detail, Kind, Verb};
    use super::*;

    const SCHEDULER: Opt = Opt::Named(Kind::Scheduler, Detail::Only);
    const PERSISTENT: Opt = Opt::Named(Kind::Persistent, Detail::Only);
    const NUMERIC: Opt = Opt::Named(Kind::Numeric, Detail::Only);
    const TCP: Opt = Opt::Named(Kind::Service, Detail::Tcp);

    fn line(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    /// All options of a line, then its other words.
    fn read(arguments: &[String]) -> Result<(Vec<Found<'_>>, Vec<&str>), Failure> {
        let mut words = Words::new(arguments);
        let mut found = Vec::new();
        while let Some(it) = words.next()? {
            found.push(it);
        }
        Ok((found, words.into_others()))
    }

    #[test]
    fn arguments_stand_apart_or_are_glued() {
        for text in [
            "-A -t v -s rr",
            "-At v -srr",
            "-Atv -s=rr",
            "--add-service --tcp-service=v --scheduler rr",
        ] {
            let line = line(text);

            let (found, others) = read(&line).unwrap();

            let expected = [
                (Opt::Verb(Verb::AddService), None),
                (TCP, Some("v")),
                (SCHEDULER, Some("rr")),
            ];
            assert_eq!(found, expected, "{text}");
            assert!(others.is_empty(), "{text}");
        }
    }

    #[test]
    fn the_letter_b_is_fullnat_of_a_server_and_flags_of_a_service() {
        let fullnat = Opt::Named(Kind::Forward, Detail::Fullnat);
        for text in ["-ab", "-a -b", "-e --fullnat", "--edit-server -b"] {
            let line = line(text);
            let (found, _) = read(&line).unwrap();
            assert_eq!(found[1], (fullnat, None), "{text}");
        }
        let line = line("-A -b sh-port");
        let (found, _) = read(&line).unwrap();
        let flags = Opt::Named(Kind::Flags, Detail::Only);
        assert_eq!(found[1], (flags, Some("sh-port")));
    }

    #[test]
    fn letters_without_arguments_stand_in_clusters() {
        let line = line("-Lnc");

        let (found, _) = read(&line).unwrap();

        let connection = Opt::Named(Kind::Connection, Detail::Only);
        assert_eq!(
            found,
            [
                (Opt::Verb(Verb::List), None),
                (NUMERIC, None),
                (connection, None)
            ]
        );
    }

    #[test]
    fn an_optional_argument_is_not_an_option() {
        for (text, expected) in [
            ("-p 60", Some("60")),
            ("-p60", Some("60")),
            ("-p -n", None),
            ("-p", None),
        ] {
            let line = line(text);
            let (found, _) = read(&line).unwrap();
            assert_eq!(found[0], (PERSISTENT, expected), "{text}");
        }
    }

    #[test]
    fn a_required_argument_may_look_like_an_option() {
        let line = line("-s -n");
        let (found, _) = read(&line).unwrap();
        assert_eq!(found, [(SCHEDULER, Some("-n"))]);
    }

    #[test]
    fn other_words_are_put_aside() {
        let line = line("-L a - -n -- -b");

        let (found, others) = read(&line).unwrap();

        assert_eq!(found, [(Opt::Verb(Verb::List), None), (NUMERIC, None)]);
        assert_eq!(others, ["a", "-", "-b"]);
    }

    #[test]
    fn what_cannot_be_read_is_named_as_it_stands() {
        for (text, expected) in [
            ("--bogus", "--bogus: unknown option"),
            ("--bogus=5", "--bogus=5: unknown option"),
            ("--numer", "--numer: unknown option"),
            ("-A -F", "-F: unknown option"),
            (
                "-P -t 10.1.0.100:80 -z 10.2.0.200 -F dpdk0",
                "-F: unknown option: leave it and its argument out, the twin whose subnet has the \
                 address carries it, or the one that `interface` of its [[local_pool]] names",
            ),
            ("-nq", "-nq: unknown option"),
            ("-At", "-At: missing argument"),
            ("--scheduler", "--scheduler: missing argument"),
            (
                "--numeric=5",
                "--numeric=5: option does not take an argument",
            ),
        ] {
            let line = line(text);
            let failure = read(&line).unwrap_err();
            assert_eq!(failure.text, expected);
            assert_eq!((failure.status, failure.is_final), (255, false));
        }
    }
}

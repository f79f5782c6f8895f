//! Reads the keys of one table, and collects what is wrong instead of stopping at it.
//!
//! A reader asks a [`Section`] for each key it knows; [`Section::finish`] then refuses every key
//! that nobody asked for, with the nearest one that exists.

use std::cell::RefCell;

use super::document::{Node, Table, Value};

/// What was found wrong so far, as (line, sentence).
#[derive(Debug, Default)]
pub(super) struct Problems {
    errors: RefCell<Vec<(usize, String)>>,
    warnings: RefCell<Vec<(usize, String)>>,
}

impl Problems {
    /// Notes something that makes the configuration unusable.
    pub(super) fn refuse(&self, line: usize, message: impl Into<String>) {
        self.errors.borrow_mut().push((line, message.into()));
    }

    /// Notes something that is probably not meant.
    pub(super) fn warn(&self, line: usize, message: impl Into<String>) {
        self.warnings.borrow_mut().push((line, message.into()));
    }

    /// Whether nothing was refused so far.
    pub(super) fn has_no_errors(&self) -> bool {
        self.errors.borrow().is_empty()
    }

    /// The errors and the warnings, each in the order of their lines.
    pub(super) fn into_sorted(self) -> [Vec<(usize, String)>; 2] {
        [self.errors, self.warnings].map(|found| {
            let mut found = found.into_inner();
            found.sort_by_key(|(line, _)| *line);
            found
        })
    }
}

/// A value read from a table, with the table, which knows the line of each key.
#[derive(Debug)]
pub(super) struct Written<'a, T> {
    /// What the table says.
    pub(super) value: T,
    /// The table.
    pub(super) at: &'a Table,
    /// The tables of its parts (a service's servers, a port's VLANs), in the order of `value`.
    pub(super) parts: Vec<&'a Table>,
}

/// The keys of one table, being read.
pub(super) struct Section<'a> {
    table: &'a Table,
    problems: &'a Problems,
    /// Where the table is, for input without lines: `service[2].server[0]`.
    place: String,
    asked: Vec<&'static str>,
}

impl<'a> Section<'a> {
    /// The whole document.
    pub(super) fn root(table: &'a Table, problems: &'a Problems) -> Self {
        Self::new(table, problems, String::new())
    }

    const fn new(table: &'a Table, problems: &'a Problems, place: String) -> Self {
        Self {
            table,
            problems,
            place,
            asked: Vec::new(),
        }
    }

    /// The table that is being read.
    pub(super) const fn table(&self) -> &'a Table {
        self.table
    }

    /// Whether `key` is written at all.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.entries.contains_key(key)
    }

    /// Notes an error at `line`; where there are no lines the sentence says the place.
    pub(super) fn refuse(&self, line: usize, message: &str) {
        if line == 0 && !self.place.is_empty() {
            self.problems
                .refuse(line, format!("{}: {message}", self.place));
        } else {
            self.problems.refuse(line, message);
        }
    }

    /// What `key` says; `None` when it is absent, or wrong and therefore noted.
    pub(super) fn optional<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&'a Node) -> Result<T, String>,
    ) -> Option<T> {
        let node = self.ask(key)?;
        match read(node) {
            Ok(value) => Some(value),
            Err(message) => {
                self.refuse(node.line, &format!("`{key}` {message}"));
                None
            }
        }
    }

    /// What `key` says, or `default` when it is absent or wrong.
    pub(super) fn or<T>(
        &mut self,
        key: &'static str,
        default: T,
        read: impl FnOnce(&'a Node) -> Result<T, String>,
    ) -> T {
        self.optional(key, read).unwrap_or(default)
    }

    /// What `key` says; its absence is an error that ends with `advice`.
    pub(super) fn required<T>(
        &mut self,
        key: &'static str,
        advice: &str,
        read: impl FnOnce(&'a Node) -> Result<T, String>,
    ) -> Option<T> {
        if !self.has(key) {
            self.refuse(self.table.line, &format!("`{key}` is missing: {advice}"));
        }
        self.optional(key, read)
    }

    /// The items of a list that can be read; each of the others is noted at its own line.
    /// `None` when the key is absent or not a list.
    pub(super) fn list<T>(
        &mut self,
        key: &'static str,
        mut read: impl FnMut(&'a Node) -> Result<T, String>,
    ) -> Option<Vec<T>> {
        let items = self.optional(key, Node::list)?;
        let mut values = Vec::with_capacity(items.len());
        for item in items {
            match read(item) {
                Ok(value) => values.push(value),
                Err(message) => self.refuse(item.line, &format!("`{key}` {message}")),
            }
        }
        Some(values)
    }

    /// Whether `key` is written as `[]`.
    pub(super) fn is_empty_list(&self, key: &str) -> bool {
        let node = self.table.entries.get(key).map(|entry| &entry.node);
        node.is_some_and(|node| node.list().is_ok_and(<[Node]>::is_empty))
    }

    /// The table under `key`, if it is there.
    pub(super) fn inner(&mut self, key: &'static str) -> Option<Section<'a>> {
        let table = self.optional(key, |node| match &node.value {
            Value::Table(table) => Ok(table),
            other => Err(format!("must be a table, not {}", other.kind())),
        })?;
        Some(Section::new(table, self.problems, self.place_of(key)))
    }

    /// The tables written `[[key]]`.
    pub(super) fn tables(&mut self, key: &'static str) -> Vec<Section<'a>> {
        let header = header(&self.place_of(key));
        let items = self
            .optional(key, |node| match &node.value {
                Value::List(items) => Ok(items.as_slice()),
                _ => Err(format!(
                    "is a list of tables: write its header `[[{header}]]`"
                )),
            })
            .unwrap_or_default();
        let mut sections = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            if let Value::Table(table) = &item.value {
                let place = format!("{}[{index}]", self.place_of(key));
                sections.push(Section::new(table, self.problems, place));
            } else {
                let kind = item.value.kind();
                self.refuse(
                    item.line,
                    &format!("`{key}` must hold tables (`[[{header}]]`), not {kind}"),
                );
            }
        }
        sections
    }

    /// Refuses every key that nobody asked for.
    pub(super) fn finish(self) {
        for (key, entry) in &self.table.entries {
            if self.asked.contains(&key.as_str()) {
                continue;
            }
            let message = format!("`{key}` is not a key here: {}", advice(key, &self.asked));
            self.refuse(entry.key_line, &message);
        }
    }

    fn ask(&mut self, key: &'static str) -> Option<&'a Node> {
        if !self.asked.contains(&key) {
            self.asked.push(key);
        }
        self.table.entries.get(key).map(|entry| &entry.node)
    }

    fn place_of(&self, key: &str) -> String {
        match self.place.as_str() {
            "" => key.to_owned(),
            place => format!("{place}.{key}"),
        }
    }
}

impl Node {
    /// The text.
    pub(super) fn text(&self) -> Result<&str, String> {
        match &self.value {
            Value::Text(text) => Ok(text),
            other => Err(format!("must be text in quotes, not {}", other.kind())),
        }
    }

    /// The text, read as what `parse` makes of it.
    pub(super) fn parsed<T>(&self) -> Result<T, String>
    where
        T: std::str::FromStr<Err = String>,
    {
        self.text()?.parse()
    }

    /// True or false.
    pub(super) fn boolean(&self) -> Result<bool, String> {
        match &self.value {
            Value::Boolean(yes) => Ok(*yes),
            other => Err(format!("must be true or false, not {}", other.kind())),
        }
    }

    /// A whole number from `least` to `most`.
    pub(super) fn number<T>(&self, least: T, most: T) -> Result<T, String>
    where
        T: TryFrom<i64> + PartialOrd + std::fmt::Display,
    {
        let Value::Integer(number) = self.value else {
            return Err(format!("must be a whole number, not {}", self.value.kind()));
        };
        match T::try_from(number) {
            Ok(value) if value >= least && value <= most => Ok(value),
            _ if number < 0 => Err(format!("{number} is below {least}: give {least} to {most}")),
            Ok(value) if value < least => {
                Err(format!("{number} is below {least}: give {least} to {most}"))
            }
            _ => Err(format!("{number} is above {most}: give {least} to {most}")),
        }
    }

    /// The meaning of one of a few words.
    pub(super) fn word<T: Copy>(&self, words: &[(&'static str, T)]) -> Result<T, String> {
        let text = self.text()?;
        let known = words.iter().find(|(word, _)| *word == text);
        known.map(|(_, meaning)| *meaning).ok_or_else(|| {
            let names: Vec<_> = words.iter().map(|(word, _)| *word).collect();
            format!("\"{text}\" is not known: {}", advice(text, &names))
        })
    }

    fn list(&self) -> Result<&[Self], String> {
        match &self.value {
            Value::List(items) => Ok(items),
            other => Err(format!(
                "must be a list in square brackets, not {}",
                other.kind()
            )),
        }
    }
}

/// The place of a list of tables without the numbers of those around it.
fn header(place: &str) -> String {
    let mut parts = place.split('[');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |header, part| {
        header + part.split_once(']').map_or(part, |(_, rest)| rest)
    })
}

/// The nearest of `names` when one is near, else all of them.
pub(crate) fn advice(wrong: &str, names: &[&str]) -> String {
    // Up to two slips of the finger are a misspelling; more would be a guess.
    const NEAR: usize = 2;
    let nearest = names
        .iter()
        .map(|name| (strsim::damerau_levenshtein(wrong, name), name))
        .min();
    match nearest {
        Some((distance, name)) if distance <= NEAR && distance < wrong.chars().count() => {
            format!("did you mean `{name}`?")
        }
        _ if names.is_empty() => "take it away".to_owned(),
        _ => format!("what can stand here is {}", names.join(", ")),
    }
}

/// What an operator may have meant, of names that may be many; else the command that lists them.
pub(crate) fn near(wrong: &str, names: &[String], listing: &str) -> String {
    // Nobody reads more.
    const LISTED: usize = 12;

    let mut names: Vec<_> = names.iter().map(String::as_str).collect();
    names.sort_unstable();
    names.dedup();
    let advice = advice(wrong, &names);
    if names.is_empty() || names.len() > LISTED && !advice.starts_with("did you mean") {
        format!("`{listing}` shows what there is")
    } else {
        advice
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{config, refusals};
    use super::advice;

    #[test]
    fn unknown_keys_get_the_nearest_one_or_all_there_are() {
        assert_eq!(
            advice("wieght", &["address", "weight"]),
            "did you mean `weight`?"
        );
        assert_eq!(
            advice("colour", &["name", "persist"]),
            "what can stand here is name, persist"
        );
        assert_eq!(advice("x", &[]), "take it away");
        // Two slips in a word of two letters leave nothing of it.
        assert_eq!(advice("xy", &["rr"]), "what can stand here is rr");
    }

    #[test]
    fn unknown_keys_are_refused_at_every_level() {
        let found = refusals(
            "gateways = 1\n[gateway]\nworker = 2\n[[port]]\nname = \"a\"\ndevice = \"net_null0\"\n\
             mut = 9000\ntwin = { names = \"x\" }\n[[port.vlan]]\nid = 5\nname = \"b\"\nidd = 1\n\
             [[local_pool]]\nname = \"p\"\naddresses = [\"10.0.0.1\"]\nport = 1\n\
             [[service]]\nprotocol = \"tcp\"\nvip = \"10.1.0.1\"\nport = 80\nsheduler = \"rr\"\n\
             [[service.server]]\naddress = \"10.2.0.1\"\nmethods = \"dr\"\n",
        );

        assert_eq!(
            found,
            [
                "1: `gateways` is not a key here: did you mean `gateway`?",
                "3: `worker` is not a key here: did you mean `workers`?",
                "7: `mut` is not a key here: did you mean `mtu`?",
                "8: `names` is not a key here: did you mean `name`?",
                "12: `idd` is not a key here: did you mean `id`?",
                "16: `port` is not a key here: did you mean `ports`?",
                "21: `sheduler` is not a key here: did you mean `scheduler`?",
                "24: `methods` is not a key here: did you mean `method`?",
            ]
        );
    }

    #[test]
    fn wrong_kinds_of_values_say_what_is_wanted() {
        let found = refusals(
            "[gateway]\nsocket = 1\nmemory_mb = \"512\"\nroute_tables = \"main\"\nidle = true\n\
             sessions_per_worker = 1.5\npool_buffers = 99999999999999999999\n\
             [[port]]\nname = \"a\"\ndevice = \"net_null0\"\ntwin = \"a\"\n\
             take_interface = \"yes\"\nmtu = 1979-05-27\n",
        );

        assert_eq!(
            found,
            [
                "2: `socket` must be text in quotes, not a number",
                "3: `memory_mb` must be a whole number, not text",
                "4: `route_tables` must be a list in square brackets, not text",
                "5: `idle` must be text in quotes, not true or false",
                "6: `sessions_per_worker` must be a whole number, not a number with a fraction",
                "7: `pool_buffers` must be a whole number, not a number beyond 64 bits",
                "11: `twin` must be a table, not text",
                "12: `take_interface` must be true or false, not text",
                "13: `mtu` must be a whole number, not a date",
            ]
        );
    }

    #[test]
    fn a_single_bracket_header_is_explained() {
        assert_eq!(
            refusals("[service]\nprotocol = \"tcp\"\n"),
            ["1: `service` is a list of tables: write its header `[[service]]`"]
        );
        assert_eq!(
            refusals(
                "[[service]]\nprotocol = \"tcp\"\nvip = \"10.1.0.1\"\nport = 80\n\
                 [service.server]\naddress = \"10.2.0.1\"\n"
            ),
            ["5: `server` is a list of tables: write its header `[[service.server]]`"]
        );
        assert_eq!(
            refusals("service = [1]\n"),
            ["1: `service` must hold tables (`[[service]]`), not a number"]
        );
        assert_eq!(
            refusals("gateway = 1\n"),
            ["1: `gateway` must be a table, not a number"]
        );
    }

    #[test]
    fn numbers_outside_their_range_say_the_range() {
        let found = refusals("[gateway]\nmemory_mb = 1\nsessions_per_worker = 100_000_001\n");

        assert_eq!(
            found,
            [
                "2: `memory_mb` 1 is below 64: give 64 to 1048576",
                "3: `sessions_per_worker` 100000001 is above 100000000: give 1024 to 100000000",
            ]
        );
    }

    #[test]
    fn numbers_at_both_ends_of_their_range_are_taken() {
        let config = config("[gateway]\nmemory_mb = 1_048_576\nsessions_per_worker = 1024\n");

        assert_eq!(config.gateway().memory_mb, 1_048_576);
        assert_eq!(config.gateway().sessions_per_worker, 1024);
    }
}

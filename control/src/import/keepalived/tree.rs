//! The blocks of keepalived's configuration: a tree in which everything knows its line.
//!
//! The tree knows no keyword. How deep it may be is bounded, so that it can be walked by recursion.

use super::super::place::{Note, Place};
use super::words::Token;

/// The most blocks within each other; keepalived itself knows four.
const DEEPEST: usize = 32;

/// A line with what stands in braces behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Statement {
    /// Where its first word stands.
    pub(super) place: Place,
    /// Its words, at least one.
    pub(super) words: Vec<String>,
    /// What stands in its braces.
    pub(super) block: Option<Block>,
}

/// What stands in braces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) statements: Vec<Statement>,
    /// Where the closing brace stands.
    pub(super) end: Place,
}

impl Statement {
    /// Its first word.
    pub(super) fn keyword(&self) -> &str {
        self.words.first().map_or("", String::as_str)
    }

    /// The words behind the first.
    pub(super) fn arguments(&self) -> &[String] {
        self.words.get(1..).unwrap_or_default()
    }

    /// The second word.
    pub(super) fn argument(&self) -> Option<&str> {
        self.arguments().first().map(String::as_str)
    }

    /// What stands in its braces; nothing if it has none.
    pub(super) fn statements(&self) -> &[Statement] {
        self.block.as_ref().map_or(&[], |block| &block.statements)
    }

    /// Its words in a line, as they could be written.
    pub(super) fn heading(&self) -> String {
        let words: Vec<_> = self.words.iter().map(|word| written(word)).collect();
        words.join(" ")
    }

    /// It and all that is in it, line by line, each with its place.
    pub(super) fn lines(&self) -> Vec<(Place, String)> {
        let mut lines = Vec::new();
        self.collect_lines("", &mut lines);
        lines
    }

    fn collect_lines(&self, indent: &str, lines: &mut Vec<(Place, String)>) {
        let heading = self.heading();
        let Some(block) = &self.block else {
            lines.push((self.place.clone(), format!("{indent}{heading}")));
            return;
        };
        lines.push((self.place.clone(), format!("{indent}{heading} {{")));
        let deeper = format!("{indent}    ");
        for statement in &block.statements {
            statement.collect_lines(&deeper, lines);
        }
        lines.push((block.end.clone(), format!("{indent}}}")));
    }
}

/// A word, in quotes if it needs them.
fn written(word: &str) -> String {
    let is_plain = |c: char| !c.is_whitespace() && !matches!(c, '"' | '\'' | '#' | '!' | '\\');
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    let escaped = word.replace('\\', "\\\\").replace('"', "\\\"");
    format!("\"{escaped}\"")
}

/// A tree that grows line by line.
#[derive(Default)]
pub(super) struct Builder {
    /// What is complete at the top.
    top: Vec<Statement>,
    /// The blocks that are open, each within the one before.
    open: Vec<Statement>,
    errors: Vec<Note>,
    /// Whether nothing that follows makes sense any more.
    is_over: bool,
}

impl Builder {
    /// Adds the words of a line.
    pub(super) fn line(&mut self, place: &Place, tokens: Vec<Token>) {
        let mut words = Vec::new();
        for token in tokens {
            if self.is_over {
                return;
            }
            match token {
                Token::Word(word) => words.push(word),
                Token::Open => self.open(place, std::mem::take(&mut words)),
                Token::Close => {
                    self.statement(place, std::mem::take(&mut words));
                    self.close(place);
                }
            }
        }
        if !self.is_over {
            self.statement(place, words);
        }
    }

    /// The whole tree.
    ///
    /// # Errors
    ///
    /// Braces that do not match, each with its place.
    pub(super) fn finish(mut self) -> Result<Vec<Statement>, Vec<Note>> {
        for statement in &self.open {
            let message = format!("the `{{` of `{}` is not closed", statement.heading());
            self.errors.push(Note::new(&statement.place, message));
        }
        if self.errors.is_empty() {
            Ok(self.top)
        } else {
            Err(self.errors)
        }
    }

    fn level(&mut self) -> &mut Vec<Statement> {
        match self.open.last_mut().and_then(|it| it.block.as_mut()) {
            Some(block) => &mut block.statements,
            None => &mut self.top,
        }
    }

    fn statement(&mut self, place: &Place, words: Vec<String>) {
        if !words.is_empty() {
            self.level().push(Statement {
                place: place.clone(),
                words,
                block: None,
            });
        }
    }

    fn open(&mut self, place: &Place, words: Vec<String>) {
        if self.open.len() >= DEEPEST {
            let message = format!("blocks are more than {DEEPEST} deep here");
            self.errors.push(Note::new(place, message));
            self.open.clear();
            self.is_over = true;
            return;
        }
        self.statement(place, words);
        // A brace on a line of its own is that of the line before.
        let owner = self.level().pop_if(|owner| owner.block.is_none());
        let Some(mut owner) = owner else {
            self.errors
                .push(Note::new(place, "`{` has no keyword before it"));
            return;
        };
        owner.block = Some(Block {
            statements: Vec::new(),
            end: place.clone(),
        });
        self.open.push(owner);
    }

    fn close(&mut self, place: &Place) {
        let Some(mut statement) = self.open.pop() else {
            self.errors
                .push(Note::new(place, "`}` closes what nothing opened"));
            return;
        };
        if let Some(block) = &mut statement.block {
            block.end = place.clone();
        }
        self.level().push(statement);
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::words::split;
    use super::*;

    fn build(text: &str) -> Result<Vec<Statement>, Vec<String>> {
        let mut builder = Builder::default();
        let start = Place::new(Path::new("k.conf"), 0);
        for (line, number) in text.lines().zip(1..) {
            builder.line(&start.at(number), split(line).0);
        }
        let errors = |notes: Vec<Note>| notes.iter().map(ToString::to_string).collect();
        builder.finish().map_err(errors)
    }

    #[test]
    fn blocks_are_within_blocks_wherever_their_braces_stand() {
        let text = "a 1 {\n  b\n  {\n    c 2\n  }\n  d { e 3 }\n}\nf";

        let tree = build(text).unwrap();

        let headings: Vec<_> = tree.iter().map(Statement::heading).collect();
        assert_eq!(headings, ["a 1", "f"]);
        let lines: Vec<_> = tree[0].lines().into_iter().collect();
        let shown: Vec<_> = lines
            .iter()
            .map(|(p, l)| format!("{} {l}", p.line))
            .collect();
        assert_eq!(
            shown,
            [
                "1 a 1 {",
                "2     b {",
                "4         c 2",
                "5     }",
                "6     d {",
                "6         e 3",
                "6     }",
                "7 }",
            ]
        );
    }

    #[test]
    fn braces_that_do_not_match_are_refused_where_they_stand() {
        assert_eq!(
            build("a {\n b {\n }\n").unwrap_err(),
            ["k.conf:1: the `{` of `a` is not closed"]
        );
        assert_eq!(
            build("}\n{\na {\n}\n{\n").unwrap_err(),
            [
                "k.conf:1: `}` closes what nothing opened",
                "k.conf:2: `{` has no keyword before it",
                "k.conf:5: `{` has no keyword before it",
            ]
        );
    }

    #[test]
    fn a_tree_is_not_deeper_than_can_be_walked() {
        let text = "a {\n".repeat(100_000);

        let errors = build(&text).unwrap_err();

        assert_eq!(errors, ["k.conf:33: blocks are more than 32 deep here"]);
    }

    #[test]
    fn a_heading_could_be_written_again() {
        let tree = build("notify_up \"/x y\" '' a#b \"say \\\"so\\\"\"").unwrap();

        assert_eq!(
            tree[0].heading(),
            "notify_up \"/x y\" \"\" \"a#b\" \"say \\\"so\\\"\""
        );
    }
}

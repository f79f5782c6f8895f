//! From files to the lines that mean something: comments are gone, includes are in their place,
//! lines for other hosts are left out, parameters and sequences are what they stand for.
//!
//! How much comes out is bounded, whatever the files say: parameters and sequences may stand for
//! more than there is memory.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use super::super::place::{Note, Place};
use super::files;
use super::parameters::{Line, Parameters, assignment};
use super::sequence::Repeat;
use super::words::{Token, split, strip};

/// The most files within each other.
const DEEPEST: usize = 32;

/// What a file counts beside its lines: to open one takes a while.
const STEPS_PER_FILE: usize = 100;

/// How much may come of the files.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Lines, and parameters in them.
    pub(super) steps: usize,
    /// Bytes of lines.
    pub(super) bytes: usize,
}

impl Default for Limits {
    /// Enough for 100,000 real servers with their checkers.
    fn default() -> Self {
        Self {
            steps: 4_000_000,
            bytes: 256 * 1024 * 1024,
        }
    }
}

/// A line that means something.
#[derive(Debug)]
pub(super) struct Meant {
    pub(super) place: Place,
    pub(super) tokens: Vec<Token>,
}

/// Files being read.
pub(super) struct Lines<'a> {
    files: Vec<File>,
    /// What comes before the next line of a file: the first is the next.
    waiting: VecDeque<Waiting>,
    parameters: Parameters,
    config_id: &'a str,
    left: Limits,
    /// The first line that is only for some hosts.
    pub(super) first_condition: Option<Place>,
    /// What an operator should know.
    pub(super) notes: Vec<Note>,
}

/// A file, as far as it is not read yet.
struct File {
    lines: std::vec::IntoIter<String>,
    /// Where the line before the next stands.
    place: Place,
    /// What `include` is relative to.
    folder: PathBuf,
    /// What tells it from all other files.
    identity: Option<PathBuf>,
    /// How many files it is within.
    depth: usize,
}

enum Waiting {
    Line(Line),
    Repeat(Repeat),
}

impl<'a> Lines<'a> {
    pub(super) fn new(config_id: &'a str, limits: Limits) -> Self {
        Self {
            files: Vec::new(),
            waiting: VecDeque::new(),
            parameters: Parameters::default(),
            config_id,
            left: limits,
            first_condition: None,
            notes: Vec::new(),
        }
    }

    /// Reads `text` next, which `path` has.
    pub(super) fn open(&mut self, path: &Path, text: &str) {
        self.open_within(path, text, 0);
    }

    fn open_within(&mut self, path: &Path, text: &str, depth: usize) {
        self.files.push(File {
            lines: text
                .lines()
                .map(str::to_owned)
                .collect::<Vec<_>>()
                .into_iter(),
            place: Place::new(path, 0),
            folder: path.parent().unwrap_or(Path::new("")).to_owned(),
            identity: path.canonicalize().ok(),
            depth,
        });
        self.predefine();
    }

    /// The next line that means something.
    ///
    /// # Errors
    ///
    /// When there is no sense, or no end, in going on.
    pub(super) fn next(&mut self) -> Result<Option<Meant>, Note> {
        loop {
            let meant = match self.waiting.pop_front() {
                Some(Waiting::Line(line)) => self.line(line)?,
                Some(Waiting::Repeat(repeat)) => {
                    self.repeat(repeat)?;
                    None
                }
                None if self.files.is_empty() => return Ok(None),
                None => self.file_line()?,
            };
            if meant.is_some() {
                return Ok(meant);
            }
        }
    }

    /// The parameters that keepalived sets itself.
    fn predefine(&mut self) {
        let Some(file) = self.files.last() else {
            return;
        };
        let folder = match file.folder.to_string_lossy().into_owned() {
            folder if folder.is_empty() => ".".to_owned(),
            folder => folder,
        };
        let place = file.place.clone();
        for (name, text) in [
            ("_PWD", folder.as_str()),
            ("_INSTANCE", self.config_id),
            ("_HASH", "#"),
            ("_BANG", "!"),
        ] {
            let (place, text) = (place.clone(), text.to_owned());
            self.parameters.set(name, vec![Line { place, text }]);
        }
    }

    fn spend(&mut self, place: &Place, steps: usize, bytes: usize) -> Result<(), Note> {
        let left = &mut self.left;
        let steps = left.steps.checked_sub(steps.max(1));
        let bytes = left.bytes.checked_sub(bytes);
        match steps.zip(bytes) {
            Some((steps, bytes)) => {
                *left = Limits { steps, bytes };
                Ok(())
            }
            None => Err(Note::new(
                place,
                "there is no end to what this line and those before it stand for: look for \
                 parameters that name themselves, and for long sequences",
            )),
        }
    }

    /// The next line of a file, with those that a backslash joins to it.
    fn file_line(&mut self) -> Result<Option<Meant>, Note> {
        let Some((place, text, continues)) = self.raw_line() else {
            self.files.pop();
            self.predefine();
            return Ok(None);
        };
        self.spend(&place, 1, text.len())?;
        if text.is_empty() && !continues {
            return Ok(None);
        }
        if let Some(pattern) = included(&text) {
            self.include(&place, &pattern)?;
            return Ok(None);
        }
        if !continues {
            return self.line(Line { place, text });
        }
        let rest = self.joined()?;
        let Some(text) = self.condition(&place, text) else {
            return Ok(None);
        };
        if let Some((name, first)) = assignment(&text) {
            let mut lines = Vec::new();
            if !first.is_empty() {
                let text = first.to_owned();
                lines.push(Line { place, text });
            }
            lines.extend(rest);
            self.parameters.set(name, lines);
            return Ok(None);
        }
        let rest = rest.into_iter().map(|line| line.text);
        let text: Vec<_> = std::iter::once(text).chain(rest).collect();
        let text = text.join(" ");
        self.line(Line { place, text })
    }

    /// The next line of the innermost file, its comment gone.
    fn raw_line(&mut self) -> Option<(Place, String, bool)> {
        let file = self.files.last_mut()?;
        let line = file.lines.next()?;
        file.place.line += 1;
        let stripped = strip(&line);
        Some((file.place.clone(), stripped.text, stripped.continues))
    }

    /// The lines that a backslash joins to the one before. Blank lines between them are nothing.
    fn joined(&mut self) -> Result<Vec<Line>, Note> {
        let mut lines = Vec::new();
        while let Some((place, text, continues)) = self.raw_line() {
            self.spend(&place, 1, text.len())?;
            if text.is_empty() && !continues {
                continue;
            }
            lines.push(Line { place, text });
            if !continues {
                break;
            }
        }
        Ok(lines)
    }

    /// Makes of a line what it stands for; what it means, if it means something by itself.
    fn line(&mut self, line: Line) -> Result<Option<Meant>, Note> {
        let Line { place, text } = line;
        self.spend(&place, 1, text.len())?;
        let Some(text) = self.condition(&place, text.trim().to_owned()) else {
            return Ok(None);
        };
        if let Some((name, value)) = assignment(&text) {
            let text = value.to_owned();
            self.parameters.set(name, vec![Line { place, text }]);
            return Ok(None);
        }
        if text.starts_with('~') {
            let text = self.with_head_replaced(&place, &text)?;
            if let Some(repeat) = Repeat::read(&text, &place) {
                self.waiting.push_front(Waiting::Repeat(repeat?));
                return Ok(None);
            }
        }
        let (mut lines, count) = self.parameters.replace(Line { place, text })?;
        if count > 0 {
            // What came of it may be anything again.
            for line in &lines {
                self.spend(&line.place, count, line.text.len())?;
            }
            while let Some(line) = lines.pop() {
                self.waiting.push_front(Waiting::Line(line));
            }
            return Ok(None);
        }
        let Some(Line { place, text }) = lines.pop() else {
            return Ok(None);
        };
        let (tokens, is_closed) = split(&text);
        if !is_closed {
            let message = "a quote is not closed: it is taken to end with the line";
            self.notes.push(Note::new(&place, message));
        }
        Ok((!tokens.is_empty()).then_some(Meant { place, tokens }))
    }

    /// What follows `@NAME` if this is host NAME, or `@^NAME` if it is not.
    fn condition(&mut self, place: &Place, mut text: String) -> Option<String> {
        while let Some(rest) = text.strip_prefix('@') {
            let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
            let (name, rest) = rest.split_at(end);
            if self.first_condition.is_none() {
                self.first_condition = Some(place.clone());
            }
            let is_meant = match name.strip_prefix('^') {
                Some(other) => other != self.config_id,
                None => name == self.config_id,
            };
            if !is_meant {
                return None;
            }
            text = rest.trim().to_owned();
        }
        Some(text)
    }

    /// A sequence may go from and to parameters; those behind it are for its lines.
    fn with_head_replaced(&mut self, place: &Place, text: &str) -> Result<String, Note> {
        let Some((head, rest)) = text.split_once(')') else {
            return Ok(text.to_owned());
        };
        let head = Line {
            place: place.clone(),
            text: head.to_owned(),
        };
        let (lines, count) = self.parameters.replace(head)?;
        let head: Vec<_> = lines.into_iter().map(|line| line.text).collect();
        let text = format!("{}){rest}", head.join(" "));
        self.spend(place, count, text.len())?;
        Ok(text)
    }

    fn repeat(&mut self, mut repeat: Repeat) -> Result<(), Note> {
        let place = repeat.place.clone();
        self.spend(&place, 1, 0)?;
        let Some(values) = repeat.next() else {
            return Ok(());
        };
        for (name, text) in values {
            let place = place.clone();
            self.parameters.set(&name, vec![Line { place, text }]);
        }
        let text = repeat.rest.clone();
        self.waiting.push_front(Waiting::Repeat(repeat));
        self.waiting.push_front(Waiting::Line(Line { place, text }));
        Ok(())
    }

    fn include(&mut self, place: &Place, pattern: &str) -> Result<(), Note> {
        let (folder, depth) = match self.files.last() {
            Some(file) => (file.folder.clone(), file.depth + 1),
            None => (PathBuf::new(), 0),
        };
        let found = files::matching(pattern, &folder);
        if found.is_empty() {
            let message = format!("include: no file matches {pattern}");
            self.notes.push(Note::new(place, message));
        }
        let mut texts = Vec::new();
        for path in found {
            self.check_include(place, &path, depth)?;
            match files::text(&path) {
                Ok(text) => {
                    self.spend(place, STEPS_PER_FILE, text.len())?;
                    texts.push((path, text));
                }
                Err(error) => {
                    let message = format!("include: {} cannot be read: {error}", path.display());
                    self.notes.push(Note::new(place, message));
                }
            }
        }
        // The last is opened first, so that the first is read first.
        for (path, text) in texts.into_iter().rev() {
            self.open_within(&path, &text, depth);
        }
        Ok(())
    }

    fn check_include(&self, place: &Place, path: &Path, depth: usize) -> Result<(), Note> {
        let identity = path.canonicalize().ok();
        // Files that wait to be read are not what includes this one.
        let mut around = self.files.iter().filter(|file| file.depth < depth);
        let includes_itself = around.any(|file| file.place.line > 0 && file.identity == identity);
        let message = if identity.is_some() && includes_itself {
            format!("include: {} includes itself", path.display())
        } else if depth > DEEPEST {
            format!("include: files are more than {DEEPEST} deep here")
        } else {
            return Ok(());
        };
        Err(Note::new(place, message))
    }
}

/// What a line includes. The variants of `include` differ in what keepalived says of files that
/// are not there.
fn included(text: &str) -> Option<String> {
    const WORDS: [&str; 6] = [
        "include", "includea", "includer", "includem", "includew", "includeb",
    ];
    let (word, rest) = text.split_once(char::is_whitespace)?;
    if !WORDS.contains(&word) {
        return None;
    }
    match split(rest).0.into_iter().next()? {
        Token::Word(pattern) => Some(pattern),
        Token::Open | Token::Close => None,
    }
}

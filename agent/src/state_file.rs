//! The operator's hand: drain, maint, down.
//!
//! A file whose first word says what the server is, for `echo drain >/run/sluice-agent/state`;
//! what stands behind `down` is the reason. No file, an empty one and `up` leave it to the load.

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use crate::note;

/// Bytes of the file that are looked at.
const LONGEST: u64 = 256;

/// What the operator says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Hand {
    /// The load decides.
    Up,
    /// No new sessions.
    Drain,
    /// It is being worked at.
    Maint,
    /// It does not work, and perhaps why.
    Down(String),
}

/// The file in the operator's hand.
#[derive(Debug)]
pub(crate) struct StateFile {
    path: PathBuf,
    /// What was wrong with it last time, which is told once.
    told: Mutex<String>,
}

impl Hand {
    /// What this text says.
    fn parse(text: &str) -> Result<Self, String> {
        let text = text.lines().next().unwrap_or_default().trim();
        let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        match word.to_ascii_lowercase().as_str() {
            "" | "up" | "ready" => Ok(Self::Up),
            "drain" => Ok(Self::Drain),
            "maint" => Ok(Self::Maint),
            "down" => Ok(Self::Down(rest.trim_start_matches(['#', ' ']).to_owned())),
            _ => Err(format!("\"{word}\" is none of drain, maint, down, up")),
        }
    }
}

impl StateFile {
    /// The file at `path`, which need not be there.
    pub(crate) fn new(path: PathBuf) -> Self {
        Self {
            path,
            told: Mutex::default(),
        }
    }

    /// What it says now. What it says wrongly is told, once, and leaves it to the load.
    pub(crate) fn hand(&self) -> Hand {
        let said = self.read().map_err(|error| error.to_string());
        let hand = said.and_then(|text| Hand::parse(&text));
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        match hand {
            Ok(hand) => {
                told.clear();
                hand
            }
            Err(why) => {
                if *told != why {
                    note(&format!("{}: {why}", self.path.display()));
                    *told = why;
                }
                Hand::Up
            }
        }
    }

    fn read(&self) -> io::Result<String> {
        let mut bytes = Vec::new();
        match File::open(&self.path) {
            Ok(file) => file.take(LONGEST).read_to_end(&mut bytes)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => return Err(error),
        };
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_word_says_it() {
        assert_eq!(Hand::parse("drain\n"), Ok(Hand::Drain));
        assert_eq!(Hand::parse("  MAINT since noon\n"), Ok(Hand::Maint));
        assert_eq!(Hand::parse("up\n"), Ok(Hand::Up));
        assert_eq!(
            Hand::parse("\ndrain"),
            Ok(Hand::Up),
            "only the first line counts"
        );
        assert_eq!(
            Hand::parse("down #disk full"),
            Ok(Hand::Down("disk full".to_owned()))
        );
        assert_eq!(Hand::parse("down"), Ok(Hand::Down(String::new())));
    }

    #[test]
    fn a_word_that_is_none_is_told_once_and_leaves_it_to_the_load() {
        let path = std::env::temp_dir().join(format!("sluice-agent-word-{}", std::process::id()));
        std::fs::write(&path, "dran\n").unwrap();
        let file = StateFile::new(path.clone());

        assert_eq!(file.hand(), Hand::Up);
        let told = file.told.lock().unwrap().clone();
        std::fs::write(&path, "drain\n").unwrap();
        let mended = file.hand();
        std::fs::remove_file(&path).unwrap();

        assert_eq!(told, "\"dran\" is none of drain, maint, down, up");
        assert_eq!(mended, Hand::Drain);
        assert_eq!(file.hand(), Hand::Up, "no file is up");
        assert_eq!(*file.told.lock().unwrap(), "");
    }
}

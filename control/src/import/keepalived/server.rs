//! `real_server`.

use std::net::IpAddr;

use super::super::place::Note;
use super::inherited::Inherited;
use super::tree::Statement;
use super::value::{self, Forwarding};
use super::{checker, health};

/// The largest weight and threshold of IPVS.
const LARGEST: u32 = i32::MAX as u32;

/// A real server as its block says it.
#[derive(Clone, Debug)]
pub(super) struct RealServer<'a> {
    pub(super) statement: &'a Statement,
    pub(super) addr: IpAddr,
    /// 0 if it is not said.
    pub(super) port: u16,
    pub(super) weight: Option<u32>,
    pub(super) forwarding: Option<Forwarding>,
    pub(super) upper_threshold: u32,
    pub(super) lower_threshold: u32,
    /// What its checkers inherit.
    pub(super) inherited: Inherited<'a>,
    /// Checkers that the configuration has too.
    pub(super) checkers: Vec<&'a Statement>,
    /// What is kept as a comment.
    pub(super) kept: Vec<&'a Statement>,
}

impl<'a> RealServer<'a> {
    /// Reads a block; `None`, and a note, if it names no server.
    pub(super) fn read(statement: &'a Statement, notes: &mut Vec<Note>) -> Option<Self> {
        let (addr, port) = match value::address_and_port(statement.arguments()) {
            Ok(endpoint) => endpoint,
            Err(why) => {
                let message = format!("`{}` is left out: {why}", statement.heading());
                notes.push(Note::new(&statement.place, message));
                return None;
            }
        };
        let mut server = Self {
            statement,
            addr,
            port,
            weight: None,
            forwarding: None,
            upper_threshold: 0,
            lower_threshold: 0,
            inherited: Inherited::default(),
            checkers: Vec::new(),
            kept: Vec::new(),
        };
        for line in statement.statements() {
            server.read_line(line, notes);
        }
        Some(server)
    }

    fn read_line(&mut self, line: &'a Statement, notes: &mut Vec<Note>) {
        if self.inherited.read(line, notes) {
            return;
        }
        match line.keyword() {
            "weight" => self.weight = value::number(line, 0..=LARGEST, notes),
            "lvs_method" | "lb_kind" => self.forwarding = value::forwarding(line, notes),
            "uthreshold" => {
                self.upper_threshold = value::number(line, 0..=LARGEST, notes).unwrap_or(0);
            }
            "lthreshold" => {
                self.lower_threshold = value::number(line, 0..=LARGEST, notes).unwrap_or(0);
            }
            keyword if checker::is_checker(keyword) => self.checkers.push(line),
            keyword => {
                if !health::is_of_server(keyword) {
                    notes.push(health::unknown(line, "real_server"));
                }
                self.kept.push(line);
            }
        }
    }
}

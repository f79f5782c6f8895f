//! What was taken over, before it is written as TOML.

use std::net::IpAddr;

use super::place::{Note, Place};
use crate::config::{Server, Service};

/// Everything that was taken over.
#[derive(Debug, Default)]
pub struct Draft {
    /// The first lines of the file, as comments.
    pub(super) heading: Vec<String>,
    /// Keys of `[timeouts]`.
    pub(super) timeouts: Vec<Timeout>,
    /// Virtual services, in the order of their source.
    pub(super) services: Vec<ServiceDraft>,
    /// What an operator should know, in the order in which it was found.
    pub(super) notes: Vec<Note>,
}

/// A key of `[timeouts]`.
#[derive(Debug)]
pub(super) struct Timeout {
    pub(super) place: Place,
    pub(super) key: &'static str,
    pub(super) seconds: u32,
}

/// A virtual service, and what stands above it.
#[derive(Clone, Debug)]
pub(super) struct ServiceDraft {
    pub(super) place: Place,
    pub(super) comments: Vec<String>,
    /// The service; its list of servers is not used.
    pub(super) service: Service,
    pub(super) servers: Vec<ServerDraft>,
    /// The pool that the service names, if it has one of its own.
    pub(super) pool: Option<PoolDraft>,
    /// Whether it is written as a comment.
    pub(super) is_left_out: bool,
}

/// The local addresses of one service.
#[derive(Clone, Debug)]
pub(super) struct PoolDraft {
    pub(super) place: Place,
    /// Each with where it was said; none twice.
    pub(super) addresses: Vec<(Place, IpAddr)>,
}

/// A real server, and what stands above it.
#[derive(Clone, Debug)]
pub(super) struct ServerDraft {
    pub(super) place: Place,
    pub(super) comments: Vec<String>,
    pub(super) server: Server,
    /// Whether it is written as a comment.
    pub(super) is_left_out: bool,
}

impl Draft {
    /// What an operator should know: everything that could not be taken over as it was.
    #[must_use]
    pub fn notes(&self) -> &[Note] {
        &self.notes
    }

    /// Virtual services that are written.
    #[must_use]
    pub fn service_count(&self) -> usize {
        self.written().count()
    }

    /// Real servers that are written.
    #[must_use]
    pub fn server_count(&self) -> usize {
        let servers = self.written().flat_map(|service| &service.servers);
        servers.filter(|server| !server.is_left_out).count()
    }

    fn written(&self) -> impl Iterator<Item = &ServiceDraft> {
        self.services.iter().filter(|service| !service.is_left_out)
    }
}

impl ServiceDraft {
    /// Says something of the service, to whoever reads the file and to whoever runs the command.
    pub(super) fn note(&mut self, place: &Place, message: String, notes: &mut Vec<Note>) {
        self.comments
            .push(format!("{}: {message}", place.seen_from(&self.place)));
        notes.push(Note::new(place, message));
    }

    /// Writes it as a comment, and says why.
    pub(super) fn leave_out(&mut self, why: &str, notes: &mut Vec<Note>) {
        self.is_left_out = true;
        let message = format!("{} is left out: {why}", self.service.key());
        self.note(&self.place.clone(), message, notes);
    }
}

impl ServerDraft {
    /// Says something of the server, to whoever reads the file and to whoever runs the command.
    pub(super) fn note(&mut self, message: String, notes: &mut Vec<Note>) {
        self.comments.push(message.clone());
        notes.push(Note::new(&self.place, message));
    }
}

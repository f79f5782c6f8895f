//! What becomes of servers and services, for the log and whoever watches.

use std::fmt::{self, Display};
use std::net::SocketAddr;

use dataplane::service::ServiceKey;

use super::server::ServerState;
use crate::gateway::{EventKind, ServerName};

/// Something that health has brought about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// A server is in another state.
    Server {
        /// Which.
        name: ServerName,
        /// The state.
        state: ServerState,
        /// The one before.
        was: ServerState,
        /// Why, if there is anything to say.
        reason: Option<String>,
    },
    /// A service has gained its quorum, or lost it.
    Quorum {
        /// Which.
        service: ServiceKey,
        /// Whether it has it now.
        gained: bool,
        /// What of its servers that are up counts for the quorum.
        weight: u64,
        /// The sum that decided.
        needed: u64,
        /// Who serves instead.
        sorry: Option<SocketAddr>,
    },
    /// The agent of a server answers no more, or again.
    Agent {
        /// Of which.
        name: ServerName,
        /// Why it does not answer; `None` if it does.
        silence: Option<String>,
    },
    /// A server could not be asked, for the gateway lacks something.
    Unasked {
        /// Which.
        name: ServerName,
        /// What.
        why: String,
        /// How many times that was so since the last of these news.
        others: u64,
    },
}

impl News {
    /// Whether an operator should rather look.
    #[must_use]
    pub const fn is_bad(&self) -> bool {
        match self {
            Self::Server { state, .. } => matches!(state, ServerState::Down),
            Self::Quorum { gained, .. } => !*gained,
            Self::Agent { silence, .. } => silence.is_some(),
            Self::Unasked { .. } => true,
        }
    }

    /// Whether it is the first that is known of a server.
    #[must_use]
    pub fn is_first(&self) -> bool {
        matches!(self, Self::Server { was, .. } if *was == ServerState::Unknown)
    }

    /// Whether nobody expected anything else: servers that are as the configuration has them.
    #[must_use]
    pub fn is_expected(&self) -> bool {
        match self {
            Self::Server { state, was, .. } => {
                *was == ServerState::Unknown && *state != ServerState::Down
            }
            Self::Quorum { .. } | Self::Agent { .. } | Self::Unasked { .. } => false,
        }
    }

    /// For whoever watches; `None` when nothing is known yet, and of what changes no server.
    #[must_use]
    pub fn event(&self) -> Option<EventKind> {
        let event = match self {
            Self::Server {
                name,
                state,
                reason,
                was: _,
            } => {
                let (name, reason) = (*name, reason.clone());
                match state {
                    ServerState::Up => EventKind::ServerUp(name),
                    ServerState::Down => EventKind::ServerDown { name, reason },
                    ServerState::Draining => EventKind::ServerDraining { name, reason },
                    ServerState::Disabled => EventKind::ServerDisabled { name, reason },
                    ServerState::Unknown => return None,
                }
            }
            Self::Quorum {
                service, gained, ..
            } => {
                let service = *service;
                if *gained {
                    EventKind::ServiceQuorumGained { service }
                } else {
                    EventKind::ServiceQuorumLost { service }
                }
            }
            Self::Agent { .. } | Self::Unasked { .. } => return None,
        };
        Some(event)
    }
}

impl Display for News {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server {
                name,
                state,
                reason,
                was: _,
            } => {
                write!(f, "{} is {state}", Named(name))?;
                match reason {
                    Some(reason) => write!(f, ": {reason}"),
                    None => Ok(()),
                }
            }
            Self::Quorum {
                service,
                gained,
                weight,
                needed,
                sorry,
            } => {
                let what = if *gained { "gained" } else { "lost" };
                write!(
                    f,
                    "{service} has {what} its quorum: the weights of its servers that are up sum up \
                     to {weight}, and {needed} are needed"
                )?;
                match sorry {
                    Some(sorry) if !gained => {
                        write!(f, "; the sorry server {sorry} serves instead")
                    }
                    _ => Ok(()),
                }
            }
            Self::Agent { name, silence } => {
                let server = Named(name);
                match silence {
                    Some(why) => write!(f, "the agent of {server} does not answer: {why}"),
                    None => write!(f, "the agent of {server} answers"),
                }
            }
            Self::Unasked { name, why, others } => {
                write!(
                    f,
                    "{} cannot be asked and stays as it is: {why}",
                    Named(name)
                )?;
                match others {
                    0 => Ok(()),
                    others => write!(f, " (and so it was {others} more times)"),
                }
            }
        }
    }
}

/// A server in a sentence.
struct Named<'a>(&'a ServerName);

impl Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ServerName { service, server } = self.0;
        let server = SocketAddr::new(server.addr, server.port);
        write!(f, "server {server} of {service}")
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use dataplane::address::Endpoint;

    use super::*;

    const WEB: ServiceKey = ServiceKey::Mark(3);

    fn server(state: ServerState, reason: Option<&str>) -> News {
        News::Server {
            name: ServerName {
                service: WEB,
                server: Endpoint::new(IpAddr::from([10, 2, 0, 11]), 80),
            },
            state,
            was: ServerState::Unknown,
            reason: reason.map(str::to_owned),
        }
    }

    #[test]
    fn news_are_lines_of_a_log() {
        let down = server(ServerState::Down, Some("connection refused"));
        let lost = News::Quorum {
            service: WEB,
            gained: false,
            weight: 1,
            needed: 2,
            sorry: Some(SocketAddr::from(([10, 2, 0, 99], 80))),
        };

        assert_eq!(
            down.to_string(),
            "server 10.2.0.11:80 of mark 3 is down: connection refused"
        );
        assert_eq!(
            server(ServerState::Up, None).to_string(),
            "server 10.2.0.11:80 of mark 3 is up"
        );
        assert_eq!(
            lost.to_string(),
            "mark 3 has lost its quorum: the weights of its servers that are up sum up to 1, and 2 \
             are needed; the sorry server 10.2.0.99:80 serves instead"
        );
        assert!(down.is_bad() && lost.is_bad());
        assert!(!down.is_expected() && server(ServerState::Up, None).is_expected());
    }

    #[test]
    fn a_server_of_which_nothing_is_known_yet_is_no_event() {
        assert_eq!(server(ServerState::Unknown, None).event(), None);
        assert!(server(ServerState::Up, None).event().is_some());
    }
}

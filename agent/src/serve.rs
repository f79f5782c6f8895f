//! Connections, one after the other.
//!
//! An answer is shorter than any socket's buffer, so nobody who does not read can hold up others;
//! the time-outs are for what nobody thought of.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crate::headroom::Headroom;
use crate::note;
use crate::state_file::{Hand, StateFile};

/// How long one who asks may keep others waiting.
const PATIENCE: Duration = Duration::from_secs(1);

/// After a connection that could not be taken, as with no file descriptor left.
const PAUSE: Duration = Duration::from_millis(100);

/// Bytes of a question that are read, and thrown away.
const QUESTION: usize = 1024;

/// Answers.
#[derive(Debug)]
pub(crate) struct Desk {
    headroom: Arc<Headroom>,
    file: Option<StateFile>,
}

/// Listens, and says where.
pub(crate) fn listen(address: SocketAddr) -> Result<TcpListener, String> {
    let listener = TcpListener::bind(address);
    let listener = listener.map_err(|error| format!("cannot listen at {address}: {error}"))?;
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    note(&format!("listening at {address}"));
    Ok(listener)
}

impl Desk {
    /// What it says comes from these.
    pub(crate) fn new(headroom: Arc<Headroom>, file: Option<StateFile>) -> Self {
        Self { headroom, file }
    }

    /// Answers everyone, for ever.
    pub(crate) fn serve(&self, listener: &TcpListener) {
        loop {
            match listener.accept() {
                // Who hangs up before the answer did not want it.
                Ok((connection, _)) => drop(self.answer(connection)),
                Err(error) => {
                    note(&format!("a connection could not be taken: {error}"));
                    thread::sleep(PAUSE);
                }
            }
        }
    }

    fn answer(&self, mut connection: TcpStream) -> io::Result<()> {
        connection.set_write_timeout(Some(PATIENCE))?;
        connection.write_all(format!("{}\n", self.line()).as_bytes())?;
        connection.shutdown(Shutdown::Write)?;
        // Closing with something unread sends a reset, which may overtake the answer. HAProxy may
        // be configured to say something first (`agent-send`).
        connection.set_nonblocking(true)?;
        let _ = connection.read(&mut [0; QUESTION])?;
        Ok(())
    }

    /// The line that is told now.
    pub(crate) fn line(&self) -> String {
        let hand = self.file.as_ref().map(StateFile::hand);
        line(hand.as_ref(), self.headroom.percent())
    }
}

/// The line for what the operator and the load say. What was said of whether the server works, and
/// of whether it may be used, holds until the next word about it: so with a file each line has
/// both. Without one the second is not the agent's own.
fn line(hand: Option<&Hand>, percent: Option<u64>) -> String {
    let percent = percent
        .map(|percent| format!(" {percent}%"))
        .unwrap_or_default();
    match hand {
        None => format!("up{percent}"),
        Some(Hand::Up) => format!("ready up{percent}"),
        Some(Hand::Drain) => "drain up".to_owned(),
        Some(Hand::Maint) => "maint up".to_owned(),
        Some(Hand::Down(why)) if why.is_empty() => "ready down".to_owned(),
        Some(Hand::Down(why)) => format!("ready down #{why}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_the_load_unless_the_operator_takes_the_server_out() {
        let down = |why: &str| Hand::Down(why.to_owned());

        assert_eq!(line(None, Some(75)), "up 75%");
        assert_eq!(line(None, None), "up");
        assert_eq!(line(Some(&Hand::Up), Some(75)), "ready up 75%");
        assert_eq!(line(Some(&Hand::Drain), Some(75)), "drain up");
        assert_eq!(line(Some(&Hand::Maint), Some(75)), "maint up");
        assert_eq!(line(Some(&down("")), None), "ready down");
        assert_eq!(
            line(Some(&down("disk full")), None),
            "ready down #disk full"
        );
    }
}

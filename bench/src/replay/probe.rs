//! One daemon for each method that sends what it forwards to where it can be looked at.
//!
//! The replay's device keeps nothing of what is sent, and a device that did would cost time of
//! its own. So before the first case of a method the same daemon, with the same configuration
//! but for the device, gets the frames of the cases one by one over a TAP, and what comes out is
//! compared byte for byte.
//!
//! ```text
//!   this program ── TAP ── net_af_packet0 ── worker ── net_af_packet0 ── TAP ── this program
//! ```

use std::fs::File;
use std::io::BufWriter;
use std::time::{Duration, Instant};

use tun_rs::{DeviceBuilder, Layer, SyncDevice};

use super::case::{Case, Direction, Method, Protocol, Sizes};
use super::configuration::Configuration;
use super::daemon::Daemon;
use super::failure::Failure;
use super::topology::GATEWAY_MAC;
use super::{Run, configuration, cores, frames, sessions};

/// The TAP's name.
const TAP: &str = "bench-probe";
/// Flows that are tried: one of each of the mixed sizes.
const FLOWS: u32 = 12;
/// How long an answer may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);

/// Sends the frames of all cases of `method` through a daemon.
///
/// # Errors
///
/// [`Failure::Assertion`] with the first frame that is not as it should be.
pub fn probe(run: &Run, method: Method) -> Result<(), Failure> {
    let tap = open_tap(run)?;
    let mut settings = Configuration {
        host: &run.host,
        cores: &[run.cores.measured],
        huge_pages: run.huge_pages,
        method,
        device: format!("net_af_packet0,iface={TAP},framecnt=4096"),
        frames: 1024,
        flows: FLOWS * 2,
        weight: 0,
    };
    let daemon = run.with_pages(configuration::huge_mb(settings.frames), || {
        Daemon::start(run.programs, run.cores, &settings)
    })?;
    for protocol in Protocol::ALL {
        let file = run.host.dir().join("probe.jsonl");
        let out = File::create(&file).map_err(Failure::io("making probe.jsonl"))?;
        let case = case(method, Direction::Request, protocol, Sizes::Small);
        sessions::write(BufWriter::new(out), &case).map_err(Failure::io("writing probe.jsonl"))?;
        daemon.import(&file, case.flows)?;
    }
    settings.weight = 1;
    daemon.apply(&settings)?;
    for protocol in Protocol::ALL {
        for sizes in Sizes::ALL {
            for direction in [Direction::Request, Direction::Reply] {
                if direction == Direction::Request || method.sees_replies() {
                    compare(&tap, &case(method, direction, protocol, sizes))?;
                }
            }
        }
    }
    Ok(())
}

const fn case(method: Method, direction: Direction, protocol: Protocol, sizes: Sizes) -> Case {
    Case {
        method,
        direction,
        protocol,
        flows: FLOWS,
        sizes,
    }
}

fn open_tap(run: &Run) -> Result<SyncDevice, Failure> {
    let mac = GATEWAY_MAC;
    let open = || {
        let tap = DeviceBuilder::new().name(TAP).layer(Layer::L2);
        let tap = tap.mac_addr(mac).build_sync()?;
        tap.set_nonblocking(true)?;
        Ok(tap)
    };
    (run.host.inside(open)).map_err(Failure::io("making the probe's TAP"))
}

/// Sends each flow's frame and waits for what must come out.
fn compare(tap: &SyncDevice, case: &Case) -> Result<(), Failure> {
    let mut buffer = [0; 2048];
    for index in 0..FLOWS {
        let wanted = frames::outgoing(case, case.direction, index);
        let frame = frames::incoming(case, case.direction, index);
        (tap.send(&frame)).map_err(Failure::io("sending on the probe's TAP"))?;
        let start = Instant::now();
        let mut nearest = None;
        loop {
            match tap.recv(&mut buffer) {
                Ok(length) if buffer[..length] == wanted => break,
                Ok(length) if belongs(&buffer[..length], case) => {
                    nearest = Some(buffer[..length].to_vec());
                }
                // Linux's own frames, and none at all.
                Ok(_) | Err(_) => cores::pause(Duration::from_micros(200)),
            }
            if nearest.is_some() || start.elapsed() > ANSWER_LIMIT {
                return Err(Failure::Assertion(difference(
                    case, index, &wanted, nearest,
                )));
            }
        }
    }
    Ok(())
}

/// Whether a frame could be what is waited for: of its protocol, or in a tunnel.
fn belongs(frame: &[u8], case: &Case) -> bool {
    let protocol = match case.method {
        Method::Tun => 4,
        _ => case.protocol.number(),
    };
    frame.get(12..14) == Some(&[0x08, 0x00]) && frame.get(23) == Some(&protocol)
}

/// Says how what came out differs from what was wanted.
fn difference(case: &Case, index: u32, wanted: &[u8], got: Option<Vec<u8>>) -> String {
    let what = format!("the frame of flow {index} ({case})");
    let Some(got) = got else {
        return format!("{what} did not come out");
    };
    let first = wanted
        .iter()
        .zip(&got)
        .position(|(one, other)| one != other);
    let first = first.unwrap_or(wanted.len().min(got.len()));
    format!(
        "{what} differs from byte {first} on: {} bytes {} instead of {} bytes {}",
        got.len(),
        hex(got.get(first..).unwrap_or_default()),
        wanted.len(),
        hex(wanted.get(first..).unwrap_or_default()),
    )
}

/// The first bytes, as people read them.
fn hex(bytes: &[u8]) -> String {
    let shown = bytes.iter().take(16);
    shown.map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_shown_where_it_begins() {
        let nat = case(Method::Nat, Direction::Request, Protocol::Udp, Sizes::Small);

        let differs = difference(&nat, 3, &[1, 2, 3], Some(vec![1, 9]));

        assert_eq!(
            differs,
            "the frame of flow 3 (nat request udp, 12 flows) differs from byte 1 on: \
             2 bytes 09 instead of 3 bytes 0203"
        );
        assert!(difference(&nat, 3, &[1], None).ends_with("did not come out"));
    }

    #[test]
    fn a_tunnelled_frame_is_known_by_its_outer_protocol() {
        let tun = case(Method::Tun, Direction::Request, Protocol::Tcp, Sizes::Small);
        let nat = case(Method::Nat, Direction::Request, Protocol::Tcp, Sizes::Small);

        assert!(belongs(
            &frames::outgoing(&tun, Direction::Request, 0),
            &tun
        ));
        assert!(!belongs(
            &frames::outgoing(&nat, Direction::Request, 0),
            &tun
        ));
        assert!(!belongs(&[0; 60], &nat));
    }
}

//! How many connections a port has.
//!
//! Read from `/proc/net/tcp` and `tcp6`, whose text the kernel writes anew for each reader: 3 ms of
//! the CPU and 3 ms more for each thousand sockets, measured on a 2.5 GHz Xeon with 18,000 of them.
//! So [`Headroom`](crate::headroom::Headroom) counts seldom where there are many.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

/// `TCP_ESTABLISHED` (include/net/tcp_states.h).
const ESTABLISHED: &str = "01";

/// Bytes that are read at once.
const PIECE: usize = 64 << 10;

/// Established connections of this local port, of both families.
pub(crate) fn established(proc: &Path, port: u16) -> io::Result<u64> {
    let mut sum = 0;
    for name in ["net/tcp", "net/tcp6"] {
        match File::open(proc.join(name)) {
            Ok(table) => sum += count(BufReader::with_capacity(PIECE, table), port)?,
            // A kernel without IPv6 has no table of it.
            Err(error) if error.kind() == io::ErrorKind::NotFound && name.ends_with('6') => {}
            Err(error) => return Err(error),
        }
    }
    Ok(sum)
}

/// Lines of a table that are established connections of this port.
fn count(mut table: impl BufRead, port: u16) -> io::Result<u64> {
    let mut sum = 0;
    let mut line = String::with_capacity(256);
    while table.read_line(&mut line)? > 0 {
        sum += u64::from(is_established(&line, port));
        line.clear();
    }
    Ok(sum)
}

/// Whether a line is one of them (proc_pid_net(5)), with numbers in hexadecimal digits:
///
/// ```text
///   sl  local_address rem_address   st tx_queue rx_queue tr tm->when ...
///    0: 0100007F:0016 0100007F:C350 01 00000000:00000000 ...
/// ```
fn is_established(line: &str, port: u16) -> bool {
    let mut words = line.split_ascii_whitespace().skip(1);
    let (Some(local), Some(_), Some(state)) = (words.next(), words.next(), words.next()) else {
        return false;
    };
    let local_port = local
        .rsplit_once(':')
        .map(|(_, port)| u16::from_str_radix(port, 16));
    state == ESTABLISHED && local_port == Some(Ok(port))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1
   1: 0100007F:0050 0100007F:C350 01 00000000:00000000 00:00000000 00000000     0        0 2 1
   2: 0100007F:0050 0100007F:C351 06 00000000:00000000 03:00001770 00000000     0        0 0 3
   3: 0100007F:C350 0100007F:0050 01 00000000:00000000 00:00000000 00000000     0        0 3 1
   4: 0200007F:0050 0100007F:C352 01 00000000:00000000 00:00000000 00000000     0        0 4 1
";

    #[test]
    fn established_connections_of_the_local_port_count() {
        // Not the listener, the one in TIME_WAIT, and the other end's view of one.
        assert_eq!(count(TABLE.as_bytes(), 80).unwrap(), 2);
        assert_eq!(count(TABLE.as_bytes(), 0xc350).unwrap(), 1);
        assert_eq!(count(TABLE.as_bytes(), 443).unwrap(), 0);
    }

    #[test]
    fn lines_of_ipv6_count_too() {
        let line = "   0: 00000000000000000000000001000000:01BB \
                    00000000000000000000000001000000:C350 01 00000000:00000000\n";

        assert!(is_established(line, 443));
        assert!(!is_established(line, 444));
    }

    #[test]
    fn a_line_of_another_kind_does_not_count() {
        for line in ["", "0:", "0: x y 01", "0: :zz a:b 01"] {
            assert!(!is_established(line, 80), "{line}");
        }
    }
}

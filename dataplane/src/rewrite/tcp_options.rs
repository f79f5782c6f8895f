//! Changes to TCP options in place: nothing moves, so lengths and offsets stay.

use arrayvec::ArrayVec;

use crate::drop_reason::DropReason;
use crate::wire::tcp::{TcpMut, kind};

/// Bytes a TCP header has for options (RFC 9293 §3.1).
const OPTIONS_LEN: usize = 40;

/// Bytes of a timestamps option (RFC 7323 §3.2).
const TIMESTAMPS_LEN: usize = 10;

/// Bytes of one edge of a SACK block (RFC 2018 §3).
const EDGE_LEN: usize = 4;

/// Overwrites timestamps with padding, so that the connection does without them.
///
/// # Errors
///
/// [`DropReason::BadTcpOptions`] when the data offset points outside the segment.
pub(super) fn strip_timestamps(tcp: &mut TcpMut<'_>) -> Result<(), DropReason> {
    let options = tcp.view().options().ok_or(DropReason::BadTcpOptions)?;
    let places: ArrayVec<usize, { OPTIONS_LEN / TIMESTAMPS_LEN }> = options
        .filter(|option| option.kind == kind::TIMESTAMPS && option.data.len() == TIMESTAMPS_LEN - 2)
        .map(|option| option.offset)
        .collect();
    for offset in places {
        tcp.set_option_bytes(offset, [kind::NOP; TIMESTAMPS_LEN]);
    }
    Ok(())
}

/// Takes `delta` off every edge of every SACK block.
///
/// # Errors
///
/// [`DropReason::BadTcpOptions`] when the data offset points outside the segment.
pub(super) fn lower_sack_edges(tcp: &mut TcpMut<'_>, delta: u32) -> Result<(), DropReason> {
    let options = tcp.view().options().ok_or(DropReason::BadTcpOptions)?;
    let edges: ArrayVec<(usize, [u8; EDGE_LEN]), { OPTIONS_LEN / EDGE_LEN }> = options
        // A receiver ignores the option unless its blocks are whole.
        .filter(|option| option.kind == kind::SACK && option.data.len() % (2 * EDGE_LEN) == 0)
        .flat_map(|option| {
            let places = (option.offset + 2..).step_by(EDGE_LEN);
            places.zip(option.data.chunks_exact(EDGE_LEN))
        })
        .filter_map(|(place, edge)| Some((place, *edge.first_chunk()?)))
        .collect();
    for (place, edge) in edges {
        let lower = u32::from_be_bytes(edge).wrapping_sub(delta);
        tcp.set_option_bytes(place, lower.to_be_bytes());
    }
    Ok(())
}

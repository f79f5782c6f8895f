//! How much more two workers do than one of the same gateway.
//!
//! ```text
//!   round:  worker 0 alone │ both      and the same with the pipeline replaced by pass-through,
//!                                      which says what the machine itself gives
//! ```

use std::time::Duration;

use super::case::{Case, CaseError, Load};
use super::io::FreeBuffers;
use super::pair::{Pair, side_by_side};
use super::rig::{BUFFERS, Rig};
use crate::scaling::{Rate, Round, Scaling, Stretch};

/// How long a window is.
pub(super) const WINDOW: Duration = Duration::from_millis(300);

/// Measures the case in windows of this length.
///
/// # Errors
///
/// What was not as it has to be; there is no figure then.
pub(super) fn measure(case: &Case, length: Duration) -> Result<Scaling, CaseError> {
    let buffers = [BUFFERS; 2].map(FreeBuffers::new);
    let mut pair = Pair::new(case, [&buffers[0], &buffers[1]])?;
    pair.supply(case, 0, 0);
    pair.supply(case, 1, 1);
    let before = pair.counts();
    let mut rounds = Vec::new();
    for _ in 0..case.windows {
        let pass_through = [1, 2].map(|workers| {
            let rigs = pair.rigs.iter_mut().take(workers);
            side_by_side(rigs, length, |_| (), Rig::pass_through)
        });
        let gateway = [1, 2].map(|workers| work(&mut pair, case, workers, length));
        let [alone, both] = gateway;
        let [alone_without, both_without] = pass_through;
        rounds.push(Round {
            gateway: [Rate::of(&alone?), Rate::of(&both?)],
            pass_through: Some([Rate::of(&alone_without?), Rate::of(&both_without?)]),
        });
    }
    pair.counts().check(&before, case)?;
    Ok(Scaling::new(rounds))
}

/// One window of the gateway with so many of its workers at work.
fn work(
    pair: &mut Pair,
    case: &Case,
    workers: usize,
    length: Duration,
) -> Result<Vec<Stretch>, CaseError> {
    let is_new = case.load == Load::New;
    if workers == 1 && is_new {
        // Sessions that nobody ends would count as the servers' load.
        pair.pause(1, true);
        let idle = &mut pair.rigs[1];
        while idle.gateway.counters.sessions.get() > 0 {
            idle.turn();
        }
        pair.pause(1, false);
    }
    let prepare = |rig: &mut Rig| {
        if is_new {
            rig.let_as_many_end_as_begin();
        }
    };
    let rigs = pair.rigs.iter_mut().take(workers);
    side_by_side(rigs, length, prepare, |rig, _| rig.turn())
}

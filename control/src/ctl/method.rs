//! A forwarding method as a word of the command line.

use clap::ValueEnum;
use dataplane::service::Method;

/// The word; the [`Method`] it names is what commands work with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum MethodWord {
    /// With the server's MAC.
    Dr,
    /// In another packet, IP in IP.
    Tun,
    /// With the server's address; answers pass the gateway.
    Nat,
    /// From an address of the gateway's.
    Fullnat,
}

impl From<MethodWord> for Method {
    fn from(word: MethodWord) -> Self {
        match word {
            MethodWord::Dr => Self::Dr,
            MethodWord::Tun => Self::Tun,
            MethodWord::Nat => Self::Nat,
            MethodWord::Fullnat => Self::Fullnat,
        }
    }
}

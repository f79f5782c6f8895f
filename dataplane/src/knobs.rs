//! What the kernel's IPVS has below `net.ipv4.vs`, under the names it has there.

/// What is the same for all services.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Knobs {
    /// Whether sessions of a server that was removed end at once.
    pub expire_nodest_conn: bool,
    /// Whether clients of a server with weight 0 get another one for their new sessions.
    pub expire_quiescent_template: bool,
}

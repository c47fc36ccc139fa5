//! What the relay tells its owner.

use std::time::Duration;

use libp2p_identity::PeerId;

use crate::{Bytes, CircuitId, Refusal};

/// What happened, for logs.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A peer can be reached through us.
    Reserved {
        /// Who.
        peer: PeerId,
        /// It had a reservation already.
        renewed: bool,
    },
    /// A peer can no longer be reached through us.
    ReservationEnded {
        /// Who.
        peer: PeerId,
        /// Why.
        why: ReservationEnd,
    },
    /// A request was refused.
    Refused {
        /// Whose.
        peer: PeerId,
        /// The destination, if a circuit was wanted.
        destination: Option<PeerId>,
        /// Why.
        why: Refusal,
    },
    /// Two peers talk through us.
    CircuitOpened {
        /// Which.
        circuit: CircuitId,
        /// Who opened it.
        source: PeerId,
        /// Who is reached.
        destination: PeerId,
    },
    /// They no longer do.
    CircuitClosed {
        /// Which.
        circuit: CircuitId,
        /// Who opened it.
        source: PeerId,
        /// Who was reached.
        destination: PeerId,
        /// What went through.
        bytes: Bytes,
        /// How long it was open.
        time: Duration,
        /// Why it ended.
        why: CircuitEnd,
    },
}

/// Why a reservation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReservationEnd {
    /// It was not renewed.
    Expired,
    /// The peer's last connection is gone.
    Disconnected,
    /// The service was switched off.
    Off,
}

/// Why a circuit ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CircuitEnd {
    /// Both sides were done.
    #[error("both sides were done")]
    Done,
    /// It was open for as long as it may be.
    #[error("it was open for as long as it may be")]
    TimeLimit,
    /// As much went one way as may go.
    #[error("as much went through as may")]
    ByteLimit,
    /// Nothing went through for long.
    #[error("nothing went through")]
    Idle,
    /// One side's stream or connection broke.
    #[error("a side broke off")]
    Broken,
    /// The source did not take our answer.
    #[error("the source did not take the answer")]
    SourceGone,
}

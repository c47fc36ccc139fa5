//! What the relay grants: how many, how long, how much, how often.

use std::{num::NonZeroU64, time::Duration};

/// How the relay behaves. [`Config::default`] suits a machine with 4 GiB and two cores.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Config {
    /// Who may hold how much.
    pub limits: Limits,
    /// Bytes per second over all circuits and both directions; `None`, the default, lets them run.
    pub bytes_per_second: Option<NonZeroU64>,
    /// Whether reservations carry a signed voucher. Off by default: nobody asks for them, and each
    /// costs a signature.
    pub vouchers: bool,
}

/// Every number that bounds what strangers can take.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// Reservations in all (900). One peer has at most one.
    pub reservations: usize,
    /// Of these, places for peers that had a reservation lately (90). Strangers never get them.
    pub reservations_kept: usize,
    /// How long ago "lately" is (24 h).
    pub known_for: Duration,
    /// Peers remembered as known (4096); the one seen longest ago is forgotten first.
    pub known: usize,
    /// Reservations of one IPv4 address or one IPv6 /64 (8).
    pub reservations_per_address: usize,
    /// Reservations of one IPv6 /48 (64).
    pub reservations_per_site: usize,
    /// How long a reservation lasts (1 h). Clients renew it before.
    pub reservation_time: Duration,

    /// Circuits in all (512), those under way included.
    pub circuits: usize,
    /// Circuits that one peer has opened (8).
    pub circuits_per_source: usize,
    /// Circuits that lead to one peer (8).
    pub circuits_per_destination: usize,
    /// Circuits opened from one IPv4 address or one IPv6 /64 (16).
    pub circuits_per_address: usize,
    /// Circuits opened from one IPv6 /48 (64).
    pub circuits_per_site: usize,
    /// How long a circuit lasts, and how much goes through it.
    pub circuit: CircuitLimit,
    /// A circuit through which nothing went for this long is closed (10 min; it may take up to twice
    /// as long). Multiplexers' and protocols' keepalives count as traffic.
    pub circuit_idle: Duration,

    /// RESERVE of one peer.
    pub reserve_rate: Rate,
    /// RESERVE from one IPv4 address or one IPv6 /64.
    pub reserve_rate_per_address: Rate,
    /// CONNECT of one peer.
    pub connect_rate: Rate,
    /// CONNECT from one IPv4 address or one IPv6 /64.
    pub connect_rate_per_address: Rate,
    /// Peers, and as many addresses, whose rates are remembered (8192). Those that come when it is
    /// full share one rate.
    pub rates: usize,

    /// Time for a peer to send its request, for the destination to agree, and for a reply to be
    /// taken, each (15 s).
    pub handshake: Duration,
    /// Requests under way on one connection (8); a stream more is reset.
    pub requests_per_connection: usize,
    /// Peers that accounts are kept of (2048).
    pub accounts: usize,
}

impl Default for Limits {
    fn default() -> Self {
        const HOUR: Duration = Duration::from_secs(60 * 60);
        let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
        Self {
            reservations: 900,
            reservations_kept: 90,
            known_for: 24 * HOUR,
            known: 4096,
            reservations_per_address: 8,
            reservations_per_site: 64,
            reservation_time: HOUR,
            circuits: 512,
            circuits_per_source: 8,
            circuits_per_destination: 8,
            circuits_per_address: 16,
            circuits_per_site: 64,
            circuit: CircuitLimit::default(),
            circuit_idle: minutes(10),
            reserve_rate: Rate { burst: 30, every: minutes(2) },
            reserve_rate_per_address: Rate { burst: 60, every: minutes(1) },
            connect_rate: Rate { burst: 30, every: Duration::from_secs(30) },
            connect_rate_per_address: Rate { burst: 60, every: Duration::from_secs(10) },
            rates: 8192,
            handshake: Duration::from_secs(15),
            requests_per_connection: 8,
            accounts: 2048,
        }
    }
}

/// How long a circuit lasts and how much goes through it; both ends are told.
///
/// By default two hours and 32 MiB each way. That carries a light client's session until it finds a
/// direct way or opens the next circuit: it follows a chain for two hours (600 headers, under 1 MiB),
/// catches up a section of 32,768 headers (17 MiB) and asks some thousand proofs of 4 KiB. And it
/// stays cheap: 512 circuits that use up both directions are 9 MB/s in the mean over two hours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CircuitLimit {
    /// From the moment both ends agreed; told in whole seconds. `None`: no limit.
    pub time: Option<Duration>,
    /// Bytes in each direction. `None`: no limit.
    pub bytes: Option<u64>,
}

impl CircuitLimit {
    /// No limit at all, as between machines of one owner.
    pub const NONE: Self = Self { time: None, bytes: None };
}

impl Default for CircuitLimit {
    fn default() -> Self {
        Self { time: Some(Duration::from_secs(2 * 60 * 60)), bytes: Some(32 << 20) }
    }
}

/// So many at once, and one more after each such time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many at once.
    pub burst: u32,
    /// Time until one more is let.
    pub every: Duration,
}

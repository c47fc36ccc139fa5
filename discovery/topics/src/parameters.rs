//! The numbers of the draft, and those that it leaves open.

use std::time::Duration;

/// Registrations that an advertiser keeps in each bucket (`K_register`).
pub const REGISTRATIONS_PER_BUCKET: usize = 5;

/// Registrars that a lookup asks in each bucket (`K_lookup`).
pub const QUERIES_PER_BUCKET: usize = 5;

/// Advertisements that a registrar returns to one query (`F_return`).
pub const MAX_RETURNED: usize = 10;

/// Advertisers with which a lookup is content (`F_lookup`).
pub const WANTED_ADVERTISERS: usize = 30;

/// How long an advertisement lives (`E`).
pub const LIFETIME: Duration = Duration::from_secs(15 * 60);

/// Advertisements that a registrar holds (`C`).
pub const CAPACITY: usize = 1000;

/// How steeply waiting grows as the table fills (`P_occ`).
pub const OCCUPANCY_EXPONENT: i32 = 10;

/// What keeps the first in an empty table waiting a moment (`G`).
pub const SAFETY: f64 = 1e-7;

/// How long after its wait a ticket may be used (`δ`, which the draft leaves open): the registration window of
/// discv5's first topics.
pub const REGISTRATION_WINDOW: Duration = Duration::from_secs(10);

/// The longest waiting time that is ever computed: more than a table that is nearly full needs to stay so, and
/// small enough to be reckoned with.
pub const LONGEST_WAIT: Duration = Duration::from_secs(24 * 60 * 60);

/// What a registrar goes by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Parameters {
    /// How long an advertisement lives.
    pub lifetime: Duration,
    /// Advertisements at once; each costs up to about a kilobyte.
    pub capacity: usize,
    /// How long after its wait a ticket may be used.
    pub window: Duration,
    /// How steeply waiting grows as the table fills.
    pub occupancy_exponent: i32,
    /// What keeps the first in an empty table waiting a moment.
    pub safety: f64,
}

impl Default for Parameters {
    fn default() -> Self {
        Self {
            lifetime: LIFETIME,
            capacity: CAPACITY,
            window: REGISTRATION_WINDOW,
            occupancy_exponent: OCCUPANCY_EXPONENT,
            safety: SAFETY,
        }
    }
}

impl Parameters {
    /// The same within what the rules need: a lifetime of a second to a day, and a window shorter than it, so
    /// that no ticket outlives the advertisement that it brought in.
    pub(crate) fn bounded(self) -> Self {
        let lifetime = self.lifetime.clamp(Duration::from_secs(1), LONGEST_WAIT);
        Self { lifetime, capacity: self.capacity.max(1), window: self.window.min(lifetime / 2), ..self }
    }
}

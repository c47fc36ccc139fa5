//! Tickets: what a registrar would have to remember of those who wait, kept by them and sealed by it.

use std::{fmt, net::IpAddr, time::Duration};

use alloy_primitives::{B256, keccak256};

use crate::topic::Topic;

/// Bytes of our tickets.
pub const TICKET_LENGTH: usize = 3 * 8 + SEAL_LENGTH;

const SEAL_LENGTH: usize = 16;

/// Sets the seals of tickets apart from whatever else is derived from the same secret.
const DOMAIN: &[u8] = b"causeway topic ticket 1";

/// What a registrar seals its tickets with; a new one at each start makes older tickets worthless.
#[derive(Clone)]
pub struct Secret([u8; 32]);

impl Secret {
    /// A secret of 32 random bytes.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Another one, for another purpose.
    pub(crate) fn derive(&self, purpose: &[u8]) -> B256 {
        keccak256([&self.0[..], purpose].concat())
    }
}

/// It stays unsaid.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// What a ticket is good for, and nothing else.
#[derive(Clone, Copy, Debug)]
pub struct Purpose<'a> {
    /// What is advertised.
    pub topic: Topic,
    /// Who advertises it.
    pub node: B256,
    /// Where from.
    pub ip: IpAddr,
    /// The advertiser's record as it stands in the request.
    pub record: &'a [u8],
}

/// What a ticket says. Times are since the registrar's start and in milliseconds, as tickets are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// When the advertiser first asked (`t_init`).
    pub first: u64,
    /// When this ticket was made (`t_mod`).
    pub issued: u64,
    /// How long it was told to wait (`t_wait`).
    pub wait: u64,
}

/// Why a ticket is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TicketError {
    /// Not made by us, or altered, or made for another advertisement or advertiser.
    #[error("the ticket is not one that we made for this advertisement")]
    NotOurs,
    /// Used before its wait was over.
    #[error("the ticket is used {by:?} too early")]
    Early {
        /// By how much.
        by: Duration,
    },
    /// Used after its window closed.
    #[error("the ticket is used {by:?} too late")]
    Late {
        /// By how much.
        by: Duration,
    },
}

impl Ticket {
    /// The bytes that go to the advertiser.
    ///
    /// ```text
    /// first (8) ‖ issued (8) ‖ wait (8) ‖ seal (16)
    /// seal = keccak256(secret ‖ domain ‖ topic ‖ node ‖ ip (16) ‖ keccak256(record) ‖ first ‖ issued ‖ wait)
    /// ```
    ///
    /// All that is sealed has a fixed length, and keccak needs no HMAC around it.
    pub fn seal(self, secret: &Secret, purpose: Purpose<'_>) -> [u8; TICKET_LENGTH] {
        let mut bytes = [0; TICKET_LENGTH];
        let parts = self.times().into_iter().chain(self.authentication(secret, purpose));
        bytes.iter_mut().zip(parts).for_each(|(byte, part)| *byte = part);
        bytes
    }

    /// Reads a ticket that must have been made for `purpose`, and checks that `now` is within its window: after
    /// its wait, and at most `window` later.
    ///
    /// # Errors
    /// [`TicketError`]
    pub fn open(
        bytes: &[u8],
        secret: &Secret,
        purpose: Purpose<'_>,
        window: Duration,
        now: u64,
    ) -> Result<Self, TicketError> {
        let (times, seal) = bytes.split_first_chunk::<24>().ok_or(TicketError::NotOurs)?;
        let mut numbers =
            times.chunks_exact(8).map(|chunk| chunk.iter().fold(0, |n, b| n << 8 | u64::from(*b)));
        let mut number = || numbers.next().unwrap_or_default();
        let ticket = Self { first: number(), issued: number(), wait: number() };
        let seal: [u8; SEAL_LENGTH] = seal.try_into().map_err(|_| TicketError::NotOurs)?;
        if !same(seal, ticket.authentication(secret, purpose)) {
            return Err(TicketError::NotOurs);
        }
        let opens = ticket.issued.saturating_add(ticket.wait);
        let closes = opens.saturating_add(u64::try_from(window.as_millis()).unwrap_or(u64::MAX));
        if now < opens {
            return Err(TicketError::Early { by: Duration::from_millis(opens - now) });
        }
        if now > closes {
            return Err(TicketError::Late { by: Duration::from_millis(now - closes) });
        }
        Ok(ticket)
    }

    fn times(self) -> [u8; 24] {
        let Self { first, issued, wait } = self;
        let mut bytes = [0; 24];
        let parts = [first, issued, wait].into_iter().flat_map(u64::to_be_bytes);
        bytes.iter_mut().zip(parts).for_each(|(byte, part)| *byte = part);
        bytes
    }

    fn authentication(self, secret: &Secret, purpose: Purpose<'_>) -> [u8; SEAL_LENGTH] {
        let Purpose { topic, node, ip, record } = purpose;
        let ip = match ip {
            IpAddr::V4(ip) => ip.to_ipv6_mapped(),
            IpAddr::V6(ip) => ip,
        };
        let hash = keccak256(
            [
                &secret.0[..],
                DOMAIN,
                topic.0.as_slice(),
                node.as_slice(),
                &ip.octets(),
                keccak256(record).as_slice(),
                &self.times(),
            ]
            .concat(),
        );
        let mut seal = [0; SEAL_LENGTH];
        seal.iter_mut().zip(hash).for_each(|(byte, part)| *byte = part);
        seal
    }
}

/// Compares without telling by its duration how much is right.
fn same(left: [u8; SEAL_LENGTH], right: [u8; SEAL_LENGTH]) -> bool {
    u128::from_be_bytes(left) ^ u128::from_be_bytes(right) == 0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECRET: Secret = Secret::new([5; 32]);
    const WINDOW: Duration = Duration::from_secs(10);
    const TICKET: Ticket = Ticket { first: 1_000, issued: 61_000, wait: 30_000 };

    fn purpose() -> Purpose<'static> {
        let ip = IpAddr::from([1, 2, 3, 4]);
        Purpose { topic: Topic::of("les"), node: B256::repeat_byte(2), ip, record: b"record" }
    }

    fn open(bytes: &[u8], purpose: Purpose<'_>, now: u64) -> Result<Ticket, TicketError> {
        Ticket::open(bytes, &SECRET, purpose, WINDOW, now)
    }

    #[test]
    fn a_ticket_is_good_within_its_window() {
        let bytes = TICKET.seal(&SECRET, purpose());

        let late = |by| Err(TicketError::Late { by: Duration::from_millis(by) });
        assert_eq!(open(&bytes, purpose(), 90_999), Err(TicketError::Early { by: Duration::from_millis(1) }));
        assert_eq!(open(&bytes, purpose(), 91_000), Ok(TICKET));
        assert_eq!(open(&bytes, purpose(), 101_000), Ok(TICKET));
        assert_eq!(open(&bytes, purpose(), 101_001), late(1));
        assert_eq!(open(&bytes, purpose(), 161_000), late(60_000));
    }

    #[test]
    fn a_ticket_is_good_for_one_advertisement_only() {
        let bytes = TICKET.seal(&SECRET, purpose());

        let others = [
            Purpose { topic: Topic::of("waku"), ..purpose() },
            Purpose { node: B256::repeat_byte(3), ..purpose() },
            Purpose { ip: IpAddr::from([1, 2, 3, 5]), ..purpose() },
            Purpose { record: b"recorD", ..purpose() },
        ];
        for other in others {
            assert_eq!(open(&bytes, other, 95_000), Err(TicketError::NotOurs), "{other:?}");
        }
        let theirs = TICKET.seal(&Secret::new([6; 32]), purpose());
        assert_eq!(open(&theirs, purpose(), 95_000), Err(TicketError::NotOurs));
    }

    #[test]
    fn no_bit_of_a_ticket_can_be_altered() {
        let bytes = TICKET.seal(&SECRET, purpose());

        for bit in 0..TICKET_LENGTH * 8 {
            let mut altered = bytes;
            altered[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(open(&altered, purpose(), 95_000), Err(TicketError::NotOurs), "bit {bit}");
        }
        for length in (0..TICKET_LENGTH).chain([TICKET_LENGTH + 1]) {
            let mut other = bytes.to_vec();
            other.resize(length, 0);
            assert_eq!(open(&other, purpose(), 95_000), Err(TicketError::NotOurs), "{length} bytes");
        }
    }

    #[test]
    fn a_secret_is_not_printed() {
        assert_eq!(format!("{SECRET:?}"), "Secret(..)");
    }

    proptest! {
        #[test]
        fn any_bytes_are_no_ticket(bytes in prop::collection::vec(any::<u8>(), 0..300), now in any::<u64>()) {
            prop_assert_eq!(open(&bytes, purpose(), now), Err(TicketError::NotOurs));
        }

        #[test]
        fn any_times_are_carried(first in any::<u64>(), issued in any::<u64>(), wait in any::<u64>()) {
            let ticket = Ticket { first, issued, wait };
            let bytes = ticket.seal(&SECRET, purpose());

            let opens = issued.saturating_add(wait);
            prop_assert_eq!(open(&bytes, purpose(), opens), Ok(ticket));
        }
    }
}

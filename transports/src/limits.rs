//! Every bound of this room: how much, how many, how long, and what each protects.

use std::time::Duration;

use causeway_host::{HostLimits, ItemLimits};
use causeway_wire::{
    Capability,
    les::{Version, code, limit},
};

/// Bounds of sessions, connections and messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Messages of one session that are worked on at once. The next stay unread in its socket.
    pub window: usize,
    /// Messages that wait to be written to one peer. More means that it does not read.
    pub outbox_messages: usize,
    /// Bytes that wait to be written to one peer: what a dead reader pins, plus one message being sealed.
    /// Holds at least one answer of the largest size.
    pub outbox_bytes: usize,
    /// New sessions that wait for the owner of the transports. When they are this many, an RLPx peer waits
    /// [`Limits::intake`] and is then told "too many peers"; libp2p streams stay in the host, which drops
    /// those beyond its own limit.
    pub incoming: usize,
    /// How long a new RLPx peer waits for a place among [`Limits::incoming`].
    pub intake: Duration,
    /// RLPx sessions that others opened; the next is told "too many peers". Each may pin
    /// [`Limits::outbox_bytes`] and a window of messages.
    pub devp2p_inbound: usize,
    /// RLPx handshakes of others under way; further connections wait in the kernel's queue (geth: 50).
    pub pending_handshakes: usize,
    /// RLPx connections from one IPv4 address, or one IPv6 /64, pending ones included. Loopback is exempt.
    pub devp2p_per_ip: usize,
    /// RLPx connections from one IPv4 /24, pending ones included. Loopback is exempt.
    pub devp2p_per_ipv4_24: usize,
    /// RLPx connections from one IPv6 /56, pending ones included. Loopback is exempt.
    pub devp2p_per_ipv6_56: usize,
    /// New RLPx connections a second from one IPv4 address or IPv6 /64; four times as many at once. Loopback is
    /// exempt.
    pub handshakes_per_ip: u32,
    /// TCP connection and RLPx handshake of a dial together (geth: 15 s).
    pub dial: Duration,
    /// A session that was opened by the peer shows its first message within this time, or ends. LES requires
    /// its Status then.
    pub first_message: Duration,
    /// Without a byte taken by the peer while there is something to write, the session is over. A peer that
    /// takes less than [`Limits::slowest_reader`] runs out of it too.
    pub write: Duration,
    /// Bytes a second below which a peer counts as not reading.
    pub slowest_reader: u32,
    /// How long the end of a session may take: to write what is due and the reason, and to see the peer's end.
    pub farewell: Duration,
    /// Largest messages.
    pub messages: MessageLimits,
    /// Limits of libp2p connections and streams.
    pub libp2p: HostLimits,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            window: 16,
            outbox_messages: 256,
            outbox_bytes: 16 * 1024 * 1024,
            incoming: 64,
            intake: Duration::from_secs(5),
            devp2p_inbound: 100,
            pending_handshakes: 50,
            devp2p_per_ip: 16,
            devp2p_per_ipv4_24: 32,
            devp2p_per_ipv6_56: 32,
            handshakes_per_ip: 5,
            dial: Duration::from_secs(15),
            first_message: Duration::from_secs(5),
            write: Duration::from_secs(20),
            slowest_reader: 4 * 1024,
            farewell: Duration::from_secs(1),
            messages: MessageLimits::default(),
            libp2p: HostLimits::default(),
        }
    }
}

/// Largest payloads, checked against the announced length before anything is kept of a message.
///
/// Sessions that others opened are with light peers, whose requests are small; sessions that we opened are
/// with servers, whose answers are not. A server that dials us gets the limits of a light peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageLimits {
    /// Of sessions that others opened, for codes without a row.
    pub inbound: usize,
    /// Of sessions that others opened, for single codes.
    pub rows: Vec<MessageLimit>,
    /// Of sessions that we opened.
    pub dialed: usize,
}

/// The largest payload of one message code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageLimit {
    /// Whose code.
    pub capability: Capability,
    /// The code, local to the capability.
    pub code: u64,
    /// Bytes of payload.
    pub bytes: usize,
}

/// Those of design section 2: requests 128 KiB, SendTxV2 1 MiB, answers 10 MiB.
impl Default for MessageLimits {
    fn default() -> Self {
        let row = |version: Version| MessageLimit {
            capability: version.capability(),
            code: code::SEND_TX_V2,
            bytes: limit::SEND_BYTES,
        };
        Self {
            inbound: limit::REQUEST_BYTES,
            rows: Version::ALL.map(row).to_vec(),
            dialed: limit::ANSWER_BYTES,
        }
    }
}

impl MessageLimits {
    /// For RLPx connections that others opened. Rows of one name count for all its versions: there is one
    /// connection before there is a version.
    pub(crate) fn rlpx_inbound(&self) -> causeway_rlpx::MessageLimits {
        let mut by_code: Vec<(&'static str, u64, usize)> = Vec::new();
        for row in &self.rows {
            // A name that is not known at compile time cannot be agreed on either: its length is unknown.
            let std::borrow::Cow::Borrowed(name) = row.capability.name else { continue };
            match by_code.iter_mut().find(|(known, code, _)| *known == name && *code == row.code) {
                Some((.., bytes)) => *bytes = (*bytes).max(row.bytes),
                None => by_code.push((name, row.code, row.bytes)),
            }
        }
        causeway_rlpx::MessageLimits { default: self.inbound, by_code }
    }

    /// For RLPx connections that we open.
    pub(crate) fn rlpx_dialed(&self) -> causeway_rlpx::MessageLimits {
        causeway_rlpx::MessageLimits { default: self.dialed, by_code: Vec::new() }
    }

    /// For a stream of `capability` that a peer opened.
    pub(crate) fn stream_inbound(&self, capability: &Capability) -> ItemLimits {
        let rows = self.rows.iter().filter(|row| row.capability == *capability);
        ItemLimits { default: self.inbound, by_code: rows.map(|row| (row.code, row.bytes)).collect() }
    }

    /// For a stream that we opened.
    pub(crate) fn stream_dialed(&self) -> ItemLimits {
        ItemLimits::all(self.dialed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_server_that_we_dialed_may_send_large_messages() {
        let limits = MessageLimits::default();
        let les4 = Version::Les4.capability();

        let inbound = limits.rlpx_inbound();
        assert_eq!(inbound.of("les", code::GET_PROOFS_V2), 128 * 1024);
        assert_eq!(inbound.of("les", code::SEND_TX_V2), 1024 * 1024);
        assert_eq!(inbound.by_code.len(), 1);
        assert_eq!(limits.stream_inbound(&les4).of(code::SEND_TX_V2), 1024 * 1024);
        assert_eq!(limits.stream_inbound(&les4).of(code::STATUS), 128 * 1024);
        assert_eq!(limits.rlpx_dialed().of("les", code::PROOFS_V2), 10 * 1024 * 1024);
        assert_eq!(limits.stream_dialed().of(code::PROOFS_V2), 10 * 1024 * 1024);
    }

    #[test]
    fn an_outbox_holds_the_largest_answer() {
        let limits = Limits::default();

        assert!(limits.outbox_bytes > limits.messages.dialed);
    }
}

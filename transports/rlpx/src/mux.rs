//! Which capability a message code belongs to, and how large its messages may be.

use causeway_wire::{BASE_LENGTH, SharedCapability};

use crate::{Fault, MessageLimits, SendError, frame, hello, snappy};

/// The code space of one connection.
pub(crate) struct Mux {
    shared: Vec<SharedCapability>,
    limits: MessageLimits,
}

impl Mux {
    pub(crate) fn new(shared: Vec<SharedCapability>, limits: MessageLimits) -> Self {
        Self { shared, limits }
    }

    /// The capability that owns `code`, which is not one of the base protocol, and its local code.
    pub(crate) fn locate(&self, code: u64) -> Result<(&SharedCapability, u64), Fault> {
        self.shared
            .iter()
            .find_map(|shared| {
                let local = code.checked_sub(shared.offset)?;
                (local < shared.length).then_some((shared, local))
            })
            .ok_or_else(|| Fault::UnknownCode { code, end: self.end() })
    }

    /// The code on the wire of a message that we send.
    pub(crate) fn wire_code(&self, shared: &SharedCapability, local: u64) -> Result<u64, SendError> {
        let ours = self.shared.iter().find(|ours| *ours == shared).ok_or(SendError::UnknownCapability)?;
        if local >= ours.length {
            return Err(SendError::UnknownCode { code: local, length: ours.length });
        }
        Ok(ours.offset + local)
    }

    /// Most bytes of a message's payload.
    pub(crate) fn limit(&self, shared: &SharedCapability, local: u64) -> usize {
        self.limits.of(&shared.capability.name, local)
    }

    /// The largest frame that any allowed message can need.
    pub(crate) fn frame_limit(&self) -> usize {
        let shared = |name: &str| self.shared.iter().any(|shared| shared.capability.name == name);
        let by_code = self.limits.by_code.iter().filter(|(name, ..)| shared(name)).map(|(.., limit)| *limit);
        let largest = by_code.fold(self.limits.default.max(hello::LIMIT), usize::max);
        snappy::packed_limit(largest).saturating_add(frame::CODE).min(frame::MAX_SIZE)
    }

    fn end(&self) -> u64 {
        self.shared.last().map_or(BASE_LENGTH, |last| last.offset + last.length)
    }
}

#[cfg(test)]
mod tests {
    use causeway_wire::{Capability, agree};

    use super::*;

    fn mux(limits: MessageLimits) -> Mux {
        let ours = [
            Capability::new("snap", 1),
            Capability::new("les", 4),
            Capability::new("eth", 68),
            Capability::new("les", 2),
        ];
        Mux::new(agree(&ours, &ours), limits)
    }

    #[test]
    fn codes_lie_as_in_the_table_of_eth_les_and_snap() {
        let mux = mux(MessageLimits::default());
        let at = |code| mux.locate(code).map(|(shared, local)| (shared.capability.to_string(), local));

        assert_eq!(at(0x10), Ok(("eth/68".into(), 0)));
        assert_eq!(at(0x20), Ok(("eth/68".into(), 16)));
        assert_eq!(at(0x21), Ok(("les/4".into(), 0)));
        assert_eq!(at(0x38), Ok(("les/4".into(), 23)));
        assert_eq!(at(0x39), Ok(("snap/1".into(), 0)));
        assert_eq!(at(0x40), Ok(("snap/1".into(), 7)));
        assert_eq!(at(0x41), Err(Fault::UnknownCode { code: 0x41, end: 0x41 }));
        assert_eq!(at(u64::MAX), Err(Fault::UnknownCode { code: u64::MAX, end: 0x41 }));
    }

    #[test]
    fn what_is_sent_gets_the_offset_of_its_capability() {
        let mux = mux(MessageLimits::default());
        let les = mux.shared[1].clone();

        assert_eq!(mux.wire_code(&les, 0x17), Ok(0x38));
        assert_eq!(mux.wire_code(&les, 0x18), Err(SendError::UnknownCode { code: 0x18, length: 24 }));
        let elsewhere = SharedCapability { offset: 0x10, ..les };
        assert_eq!(mux.wire_code(&elsewhere, 0), Err(SendError::UnknownCapability));
    }

    #[test]
    fn frames_are_limited_by_the_largest_message_of_a_shared_capability() {
        let limits = |by_code| MessageLimits { default: 128 * 1024, by_code };
        let frames = |by_code| mux(limits(by_code)).frame_limit();

        assert_eq!(frames(vec![]), snappy::packed_limit(128 * 1024) + frame::CODE);
        let send = ("les", 0x13, 1024 * 1024);
        assert_eq!(frames(vec![send]), snappy::packed_limit(1024 * 1024) + frame::CODE);
        assert_eq!(frames(vec![("shh", 1, 1024 * 1024)]), frames(vec![]));
        assert_eq!(frames(vec![("les", 1, usize::MAX)]), frame::MAX_SIZE);
    }
}

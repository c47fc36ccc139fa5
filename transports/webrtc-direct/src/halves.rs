//! The two halves of a stream: which flags end them, and when its channel is no longer needed.
//!
//! ```text
//! sending:    open --FIN sent--> ended --FIN_ACK, STOP_SENDING, RESET come--> done
//!             open --STOP_SENDING, RESET come, RESET sent--> done
//! receiving:  open --FIN comes, answered with FIN_ACK--> done
//!             open --RESET comes--> broken       open --STOP_SENDING sent--> unwanted
//! ```

use crate::message::Flag;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sending {
    Open,
    /// Our FIN is on its way.
    Ended,
    Done,
    /// The peer takes no more.
    Refused,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Receiving {
    Open,
    /// The peer has sent all it had.
    Done,
    /// The peer broke it off.
    Broken,
    /// We take no more.
    Unwanted,
}

/// Both halves of a stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Halves {
    sending: Sending,
    receiving: Receiving,
}

/// What reading finds behind the last byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// More may come.
    Open,
    /// It was all.
    Whole,
    /// Something is missing.
    Broken,
}

impl Halves {
    pub(crate) fn new() -> Self {
        Self { sending: Sending::Open, receiving: Receiving::Open }
    }

    /// The peer's flag; what it is answered with.
    pub(crate) fn on_flag(&mut self, flag: Flag) -> Option<Flag> {
        match flag {
            Flag::Fin => {
                if self.receiving == Receiving::Open {
                    self.receiving = Receiving::Done;
                }
                Some(Flag::FinAck)
            }
            Flag::FinAck => {
                if self.sending == Sending::Ended {
                    self.sending = Sending::Done;
                }
                None
            }
            Flag::StopSending => {
                self.refuse();
                None
            }
            Flag::Reset => {
                self.refuse();
                self.break_off();
                None
            }
        }
    }

    /// The channel is gone: whatever was not ended is broken.
    pub(crate) fn on_channel_closed(&mut self) {
        self.refuse();
        self.break_off();
    }

    fn refuse(&mut self) {
        self.sending = match self.sending {
            Sending::Open => Sending::Refused,
            Sending::Ended => Sending::Done,
            other => other,
        };
    }

    fn break_off(&mut self) {
        if self.receiving == Receiving::Open {
            self.receiving = Receiving::Broken;
        }
    }

    /// We send no more; the flag that says so, once.
    pub(crate) fn end_sending(&mut self) -> Option<Flag> {
        (self.sending == Sending::Open).then(|| {
            self.sending = Sending::Ended;
            Flag::Fin
        })
    }

    /// We read no more; the flag that says so, if the peer does not know by itself.
    pub(crate) fn end_receiving(&mut self) -> Option<Flag> {
        (self.receiving == Receiving::Open).then(|| {
            self.receiving = Receiving::Unwanted;
            Flag::StopSending
        })
    }

    pub(crate) fn may_send(&self) -> bool {
        self.sending == Sending::Open
    }

    /// Whether the peer has said that it takes no more.
    pub(crate) fn is_refused(&self) -> bool {
        self.sending == Sending::Refused
    }

    /// Whether bytes that come are kept.
    pub(crate) fn wants(&self) -> bool {
        self.receiving == Receiving::Open
    }

    pub(crate) fn end(&self) -> End {
        match self.receiving {
            Receiving::Open => End::Open,
            Receiving::Done | Receiving::Unwanted => End::Whole,
            Receiving::Broken => End::Broken,
        }
    }

    /// Whether nothing more is to be sent or awaited, so that the channel may be closed.
    pub(crate) fn is_over(&self) -> bool {
        matches!(self.sending, Sending::Done | Sending::Refused) && self.receiving != Receiving::Open
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_side_ends_by_itself() {
        let mut halves = Halves::new();
        assert_eq!(halves.end_sending(), Some(Flag::Fin));
        assert_eq!(halves.end_sending(), None, "once");
        assert_eq!(halves.on_flag(Flag::FinAck), None);
        assert!(halves.wants() && !halves.may_send() && !halves.is_over());
        assert_eq!(halves.on_flag(Flag::Fin), Some(Flag::FinAck));
        assert_eq!((halves.end(), halves.is_over()), (End::Whole, true));
        assert_eq!(halves.end_receiving(), None, "the peer knows");
    }

    #[test]
    fn a_fin_is_answered_each_time() {
        let mut halves = Halves::new();
        assert_eq!(halves.on_flag(Flag::Fin), Some(Flag::FinAck));
        assert_eq!(halves.on_flag(Flag::Fin), Some(Flag::FinAck));
        assert!(halves.may_send() && !halves.is_over());
    }

    #[test]
    fn a_reset_ends_both_halves_and_a_stop_one() {
        let mut halves = Halves::new();
        halves.on_flag(Flag::StopSending);
        assert!(halves.is_refused() && halves.wants());
        halves.on_flag(Flag::Reset);
        assert_eq!((halves.end(), halves.is_over()), (End::Broken, true));
    }

    #[test]
    fn an_end_that_nobody_confirms_is_confirmed_by_whatever_ends_the_peers_reading() {
        for flag in [Flag::StopSending, Flag::Reset] {
            let mut halves = Halves::new();
            halves.end_sending();
            halves.end_receiving();
            assert!(!halves.is_over());
            halves.on_flag(flag);
            assert!(halves.is_over() && !halves.is_refused());
        }
    }

    #[test]
    fn a_channel_that_goes_away_breaks_what_was_open_and_nothing_else() {
        let mut halves = Halves::new();
        halves.on_flag(Flag::Fin);
        halves.on_channel_closed();
        assert_eq!((halves.end(), halves.is_over()), (End::Whole, true));
        let mut halves = Halves::new();
        halves.on_channel_closed();
        assert_eq!(halves.end(), End::Broken);
    }

    proptest! {
        #[test]
        fn what_is_over_stays_over(steps in prop::collection::vec(0..7_u8, 0..40)) {
            let (mut halves, mut over) = (Halves::new(), false);
            for step in steps {
                match step {
                    0 => drop(halves.on_flag(Flag::Fin)),
                    1 => drop(halves.on_flag(Flag::StopSending)),
                    2 => drop(halves.on_flag(Flag::Reset)),
                    3 => drop(halves.on_flag(Flag::FinAck)),
                    4 => drop(halves.end_sending()),
                    5 => drop(halves.end_receiving()),
                    _ => halves.on_channel_closed(),
                }
                prop_assert!(!over || halves.is_over());
                over = halves.is_over();
            }
        }
    }
}

//! How a client asks.

use std::time::Duration;

use crate::Scope;

/// Settings of a client.
#[derive(Clone, Debug)]
pub struct Config {
    /// Which IP addresses are tested, and at which addresses servers count. Default: global ones.
    pub scope: Scope,
    /// Servers that must agree before an address is believed to be reachable, or not to be. Where fewer are connected,
    /// those that are decide, and the verdict tells how many there were. Default: 2.
    pub confirmations: usize,
    /// Servers that are asked for it at most, if they disagree. Default: 3.
    pub servers_per_address: usize,
    /// Pause until a reachable address is tested again, give or take a tenth. Default: 15 minutes.
    pub recheck: Duration,
    /// First pause after an address was found unreachable; it doubles each time. Default: 1 minute.
    pub first_retry: Duration,
    /// Longest such pause. Default: 1 hour.
    pub longest_retry: Duration,
    /// Time for which a verdict holds on after its test was due, if nobody can be found to renew it. Default:
    /// 15 minutes.
    pub grace: Duration,
    /// Time for a question. Default: 20 seconds; servers take some 15.
    pub patience: Duration,
    /// Questions to one server in a minute. Default: 4.
    pub questions_per_minute: usize,
    /// Bytes that are sent to a server at most before it dials an IP address other than ours. Default: 100,000, the
    /// most that servers should ask for.
    pub max_payment: u64,
    /// Such bytes in an hour. Default: 2,000,000.
    pub max_payment_per_hour: u64,
    /// Whether verdicts are told to the whole swarm as confirmed and expired external addresses. Default: no, that is
    /// the owner's decision.
    pub confirm_external: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            scope: Scope::Global,
            confirmations: 2,
            servers_per_address: 3,
            recheck: Duration::from_secs(15 * 60),
            first_retry: Duration::from_secs(60),
            longest_retry: Duration::from_secs(60 * 60),
            grace: Duration::from_secs(15 * 60),
            patience: Duration::from_secs(20),
            questions_per_minute: 4,
            max_payment: 100_000,
            max_payment_per_hour: 2_000_000,
            confirm_external: false,
        }
    }
}
